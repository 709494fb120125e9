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

	lives            map[string]*lifeState
	downgraded       bool // acks come from one server only, as far as is known
	followedMessages int  // number of messages with a waiting ticket

	// The fields below belong to the connection; BeginConnection resets them.
	lifeID           string
	current          *lifeState
	formerLife       bool   // a former life: it is replayed, never extended
	offset           uint64 // difference between a sequence on the wire and in the store: 0 or Life.PlainOffset (R10)
	flight           flight
	written          uint64      // highest sequence sent on this connection
	serverSettled    uint64      // highest sequence that the server reported as settled
	serverHave       uint64      // have(p) of the server at the logon
	statedRejections []wire.Span // rejected sequences that the logon of this connection stated
	safe             uint64      // highest sequence acknowledged as safe
	single           uint64      // highest sequence acknowledged as single
	exhausted        bool        // the store has nothing more to send at the moment
}

// A lifeState is the state of one life, over all connections.
type lifeState struct {
	sent       uint64   // highest sequence that this process, or an earlier one, may have sent
	sentBound  uint64   // like sent, but exact if the store was closed cleanly: nothing above it was sent
	settled    uint64   // everything up to it is settled, and its rejections are reported
	unreported []uint64 // rejected sequences that were not reported to the failed-write handler yet; ascending
	// rejectedFrom is the first sequence whose rejection the next logon states. It is above 0 if
	// one logon has no room for all rejections.
	rejectedFrom uint64

	tickets

	// For a store that has a copy elsewhere (R11):
	contested  bool   // another process has logged on since, perhaps with the same life
	doubtfulTo uint64 // a server may have messages of another process up to it

	suspects suspects // used with plain servers only
}

// NewPublisher returns a publisher over the lives of a store, with a window of maxMessages
// messages and maxBytes bytes. It assumes that an earlier process may have sent all messages in
// the lives.
func NewPublisher(lives []pubstore.Life, maxMessages, maxBytes int) *Publisher {
	p := &Publisher{maxMessages: maxMessages, maxBytes: maxBytes, lives: make(map[string]*lifeState)}
	for _, l := range lives {
		s := p.stateOf(l.ID)
		s.sent, s.sentBound, s.safe, s.unknownTo, s.cleanAbove = l.Last, l.Sent, l.Acked, l.Acked, l.Acked
	}
	return p
}

func (p *Publisher) stateOf(life string) *lifeState {
	s := p.lives[life]
	if s == nil {
		s = &lifeState{tickets: tickets{publisher: pubstore.PublisherOf(life)}}
		p.lives[life] = s
	}
	return s
}

// maxPlainOffset is the highest offset of a life. It leaves as many numbers above it as below
// it.
const maxPlainOffset = bookmark.MaxSequence / 2

// A LogonAnswer is the part of a logon ack that concerns the publisher.
type LogonAnswer struct {
	Ext       bool
	AllowGaps bool   // publish also to a plain server that lacks messages that were let go
	Safe      uint64 // s
	Have      uint64 // only with Ext
	Clock     uint64 // the group's clock, if the server did not know the life; else 0
	Now       uint64 // microseconds since the Unix epoch, to choose a PlainOffset
}

// A LogonEffect lists the actions after a logon ack.
type LogonEffect struct {
	PublishGap  bool   // the server lacks messages that were let go: nothing may be sent to it (R4)
	RolledBack  bool   // the server has more messages than the store ever gave out (R10)
	LetGo       uint64 // the store lets go up to it
	After       uint64 // the sender starts above this sequence, which is safe
	PlainOffset uint64 // the store has to keep this offset for the life; 0: none was chosen
	Clock       uint64 // the store has to keep this clock for the life; 0: none

	// Set by Session.BeginPublishing:
	Life          pubstore.Life  // as it was at the logon
	MaxBatch      int            // limit on the frame of a batch; 0: the server takes no batches
	DropHeaders   bool           // a plain server gets messages without their headers
	Unknown       pubstore.Range // messages whose unknown outcome must be reported before they are let go
	UnknownReason string         // the server's reason for Unknown
}

