package breakit

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
	"github.com/holdfast-mq/holdfast/internal/proof/fleet"
)

// A fault is a fault and the recovery from it.
type fault struct {
	at          time.Time
	description string
	ackedAfter  time.Duration // until a message published afterwards was acknowledged, 0: not yet
	safeAfter   time.Duration // until one was acknowledged by both
}

// injectFault makes a fault, logs it, and follows the recovery of the traffic.
func (w *world) injectFault(ctx context.Context, description string, do func() error) {
	counts := w.fleet.PublishedCounts()
	f := &fault{at: time.Now(), description: description}
	if err := do(); err != nil {
		w.logf("%s: %v", description, err)
		return
	}
	w.logf("%s", description)
	w.mu.Lock()
	w.faults = append(w.faults, f)
	w.faults = w.faults[max(0, len(w.faults)-faultLines):]
	w.mu.Unlock()
	w.running.Go(func() { w.awaitRecovery(ctx, f, counts) })
}

// awaitRecovery waits for the next acknowledgements.
func (w *world) awaitRecovery(ctx context.Context, f *fault, counts []int) {
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		acked := w.fleet.AckedSince(counts, (*fleet.Publisher).Acknowledged)
		safe := w.fleet.AckedSince(counts, (*fleet.Publisher).Safe)
		w.mu.Lock()
		if acked && f.ackedAfter == 0 {
			f.ackedAfter = time.Since(f.at)
		}
		if safe {
			f.safeAfter = time.Since(f.at)
		}
		w.mu.Unlock()
		if safe {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// claim reserves an instance for an action. It returns false if another action is
// running.
func (w *world) claim(i int, doing string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.states[i].activity != "" {
		return false
	}
	w.states[i].activity = doing
	return true
}

func (w *world) unclaim(i int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.states[i].activity = ""
}

// toggleKill kills an instance as kill -9 does, or starts one that is dead.
func (w *world) toggleKill(ctx context.Context, i int) {
	if w.pair[i].Alive() {
		w.kill(ctx, i)
	} else {
		w.startInstance(ctx, i)
	}
}

func (w *world) kill(ctx context.Context, i int) {
	in := w.pair[i]
	if !w.claim(i, "killing") {
		return
	}
	defer w.unclaim(i)
	w.injectFault(ctx, "kill -9 "+in.Name, in.Kill)
}

// startInstance starts an instance and, on its own, waits until it serves clients.
func (w *world) startInstance(ctx context.Context, i int) {
	if !w.claim(i, "starting") {
		return
	}
	w.running.Go(func() {
		defer w.unclaim(i)
		start := time.Now()
		if err := w.pair[i].Start(ctx); err != nil {
			if ctx.Err() == nil {
				w.noteFailure(err)
			}
			return
		}
		w.logf("%s serves again, %v after its start", w.pair[i].Name, time.Since(start).Round(time.Millisecond))
	})
}

// toggleStop stops an instance as SIGSTOP does, or has a stopped one go on.
func (w *world) toggleStop(ctx context.Context, i int) {
	in := w.pair[i]
	switch {
	case !pair.HasSignals:
		w.logf("a process can't be stopped on this system")
	case !in.Alive():
		w.logf("%s is not running", in.Name)
	case in.Suspended():
		w.logf("%s goes on", in.Name)
		if err := in.Resume(); err != nil {
			w.logf("%v", err)
		}
	default:
		w.injectFault(ctx, "stop "+in.Name, in.Suspend)
	}
}

// toggleCable cuts the cable between the instances, or mends it.
func (w *world) toggleCable(ctx context.Context) {
	w.mu.Lock()
	cut := !w.cut
	w.mu.Unlock()
	if !cut {
		w.setCable(false)
		w.logf("the link is whole again")
		return
	}
	w.injectFault(ctx, "cut the link", func() error { w.setCable(true); return nil })
}

func (w *world) setCable(cut bool) {
	for _, p := range w.cable {
		p.SetCut(cut)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut = cut
}

// mayWipe reports whether a journal may be removed: safe messages are on the other disk
// too, unless that was wiped and has not caught up since. The publishers have all others.
func (w *world) mayWipe(i int) bool {
	if w.pair[i].InSync() && w.pair[1-i].InSync() {
		w.setWiped(1-i, false)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return !w.states[1-i].wiped
}

func (w *world) setWiped(i int, wiped bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.states[i].wiped = wiped
}

// wipeInstance kills an instance, removes its journal and starts it again.
func (w *world) wipeInstance(ctx context.Context, i int) {
	in := w.pair[i]
	if !w.claim(i, "wiping") {
		return
	}
	w.injectFault(ctx, "kill -9 "+in.Name+" and wipe its disk", func() error {
		if err := in.UnexpectedExit(); err != nil {
			w.noteFailure(err)
			return err
		}
		if in.Alive() {
			if err := in.Kill(); err != nil {
				return err
			}
		}
		w.setWiped(i, true)
		return w.removeJournal(i)
	})
	w.unclaim(i)
	w.startInstance(ctx, i)
}

// repair undoes every fault that lasts.
func (w *world) repair(ctx context.Context) {
	w.setCable(false)
	for i, in := range w.pair {
		if in.Suspended() {
			if err := in.Resume(); err != nil {
				w.logf("%v", err)
			}
		}
		if !in.Alive() {
			w.startInstance(ctx, i)
		}
	}
}

// lastFaults returns the last n faults, the newest first.
func (w *world) lastFaults(n int) []fault {
	w.mu.Lock()
	defer w.mu.Unlock()
	var last []fault
	for _, f := range slices.Backward(w.faults) {
		if len(last) < n {
			last = append(last, *f)
		}
	}
	return last
}

// describe says how the traffic took a fault.
func (f fault) describe() string {
	after := func(d time.Duration) string {
		if d == 0 {
			return "…"
		}
		return fmt.Sprintf("%.1f s", d.Seconds())
	}
	return fmt.Sprintf("next ack %s, next safe %s", after(f.ackedAfter), after(f.safeAfter))
}
