package client

import (
	"cmp"
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
func (lc *lockedCore) watch() <-chan struct{} {
	lc.mu.Lock()
	defer lc.mu.Unlock()
	if lc.changed == nil {
		lc.changed = make(chan struct{})
	}
	return lc.changed
}

// wake wakes all goroutines that wait in watch, or for a ticket whose outcome is known.
func (lc *lockedCore) wake() {
	lc.mu.Lock()
	watched := lc.changed != nil
	if watched {
		close(lc.changed)
		lc.changed = nil
	}
	woken := lc.core.Publisher().UpdateTickets()
	lc.mu.Unlock()
	if wake(woken) || watched {
		runtime.Gosched() // let the woken goroutines run first: the caller has nothing urgent to do
	}
}

// do calls f with the core. If the core needs a recheck afterwards, do wakes the session goroutine.
func (lc *lockedCore) do(f func(s *clientcore.Session)) {
	lc.mu.Lock()
	defer lc.unlock()
	f(lc.core)
}

func (lc *lockedCore) unlock() {
	recheck := lc.core.NeedsRecheck()
	lc.mu.Unlock()
	if recheck {
		lc.wakeSession.Set()
	}
}

// withLock calls f with mu held and returns the result.
func withLock[T any](mu *sync.Mutex, f func() T) T {
	mu.Lock()
	defer mu.Unlock()
	return f()
}

// withCore calls f with the core and returns the result.
func withCore[T any](lc *lockedCore, f func(s *clientcore.Session) T) (result T) {
	lc.do(func(s *clientcore.Session) { result = f(s) })
	return result
}

// Credentials implements decider.
func (lc *lockedCore) Credentials(user, password string) wire.LogonCommand {
	return withCore(lc, func(s *clientcore.Session) wire.LogonCommand { return s.Credentials(user, password) })
}

// HandleAck implements decider.
func (lc *lockedCore) HandleAck(m *wire.Message) (e clientcore.Event, err error) {
	lc.do(func(s *clientcore.Session) { e, err = s.HandleAck(m) })
	return e, err
}

func (lc *lockedCore) logon(name, messageType string, counter uint64, cluster string, incarnation uint64, plain bool) {
	var life string
	var from uint64
	lc.do(func(s *clientcore.Session) { life, from = s.LifeID(), s.RejectedFrom() })
	rejected := lc.store.Rejected(life, from, wire.MaxSpans)
	lc.do(func(s *clientcore.Session) {
		s.Logon(name, messageType, version, counter, rejected)
		s.StateGroup(cluster, incarnation)
		if plain {
			s.OmitExtensions()
		}
	})
}

// settled returns the sequence up to which the life of a goal is settled. reported is true if the
// application knows of every rejection up to the goal.
func (lc *lockedCore) settled(g goal) (through uint64, reported bool) {
	lc.mu.Lock()
	defer lc.mu.Unlock()
	p := lc.core.Publisher()
	return p.Settled(g.life), p.AllReported(g.life, g.sequence)
}

// The following methods implement the window of the connection's sender.

// Room implements clientcore.Window.
func (cn *conn) Room() bool { return withCore(cn.c.core, (*clientcore.Session).Room) }

// Reserve implements clientcore.Window.
func (cn *conn) Reserve(first uint64, sizes []int) (onWire uint64, n, again int, room bool) {
	lc := cn.c.core
	lc.do(func(s *clientcore.Session) {
		onWire, n, again, room = s.Reserve(first, sizes)
		lc.sent += n
		lc.resent += again
	})
	if again > 0 { // the first ones of the run
		cn.resent.From, cn.resent.To = cmp.Or(cn.resent.From, first), first+uint64(again)-1
	}
	cn.traceSent(first, n, again)
	return onWire, n, again, room
}

// Refuse implements clientcore.Window.
func (cn *conn) Refuse(sequence uint64, bytes int, cause error) (e clientcore.Event, err error) {
	cn.c.core.do(func(s *clientcore.Session) { e, err = s.Refuse(sequence, bytes, cause) })
	if err == nil && e.Kind == clientcore.EventRejected {
		err = cn.handleRejection(e.Rejection)
	}
	return e, err
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
		r := cn.resent
		cn.c.events.post(func() { cn.c.reportReplayed(cn.info, resent, r) })
	}
}