// BeginConnection prepares for the logon of a connection under the life l. The server repeats
// its rejections before it answers the logon (R14).
func (p *Publisher) BeginConnection(l pubstore.Life, former bool) {
	p.lifeID, p.current, p.formerLife = l.ID, p.stateOf(l.ID), former
	p.offset = 0
	p.flight.reset()
	p.written, p.serverSettled, p.serverHave, p.safe, p.single, p.exhausted = 0, 0, 0, 0, 0, false
	p.statedRejections = nil
}

// stateRejected returns the rejected sequences of the store as the logon states them, up to
// last, the highest sequence that the life has given out. It records that they are stated.
func (p *Publisher) stateRejected(rejected []pubstore.Range, last uint64) []wire.Span {
	for _, r := range rejected {
		if r.To = min(r.To, last); r.From <= r.To && !failpoint.On(failpoint.R1RejectIsHole) {
			p.statedRejections = append(p.statedRejections, wire.Span{From: r.From, To: r.To})
		}
	}
	return p.statedRejections
}

// MayLeaveOut reports whether the sender may leave out a range of rejected sequences, both ends
// included. It may if the server has them, or if this connection has sent them, or if its logon
// has stated them. Otherwise the next logon states them.
func (p *Publisher) MayLeaveOut(from, to uint64) bool {
	from = max(from, p.serverHave+1, p.written+1)
	if from > to || failpoint.On(failpoint.R1RejectIsHole) {
		return true
	}
	if slices.ContainsFunc(p.statedRejections, func(s wire.Span) bool { return s.From <= from && to <= s.To }) {
		return true
	}
	p.current.rejectedFrom = 0
	if len(p.statedRejections) == wire.MaxSpans {
		p.current.rejectedFrom = from
	}
	return false
}

// NameInUse records that another process has logged on with the client name. That process may
// have a copy of the store. A server may then have other contents under the sequences that were
// sent and are not acknowledged.
func (p *Publisher) NameInUse() {
	if p.current != nil {
		p.current.contested = true
	}
}

// HandleLogon handles the answer to the logon under the life l.
func (p *Publisher) HandleLogon(l pubstore.Life, a LogonAnswer) LogonEffect {
	var e LogonEffect
	if !a.Ext {
		p.offset = l.PlainOffset
		if p.offset == 0 && !failpoint.On(failpoint.R10NoBase) {
			e.PlainOffset = max(a.Safe, a.Now)
			p.offset = e.PlainOffset
		}
		a.Have = a.Safe
	}
	have := p.fromWire(a.Have)
	p.serverHave = have
	e.PublishGap = l.Acked > have && !failpoint.On(failpoint.R4NoGapCheck)
	if !a.Ext {
		e.PublishGap = e.PublishGap && e.PlainOffset == 0 && l.Acked > l.PlainOffsetAfter && !a.AllowGaps && !failpoint.On(failpoint.R4PlainGaps)
	}
	if e.RolledBack = !p.formerLife && have > p.current.sent; e.RolledBack {
		// The doubt applies to every server that gets the messages again.
		p.current.doubtfulTo = max(p.current.doubtfulTo, min(have, l.Last))
		return e
	}
	e.Clock = p.current.clockToKeep(l, a.Clock)
	e.After = min(p.fromWire(a.Safe), p.current.trustedTo(l, have))
	p.serverSettled, p.safe = e.After, e.After
	e.LetGo = p.current.mayLetGo(p.safe)
	p.current.settled = max(p.current.settled, l.Acked)
	p.updateSettled()
	return e
}

