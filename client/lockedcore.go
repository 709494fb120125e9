package client

import (
	"runtime"
	"sync"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/signal"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A lockedCore guards the core of the client's sessions. It is used by the session goroutine, by
// the reader and the sender of the connection, and by the application's goroutines.
type lockedCore struct {
	store       pubstore.Store
	wakeSession signal.Signal // wakes the session goroutine when the core has steps due

	mu      sync.Mutex
	core    *clientcore.Session // guarded by mu
	changed chan struct{}       // closed when a Flush may be complete; nil: no waiter; guarded by mu
	sent    int                 // publishes that were sent; guarded by mu
	resent  int                 // of these: publishes that may have been sent before; guarded by mu
}

// watch returns a channel that is closed when a Flush may be complete.
func (o *lockedCore) watch() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return o.changed
}

// wake wakes all goroutines that wait in watch, or for a ticket whose outcome is known.
func (o *lockedCore) wake() {
	o.mu.Lock()
	watched := o.changed != nil
	if watched {
		close(o.changed)
		o.changed = nil
	}
	woken := o.core.Publisher().UpdateTickets()
	o.mu.Unlock()
	if wake(woken) || watched {
		runtime.Gosched() // let the woken goroutines run first: the caller has nothing urgent to do
	}
}

// do calls f with the core. If the core has news, it wakes the session.
func (o *lockedCore) do(f func(s *clientcore.Session)) {
	o.mu.Lock()
	defer o.unlock()
	f(o.core)
}

func (o *lockedCore) unlock() {
	news := o.core.NeedsRecheck()
	o.mu.Unlock()
	if news {
		o.wakeSession.Set()
	}
}

// withLock calls f with mu held and returns the result.
func withLock[T any](mu *sync.Mutex, f func() T) T {
	mu.Lock()
	defer mu.Unlock()
	return f()
}

// withCore calls f with the core and returns the result.
func withCore[T any](o *lockedCore, f func(s *clientcore.Session) T) (result T) {
	o.do(func(s *clientcore.Session) { result = f(s) })
	return result
}

// Credentials implements decider.
func (o *lockedCore) Credentials(user, password string) wire.LogonCommand {
	return withCore(o, func(s *clientcore.Session) wire.LogonCommand { return s.Credentials(user, password) })
}

// HandleAck implements decider.
func (o *lockedCore) HandleAck(m *wire.Message) (e clientcore.Event, err error) {
	o.do(func(s *clientcore.Session) { e, err = s.HandleAck(m) })
	return e, err
}

func (o *lockedCore) logon(name, messageType string, counter uint64, cluster string, incarnation uint64, plain bool) {
	var life string
	var from uint64
	o.do(func(s *clientcore.Session) { life, from = s.LifeID(), s.RejectedFrom() })
	rejected := o.store.Rejected(life, from, wire.MaxSpans)
	o.do(func(s *clientcore.Session) {
		s.Logon(name, messageType, version, counter, rejected)
		s.StateGroup(cluster, incarnation)
		if plain {
			s.OmitExtensions()
		}
	})
}

// settled returns the sequence up to which the life of a goal is settled. reported is true if the
// application knows of every rejection up to the goal.
func (o *lockedCore) settled(g goal) (through uint64, reported bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.core.Publisher()
	return p.Settled(g.life), p.AllReported(g.life, g.sequence)
}

// The following methods implement the window of the connection's sender.

// Room implements clientcore.Window.
func (cn *conn) Room() bool { return withCore(cn.c.core, (*clientcore.Session).Room) }

// Reserve implements clientcore.Window.
func (cn *conn) Reserve(first uint64, sizes []int) (onWire uint64, n, again int, room bool) {
	o := cn.c.core
	o.do(func(s *clientcore.Session) {
		onWire, n, again, room = s.Reserve(first, sizes)
		o.sent += n
		o.resent += again
	})
	return onWire, n, again, room
}

// MayLeaveOut implements clientcore.Window.
func (cn *conn) MayLeaveOut(from, to uint64) bool {
	return withCore(cn.c.core, func(s *clientcore.Session) bool { return s.MayLeaveOut(from, to) })
}

// Exhausted implements clientcore.Window.
func (cn *conn) Exhausted(lives []pubstore.Life) (again bool) {
	return withCore(cn.c.core, func(s *clientcore.Session) bool { return s.Exhausted(lives) })
}

// ReplayDone implements clientcore.Window.
func (cn *conn) ReplayDone(resent int) {
	cn.c.core.do(func(s *clientcore.Session) { s.ReplayDone(resent) })
	if resent > 0 {
		cn.c.events.post(func() { cn.c.reportReplayed(resent) })
	}
}
