package client

import (
	"runtime"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A lockedCore guards the core of the client's sessions. The session goroutine,
// the reader and the sender of the connection and the application's goroutines
// use it.
type lockedCore struct {
	store pubstore.Store

	mu      sync.Mutex
	core    *clientcore.Session // guarded by mu
	changed chan struct{}       // closed when a Flush may be done; nil: nobody waits; guarded by mu
	stats   PublishStats        // guarded by mu; the counters only
}

// watch returns a channel that is closed when a Flush may be done.
func (o *lockedCore) watch() <-chan struct{} {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.changed == nil {
		o.changed = make(chan struct{})
	}
	return o.changed
}

// wake wakes all that watch, and those whose tickets are done.
func (o *lockedCore) wake() {
	o.mu.Lock()
	watched := o.changed != nil
	if watched {
		close(o.changed)
		o.changed = nil
	}
	woken := o.core.Publisher().Moved()
	o.mu.Unlock()
	if wake(woken) || watched {
		runtime.Gosched() // they first: who wakes them has nothing urgent to do
	}
}

// count changes the counters.
func (o *lockedCore) count(f func(*PublishStats)) {
	o.mu.Lock()
	defer o.mu.Unlock()
	f(&o.stats)
}

// The following methods call the core, with mu held.

func (o *lockedCore) connect(uri, address string) {
	lives := o.store.Lives()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.core.Connect(uri, address, lives)
}

func (o *lockedCore) logon(name, messageType string, counter uint64, cluster string, incarnation uint64, plain bool) {
	o.mu.Lock()
	life, from := o.core.Life(), o.core.RejectedFrom()
	o.mu.Unlock()
	rejected := o.store.Rejected(life, from, wire.MaxSpans)
	o.mu.Lock()
	defer o.mu.Unlock()
	o.core.Logon(name, messageType, version, counter, rejected)
	o.core.States(cluster, incarnation)
	if plain {
		o.core.Plain()
	}
}

func (o *lockedCore) former() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.core.Former()
}

func (o *lockedCore) credentials(user, password string) []byte {
	o.mu.Lock()
	defer o.mu.Unlock()
	cmd := o.core.Credentials(user, password)
	return cmd.AppendTo(nil)
}

// take also reports whether the session has to be looked at, as told and
// answered do.
func (o *lockedCore) take(m *wire.Message) (e clientcore.Event, news bool, err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e, err = o.core.Take(m)
	return e, o.core.News(), err
}

func (o *lockedCore) begin(m *wire.Message) (clientcore.Beginning, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.core.Begin(m, time.Now())
}

func (o *lockedCore) start() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.core.Start(time.Now())
}

// look also returns for how long there is no need to look again.
func (o *lockedCore) look() (l clientcore.Look, next time.Duration, err error) {
	lives, now := o.store.Lives(), time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	l, err = o.core.Look(now, lives)
	return l, o.core.Due().Sub(now), err
}

func (o *lockedCore) server() clientcore.Server {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.core.Server()
}

// known returns a copy.
func (o *lockedCore) known() clientcore.Known {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.core.Known().Clone()
}

// settled returns up to where a goal's life is settled, and whether the
// application knows of every rejection up to the goal.
func (o *lockedCore) settled(g goal) (through uint64, quiet bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	p := o.core.Publisher()
	return p.Settled(g.life), p.Quiet(g.life, g.sequence)
}

// publisher returns the id of the life that the connection serves.
func (o *lockedCore) publisher() uint64 {
	o.mu.Lock()
	defer o.mu.Unlock()
	return bookmark.OfLife(o.core.Life()).ID
}

func (o *lockedCore) await(id string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.core.Await(id)
}

func (o *lockedCore) answered(id string) (news bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.core.Answered(id)
	return o.core.News()
}

func (o *lockedCore) told(r *clientcore.Rejection) (e clientcore.Event, news bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	e = o.core.Told(r)
	return e, o.core.News()
}

// checkLife finds out that the application has begun a new life of the store.
func (o *lockedCore) checkLife() {
	lives := o.store.Lives()
	o.mu.Lock()
	defer o.mu.Unlock()
	o.core.Lives(lives)
}

// keepSent has the store keep how far it was sent; nothing is sent any more.
func (o *lockedCore) keepSent() {
	lives := o.store.Lives()
	o.mu.Lock()
	sent := o.core.Sent(lives)
	o.mu.Unlock()
	sent.Apply(o.store)
}

func (o *lockedCore) ended(cause error) clientcore.Leave {
	lives := o.store.Lives()
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.core.Ended(cause, time.Now(), lives)
}

// The following methods are the window of the connection's sender.

// Room implements clientcore.Window.
func (cn *conn) Room() bool {
	o := cn.c.core
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.core.Room()
}

// Write implements clientcore.Window.
func (cn *conn) Write(sequence uint64, bytes int) (onWire uint64, again, room bool) {
	o := cn.c.core
	o.mu.Lock()
	defer o.mu.Unlock()
	onWire, again, room = o.core.Write(sequence, bytes)
	o.stats.Sent++
	if again {
		o.stats.Resent++
	}
	return onWire, again, room
}

// WriteRun implements clientcore.Window.
func (cn *conn) WriteRun(first uint64, sizes []int) (n, again int, room bool) {
	o := cn.c.core
	o.mu.Lock()
	defer o.mu.Unlock()
	n, again, room = o.core.WriteRun(first, sizes)
	o.stats.Sent += n
	o.stats.Resent += again
	return n, again, room
}

// MayLeaveOut implements clientcore.Window.
func (cn *conn) MayLeaveOut(from, to uint64) bool {
	o := cn.c.core
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.core.MayLeaveOut(from, to)
}

// Exhausted implements clientcore.Window.
func (cn *conn) Exhausted(lives []pubstore.Life) (again bool) {
	o := cn.c.core
	o.mu.Lock()
	again = o.core.Exhausted(lives)
	news := o.core.News()
	o.mu.Unlock()
	if news {
		cn.notify() // the life may be finished
	}
	return again
}

// CaughtUp implements clientcore.Window.
func (cn *conn) CaughtUp(resent int) {
	o := cn.c.core
	o.mu.Lock()
	o.core.CaughtUp(resent)
	news := o.core.News()
	o.mu.Unlock()
	if news {
		cn.notify()
	}
	if resent > 0 {
		cn.c.events.post(func() { cn.c.tellReplayed(resent) })
	}
}