// clockToKeep returns the clock that the store has to keep, or 0 if it has the right one. The
// clock must not rise while the store keeps a message that may have been sent, because the group
// may have forgotten that message (R10).
func (s *lifeState) clockToKeep(l pubstore.Life, clock uint64) uint64 {
	if s.sentBound > l.Acked && l.Clock > 0 { // before the life has a clock, nothing is sent
		clock = min(clock, l.Clock)
	}
	if clock == l.Clock {
		return 0
	}
	return clock
}

// trustedTo returns the highest sequence that a server may confirm. have is the server's
// have(p). Usually the result is the highest sent sequence. If the server has more, it has
// messages of another process: the store is a copy, or was rolled back. Then the client sends
// all kept messages again, and the server compares them, before anything is let go (R11).
func (s *lifeState) trustedTo(l pubstore.Life, have uint64) uint64 {
	if have > s.sent || s.contested {
		s.doubtfulTo = max(s.doubtfulTo, have) // includes messages that are appended meanwhile
	}
	s.contested = false
	switch {
	case failpoint.On(failpoint.R11TrustsCopies):
		s.doubtfulTo = 0
		return l.Last
	case l.Acked < s.doubtfulTo:
		return l.Acked
	}
	return s.sent
}

// fromWire returns the sequence in the store for one on the wire, or 0 if it is from before the
// life.
func (p *Publisher) fromWire(onWire uint64) uint64 {
	if onWire <= p.offset {
		return 0
	}
	return onWire - p.offset
}

// Room reports whether the window has room for another message. Up to doubtfulTo and up to the
// last suspect, only one message is in flight: a cumulative ack says that the server has a
// message, not that it has compared the message.
func (p *Publisher) Room() bool {
	return p.flight.Len() == 0 || p.written >= max(p.current.doubtfulTo, p.current.suspects.last) && p.flight.Len() < p.maxMessages && p.flight.bytes < p.maxBytes
}

// Reserve records that a message is about to be sent, and takes room in the window for it. It
// returns the sequence on the wire, and whether the message may have been sent before.
func (p *Publisher) Reserve(sequence uint64, bytes int) (onWire uint64, resent bool) {
	resent = sequence <= p.current.sent
	p.current.sent, p.current.sentBound = max(p.current.sent, sequence), max(p.current.sentBound, sequence)
	p.written = max(p.written, sequence)
	p.flight.push(sequence, bytes)
	p.exhausted = false
	return sequence + p.offset, resent
}

// An AckEffect is the effect of an ack.
type AckEffect struct {
	LetGo        uint64 // the store lets go up to it; 0: nothing
	Single       uint64 // one server has everything up to it; 0: no change
	Moved        bool   // a Flush may be complete
	WindowOpened bool   // the window has room again
	Downgraded   bool   // from now on acks come from one server only
	Restored     bool   // acks are safe again
	InSync       bool   // everything that is single is also safe
	Life         string // the life; set by the Session
}

// Persisted handles a cumulative ack. It tolerates an ack that is late, repeated or beyond the
// sent messages: an ack counts only if it is higher than earlier ones, and only up to the
// highest sent sequence.
func (p *Publisher) Persisted(onWire uint64, single bool) AckEffect {
	n := p.fromWire(onWire)
	if !failpoint.On(failpoint.G2AckBeyond) {
		n = min(n, p.current.sent)
	}
	if p.written <= p.current.doubtfulTo {
		n = min(n, p.written)
	}
	var e AckEffect
	full := !p.Room()
	p.serverSettled = max(p.serverSettled, n)
	p.flight.removeThrough(n)
	e.WindowOpened = full && p.Room()
	switch {
	case single && n > p.single:
		p.single, e.Single = n, n
		if failpoint.On(failpoint.R5LetGoOnSingle) {
			e.LetGo = n
		}
	case !single && n > p.safe:
		p.safe, e.LetGo = n, p.current.mayLetGo(n)
	}
	e.InSync = !single && p.single <= p.safe
	e.Downgraded = p.single > p.safe && !p.downgraded
	e.Restored = e.InSync && p.downgraded
	p.downgraded = p.downgraded && !e.Restored || e.Downgraded
	e.Moved = p.updateSettled() || e.LetGo > 0
	return e
}

