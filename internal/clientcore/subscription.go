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
	Start         string // start of the first subscribe, as on the wire
	Resumes       bool   // continue with the vector in the store

	AcceptGaps        bool   // continue after a gap
	FullyDurable      bool   // option fully_durable
	Timestamps        bool   // option timestamp
	AllowUnreplicated bool   // move also to a server that may lack messages
	MaxPublishers     int    // limit on the publishers in the place; 0: none
	NotFound          string // value of bookmark_not_found for plain servers; empty: their default
	SlowPolicy        SlowPolicy
	RecoveryTimeout   time.Duration // limit on the wait of a search for instances that are away
}

// A SlowPolicy says how a subscription without bookmark behaves when the application is slow.
type SlowPolicy struct {
	DropOldest bool
	Wait       time.Duration // how long the queue may be full; 0 without DropOldest: no wait
}

// A Subscription owns one subscription over all connections: its subscribes (R9), its messages
// while the application is slow (R12), and its moves to other servers (R3).
//
// Some methods use only the request and the bookmark store, which is safe for concurrent use.
// Their documentation says so. The other methods are not safe for concurrent use. They never
// call the store, so the caller may hold a lock.
type Subscription struct {
	Request
	store bookmarkstore.Store
	place bookmarkstore.Subscription // nil if the subscription has no bookmark

	stage        stage
	id           string    // id on the wire, while subscribing, live or searching
	subscribedAt time.Time // time at which the subscribe was sent
	heldBack     bool      // the server holds messages back until they are safe (R13)
	server       Server    // server that accepted the subscription last
	onlyServer   string    // address of the only server that has the topic; empty: any server (R3)
	fullSince    time.Time // start of the time for which the queue is full; zero: it is not
	roster       roster
	assembly     wire.Assembly // parts of an answer received so far
	search       search        // valid while searching
	acceptsGaps  bool          // the next subscribe accepts gaps
	replayed     bool          // the replay of the present subscribe is complete

	diverged map[uint64]bool // publishers whose divergence was reported to the application
}

// A stage says whether a subscription is on the wire.
type stage uint8

const (
	detached    stage = iota // waits for a connection
	subscribing              // the subscribe is sent and not answered
	live
	paused    // the queue was full and the tail was dropped (R12)
	searching // the server has removed messages that other instances may have (R9)
	ended
)

