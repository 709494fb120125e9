package bench

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A watch tells how a run comes forward, and ends one that does not.
type watch struct {
	sync.Mutex // guards the run's publishers and subscribers while they are added
	done       chan struct{}
	ended      chan struct{}
}

// start begins to look at a run, once a second.
func (w *watch) start(r *run, cancel context.CancelCauseFunc) {
	w.done, w.ended = make(chan struct{}), make(chan struct{})
	go func() {
		defer close(w.ended)
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		began, moved := time.Now(), time.Now()
		var last advance
		for {
			select {
			case <-w.done:
				return
			case now := <-tick.C:
				a := r.advance()
				if a != last {
					moved = now
				} else if now.Sub(moved) > r.o.Stall {
					cancel(fmt.Errorf("nothing has come forward for %v", r.o.Stall))
					return
				}
				r.tell(now.Sub(began), last, a)
				last = a
			}
		}
	}()
}

// stop returns when it no longer looks.
func (w *watch) stop() {
	close(w.done)
	<-w.ended
}

// An advance is how far a run has come.
type advance struct{ published, safe, received uint64 }

func (r *run) advance() (a advance) {
	r.watch.Lock()
	defer r.watch.Unlock()
	for _, p := range r.publishers {
		a.published += p.published.Load()
		a.safe += p.safe.Load()
	}
	for _, s := range r.clients {
		a.received += uint64(s.tally.passed.Load())
	}
	return a
}

// tell writes a line of progress.
func (r *run) tell(at time.Duration, last, now advance) {
	if r.o.Progress != nil {
		fmt.Fprintf(r.o.Progress, "%4.0fs  published %d (+%d)  acknowledged %d (+%d)  received %d (+%d)\n", at.Seconds(),
			now.published, now.published-last.published, now.safe, now.safe-last.safe, now.received, now.received-last.received)
	}
}