// Reject handles the rejection of one message. ok is false if the message was never sent, or if
// the rejection is known already. RejectionReported settles the message.
func (p *Publisher) Reject(onWire uint64) (sequence uint64, ok bool) {
	n := p.fromWire(onWire)
	if n == 0 || n > p.current.sent {
		return 0, false
	}
	i, known := slices.BinarySearch(p.current.unreported, n)
	if known {
		return 0, false
	}
	p.current.unreported = slices.Insert(p.current.unreported, i, n)
	return n, true
}

// RejectionReported records that a rejection was reported to the application, or that there was
// nothing to report. It returns the sequence up to which the store may let go, and whether the
// window has room again.
func (p *Publisher) RejectionReported(life string, sequence uint64) (letGo uint64, opened bool) {
	s := p.stateOf(life)
	if i, found := slices.BinarySearch(s.unreported, sequence); found {
		s.unreported = slices.Delete(s.unreported, i, i+1)
	}
	if s != p.current {
		return 0, false
	}
	full := !p.Room()
	p.flight.remove(sequence)
	p.updateSettled()
	return s.mayLetGo(p.safe), full && p.Room()
}

// updateSettled updates the sequence up to which everything is settled, and reports whether it
// has risen. The flight holds all messages that were sent and are not settled. Messages that
// were not sent again were settled at the logon.
func (p *Publisher) updateSettled() bool {
	n := max(p.serverSettled, p.written)
	if p.flight.Len() > 0 {
		n = max(p.serverSettled, p.flight.At(0).sequence-1)
	}
	if len(p.current.unreported) > 0 {
		n = min(n, p.current.unreported[0]-1)
	}
	if n <= p.current.settled {
		return false
	}
	p.current.settled = n
	return true
}

// mayLetGo returns the sequence up to which the store may let go, if everything up to through is
// safe. A rejected message stays until its rejection is reported, and so do all messages above
// it (G1).
func (s *lifeState) mayLetGo(through uint64) uint64 {
	if len(s.unreported) > 0 && !failpoint.On(failpoint.G1LetGoNotTold) {
		through = min(through, s.unreported[0]-1)
	}
	s.safe = max(s.safe, through)
	return through
}

// AllReported reports whether all rejections of a life up to through were reported to the
// application.
func (p *Publisher) AllReported(life string, through uint64) bool {
	s := p.stateOf(life)
	return len(s.unreported) == 0 || s.unreported[0] > through
}

// LifeID returns the id of the connection's life.
func (p *Publisher) LifeID() string { return p.lifeID }

// Settled returns the sequence of a life up to which everything is settled and every rejection
// is reported.
func (p *Publisher) Settled(life string) uint64 { return p.stateOf(life).settled }

// InFlight returns the number of messages that were sent on this connection and are not
// acknowledged yet.
func (p *Publisher) InFlight() int { return p.flight.Len() }

// Downgraded reports whether acks come from one server only, as far as is known.
func (p *Publisher) Downgraded() bool { return p.downgraded }

// Exhausted records that the store has nothing more to send of this life at the moment.
func (p *Publisher) Exhausted() { p.exhausted = true }

// Renewed records that the store has begun a new life.
func (p *Publisher) Renewed() { p.formerLife, p.exhausted = true, false }

// Finished reports whether the connection serves a former life and all of that life is settled.
func (p *Publisher) Finished() bool {
	return p.formerLife && p.exhausted && p.flight.Len() == 0 && len(p.current.unreported) == 0
}

// ForgetLives drops the state of lives that the store no longer has.
func (p *Publisher) ForgetLives(lives []pubstore.Life) {
	maps.DeleteFunc(p.lives, func(id string, s *lifeState) bool {
		kept := slices.ContainsFunc(lives, func(l pubstore.Life) bool { return l.ID == id })
		return !kept && s != p.current && len(s.waiting) == 0
	})
}