// Open opens the subscription's place in a bookmark store.
func (s *Subscription) Open(store bookmarkstore.Store) error {
	place, err := store.OpenSubscription(s.ID, bookmarkstore.Query{Topic: s.Topic, Filter: s.Filter})
	if err != nil {
		return err
	}
	if !s.Resumes {
		if err := place.Reset(); err != nil {
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

// Detached reports whether the subscription waits for a connection.
func (s *Subscription) Detached() bool { return s.stage == detached }

// Paused reports whether the queue overran and was not emptied since.
func (s *Subscription) Paused() bool { return s.stage == paused }

// Ended reports whether the subscription has ended.
func (s *Subscription) Ended() bool { return s.stage == ended }

// HeldBack reports whether the server holds messages back until they are safe.
func (s *Subscription) HeldBack() bool { return s.heldBack }

// OnWire reports whether the subscription is on the wire under an id.
func (s *Subscription) OnWire(id string) bool {
	return s.id == id && id != "" && s.MayQueue()
}

// Unanswered reports whether a subscribe has waited at least d for its answer.
func (s *Subscription) Unanswered(d time.Duration, now time.Time) bool {
	return s.stage == subscribing && now.Sub(s.subscribedAt) >= d
}

// CanMoveTo reports whether the subscription may continue at a server, coming from the server
// that accepted it last.
func (s *Subscription) CanMoveTo(to *Server) bool {
	return s.place == nil || s.AllowUnreplicated || s.server.LeadsTo(to)
}

// Attach subscribes at a server under an id. The subscription must be detached. The roster keeps
// the vector in have. An error ends the subscription, which must not move to that server.
func (s *Subscription) Attach(to *Server, id string, have Received, now time.Time) (wire.SubscribeCommand, error) {
	if s.onlyServer != "" && s.onlyServer != to.Address && !s.AllowUnreplicated && !failpoint.On(failpoint.R3SilentMove) {
		return wire.SubscribeCommand{}, ErrNotReplicated
	}
	cmd := wire.SubscribeCommand{
		Command: wire.Subscribe, CommandID: id, SubID: id,
		Topic: s.Topic, Filter: s.Filter, Acks: wire.AckProcessed,
	}
	switch {
	case s.place != nil:
		cmd.Bookmark, cmd.Options = s.start(to, s.acceptsGaps, have)
		cmd.Acks |= wire.AckPersisted
		if cmd.InParts = !to.Plain; to.Plain {
			cmd.Acks |= wire.AckCompleted // marks count only after the completed ack
		}
	case s.Timestamps:
		cmd.Options = "timestamp"
	}
	s.roster.reset(have.Vector, cmd.Bookmark, to)
	if err := s.CheckPublishers(); err != nil {
		return wire.SubscribeCommand{}, err
	}
	s.stage, s.id, s.subscribedAt, s.acceptsGaps, s.assembly = subscribing, id, now, false, wire.Assembly{}
	s.replayed = false
	return cmd, nil
}

// ConnectionLost handles the end of the connection. The subscription waits for a new one. A
// paused subscription stays paused.
func (s *Subscription) ConnectionLost() {
	s.id, s.assembly = "", wire.Assembly{}
	if s.stage == subscribing || s.stage == live {
		s.stage = detached
	}
	s.restartPlanted()
}

// End ends the subscription for good. It returns the id to unsubscribe, or "" if the
// subscription is not on the wire.
func (s *Subscription) End() (id string) {
	id = s.id
	s.stage, s.id, s.search, s.assembly = ended, "", search{}, wire.Assembly{}
	return id
}

// QueueEmptied records that the application has emptied the queue. It reports whether the
// subscription was paused, so that it has to be attached again.
func (s *Subscription) QueueEmptied() (wasPaused bool) {
	if s.stage != paused {
		return false
	}
	s.stage = detached
	return true
}

// An Effect is the effect of a server's answer.
type Effect struct {
	Answered         bool            // the frame was the answer to the subscribe
	OffWire          bool            // the subscription is no longer on the wire of this server
	Base             bookmark.Vector // base of the subscription, for the store; nil: none
	Gap              bool            // no log has some messages that were not received
	Gaps             []wire.Gap      // these messages; nil if the server does not report them
	NotAsked         []string        // instances that may have them and were not asked
	Progress         bookmark.Vector // progress for the store, to be applied after the gap; nil: none
	ClosedPublishers bookmark.Vector // publishers that the place need not name any more; nil: none
	HeldBack         bool            // from now on the server holds messages back until they are safe (R13)
	Released         bool            // the server no longer holds messages back
	Diverged         *DivergedError  // diverged publisher that was not reported to the application; nil: none
	End              error           // reason why the subscription ends; nil: it continues
}

// Apply applies an effect to the store. It is safe for concurrent use.
func (s *Subscription) Apply(e *Effect) error {
	if e.Base != nil {
		if err := s.place.SetBase(e.Base); err != nil {
			return err
		}
	}
	if e.Progress != nil {
		if err := s.place.ReceiveMark(e.Progress); err != nil {
			return err
		}
	}
	if e.ClosedPublishers != nil {
		return s.place.ForgetPublishers(e.ClosedPublishers)
	}
	return nil
}

// HandleAnswer handles the processed ack of a subscribe: the base, if this is the first answer
// (R9), the gaps, and whether the subscription can move (R3). An answer in parts takes effect
// with its last frame. have is the result of Received before the call; it is not used for a
// part.
func (s *Subscription) HandleAnswer(by *Server, id string, m *wire.Message, have Received) (e Effect, err error) {
	switch {
	case !s.OnWire(id):
		return e, nil
	case m.Part > 0:
		return s.handlePart(m), nil
	}
	if err := s.assembly.Complete(m); err != nil {
		return e, fmt.Errorf("%w: answer to subscription %q: %w", ErrProtocol, s.ID, err)
	}
	switch {
	case s.stage == searching:
		return s.handleSearchAnswer(m)
	case m.Failed():
		return s.handleRefusal(by, m, have), nil
	}
	e.Answered = true
	if s.place != nil && !by.Plain {
		if err := s.handleBase(m, have, &e); err != nil {
			return e, err
		}
	}
	if !s.recordServer(by, m) && e.End == nil {
		e.End = ErrNotReplicated
	}
	return e, nil
}

// handlePart handles one part of an answer.
func (s *Subscription) handlePart(m *wire.Message) (e Effect) {
	e = s.partPlanted(m)
	limit := s.MaxPublishers
	if failpoint.On(failpoint.R9AnyPublishers) {
		limit = 0
	}
	switch {
	case s.assembly.Add(m, limit):
	case s.stage == searching:
		s.search.abandonSide()
	default:
		e.Answered, e.End = true, &TooManyPublishersError{Subscription: s.ID, Limit: s.MaxPublishers}
	}
	return e
}

// handleRefusal handles a failure ack of a subscribe.
func (s *Subscription) handleRefusal(by *Server, m *wire.Message, have Received) Effect {
	switch {
	case s.place == nil || len(m.Gap) == 0 && !s.bookmarksUnknown(by, m):
		return Effect{Answered: true, End: &Refusal{Command: "subscribe", Reason: string(m.Reason)}}
	case s.tooManyEntries(m.Gap):
		return Effect{Answered: true, End: &TooManyPublishersError{Subscription: s.ID, Limit: s.MaxPublishers}}
	}
	if gaps, err := wire.ParseGaps(m.Gap); err == nil && len(gaps) > 0 {
		return s.startSearch(by, gaps, have)
	}
	return Effect{Answered: true, Gap: true, End: ErrMissed}
}

// handleBase handles the base in an answer, and the gaps that the subscribe accepted.
func (s *Subscription) handleBase(m *wire.Message, have Received, e *Effect) error {
	if s.tooManyEntries(m.Bookmark) {
		e.End = &TooManyPublishersError{Subscription: s.ID, Limit: s.MaxPublishers}
		return nil
	}
	gaps, err := wire.ParseGaps(m.Gap)
	if err != nil {
		return fmt.Errorf("%w: gap of subscription %q: %w", ErrProtocol, s.ID, err)
	}
	switch {
	case have.Known:
	case m.Bookmark == nil:
		e.Base = s.listBase(have) // the server has accepted the list as the base
	default:
		if e.Base, err = bookmark.ParseVector(m.Bookmark); err != nil {
			return fmt.Errorf("%w: base of subscription %q: %w", ErrProtocol, s.ID, err)
		}
	}
	if gaps = undiscarded(gaps, have); len(gaps) > 0 {
		e.Gap, e.Gaps, e.Progress = true, gaps, progressPast(gaps)
	}
	s.addPublishers(e)
	return nil
}

// progressPast returns the progress past gaps that the application accepts.
func progressPast(gaps []wire.Gap) bookmark.Vector {
	v := make(bookmark.Vector, len(gaps))
	for _, g := range gaps {
		v[g.Publisher] = max(v[g.Publisher], g.To)
	}
	return v
}

// recordServer records the server that has accepted the subscription. It returns false if
// messages may be missing, because the subscription was on another server before and sync links
// do not replicate its topic to this one (R3).
func (s *Subscription) recordServer(by *Server, m *wire.Message) bool {
	s.stage = live
	moved := s.server.Address != "" && s.server.Address != by.Address
	s.server, s.onlyServer = *by, ""
	if s.place != nil && string(m.Reason) == wire.ReasonNotReplicated {
		s.onlyServer = by.Address
	}
	return !moved || s.onlyServer == "" || s.AllowUnreplicated || failpoint.On(failpoint.R3SilentMove)
}

// HandleMark handles a progress mark at its position between the messages (R9).
func (s *Subscription) HandleMark(by *Server, id string, m *wire.Message) (e Effect, err error) {
	if !s.OnWire(id) {
		return e, nil
	}
	switch string(m.Reason) {
	case wire.ReasonPublisherDiverged:
		e.Diverged = s.newlyDiverged(m)
		return e, nil
	case wire.ReasonPublisherClosed:
		return s.handleClosed(by, m)
	}
	held := string(m.Level) == wire.LevelSingle
	e.HeldBack, e.Released = held && !s.heldBack, !held && s.heldBack
	s.heldBack = held
	switch {
	case s.place == nil || len(m.Bookmark) == 0:
		return e, nil
	case by.Plain:
		e.Progress = s.plainMark(m)
		return e, nil
	case s.tooManyEntries(m.Bookmark):
		e.End = &TooManyPublishersError{Subscription: s.ID, Limit: s.MaxPublishers}
		return e, nil
	}
	if e.Progress, err = bookmark.ParseVector(m.Bookmark); err != nil {
		return e, fmt.Errorf("%w: progress of subscription %q: %w", ErrProtocol, s.ID, err)
	}
	if s.stage == searching {
		e.Progress = s.search.wantedPart(e.Progress)
	}
	s.addPublishers(&e)
	return e, nil
}

// handleClosed handles an ack with the reason "publisher closed". The publishers in its vector
// send nothing at or below their sequences there any more, so the place need not name them
// (R10).
func (s *Subscription) handleClosed(by *Server, m *wire.Message) (e Effect, err error) {
	if s.place == nil || by.Plain || s.tooManyEntries(m.Bookmark) {
		return e, nil
	}
	if e.ClosedPublishers, err = bookmark.ParseVector(m.Bookmark); err != nil {
		return e, fmt.Errorf("%w: closed publishers of subscription %q: %w", ErrProtocol, s.ID, err)
	}
	s.roster.remove(e.ClosedPublishers)
	return e, nil
}

// A Verdict is the decision about a message that arrives.
type Verdict uint8

const (
	VerdictTake              Verdict = iota
	VerdictIgnore                    // the message does not belong to the present subscribe
	VerdictPause                     // the queue of a bookmark subscription is full: unsubscribe
	VerdictFull                      // the queue of a subscription without bookmark is full: call AdmitWhenFull
	VerdictDropOldest                // take the message in place of the oldest one
	VerdictTooSlow                   // end the subscription
	VerdictTooManyPublishers         // the message would add one publisher too many: end the subscription with the error of CheckPublishers
)

// Admit decides about a message b that arrives under an id. fits is true if the queue has room
// for it. A subscription is paused only while its queue holds messages. QueueEmptied must be
// called when the application has taken the last one.
func (s *Subscription) Admit(id string, b bookmark.Bookmark, fits bool) Verdict {
	switch {
	case !s.OnWire(id) || s.stage == searching && !s.search.wants(b):
		return VerdictIgnore
	case fits && s.place != nil && !b.IsZero() && s.roster.add(b) && s.CheckPublishers() != nil:
		return VerdictTooManyPublishers
	case fits:
		s.fullSince = time.Time{}
		if s.stage == searching {
			s.search.recordArrival(b)
		}
		return VerdictTake
	case s.place == nil:
		return VerdictFull
	}
	s.stage, s.id, s.search = paused, "", search{}
	return VerdictPause
}

// AdmitWhenFull applies the SlowPolicy of a subscription without bookmark to a full queue.
// farOver is true if the queue is far beyond its bound.
func (s *Subscription) AdmitWhenFull(farOver bool, now time.Time) Verdict {
	policy := &s.SlowPolicy
	if policy.DropOldest {
		return VerdictDropOldest
	}
	if s.fullSince.IsZero() {
		s.fullSince = now
	}
	if policy.Wait == 0 || farOver || now.Sub(s.fullSince) > policy.Wait {
		return VerdictTooSlow
	}
	return VerdictTake
}

// Receive records a message with the verdict v in the store. It reports whether to queue the
// message: whether the verdict takes it and the store has not received it before. It is safe for
// concurrent use.
func (s *Subscription) Receive(v Verdict, b bookmark.Bookmark) bool {
	if v == VerdictPause && failpoint.On(failpoint.R12TailCounts) {
		s.place.Receive(b)
	}
	if v != VerdictTake && v != VerdictDropOldest {
		return false
	}
	return s.place == nil || b.IsZero() || s.place.Receive(b)
}

// MayQueue reports whether a received message may still be queued. The subscription may have
// ended meanwhile.
func (s *Subscription) MayQueue() bool {
	return s.stage == subscribing || s.stage == live || s.stage == searching
}
