package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/proof/fleet"
)

// A verdict is the outcome of a drill.
type verdict struct {
	published  int
	kept       checker.Keys              // published, and not reported as not entitled
	told       map[string]map[string]int // by publisher and key: how often a message was reported as not entitled
	faults     []error                   // other reports of publishers
	a, b       checker.Keys              // the journals
	audit      checker.Keys              // received by the subscriber that may have all
	desk       checker.Keys              // received by the one that may have orders only, in the end
	restricted map[string]int            // by publisher: the first message that desk must not have
	steps      []stepResult
	limit      time.Duration // of the time without an ack
}

// finish ends the load, waits until all is safe and delivered, stops everything and reads the disks.
func (w *world) finish(ctx context.Context) (v verdict, err error) {
	w.outages.begin()
	v = verdict{kept: make(checker.Keys), told: make(map[string]map[string]int), steps: w.steps, limit: w.limit, restricted: w.restricted}
	if err := w.inSync(ctx); err != nil {
		return v, err
	}
	for _, p := range w.publishers {
		if err := p.end(ctx); err != nil {
			return v, err
		}
		told, faults := p.reports()
		v.told[p.name], v.faults = told, append(v.faults, faults...)
		v.published += p.published
		add(v.kept, p)
	}
	if err := w.awaitDelivered(ctx, v.kept); err != nil {
		return v, err
	}
	for _, s := range w.subscribers {
		if err := s.end(ctx); err != nil {
			return v, err
		}
	}
	v.audit, v.desk = w.subscribers[0].taken(), w.subscribers[1].taken()
	return v, w.readJournals(&v)
}

// quiet is how long nothing more may come to the subscribers.
const quiet = time.Second

// awaitDelivered waits until the subscribers have what they should have, and a while longer for what
// they should not. The verdict reports what is missing.
func (w *world) awaitDelivered(ctx context.Context, kept checker.Keys) error {
	all, orders := kept.Len(), ordersOf(kept).Len()
	err := w.await(ctx, "all messages", func() bool {
		return w.subscribers[0].taken().Len() >= all && ordersOf(w.subscribers[1].taken()).Len() >= orders
	})
	if err != nil && !errors.Is(err, errWaited) {
		return err
	}
	return w.sleep(ctx, quiet)
}

// readJournals stops the pair and reads its journals.
func (w *world) readJournals(v *verdict) (err error) {
	for _, in := range w.pair {
		if err := in.Stop(); err != nil {
			return err
		}
	}
	if v.a, err = fleet.ReadJournal(w.pair[0].Journal(), keyOf); err != nil {
		return err
	}
	v.b, err = fleet.ReadJournal(w.pair[1].Journal(), keyOf)
	return err
}

// ordersOf returns the keys of the publishers of orders.
func ordersOf(all checker.Keys) checker.Keys {
	orders := make(checker.Keys)
	for publisher, keys := range all {
		if isOrders(publisher) {
			orders[publisher] = keys
		}
	}
	return orders
}

func isOrders(publisher string) bool { return strings.HasPrefix(publisher, "orders-") }

// print writes the tables and returns whether all is well.
func (v verdict) print(w io.Writer) bool {
	fmt.Fprintf(w, "\n  %-58s %8s %8s\n", "step", "took", "no acks")
	inTime := true
	for _, s := range v.steps {
		note := ""
		if s.outage > v.limit {
			inTime, note = false, fmt.Sprintf("  TOO LONG: at most %v", v.limit)
		}
		fmt.Fprintf(w, "  %-58s %8v %8v%s\n", s.name, s.took.Round(time.Millisecond), s.outage.Round(time.Millisecond), note)
	}
	row := func(name string, value any, note string) { fmt.Fprintf(w, "  %-16s %8v   %s\n", name, value, note) }
	fmt.Fprintln(w)
	denied, toldOnce := v.denied()
	places := checker.Compare(v.kept, v.a, v.b, v.audit).Add(checker.Compare(ordersOf(v.kept), ordersOf(v.desk)))
	row("published", v.published, "accepted by the publish stores")
	row("not entitled", denied, "rejected after a permission was taken, and reported")
	row("on both disks", checker.Compare(v.kept, v.a, v.b).Present, "")
	row("delivered", checker.Compare(v.kept, v.audit).Present, "")
	row("lost", places.Lost, "")
	row("duplicated", places.Duplicated, "")
	row("out of order", places.Disordered, "")
	row("never published", places.Foreign, "or rejected, and there all the same")
	overheard := v.overheard()
	row("overheard", overheard, "delivered to a user who may not have them any more")
	for _, err := range v.faults {
		fmt.Fprintln(w, "  unexpected:", err)
	}
	if !toldOnce {
		fmt.Fprintln(w, "  a rejected message was reported more than once, or by a publisher whose permissions were not taken")
	}
	passed := places.Clean() && inTime && toldOnce && denied > 0 && overheard == 0 && len(v.faults) == 0 && v.published > 0
	if passed {
		fmt.Fprintln(w, "all is well")
	}
	return passed
}

// denied returns how many messages were reported as not entitled, and whether each was reported once,
// to the publisher whose permission was taken.
func (v verdict) denied() (n int, once bool) {
	once = true
	for publisher, told := range v.told {
		for _, times := range told {
			n++
			once = once && times == 1 && publisher == "prices"
		}
	}
	return n, once
}

// overheard returns how many messages the desk has received although they were published after it had
// lost the permission.
func (v verdict) overheard() (n int) {
	for publisher, keys := range v.desk {
		for _, key := range keys {
			number, err := strconv.Atoi(key)
			if err != nil || !isOrders(publisher) && number >= v.restricted[publisher] {
				n++
			}
		}
	}
	return n
}
