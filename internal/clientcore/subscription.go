package clientcore

import (
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Request is an application's request for a subscription.
type Request struct {
	ID            string // the id in the bookmark store
	Topic, Filter string
	Start         string // the start of the first subscribe, as on the wire
	Resumes       bool   // the subscription continues with the vector in the store

	Gaps         bool   // gaps are accepted
	Durable      bool   // option fully_durable
	Times        bool   // option timestamp
	Unreplicated bool   // it may move to a server that may lack messages
	Publishers   int    // limit on the publishers in its place; 0: none
	NotFound     string // value of bookmark_not_found for plain servers; empty: their default
	Patience     Patience
	Recovery     time.Duration // limit on the wait of a search for instances that are away
}

// A Patience is the policy of a subscription without bookmark for a slow application.
type Patience struct {
	DropOldest bool
	Wait       time.Duration // limit on the time for which the queue is full; 0 without DropOldest: no wait
}

// A Subscription owns one subscription over all connections: its subscribes (R9), its messages
// while the application is slow (R12), and its moves (R3).
//
// Some methods use only the request and the bookmark store, which is safe for concurrent use.
// Their documentation says so. The other methods are not safe for concurrent use. They never
// call the store, so the caller may hold a lock.
type Subscription struct {
	Request
	store bookmarkstore.Store
	place bookmarkstore.Subscription // nil if the subscription has no bookmark

	stage    stage
	id       string    // the id on the wire while subscribing, active or searching
	asked    time.Time // time at which the subscribe was sent
	held     bool      // the server holds messages back until they are safe (R13)
	server   Server    // the server that accepted the subscription last
	home     string    // address of the only server that has the topic; empty: any server (R3)
	overfull time.Time // time since which the queue is full; zero: it is not
	roster   roster
	parts    wire.Assembly // the parts of an answer received so far
	search   search        // valid while searching
	skips    bool          // the next subscribe accepts gaps
	replayed bool          // the present subscribe's replay is complete

	diverged map[uint64]bool // the publishers that the application knows to have diverged
}

// A stage tells whether a subscription is on the wire.
type stage uint8

const (
	detached    stage = iota // waits for a connection
	subscribing              // the subscribe is sent and not answered
	active
	overrun   // paused: the queue was full and the tail was dropped (R12)
	searching // its server has removed messages that others may have (R9)
	ended
)

// Open opens the subscription's place in a bookmark store.
func (s *Subscription) Open(store bookmarkstore.Store) error {
	place, err := store.Subscription(s.ID, bookmarkstore.Query{Topic: s.Topic, Filter: s.Filter})
	if err != nil {
		return err
	}
	if !s.Resumes {
		if err := place.Restart(); err != nil {
			place.Release()
			return err
		}
	}
	s.store, s.place = store, place
	return nil
}

// Place returns the place in the bookmark store, or nil without bookmark. It is safe for
// concurrent use.
func (s *Subscription) Place() bookmarkstore.Subscription { return s.place }

// A Received is the received vector of a subscription, from its store.
type Received struct {
	Vector     bookmark.Vector
	Known      bool
	OutOfOrder map[uint64][]uint64 // sequences above Vector that were discarded; ascending, by publisher
}

// Received reads the place in the store. It is safe for concurrent use.
func (s *Subscription) Received() (r Received) {
	if s.place != nil {
		r.Vector, r.Known = s.place.Received()
		r.OutOfOrder = s.place.OutOfOrder()
	}
	return r
}

// Waits reports whether the subscription waits for a connection.
func (s *Subscription) Waits() bool { return s.stage == detached }

// Paused reports whether its queue overran and was not emptied since.
func (s *Subscription) Paused() bool { return s.stage == overrun }

// Ended reports whether it has ended.
func (s *Subscription) Ended() bool { return s.stage == ended }

// Held reports whether the server holds messages back until they are safe.
func (s *Subscription) Held() bool { return s.held }

// Runs reports whether the subscription is on the wire under an id.
func (s *Subscription) Runs(id string) bool {
	return s.id == id && id != "" && s.Queues()
}

// Unanswered reports whether a subscribe has had no answer for d.
func (s *Subscription) Unanswered(d time.Duration, now time.Time) bool {
	return s.stage == subscribing && now.Sub(s.asked) >= d
}

// LeadsTo reports whether the subscription may continue at a server, coming from the server
// that accepted it last.
func (s *Subscription) LeadsTo(to *Server) bool {
	return s.place == nil || s.Unreplicated || s.server.LeadsTo(to)
}

// Attach subscribes at a server under an id. The subscription must be waiting. The roster keeps
// the vector in have. An error ends the subscription: it must not move to that server.
func (s *Subscription) Attach(to *Server, id string, have Received, now time.Time) (wire.SubscribeCommand, error) {
	if s.home != "" && s.home != to.Address && !s.Unreplicated && !failpoint.On(failpoint.R3SilentMove) {
		return wire.SubscribeCommand{}, ErrNotReplicated
	}
	cmd := wire.SubscribeCommand{
		Command: wire.Subscribe, CommandID: id, SubID: id,
		Topic: s.Topic, Filter: s.Filter, Acks: wire.AckProcessed,
	}
	switch {
	case s.place != nil:
		cmd.Bookmark, cmd.Options = s.start(to, s.skips, have)
		cmd.Acks |= wire.AckPersisted
		if cmd.InParts = !to.Plain; to.Plain {
			cmd.Acks |= wire.AckCompleted // marks count only after the completed ack
		}
	case s.Times:
		cmd.Options = "timestamp"
	}
	s.roster.begin(have.Vector, cmd.Bookmark, to)
	if err := s.TooMany(); err != nil {
		return wire.SubscribeCommand{}, err
	}
	s.stage, s.id, s.asked, s.skips, s.parts = subscribing, id, now, false, wire.Assembly{}
	s.replayed = false
	return cmd, nil
}

// Lost handles the end of the connection. The subscription waits for a new one. A paused
// subscription stays paused.
func (s *Subscription) Lost() {
	s.id, s.parts = "", wire.Assembly{}
	if s.stage == subscribing || s.stage == active {
		s.stage = detached
	}
	s.restartPlanted()
}

// End ends the subscription for good. It returns the id to unsubscribe, or "" if the
// subscription is not on the wire.
func (s *Subscription) End() (id string) {
	id = s.id
	s.stage, s.id, s.search, s.parts = ended, "", search{}, wire.Assembly{}
	return id
}

// Emptied records that the application has emptied the queue. It reports whether the
// subscription was paused and has to be attached again.
func (s *Subscription) Emptied() (again bool) {
	if s.stage != overrun {
		return false
	}
	s.stage = detached
	return true
}

// An Effect is the effect of a server's answer.
type Effect struct {
	Answered bool            // the frame was the answer to the subscribe
	Away     bool            // the subscription is no longer on the wire of this server
	Base     bookmark.Vector // the base of the subscription, for the store; nil: none
	Gap      bool            // messages that were not received are in no log any more
	Gaps     []wire.Gap      // the missing messages; nil if the server does not report them
	Unasked  []string        // instances that may have them and were not asked
	Shown    bookmark.Vector // the progress for the store, to apply behind the gap; nil: none
	Closed   bookmark.Vector // publishers that the place no longer has to name; nil: none
	Held     bool            // from now on the server holds messages back until they are safe (R13)
	Freed    bool            // the server no longer holds messages back
	Diverged *DivergedError  // a diverged publisher of which the application was not told; nil: none
	End      error           // the reason why the subscription ends; nil: it continues
}

// Keep applies an effect to the store. It is safe for concurrent use.
func (s *Subscription) Keep(e *Effect) error {
	if e.Base != nil {
		if err := s.place.SetBase(e.Base); err != nil {
			return err
		}
	}
	if e.Shown != nil {
		if err := s.place.Progress(e.Shown); err != nil {
			return err
		}
	}
	if e.Closed != nil {
		return s.place.Forget(e.Closed)
	}
	return nil
}

// Answer handles the processed ack of a subscribe. It handles the base, if this is the first
// answer (R9), the gaps, and whether the subscription can move (R3). An answer in parts takes
// effect with its last frame. have is the result of Received before the call; it is not used
// for a part.
func (s *Subscription) Answer(by *Server, id string, m *wire.Message, have Received) (e Effect, err error) {
	switch {
	case !s.Runs(id):
		return e, nil
	case m.Part > 0:
		return s.part(m), nil
	}
	if err := s.parts.Complete(m); err != nil {
		return e, fmt.Errorf("%w: answer to subscription %q: %w", ErrProtocol, s.ID, err)
	}
	switch {
	case s.stage == searching:
		return s.found(m)
	case m.Failed():
		return s.refused(by, m, have), nil
	}
	e.Answered = true
	if s.place != nil && !by.Plain {
		if err := s.begin(m, have, &e); err != nil {
			return e, err
		}
	}
	if !s.settles(by, m) && e.End == nil {
		e.End = ErrNotReplicated
	}
	return e, nil
}

// part handles one part of an answer.
func (s *Subscription) part(m *wire.Message) (e Effect) {
	e = s.partPlanted(m)
	most := s.Publishers
	if failpoint.On(failpoint.R9AnyPublishers) {
		most = 0
	}
	switch {
	case s.parts.Add(m, most):
	case s.stage == searching:
		s.search.shun()
	default:
		e.Answered, e.End = true, &PublishersError{Subscription: s.ID, Limit: s.Publishers}
	}
	return e
}

func (s *Subscription) refused(by *Server, m *wire.Message, have Received) Effect {
	switch {
	case s.place == nil || len(m.Gap) == 0 && !s.lostPlace(by, m):
		return Effect{Answered: true, End: &Refusal{Command: "subscribe", Reason: string(m.Reason)}}
	case s.flood(m.Gap):
		return Effect{Answered: true, End: &PublishersError{Subscription: s.ID, Limit: s.Publishers}}
	}
	if gaps, err := wire.ParseGaps(m.Gap); err == nil && len(gaps) > 0 {
		return s.missed(by, gaps, have)
	}
	return Effect{Answered: true, Gap: true, End: ErrMissed}
}

// begin handles the base in an answer, and the gaps that the subscribe accepted.
func (s *Subscription) begin(m *wire.Message, have Received, e *Effect) error {
	if s.flood(m.Bookmark) {
		e.End = &PublishersError{Subscription: s.ID, Limit: s.Publishers}
		return nil
	}
	gaps, err := wire.ParseGaps(m.Gap)
	if err != nil {
		return fmt.Errorf("%w: gap of subscription %q: %w", ErrProtocol, s.ID, err)
	}
	switch {
	case have.Known:
	case m.Bookmark == nil:
		e.Base = s.listed(have) // the server has accepted the list as the base
	default:
		if e.Base, err = bookmark.ParseVector(m.Bookmark); err != nil {
			return fmt.Errorf("%w: base of subscription %q: %w", ErrProtocol, s.ID, err)
		}
	}
	if gaps = undiscarded(gaps, have); len(gaps) > 0 {
		e.Gap, e.Gaps, e.Shown = true, gaps, shownBehind(gaps)
	}
	s.bound(e)
	return nil
}

// shownBehind returns the progress behind gaps that the application accepts.
func shownBehind(gaps []wire.Gap) bookmark.Vector {
	v := make(bookmark.Vector, len(gaps))
	for _, g := range gaps {
		v[g.Publisher] = max(v[g.Publisher], g.To)
	}
	return v
}

// settles records the server that has accepted the subscription. It returns false if the
// subscription was on another server before and its topic is not replicated to this one along
// sync links. Messages may then be missing (R3).
func (s *Subscription) settles(by *Server, m *wire.Message) bool {
	s.stage = active
	moved := s.server.Address != "" && s.server.Address != by.Address
	s.server, s.home = *by, ""
	if s.place != nil && string(m.Reason) == wire.ReasonNotReplicated {
		s.home = by.Address
	}
	return !moved || s.home == "" || s.Unreplicated || failpoint.On(failpoint.R3SilentMove)
}

// Mark handles a progress mark, at its place between the messages (R9).
func (s *Subscription) Mark(by *Server, id string, m *wire.Message) (e Effect, err error) {
	if !s.Runs(id) {
		return e, nil
	}
	switch string(m.Reason) {
	case wire.ReasonDiverged:
		e.Diverged = s.toldDiverged(m)
		return e, nil
	case wire.ReasonClosed:
		return s.closed(by, m)
	}
	held := string(m.Level) == wire.LevelSingle
	e.Held, e.Freed = held && !s.held, !held && s.held
	s.held = held
	switch {
	case s.place == nil || len(m.Bookmark) == 0:
		return e, nil
	case by.Plain:
		e.Shown = s.plainMark(m)
		return e, nil
	case s.flood(m.Bookmark):
		e.End = &PublishersError{Subscription: s.ID, Limit: s.Publishers}
		return e, nil
	}
	if e.Shown, err = bookmark.ParseVector(m.Bookmark); err != nil {
		return e, fmt.Errorf("%w: progress of subscription %q: %w", ErrProtocol, s.ID, err)
	}
	if s.stage == searching {
		e.Shown = s.search.shown(e.Shown)
	}
	s.bound(&e)
	return e, nil
}

// closed handles an ack with the reason "publisher closed". The publishers in its vector send
// nothing at or below their sequences there any more, so the place need not name them (R10).
func (s *Subscription) closed(by *Server, m *wire.Message) (e Effect, err error) {
	if s.place == nil || by.Plain || s.flood(m.Bookmark) {
		return e, nil
	}
	if e.Closed, err = bookmark.ParseVector(m.Bookmark); err != nil {
		return e, fmt.Errorf("%w: closed publishers of subscription %q: %w", ErrProtocol, s.ID, err)
	}
	s.roster.remove(e.Closed)
	return e, nil
}

// A Verdict is the decision about a message that arrives.
type Verdict uint8

const (
	Take    Verdict = iota
	Refuse          // the message does not belong to the present subscribe
	Pause           // the queue of a bookmark subscription is full: unsubscribe
	Full            // the queue of a subscription without bookmark is full: call Overfull
	Oldest          // take the message in place of the oldest one
	TooSlow         // end the subscription
	Crowd           // the message would add one publisher too many: end the subscription with TooMany
)

// Arrives decides about message b that arrives under an id. fits is true if the queue has room
// for it. A subscription is paused only while its queue holds messages: the application calls
// Emptied after it has taken the last one.
func (s *Subscription) Arrives(id string, b bookmark.Bookmark, fits bool) Verdict {
	switch {
	case !s.Runs(id) || s.stage == searching && !s.search.wants(b):
		return Refuse
	case fits && s.place != nil && !b.IsZero() && s.roster.add(b) && s.TooMany() != nil:
		return Crowd
	case fits:
		s.overfull = time.Time{}
		if s.stage == searching {
			s.search.take(b)
		}
		return Take
	case s.place == nil:
		return Full
	}
	s.stage, s.id, s.search = overrun, "", search{}
	return Pause
}

// Overfull applies the patience of a subscription without bookmark to a full queue. far is true
// if the queue is far beyond its bound.
func (s *Subscription) Overfull(far bool, now time.Time) Verdict {
	p := &s.Patience
	if p.DropOldest {
		return Oldest
	}
	if s.overfull.IsZero() {
		s.overfull = now
	}
	if p.Wait == 0 || far || now.Sub(s.overfull) > p.Wait {
		return TooSlow
	}
	return Take
}

// Receive records a message with the verdict v in the store. It reports whether to queue the
// message: the verdict takes it, and the store has not received it before. It is safe for
// concurrent use.
func (s *Subscription) Receive(v Verdict, b bookmark.Bookmark) bool {
	if v == Pause && failpoint.On(failpoint.R12TailCounts) {
		s.place.Receive(b)
	}
	if v != Take && v != Oldest {
		return false
	}
	return s.place == nil || b.IsZero() || s.place.Receive(b)
}

// Queues reports whether a received message may still be queued. The subscription may have
// ended meanwhile.
func (s *Subscription) Queues() bool {
	return s.stage == subscribing || s.stage == active || s.stage == searching
}
