package transaction

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/perf/pair"
	"github.com/holdfast-mq/holdfast/internal/proof/fleet"
	"github.com/holdfast-mq/holdfast/internal/proof/timeline"
)

var shops = []string{"north", "south", "west"}

// orderInterval is how often each shop publishes an order.
const orderInterval = 25 * time.Millisecond

// A trialRun is one run of the demonstration.
type trialRun struct {
	*timeline.Timeline
	pair  pair.Pair
	shops fleet.Fleet
	app   *application
	// accounts reads the application's database.
	accounts func(database string) (map[string]Account, uint64, error)

	deaths, outages int            // that happened
	restarts        []<-chan error // one for each instance that is on its way back
	running         sync.WaitGroup // goroutines that end with the context
}

func newTrialRun(dir string, a App) *trialRun {
	return &trialRun{Timeline: timeline.New(), accounts: a.Accounts, app: newApplication(dir)}
}

// start starts the pair and connects the shops. After an error close ends those that were
// started.
func (r *trialRun) start(ctx context.Context, dir string, command []string) (err error) {
	r.pair, err = pair.Start(ctx, dir, pair.Options{Command: command, DowngradeAfter: 500 * time.Millisecond})
	if err != nil {
		return err
	}
	r.app.servers = r.pair.URIs()
	r.shops, err = fleet.New(shops, r.app.servers, func(shop string, servers []string) (*fleet.Publisher, error) {
		return fleet.NewPublisher(ctx, shop, dir, servers, client.Config{Name: "shop-" + shop})
	})
	if err != nil {
		return err
	}
	r.Printf("a serves at %s, b at %s, in sync; %d shops are connected", r.pair[0].ClientAddress, r.pair[1].ClientAddress, len(r.shops))
	return nil
}

// execute plays the episodes while the shops publish.
func (r *trialRun) execute(ctx context.Context, seed uint64, episodes []episode) error {
	publishing, stop := context.WithCancel(ctx)
	errs := make([]error, len(r.shops)+1)
	var wg sync.WaitGroup
	for i, p := range r.shops {
		wg.Go(func() { errs[i] = publishOrders(publishing, p, rand.New(rand.NewPCG(seed, uint64(i)+1))) })
	}
	errs[len(r.shops)] = r.runEpisodes(ctx, episodes)
	stop()
	wg.Wait()
	return errors.Join(errs...)
}

func (r *trialRun) runEpisodes(ctx context.Context, episodes []episode) error {
	for i, e := range episodes {
		if err := r.runEpisode(ctx, e); err != nil {
			return fmt.Errorf("life %d, death at %s: %w", i+1, e.step, err)
		}
	}
	return r.awaitRestarts()
}

// publishOrders publishes orders until ctx ends.
func publishOrders(ctx context.Context, p *fleet.Publisher, rnd *rand.Rand) error {
	tick := time.NewTicker(orderInterval)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		o := order{ID: fmt.Sprint(p.Name, "-", n), Shop: p.Name, Customer: fmt.Sprint("customer-", rnd.IntN(20)), Amount: 1 + rnd.IntN(1000)}
		body, err := json.Marshal(o)
		if err != nil {
			return err
		}
		if err := p.Publish(context.WithoutCancel(ctx), "orders", o.ID, body); err != nil {
			return err
		}
	}
}

// runEpisode has the application live once, and die.
func (r *trialRun) runEpisode(ctx context.Context, e episode) error {
	if err := r.app.start(e.death); err != nil {
		return err
	}
	struck := ""
	if e.outage.running {
		var err error
		if struck, err = r.causeOutage(ctx, e.outage); err != nil {
			return err
		}
	}
	if err := r.awaitDeath(ctx, e); err != nil {
		return err
	}
	at, f := r.app.noteDeath(e.step)
	r.deaths++
	if !e.outage.running {
		var err error
		if struck, err = r.causeOutage(ctx, e.outage); err != nil {
			return err
		}
	}
	r.printEpisode(e, at, f, struck)
	return nil
}

