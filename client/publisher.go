package client

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A publisher decides what a client sends of its publish store, what it lets
// go, and what it refuses (R1, R4, R5, R10). Events go in, what to do comes
// out; it does nothing by itself. It isn't safe for concurrent use.
//
// What it knows of a life outlives connections, since an ack says the same
// whichever server sends it. The flight is that of one connection.
type publisher struct {
	maxMessages int // of the flight
	maxBytes    int

	lives      map[string]*progress
	downgraded bool // acks come from one server only, as far as is known

	// What follows is the connection's; expect sets it.
	life    string
	current *progress
	old     bool   // a former life: replayed, never extended
	offset  uint64 // what is added to a sequence on the wire: 0, or Life.Base (R10)
	flight  flight
	written uint64 // highest sequence sent on this connection
	reached uint64 // highest sequence that the server said it has settled
	safe    uint64 // highest sequence acknowledged as safe
	single  uint64 // highest sequence acknowledged as single
	ended   bool   // there is nothing more to send, for now
}

// A progress is what is known of one life, over all connections.
type progress struct {
	sent    uint64   // may have been sent, by this process or one before
	settled uint64   // all up to here is settled, and the application knows
	telling []uint64 // rejected, and the failed-write handler not told yet; ascending

	// Of a store that has a copy elsewhere (R11):
	contested bool   // another process has logged on since, perhaps as this life
	doubt     uint64 // up to here a server may have another process's messages
}

// newPublisher knows that all the lives hold may have been sent before, by
// another process.
func newPublisher(lives []pubstore.Life, maxMessages, maxBytes int) *publisher {
	p := &publisher{maxMessages: maxMessages, maxBytes: maxBytes, lives: make(map[string]*progress)}
	for _, l := range lives {
		p.of(l.ID).sent = l.Last
	}
	return p
}

func (p *publisher) of(life string) *progress {
	g := p.lives[life]
	if g == nil {
		g = &progress{}
		p.lives[life] = g
	}
	return g
}

// A logonAnswer is what a logon ack says about the publisher.
type logonAnswer struct {
	ext   bool
	safe  uint64 // s
	have  uint64 // with ext
	clock uint64 // microseconds since the Unix epoch, for a base that is not chosen yet
}

// A beginning is what to do after a logon ack.
type beginning struct {
	gap        bool   // the server lacks what was let go: nothing may be sent to it (R4)
	rolledBack bool   // the server has more than the store ever gave out (R10)
	letGo      uint64 // let go up to here
	after      uint64 // the sender starts above this
	base       uint64 // to be kept with the life; 0: none chosen
}

// expect prepares for a connection that logs on under life l. Before the
// answer come the rejections that the server tells again (R14).
func (p *publisher) expect(l pubstore.Life, old bool) {
	p.life, p.current, p.old = l.ID, p.of(l.ID), old
	p.offset = 0
	p.flight.reset()
	p.written, p.reached, p.safe, p.single, p.ended = 0, 0, 0, 0, false
}

// nameInUse notes that another process has logged on with the client name. If
// it has a copy of the store, what was sent and not acknowledged may not be
// what a server has under these sequences.
func (p *publisher) nameInUse() {
	if p.current != nil {
		p.current.contested = true
	}
}

// begin takes in the answer to that logon.
func (p *publisher) begin(l pubstore.Life, a logonAnswer) beginning {
	var b beginning
	if !a.ext {
		p.offset = l.Base
		if p.offset == 0 && !mut.On(mut.R10NoBase) {
			b.base = max(a.safe, a.clock)
			p.offset = b.base
		}
		a.have = a.safe
	}
	have := p.local(a.have)
	b.gap = a.ext && l.Acked > have && !mut.On(mut.R4NoGapCheck)
	b.rolledBack = !p.old && have > p.current.sent
	b.letGo = min(p.local(a.safe), p.current.trust(l, have))
	p.old = p.old || b.rolledBack
	b.after = b.letGo
	p.reached, p.safe = b.letGo, b.letGo
	p.current.settled = max(p.current.settled, l.Acked)
	p.settle()
	return b
}

// trust returns how far a life may be let go at the word of a server that has
// it up to have: what was sent. If it has more, it has it from another
// process, and the store is a copy, or was rolled back. Then nothing is let
// go unheard: what is kept is sent again for the server to compare (R11).
func (g *progress) trust(l pubstore.Life, have uint64) uint64 {
	if have > g.sent || g.contested {
		g.doubt = max(g.doubt, have) // also of what is appended meanwhile
	}
	g.contested = false
	switch {
	case mut.On(mut.R11TrustsCopies):
		g.doubt = 0
		return l.Last
	case l.Acked < g.doubt:
		return l.Acked
	}
	return g.sent
}

// local returns the store's sequence for one on the wire, 0 for one before the life.
func (p *publisher) local(wire uint64) uint64 {
	if wire <= p.offset {
		return 0
	}
	return wire - p.offset
}

// room reports whether the window lets another message out. As long as there
// is doubt, one goes after the other, since a cumulative ack says of a message
// that the server has it, not that it has compared it.
func (p *publisher) room() bool {
	return p.flight.n == 0 || p.written >= p.current.doubt && p.flight.n < p.maxMessages && p.flight.bytes < p.maxBytes
}

// write notes that a message is about to be sent, and returns its sequence
// on the wire and whether it may have been sent before.
func (p *publisher) write(sequence uint64, bytes int) (wire uint64, again bool) {
	again = sequence <= p.current.sent
	p.current.sent = max(p.current.sent, sequence)
	p.written = max(p.written, sequence)
	p.flight.push(sequence, bytes)
	p.ended = false
	return sequence + p.offset, again
}

