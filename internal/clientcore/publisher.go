package clientcore

import (
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A Publisher decides what a client sends of its publish store, what it lets
// go, and what it refuses (R1, R4, R5, R10). Events go in, what to do comes
// out; it does nothing by itself. It isn't safe for concurrent use.
//
// What it knows of a life outlives connections, since an ack says the same
// whichever server sends it. The flight is that of one connection.
type Publisher struct {
	maxMessages int // of the flight
	maxBytes    int

	lives      map[string]*progress
	downgraded bool // acks come from one server only, as far as is known
	followed   int  // tickets that wait

	// What follows is the connection's; Expect sets it.
	life    string
	current *progress
	old     bool   // a former life: replayed, never extended
	offset  uint64 // what is added to a sequence on the wire: 0, or Life.Base (R10)
	flight  flight
	written uint64      // highest sequence sent on this connection
	reached uint64      // highest sequence that the server said it has settled
	has     uint64      // highest sequence that the server had at the logon
	stated  []wire.Span // the rejected sequences that the logon here has stated
	safe    uint64      // highest sequence acknowledged as safe
	single  uint64      // highest sequence acknowledged as single
	ended   bool        // there is nothing more to send, for now
}

// A progress is what is known of one life, over all connections.
type progress struct {
	sent    uint64   // may have been sent, by this process or one before
	bound   uint64   // the same, from when the store was last closed cleanly: nothing above it was sent
	settled uint64   // all up to here is settled, and the application knows
	telling []uint64 // rejected, and the failed-write handler not told yet; ascending
	// stateFrom is the sequence from which on logons state rejected ones: they have
	// room for so many spans only.
	stateFrom uint64

	tickets

	// Of a store that has a copy elsewhere (R11):
	contested bool   // another process has logged on since, perhaps as this life
	doubt     uint64 // up to here a server may have another process's messages

	suspects suspects // towards a server without our extensions
}

// NewPublisher makes a publisher over a store's lives, with a window of so many
// messages and bytes. All that the lives hold may have been sent before, by
// another process.
func NewPublisher(lives []pubstore.Life, maxMessages, maxBytes int) *Publisher {
	p := &Publisher{maxMessages: maxMessages, maxBytes: maxBytes, lives: make(map[string]*progress)}
	for _, l := range lives {
		g := p.of(l.ID)
		g.sent, g.bound, g.safe, g.since, g.spotless = l.Last, l.Sent, l.Acked, l.Acked, l.Acked
	}
	return p
}

func (p *Publisher) of(life string) *progress {
	g := p.lives[life]
	if g == nil {
		g = &progress{tickets: tickets{publisher: pubstore.PublisherOf(life)}}
		p.lives[life] = g
	}
	return g
}

// maxBase is the highest base that a life may be given: it leaves as many numbers
// above it as there are below.
const maxBase = bookmark.MaxSequence / 2

// A LogonAnswer is what a logon ack says about the publisher.
type LogonAnswer struct {
	Ext   bool
	Gaps  bool   // publish also to a plain server that lacks what was let go
	Safe  uint64 // s
	Have  uint64 // with ext
	Clock uint64 // the group's clock, if the server did not know the life; else 0
	Now   uint64 // microseconds since the Unix epoch, for a base that is not chosen yet
}

// A Beginning is what to do after a logon ack.
type Beginning struct {
	Gap        bool   // the server lacks what was let go: nothing may be sent to it (R4)
	RolledBack bool   // the server has more than the store ever gave out (R10)
	LetGo      uint64 // let go up to here
	After      uint64 // the sender starts above this: what is safe
	Base       uint64 // to be kept with the life; 0: none chosen
	Clock      uint64 // the same

	// Set by Session.Begin:
	Life    pubstore.Life  // as it was at the logon
	Longest int            // frame of a batch; 0: the server takes none
	Unknown pubstore.Range // of these the application is told that the outcome is unknown, before they are let go
	Refusal string         // why
}

// Expect prepares for a connection that logs on under life l. Before the
// answer come the rejections that the server tells again (R14).
func (p *Publisher) Expect(l pubstore.Life, old bool) {
	p.life, p.current, p.old = l.ID, p.of(l.ID), old
	p.offset = 0
	p.flight.reset()
	p.written, p.reached, p.has, p.safe, p.single, p.ended = 0, 0, 0, 0, 0, false
	p.stated = nil
}

// state takes the store's rejected sequences of a life that has given out last,
// and returns them in the form that the logon states.
func (p *Publisher) state(rejected []pubstore.Range, last uint64) []wire.Span {
	for _, r := range rejected {
		if r.To = min(r.To, last); r.From <= r.To && !mut.On(mut.R1RejectIsHole) {
			p.stated = append(p.stated, wire.Span{From: r.From, To: r.To})
		}
	}
	return p.stated
}

// MayLeaveOut reports whether the rejected sequences between two, both included,
// may be left out here: the server has them, this connection has sent them, or
// its logon has stated them. If not, the next logon states them.
func (p *Publisher) MayLeaveOut(from, to uint64) bool {
	from = max(from, p.has+1, p.written+1)
	if from > to || mut.On(mut.R1RejectIsHole) {
		return true
	}
	if slices.ContainsFunc(p.stated, func(s wire.Span) bool { return s.From <= from && to <= s.To }) {
		return true
	}
	p.current.stateFrom = 0
	if len(p.stated) == wire.MaxSpans {
		p.current.stateFrom = from
	}
	return false
}

// NameInUse notes that another process has logged on with the client name. If
// it has a copy of the store, what was sent and not acknowledged may not be
// what a server has under these sequences.
func (p *Publisher) NameInUse() {
	if p.current != nil {
		p.current.contested = true
	}
}

// Begin takes in the answer to that logon.
func (p *Publisher) Begin(l pubstore.Life, a LogonAnswer) Beginning {
	var b Beginning
	if !a.Ext {
		p.offset = l.Base
		if p.offset == 0 && !mut.On(mut.R10NoBase) {
			b.Base = max(a.Safe, a.Now)
			p.offset = b.Base
		}
		a.Have = a.Safe
	}
	have := p.local(a.Have)
	p.has = have
	b.Gap = l.Acked > have && !mut.On(mut.R4NoGapCheck)
	if !a.Ext {
		b.Gap = b.Gap && b.Base == 0 && l.Acked > l.BaseAfter && !a.Gaps && !mut.On(mut.R4PlainGaps)
	}
	if b.RolledBack = !p.old && have > p.current.sent; b.RolledBack {
		p.current.doubt = max(p.current.doubt, min(have, l.Last)) // wherever it is sent again
		return b
	}
	b.Clock = p.current.clock(l, a.Clock)
	b.After = min(p.local(a.Safe), p.current.trust(l, have))
	p.reached, p.safe = b.After, b.After
	b.LetGo = p.current.letGo(p.safe)
	p.current.settled = max(p.current.settled, l.Acked)
	p.settle()
	return b
}

// clock returns the clock that the store is to keep, 0 for the one that it has. It
// must not rise as long as a message is kept that may have been sent: of that
// the group may have forgotten what has become (R10).
func (g *progress) clock(l pubstore.Life, clock uint64) uint64 {
	if g.bound > l.Acked && l.Clock > 0 { // without it nothing was sent
		clock = min(clock, l.Clock)
	}
	if clock == l.Clock {
		return 0
	}
	return clock
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
func (p *Publisher) local(wire uint64) uint64 {
	if wire <= p.offset {
		return 0
	}
	return wire - p.offset
}

// Room reports whether the window lets another message out. As long as there
// is doubt, one goes after the other, since a cumulative ack says of a message
// that the server has it, not that it has compared it.
func (p *Publisher) Room() bool {
	return p.flight.Len() == 0 || p.written >= max(p.current.doubt, p.current.suspects.last) && p.flight.Len() < p.maxMessages && p.flight.bytes < p.maxBytes
}

// Write notes that a message is about to be sent, and returns its sequence
// on the wire and whether it may have been sent before.
func (p *Publisher) Write(sequence uint64, bytes int) (wire uint64, again bool) {
	again = sequence <= p.current.sent
	p.current.sent, p.current.bound = max(p.current.sent, sequence), max(p.current.bound, sequence)
	p.written = max(p.written, sequence)
	p.flight.push(sequence, bytes)
	p.ended = false
	return sequence + p.offset, again
}

// An AckEffect is what an ack leads to.
type AckEffect struct {
	LetGo    uint64 // let go up to here; 0: nothing
	Single   uint64 // one server has all up to here; 0: nothing new
	Moved    bool   // a Flush may be done
	Opened   bool   // the window has room again
	Degraded bool   // from now on acks come from one server only
	Restored bool   // acks are safe again
	InSync   bool   // what one server has, both have
	Life     string // set by the Session
}

// Persisted takes in a cumulative ack. One that comes late, twice or beyond
// what was sent is tolerated: only what is higher counts, and of that only
// what was sent.
func (p *Publisher) Persisted(wire uint64, single bool) AckEffect {
	n := p.local(wire)
	if !mut.On(mut.G2AckBeyond) {
		n = min(n, p.current.sent)
	}
	if p.written <= p.current.doubt {
		n = min(n, p.written)
	}
	var e AckEffect
	full := !p.Room()
	p.reached = max(p.reached, n)
	p.flight.settle(n)
	e.Opened = full && p.Room()
	switch {
	case single && n > p.single:
		p.single, e.Single = n, n
		if mut.On(mut.R5LetGoOnSingle) {
			e.LetGo = n
		}
	case !single && n > p.safe:
		p.safe, e.LetGo = n, p.current.letGo(n)
	}
	e.InSync = !single && p.single <= p.safe
	e.Degraded = p.single > p.safe && !p.downgraded
	e.Restored = e.InSync && p.downgraded
	p.downgraded = p.downgraded && !e.Restored || e.Degraded
	e.Moved = p.settle() || e.LetGo > 0
	return e
}

// Reject takes in that the server refused one message. False: it was never
// sent, or this is known. The message is settled when Told says that the
// application knows.
func (p *Publisher) Reject(wire uint64) (sequence uint64, ok bool) {
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

// Told notes that the application knows of a rejected message, or that there
// was nothing to tell. It returns how far the store may let go, and whether the
// window has room again.
func (p *Publisher) Told(life string, sequence uint64) (letGo uint64, opened bool) {
	g := p.of(life)
	if i, found := slices.BinarySearch(g.telling, sequence); found {
		g.telling = slices.Delete(g.telling, i, i+1)
	}
	if g != p.current {
		return 0, false
	}
	full := !p.Room()
	p.flight.drop(sequence)
	p.settle()
	return g.letGo(p.safe), full && p.Room()
}

// settle works out how far everything is settled. In the flight is all that
// was sent and is not; what was not sent again was settled at the logon.
func (p *Publisher) settle() bool {
	n := max(p.reached, p.written)
	if p.flight.Len() > 0 {
		n = max(p.reached, p.flight.At(0).sequence-1)
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

// letGo returns how much of what is safe the store may let go: a rejected message
// that the application does not know of stays, and what is above it (G1).
func (g *progress) letGo(through uint64) uint64 {
	if len(g.telling) > 0 && !mut.On(mut.G1LetGoUntold) {
		through = min(through, g.telling[0]-1)
	}
	g.safe = max(g.safe, through)
	return through
}

// Quiet reports whether the application knows of every rejection of a life up to through.
func (p *Publisher) Quiet(life string, through uint64) bool {
	g := p.of(life)
	return len(g.telling) == 0 || g.telling[0] > through
}

// Life returns the life that the connection serves.
func (p *Publisher) Life() string { return p.life }

// Settled returns up to where everything of a life is settled, and the
// application knows.
func (p *Publisher) Settled(life string) uint64 { return p.of(life).settled }

// InFlight returns how many messages were sent on this connection that no
// server has said yet that it has.
func (p *Publisher) InFlight() int { return p.flight.Len() }

// Downgraded reports whether acks come from one server only, as far as is known.
func (p *Publisher) Downgraded() bool { return p.downgraded }

// Exhausted notes that the store has nothing more to send of this life, for now.
func (p *Publisher) Exhausted() { p.ended = true }

// Renewed notes that the store has begun a new life.
func (p *Publisher) Renewed() { p.old, p.ended = true, false }

// Finished reports whether the connection has served its life: it is a former
// one, and all of it is settled.
func (p *Publisher) Finished() bool {
	return p.old && p.ended && p.flight.Len() == 0 && len(p.current.telling) == 0
}

// Forget drops what is known of lives that the store no longer has.
func (p *Publisher) Forget(lives []pubstore.Life) {
	maps.DeleteFunc(p.lives, func(id string, g *progress) bool {
		kept := slices.ContainsFunc(lives, func(l pubstore.Life) bool { return l.ID == id })
		return !kept && g != p.current && len(g.waiting) == 0
	})
}