// printEpisode prints the events of an episode.
func (r *trialRun) printEpisode(e episode, at string, f fate, struck string) {
	text := "died at " + string(e.step)
	if e.step == outside {
		text = "killed from outside"
	}
	if at != "" {
		text += ", order " + at + [...]string{" may come again", " comes again", " is done"}[f]
	}
	if struck != "" {
		text += "; kill -9 of " + struck
		if e.outage.running {
			text += " meanwhile"
		}
	}
	r.Printf("%s", text)
}

// awaitDeath waits until the process has died, or ends it.
func (r *trialRun) awaitDeath(ctx context.Context, e episode) error {
	exited := r.app.Exited()
	if e.step == outside {
		select {
		case <-time.After(e.life):
			return r.app.Kill()
		case <-exited:
			return r.app.Err()
		}
	}
	select {
	case <-exited:
		return r.app.Err()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// causeOutage kills instances after a while, has them come back, and returns their names.
func (r *trialRun) causeOutage(ctx context.Context, s outage) (string, error) {
	if len(s.victims) == 0 {
		return "", nil
	}
	if err := r.awaitRestarts(); err != nil {
		return "", err
	}
	if err := r.pair.AwaitSync(ctx); err != nil {
		return "", err
	}
	<-time.After(s.wait)
	var names []string
	for _, v := range s.victims {
		in := r.pair[v]
		if err := in.Kill(); err != nil {
			return "", err
		}
		names = append(names, in.Name)
		revived := make(chan error, 1)
		r.restarts = append(r.restarts, revived)
		r.running.Go(func() {
			<-time.After(s.downtime)
			revived <- in.Start(ctx)
		})
	}
	r.outages++
	return strings.Join(names, " and "), nil
}

// awaitRestarts waits for the instances that are on their way back.
func (r *trialRun) awaitRestarts() error {
	for _, revived := range r.restarts {
		if err := <-revived; err != nil {
			return err
		}
	}
	r.restarts = nil
	return nil
}

// finish lets the application finish, stops everything and reads the disks.
func (r *trialRun) finish(ctx context.Context) (rep report, err error) {
	r.Printf("the shops have stopped; the application handles the remaining orders")
	if err := r.app.start(death{}); err != nil {
		return rep, err
	}
	if err := r.pair.AwaitSync(ctx); err != nil {
		return rep, err
	}
	if err := r.shops.Drain(ctx); err != nil {
		return rep, err
	}
	rep.published = r.shops.Keys()
	if err := r.awaitIdle(ctx, rep.published.Len()); err != nil {
		return rep, err
	}
	if err := r.app.Stop(); err != nil {
		return rep, err
	}
	for _, in := range r.pair {
		if err := in.Stop(); err != nil {
			return rep, err
		}
	}
	rep.deaths, rep.outages, rep.app = r.deaths, r.outages, r.app
	if rep.accounts, rep.lastInvoice, err = r.accounts(r.app.database); err != nil {
		return rep, err
	}
	for i, in := range r.pair {
		if rep.journals[i], err = readJournal(in.Journal()); err != nil {
			return rep, err
		}
	}
	return rep, nil
}

// awaitIdle waits until the application was handed so many orders and none has come for a
// second, or none for twenty. The verdict reports missing ones.
func (r *trialRun) awaitIdle(ctx context.Context, orders int) error {
	last, since := -1, time.Now()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
		if err := r.app.Err(); err != nil {
			return err
		}
		n, idle := r.app.progress()
		if n != last || !idle {
			last, since = n, time.Now()
		}
		if quiet := time.Since(since); n >= orders && quiet > time.Second || quiet > 20*time.Second {
			return nil
		}
	}
}

// close ends whatever still runs. The context must have ended.
func (r *trialRun) close() {
	r.running.Wait()
	r.shops.Close()
	if r.app.Running() {
		r.app.Kill()
	}
	r.pair.Close()
}