// An ackEffect is what an ack leads to.
type ackEffect struct {
	letGo    uint64 // let go up to here; 0: nothing
	single   uint64 // one server has all up to here; 0: nothing new
	moved    bool   // a Flush may be done
	opened   bool   // the window has room again
	degraded bool   // from now on acks come from one server only
	restored bool   // acks are safe again
	inSync   bool   // what one server has, both have
}

// persisted takes in a cumulative ack. One that comes late, twice or beyond
// what was sent is tolerated: only what is higher counts, and of that only
// what was sent.
func (p *publisher) persisted(wire uint64, single bool) ackEffect {
	n := p.local(wire)
	if !mut.On(mut.G2AckBeyond) {
		n = min(n, p.current.sent)
	}
	if p.written <= p.current.doubt {
		n = min(n, p.written)
	}
	var e ackEffect
	full := !p.room()
	p.reached = max(p.reached, n)
	p.flight.settle(n)
	e.opened = full && p.room()
	switch {
	case single && n > p.single:
		p.single, e.single = n, n
		if mut.On(mut.R5LetGoOnSingle) {
			e.letGo = n
		}
	case !single && n > p.safe:
		p.safe, e.letGo = n, n
	}
	e.inSync = !single && p.single <= p.safe
	e.degraded = p.single > p.safe && !p.downgraded
	e.restored = e.inSync && p.downgraded
	p.downgraded = p.downgraded && !e.restored || e.degraded
	e.moved = p.settle() || e.letGo > 0
	return e
}

// reject takes in that the server refused one message. False: it was never
// sent, or this is known. The message is settled when told says that the
// application knows.
func (p *publisher) reject(wire uint64) (sequence uint64, ok bool) {
	n := p.local(wire)
	if n == 0 || n > p.current.sent {
		return 0, false
	}
	i, known := slices.BinarySearch(p.current.telling, n)
	if known {
		return 0, false
	}
	p.current.telling = slices.Insert(p.current.telling, i, n)
	return n, true
}

// told notes that the application knows of a rejected message, or that there
// was nothing to tell. It reports whether a Flush may be done.
func (p *publisher) told(life string, sequence uint64) (moved, opened bool) {
	g := p.of(life)
	if i, found := slices.BinarySearch(g.telling, sequence); found {
		g.telling = slices.Delete(g.telling, i, i+1)
	}
	if g != p.current {
		return true, false
	}
	full := !p.room()
	p.flight.drop(sequence)
	p.settle()
	return true, full && p.room()
}

// settle works out how far everything is settled. In the flight is all that
// was sent and is not; what was not sent again was settled at the logon.
func (p *publisher) settle() bool {
	n := max(p.reached, p.written)
	if p.flight.n > 0 {
		n = max(p.reached, p.flight.at(0).sequence-1)
	}
	if len(p.current.telling) > 0 {
		n = min(n, p.current.telling[0]-1)
	}
	if n <= p.current.settled {
		return false
	}
	p.current.settled = n
	return true
}

// quiet reports whether the application knows of every rejection of a life up to through.
func (p *publisher) quiet(life string, through uint64) bool {
	g := p.of(life)
	return len(g.telling) == 0 || g.telling[0] > through
}

// exhausted notes that the store has nothing more to send of this life, for now.
func (p *publisher) exhausted() { p.ended = true }

// renewed notes that the store has begun a new life.
func (p *publisher) renewed() { p.old, p.ended = true, false }

// finished reports whether the connection has served its life: it is a former
// one, and all of it is settled.
func (p *publisher) finished() bool {
	return p.old && p.ended && p.flight.n == 0 && len(p.current.telling) == 0
}

// forget drops what is known of lives that the store no longer has.
func (p *publisher) forget(lives []pubstore.Life) {
	kept := make(map[string]*progress, len(lives))
	for _, l := range lives {
		if g := p.lives[l.ID]; g != nil {
			kept[l.ID] = g
		}
	}
	if p.current != nil {
		kept[p.life] = p.current
	}
	p.lives = kept
}

// A visit is the order in which a client logs on to one server with the lives
// of its store: former ones first, each in a logon of its own, until it is
// settled there or refused as a gap (R10).
type visit struct {
	offered []string
	unsafe  []string // of these, settled here but not safe
	again   int      // how often all of it was begun again
}

// next returns the life to log on with. old: it is a former one.
func (v *visit) next(lives []pubstore.Life) (l pubstore.Life, old bool) {
	last := len(lives) - 1
	for _, l := range lives[:last] {
		if l.Kept > 0 && !slices.Contains(v.offered, l.ID) {
			return l, true
		}
	}
	return lives[last], false
}

// settled notes that a former life was settled here. refused says that it was
// not taken, as a gap.
func (v *visit) settled(life string, refused bool) {
	v.offered = append(v.offered, life)
	if !refused {
		v.unsafe = append(v.unsafe, life)
	}
}

// due reports whether a former life is to be offered again, so long after the
// connection began: one that was settled here, now that acks come without
// single, and one that was refused as a gap, which the server may have filled
// in the meantime.
func (v *visit) due(lives []pubstore.Life, inSync bool, since time.Duration) bool {
	for _, l := range lives[:len(lives)-1] {
		switch {
		case l.Kept == 0:
		case slices.Contains(v.unsafe, l.ID):
			if inSync && since >= againSpacing {
				return true
			}
		case slices.Contains(v.offered, l.ID):
			if since >= gapSpacing<<min(v.again, maxGapSpacing) {
				return true
			}
		}
	}
	return false
}
