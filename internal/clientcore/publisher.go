package clientcore

import (
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A Publisher decides which messages of the publish store a client sends, which ones it lets
// go, and which ones are rejected (R1, R4, R5, R10). It takes events and returns actions, and
// has no other effect. It is not safe for concurrent use.
//
// The state of a life outlives connections, because an ack means the same whichever server
// sends it. The flight belongs to one connection.
type Publisher struct {
	maxMessages int // limit of the flight
	maxBytes    int

	lives      map[string]*progress
	downgraded bool // as far as is known, acks come from one server only
	followed   int  // number of tickets that wait

	// The fields below belong to the connection; Expect resets them.
	life    string
	current *progress
	old     bool   // a former life: it is replayed, never extended
	offset  uint64 // difference between a sequence on the wire and in the store: 0, or Life.Base (R10)
	flight  flight
	written uint64      // highest sequence sent on this connection
	reached uint64      // highest sequence that the server reported as settled
	has     uint64      // highest sequence that the server had at the logon
	stated  []wire.Span // the rejected sequences that the logon of this connection stated
	safe    uint64      // highest sequence acknowledged as safe
	single  uint64      // highest sequence acknowledged as single
	ended   bool        // there is nothing more to send at the moment
}

// A progress is the state of one life, over all connections.
type progress struct {
	sent    uint64   // highest sequence that this process, or an earlier one, may have sent
	bound   uint64   // like sent, but exact if the store was closed cleanly: nothing above it was sent
	settled uint64   // everything up to it is settled, and the application knows
	telling []uint64 // rejected sequences of which the failed-write handler was not told yet; ascending
	// stateFrom is the first sequence whose rejection a logon states. It is above 0 if a logon
	// has no room for all of them.
	stateFrom uint64

	tickets

	// For a store that has a copy elsewhere (R11):
	contested bool   // another process has logged on since, perhaps with the same life
	doubt     uint64 // up to it, a server may have messages of another process

	suspects suspects // used with plain servers only
}

// NewPublisher returns a publisher over the lives of a store, with a window of maxMessages
// messages and maxBytes bytes. It assumes that an earlier process may have sent all messages in
// the lives.
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

// maxBase is the highest base of a life. It leaves as many numbers above it as below it.
const maxBase = bookmark.MaxSequence / 2

// A LogonAnswer is the part of a logon ack that concerns the publisher.
type LogonAnswer struct {
	Ext   bool
	Gaps  bool   // publish also to a plain server that lacks messages that were let go
	Safe  uint64 // s
	Have  uint64 // only with Ext
	Clock uint64 // the group's clock, if the server did not know the life; else 0
	Now   uint64 // microseconds since the Unix epoch, for a base that is yet to be chosen
}

// A Beginning lists the actions after a logon ack.
type Beginning struct {
	Gap        bool   // the server lacks messages that were let go: nothing may be sent to it (R4)
	RolledBack bool   // the server has more messages than the store ever gave out (R10)
	LetGo      uint64 // let go up to here
	After      uint64 // the sender starts above this sequence, which is safe
	Base       uint64 // the store has to keep this base for the life; 0: none was chosen
	Clock      uint64 // the store has to keep this clock for the life; 0: none

	// Set by Session.Begin:
	Life    pubstore.Life  // as it was at the logon
	Longest int            // limit on the frame of a batch; 0: the server takes no batches
	Unknown pubstore.Range // before these are let go, the application is told that their outcome is unknown
	Refusal string         // the server's reason for Unknown
}

// Expect prepares for the logon of a connection under the life l. Before its answer, the server
// repeats its rejections (R14).
func (p *Publisher) Expect(l pubstore.Life, old bool) {
	p.life, p.current, p.old = l.ID, p.of(l.ID), old
	p.offset = 0
	p.flight.reset()
	p.written, p.reached, p.has, p.safe, p.single, p.ended = 0, 0, 0, 0, 0, false
	p.stated = nil
}

// state takes the rejected sequences of a life from the store, up to last, the highest sequence
// that the life has given out. It returns them in the form for the logon.
func (p *Publisher) state(rejected []pubstore.Range, last uint64) []wire.Span {
	for _, r := range rejected {
		if r.To = min(r.To, last); r.From <= r.To && !failpoint.On(failpoint.R1RejectIsHole) {
			p.stated = append(p.stated, wire.Span{From: r.From, To: r.To})
		}
	}
	return p.stated
}

// MayLeaveOut reports whether the sender may leave out a range of rejected sequences, both ends
// included. It may if the server has them, if this connection has sent them, or if its logon
// has stated them. Otherwise the next logon states them.
func (p *Publisher) MayLeaveOut(from, to uint64) bool {
	from = max(from, p.has+1, p.written+1)
	if from > to || failpoint.On(failpoint.R1RejectIsHole) {
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

// NameInUse records that another process has logged on with the client name. That process may
// have a copy of the store. A server may then have other contents under the sequences that were
// sent and not acknowledged.
func (p *Publisher) NameInUse() {
	if p.current != nil {
		p.current.contested = true
	}
}

// Begin handles the answer to the logon under the life l.
func (p *Publisher) Begin(l pubstore.Life, a LogonAnswer) Beginning {
	var b Beginning
	if !a.Ext {
		p.offset = l.Base
		if p.offset == 0 && !failpoint.On(failpoint.R10NoBase) {
			b.Base = max(a.Safe, a.Now)
			p.offset = b.Base
		}
		a.Have = a.Safe
	}
	have := p.local(a.Have)
	p.has = have
	b.Gap = l.Acked > have && !failpoint.On(failpoint.R4NoGapCheck)
	if !a.Ext {
		b.Gap = b.Gap && b.Base == 0 && l.Acked > l.BaseAfter && !a.Gaps && !failpoint.On(failpoint.R4PlainGaps)
	}
	if b.RolledBack = !p.old && have > p.current.sent; b.RolledBack {
		// The doubt holds at any server that gets the messages again.
		p.current.doubt = max(p.current.doubt, min(have, l.Last))
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

// clock returns the clock that the store has to keep, or 0 if it has the right one. The clock
// must not rise while the store keeps a message that may have been sent, since the group may
// have forgotten that message (R10).
func (g *progress) clock(l pubstore.Life, clock uint64) uint64 {
	if g.bound > l.Acked && l.Clock > 0 { // before the life has a clock, nothing is sent
		clock = min(clock, l.Clock)
	}
	if clock == l.Clock {
		return 0
	}
	return clock
}

// trust returns the sequence up to which a server that has everything up to have is believed
// when it confirms messages. Usually that is the highest sent sequence. If the server has more,
// it has messages of another process: the store is a copy, or was rolled back. Then the client
// sends all kept messages again, and the server compares them, before anything is let go (R11).
func (g *progress) trust(l pubstore.Life, have uint64) uint64 {
	if have > g.sent || g.contested {
		g.doubt = max(g.doubt, have) // also for messages that are appended meanwhile
	}
	g.contested = false
	switch {
	case failpoint.On(failpoint.R11TrustsCopies):
		g.doubt = 0
		return l.Last
	case l.Acked < g.doubt:
		return l.Acked
	}
	return g.sent
}

// local returns the sequence in the store for one on the wire, or 0 if it is from before the
// life.
func (p *Publisher) local(wire uint64) uint64 {
	if wire <= p.offset {
		return 0
	}
	return wire - p.offset
}

// Room reports whether the window has room for another message. Up to doubt and up to the last
// suspect, only one message is in flight: a cumulative ack says that the server has a message,
// not that it has compared it.
func (p *Publisher) Room() bool {
	return p.flight.Len() == 0 || p.written >= max(p.current.doubt, p.current.suspects.last) && p.flight.Len() < p.maxMessages && p.flight.bytes < p.maxBytes
}

// Write records that a message is about to be sent. It returns the sequence on the wire, and
// whether the message may have been sent before.
func (p *Publisher) Write(sequence uint64, bytes int) (wire uint64, again bool) {
	again = sequence <= p.current.sent
	p.current.sent, p.current.bound = max(p.current.sent, sequence), max(p.current.bound, sequence)
	p.written = max(p.written, sequence)
	p.flight.push(sequence, bytes)
	p.ended = false
	return sequence + p.offset, again
}

// An AckEffect is the effect of an ack.
type AckEffect struct {
	LetGo    uint64 // the store lets go up to it; 0: nothing
	Single   uint64 // one server has everything up to it; 0: no change
	Moved    bool   // a Flush may be complete
	Opened   bool   // the window has room again
	Degraded bool   // from now on acks come from one server only
	Restored bool   // acks are safe again
	InSync   bool   // everything that is single is also safe
	Life     string // the life; set by the Session
}

// Persisted handles a cumulative ack. It tolerates an ack that is late, repeated or beyond the
// sent messages: an ack counts only if it is higher than earlier ones, and only up to the
// highest sent sequence.
func (p *Publisher) Persisted(wire uint64, single bool) AckEffect {
	n := p.local(wire)
	if !failpoint.On(failpoint.G2AckBeyond) {
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
		if failpoint.On(failpoint.R5LetGoOnSingle) {
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

// Reject handles the rejection of one message. ok is false if the message was never sent, or if
// the rejection is known. The message is settled by Told, once the application knows.
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

// Told records that the application knows of a rejected message, or that there was nothing to
// tell. It returns the sequence up to which the store may let go, and whether the window has
// room again.
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

// settle updates the sequence up to which everything is settled, and reports whether it has
// risen. The flight holds all messages that were sent and are not settled. The messages that
// were not sent again were settled at the logon.
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

// letGo returns the sequence up to which the store may let go, if everything up to through is
// safe. A rejected message stays until the application knows of it, and so do all messages
// above it (G1).
func (g *progress) letGo(through uint64) uint64 {
	if len(g.telling) > 0 && !failpoint.On(failpoint.G1LetGoUntold) {
		through = min(through, g.telling[0]-1)
	}
	g.safe = max(g.safe, through)
	return through
}

// Quiet reports whether the application knows of all rejections of a life up to through.
func (p *Publisher) Quiet(life string, through uint64) bool {
	g := p.of(life)
	return len(g.telling) == 0 || g.telling[0] > through
}

// Life returns the life of the connection.
func (p *Publisher) Life() string { return p.life }

// Settled returns the sequence of a life up to which everything is settled and the application
// knows.
func (p *Publisher) Settled(life string) uint64 { return p.of(life).settled }

// InFlight returns the number of messages that were sent on this connection and not
// acknowledged yet.
func (p *Publisher) InFlight() int { return p.flight.Len() }

// Downgraded reports whether acks come from one server only, as far as is known.
func (p *Publisher) Downgraded() bool { return p.downgraded }

// Exhausted records that the store has nothing more to send of this life at the moment.
func (p *Publisher) Exhausted() { p.ended = true }

// Renewed records that the store has begun a new life.
func (p *Publisher) Renewed() { p.old, p.ended = true, false }

// Finished reports whether the connection has done its work for a former life: all of it is
// settled.
func (p *Publisher) Finished() bool {
	return p.old && p.ended && p.flight.Len() == 0 && len(p.current.telling) == 0
}

// Forget drops the state of lives that the store no longer has.
func (p *Publisher) Forget(lives []pubstore.Life) {
	maps.DeleteFunc(p.lives, func(id string, g *progress) bool {
		kept := slices.ContainsFunc(lives, func(l pubstore.Life) bool { return l.ID == id })
		return !kept && g != p.current && len(g.waiting) == 0
	})
}
