package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// awaitLimit is how long the drill waits for anything.
const awaitLimit = 20 * time.Second

// A stepResult is what a step has cost.
type stepResult struct {
	name   string
	took   time.Duration
	outage time.Duration // longest time that a publisher was without an ack
	who    string        // the publisher
}

// step executes a step and waits until every publisher has a new ack.
func (w *world) step(ctx context.Context, name string, do func() error) error {
	w.Printf("%s", name)
	w.outages.begin()
	start := time.Now()
	if err := do(); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	if err := w.settle(ctx); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	outage, who := w.outages.longest()
	r := stepResult{name, time.Since(start), outage, who}
	w.steps = append(w.steps, r)
	w.Printf("  done in %v; longest time without an ack: %v (%s)", r.took.Round(time.Millisecond), r.outage.Round(time.Millisecond), who)
	return w.sleep(ctx, w.pause)
}

// settle waits until a message of each publisher is settled that was published after this call.
func (w *world) settle(ctx context.Context) error {
	for _, p := range w.publishers {
		if w.outages.excludes(p) {
			continue
		}
		if err := w.acked(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// acked waits until a message of a publisher is settled that was published after this call.
func (w *world) acked(ctx context.Context, p *publisher) error {
	before, _ := p.count()
	return p.explain(w.await(ctx, "an ack of "+p.name, func() bool {
		_, settled := p.count()
		return settled > before
	}))
}

// errWaited reports that something has not come within awaitLimit.
var errWaited = errors.New("it has not come in time")

// await polls a condition. The error is an errWaited if it stays false.
func (w *world) await(ctx context.Context, what string, condition func() bool) error {
	deadline := time.Now().Add(awaitLimit)
	for !condition() {
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %v for %s: %w", awaitLimit, what, errWaited)
		}
		if err := w.sleep(ctx, 5*time.Millisecond); err != nil {
			return err
		}
		for _, in := range w.pair {
			if err := in.UnexpectedExit(); err != nil {
				return err
			}
		}
	}
	return nil
}

// sleep waits, unless the load has failed or ctx ends.
func (w *world) sleep(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case err := <-w.fault:
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// inSync waits until the pair is in sync.
func (w *world) inSync(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, awaitLimit, fmt.Errorf("waited %v", awaitLimit))
	defer cancel()
	return w.pair.AwaitSync(ctx)
}

// each does something to both instances, one after the other.
func (w *world) each(do func(in *pair.Instance) error) error {
	for _, in := range w.pair {
		if err := do(in); err != nil {
			return fmt.Errorf("%s: %w", in.Name, err)
		}
	}
	return nil
}

// outages measures how long publishers are without acks.
type outages struct {
	publishers []*publisher

	mu       sync.Mutex
	of       map[*publisher]*outage // guarded by mu
	excluded map[*publisher]bool    // guarded by mu; those that must not get acks at present
}

// An outage is the time of one publisher without an ack.
type outage struct {
	settled int       // messages so far
	since   time.Time // when that number was seen first
	longest time.Duration
}

// watch watches until ctx ends.
func (o *outages) watch(ctx context.Context) {
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			for _, p := range o.publishers {
				settled, ok := p.tryCount()
				o.see(p, settled, ok, time.Now())
			}
		case <-ctx.Done():
			return
		}
	}
}

// see takes the number of settled messages of a publisher; ok is false if it is not known.
func (o *outages) see(p *publisher, settled int, ok bool, now time.Time) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.of == nil {
		o.of = make(map[*publisher]*outage)
	}
	g := o.of[p]
	if g == nil {
		g = &outage{since: now}
		o.of[p] = g
	}
	g.longest = max(g.longest, now.Sub(g.since))
	if ok && settled > g.settled {
		g.settled, g.since = settled, now
	}
}

// begin forgets earlier outages.
func (o *outages) begin() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, g := range o.of {
		g.longest = 0
	}
}

// longest returns the longest outage since begin.
func (o *outages) longest() (d time.Duration, who string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for p, g := range o.of {
		if !o.excluded[p] && g.longest >= d {
			d, who = g.longest, p.name
		}
	}
	return d, who
}

// exclude leaves a publisher out, or takes it in again.
func (o *outages) exclude(p *publisher, out bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.excluded == nil {
		o.excluded = make(map[*publisher]bool)
	}
	o.excluded[p] = out
	if g := o.of[p]; g != nil {
		g.since, g.longest = time.Now(), 0
	}
}

func (o *outages) excludes(p *publisher) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.excluded[p]
}
