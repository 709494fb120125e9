package server

import (
	"context"
	"sync"
	"sync/atomic"
	"time"
)

// A lifecycle is the progress of a server from its start until everything that it started has
// ended. It is safe for concurrent use.
type lifecycle struct {
	ready         chan struct{}   // closed when clients are served
	stopping      chan struct{}   // closed when the stop has begun
	logons        context.Context // ends with it
	endLogons     func()          // ends logons
	drainEnd      chan struct{}   // closed when the drain must end
	done          chan struct{}   // closed when everything has ended
	endDrain      func()          // ends the drain
	acksAbandoned atomic.Bool     // the drain ended with acks outstanding because the peer has stopped
	drained       atomic.Bool     // the drain ended without outstanding acks

	mu    sync.Mutex
	mode  stopMode  // guarded by mu; set before stopping is closed
	err   error     // guarded by mu; why the server stopped
	begun bool      // guarded by mu: stopping is closed
	since time.Time // guarded by mu; when the stop began
}

// A stopMode is the way in which a server ends.
type stopMode uint8

const (
	stopClose stopMode = iota
	stopDrain
	stopKill
)

func newLifecycle() lifecycle {
	hurry := make(chan struct{})
	logons, endLogons := context.WithCancel(context.Background())
	return lifecycle{
		logons: logons, endLogons: endLogons,
		ready: make(chan struct{}), stopping: make(chan struct{}), drainEnd: hurry, done: make(chan struct{}),
		endDrain: sync.OnceFunc(func() { close(hurry) }),
	}
}

// beginStop begins the stop. Only the first call has an effect, except that a later kill still
// counts. first reports whether this was the first call.
func (l *lifecycle) beginStop(how stopMode, err error) (first bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begun {
		if how == stopKill && l.mode != stopKill {
			l.mode, l.err = how, err
		}
		return false
	}
	l.begun, l.mode, l.err, l.since = true, how, err, time.Now()
	close(l.stopping)
	l.endLogons()
	return true
}

// stopped returns the mode of the stop, and how long it has taken.
func (l *lifecycle) stopped() (how stopMode, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mode, time.Since(l.since)
}

func (l *lifecycle) stopMode() stopMode {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.mode
}

// isStopping reports whether the stop has begun.
func (l *lifecycle) isStopping() bool { return isClosed(l.stopping) }

func (l *lifecycle) isReady() bool { return isClosed(l.ready) }

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
