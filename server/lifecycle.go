package server

import (
	"sync"
	"sync/atomic"
)

// A lifecycle is how far a server is: from its start to the end of everything
// it has started. Safe for concurrent use.
type lifecycle struct {
	ready    chan struct{} // closed when clients are served
	stopping chan struct{} // closed when the stop has begun
	hurry    chan struct{} // closed when a drain is over
	done     chan struct{} // closed when all has ended
	hasten   func()        // ends the drain
	cut      atomic.Bool   // the drain ended with acks outstanding, since the peer has stopped

	mu    sync.Mutex
	how   stop  // guarded by mu; set before stopping is closed
	err   error // guarded by mu; why it stopped
	begun bool  // guarded by mu: stopping is closed
}

// A stop is a way to end.
type stop uint8

const (
	stopClose stop = iota
	stopDrain
	stopKill
)

func newLifecycle() lifecycle {
	hurry := make(chan struct{})
	return lifecycle{
		ready: make(chan struct{}), stopping: make(chan struct{}), hurry: hurry, done: make(chan struct{}),
		hasten: sync.OnceFunc(func() { close(hurry) }),
	}
}

// begin begins the stop, the first time; a later Kill still counts.
func (l *lifecycle) begin(how stop, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.begun {
		if how == stopKill && l.how != stopKill {
			l.how, l.err = how, err
		}
		return
	}
	l.begun, l.how, l.err = true, how, err
	close(l.stopping)
}

func (l *lifecycle) stopHow() stop {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.how
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
