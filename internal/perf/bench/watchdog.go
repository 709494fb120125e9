package bench

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A watchdog prints the progress of a run, and ends a run without progress.
type watchdog struct {
	sync.Mutex // guards the run's publishers and subscribers while they are added
	done       chan struct{}
	ended      chan struct{}
}

// start starts the watchdog, which looks at the run once a second.
func (w *watchdog) start(r *run, cancel context.CancelCauseFunc) {
	w.done, w.ended = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(w.ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		began, moved := time.Now(), time.Now()
		var last progress
		for {
			select {
			case <-w.done:
				return
			case now := <-tick.C:
				a := r.progress()
				if a != last {
					moved = now
				} else if now.Sub(moved) > r.o.Stall {
					cancel(fmt.Errorf("no progress for %v", r.o.Stall))
					return
				}
				r.printProgress(now.Sub(began), last, a)
				last = a
			}
		}
	}()
}

// stop ends the watchdog and waits until it has ended.
func (w *watchdog) stop() {
	close(w.done)
	<-w.ended
}

// A progress holds the counts of a run so far.
type progress struct{ published, safe, received uint64 }

func (r *run) progress() (a progress) {
	r.watchdog.Lock()
	defer r.watchdog.Unlock()
	for _, p := range r.publishers {
		a.published += p.published.Load()
		a.safe += p.safe.Load()
	}
	for _, s := range r.clients {
		a.received += uint64(s.tally.counted.Load())
	}
	return a
}

// printProgress prints a line of progress.
func (r *run) printProgress(at time.Duration, last, now progress) {
	if r.o.Progress != nil {
		fmt.Fprintf(r.o.Progress, "%4.0fs  published %d (+%d)  acknowledged %d (+%d)  received %d (+%d)\n", at.Seconds(),
			now.published, now.published-last.published, now.safe, now.safe-last.safe, now.received, now.received-last.received)
	}
}
