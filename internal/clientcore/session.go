package clientcore

import (
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

const (
	// formerGrace is the time for which Look delays the subscriptions on a connection under a
	// former life. Such a connection is often short.
	formerGrace = 2 * time.Second
	// renewSpacing is the least time between two lives that the store begins because of the
	// reports of one server.
	renewSpacing = time.Minute
	// logonOptions matter to plain servers only; other servers ignore this option.
	logonOptions = "ack_conflation=10ms"
)

// Reasons to start a new session at the same server at once.
var (
	ErrSettled = errors.New("former life of the publish store is settled")
	ErrReoffer = errors.New("former lives of the publish store are offered again")
	// ErrRestate: the next message leaves out sequences that were rejected after the logon.
	ErrRestate = errors.New("rejected sequences are stated in another logon")
)

// A Session owns the connections of a client, one after the other. The calls for each
// connection come in this order: Connect, Logon, Credentials, Take until the logon is accepted,
// Begin, Start, then Take and Look. Ended comes last in any case.
//
// A Session is not safe for concurrent use. It never calls the store, so the caller may hold a
// lock. An effect on the store has a method Apply.
type Session struct {
	pub      *Publisher
	visit    Visit
	names    NameRule
	known    Known
	renewed  map[string]time.Time // time of the last new life because of the server at an address
	recovery time.Duration        // limit on the time in which servers answer subscriptions
	gaps     bool                 // AllowPublishGaps
	pushes   int                  // consecutive connections that were closed right after their logon

	connection
}

// A connection is the part of a session that belongs to one connection.
type connection struct {
	logon
	uri        string        // from the chooser
	life       pubstore.Life // the life, in its state at the logon
	old        bool          // life was a former one at the logon
	former     bool          // former lives were settled on this server, and may not be safe
	inSync     bool          // a safe ack has come, and nothing is only single
	replayed   bool          // every message that may have been sent before this connection was sent again
	live       bool
	unanswered map[string]bool // subscribes that must be answered before the session is live

	news bool // Look may find a step that is due

	began                 time.Time
	attach, late, reoffer time.Time // the time at which each is due; zero: never, or done
}

// NewSession returns the session of a client with these lives in its publish store, see
// NewPublisher.
func NewSession(lives []pubstore.Life, maxMessages, maxBytes int, recovery time.Duration) *Session {
	return &Session{
		pub:   NewPublisher(lives, maxMessages, maxBytes),
		known: make(Known), renewed: make(map[string]time.Time), recovery: recovery,
	}
}

// Publisher returns the state of the publishes.
func (s *Session) Publisher() *Publisher { return s.pub }

// Known returns a copy of the last reports of the servers.
func (s *Session) Known() Known { return maps.Clone(s.known) }

// Connect starts a connection to a server, with the next life of the visit. uri is the server's
// URI from the chooser.
func (s *Session) Connect(uri, address string, lives []pubstore.Life) {
	s.connection = connection{uri: uri, logon: logon{server: Server{Address: address}}, unanswered: make(map[string]bool)}
	s.life, s.old = s.visit.Next(lives)
}

// Life returns the life of the present connection.
func (s *Session) Life() string { return s.life.ID }

// RejectedFrom returns the first sequence whose rejection the logon states.
func (s *Session) RejectedFrom() uint64 { return s.pub.of(s.life.ID).stateFrom }

// Logon prepares the logon. counter is the store's logon counter (R11). rejected are the
// rejected sequences in the store from RejectedFrom on, at most wire.MaxSpans ranges.
func (s *Session) Logon(name, messageType, version string, counter uint64, rejected []pubstore.Range) {
	s.pub.Expect(s.life, s.old)
	spans := s.pub.state(rejected, s.life.Last)
	s.command = wire.LogonCommand{
		CommandID:   LogonID,
		ClientName:  name,
		MessageType: messageType,
		Acks:        wire.AckProcessed,
		Options:     logonOptions,
		Version:     version,
		Ext:         true,
		Store:       s.life.ID,
		Counter:     counter,
		Acked:       s.life.Acked,
		Last:        s.life.Last,
		Rejected:    spans,
		Sent:        s.Sent(s.life),
		Clock:       s.life.Clock,
	}
}

// AllowPublishGaps lets the client publish to plain servers that lack messages that were let
// go.
func (s *Session) AllowPublishGaps() { s.gaps = true }

// Plain leaves our extensions out of the logon.
func (s *Session) Plain() { s.command.Ext = false }

// States adds the group of servers that the store has met to the logon. The logon of a former
// life leaves it out, because the losses of a former life are told at each logon.
func (s *Session) States(cluster string, incarnation uint64) {
	if !s.old {
		s.command.Cluster, s.command.Incarnation = cluster, incarnation
	}
}

// Sent returns the highest sequence of a life that may have been sent.
func (s *Session) Sent(l pubstore.Life) uint64 { return min(s.pub.of(l.ID).bound, l.Last) }

// Former reports whether the present connection is under a former life.
func (s *Session) Former() bool { return s.old }

// A Kind is the kind of an Event.
type Kind uint8

const (
	Nothing    Kind = iota
	Challenged      // the server asks for other credentials, with the user and password in its message
	Accepted        // the server has accepted the logon: call Begin
	Acked           // apply Ack to the store
	Rejected        // tell the application of Rejection
)

// An Event is the effect of a frame.
type Event struct {
	Kind      Kind
	Ack       AckEffect
	Rejection Rejection
}

// Take handles an ack that belongs to no command and no subscription: an ack of the session or
// of publishes. An error ends the connection.
func (s *Session) Take(m *wire.Message) (Event, error) {
	processed := m.Acks == wire.AckProcessed && len(m.CommandID) == 0
	switch {
	case processed && m.Failed():
		return s.refused(m)
	case processed && len(m.Sync) > 0:
		now := s.server
		now.Sync = syncstatus.Parse(m.Sync)
		now.CatchingUp = now.Sync == syncstatus.CatchingUp
		s.says(now)
		s.news = true
		return Event{}, nil
	case !s.accepted && m.Acks&wire.AckProcessed != 0 && string(m.CommandID) == LogonID:
		kind, err := s.answer(m)
		if kind == Accepted {
			s.says(s.server)
		}
		return Event{Kind: kind}, err
	case s.server.Plain && m.Acks == wire.AckProcessed && m.Failed():
		return s.rejectedByID(m), nil
	case m.Acks&wire.AckPersisted == 0 || !m.HasSequence:
		return Event{}, nil // the ack of a command whose caller no longer waits
	case isRejection(m):
		return s.rejected(m.Sequence, string(m.Reason)), nil
	}
	return s.persisted(m), nil
}

// isRejection reports whether an ack with a sequence says that the server will never have the
// message. A plain server reports the failure "duplicate" for a message that it has, and it
// reports "not entitled" with any status.
func isRejection(m *wire.Message) bool {
	switch string(m.Reason) {
	case wire.ReasonDuplicate:
		return failpoint.On(failpoint.R14DuplicateRejects)
	case wire.ReasonNotEntitled:
		return true
	}
	return m.Failed()
}

// says handles a report of the server.
func (s *Session) says(now Server) {
	s.server = now
	s.known.Says(s.uri, now)
}

// refusal returns the error for the reason in a failure ack (R4, R11).
func refusal(command string, m *wire.Message) error {
	reason := string(m.Reason)
	switch {
	case strings.HasPrefix(reason, wire.ReasonPublishGap):
		return ErrPublishGap
	case strings.HasPrefix(reason, wire.ReasonNameInUse):
		return ErrNameInUse
	case strings.HasPrefix(reason, wire.ReasonIncarnation):
		return ErrOldIncarnation
	case strings.HasPrefix(reason, wire.ReasonDiskFull):
		return ErrDiskFull
	case strings.HasPrefix(reason, wire.ReasonOtherPublisher):
		return ErrOtherLife
	case strings.HasPrefix(reason, wire.ReasonDiverged):
		return divergedError(m)
	}
	return &Refusal{Command: command, Reason: reason}
}

// Begin handles the publisher's part of the ack of an accepted logon. An error ends the
// connection. After a rollback the error comes from Beginning.Apply.
func (s *Session) Begin(m *wire.Message, now time.Time) (Beginning, error) {
	if !m.IsExt() && s.life.Base == 0 && m.Sequence > maxBase && !failpoint.On(failpoint.R1AnyNumber) {
		return Beginning{}, fmt.Errorf("%w: the last number under this client name is %d, which leaves none to count on from", ErrProtocol, m.Sequence)
	}
	b := s.pub.Begin(s.life, LogonAnswer{
		Ext: m.IsExt(), Gaps: s.gaps, Safe: m.Sequence, Have: m.Have, Clock: m.Clock,
		Now: uint64(max(now.UnixMicro(), 1)),
	})
	b.Life = s.life
	if m.IsExt() {
		b.Longest = int(min(m.Max, batchBytes))
	}
	b.Unknown, b.Refusal = s.pub.current.suspects.covered(b.After, s.life.Acked)
	switch {
	case b.Gap:
		return b, ErrPublishGap
	case b.RolledBack && !s.mayRenew(now):
		return b, fmt.Errorf("%w: this server has said so twice within %v, of two lives", ErrRolledBack, renewSpacing)
	}
	return b, nil
}

// mayRenew reports whether the store may begin a new life because of a report of this server. A
// server that is wrong must not renew the store again and again.
func (s *Session) mayRenew(now time.Time) bool {
	last, was := s.renewed[s.server.Address]
	if was && now.Sub(last) < renewSpacing && !failpoint.On(failpoint.R10RenewsFreely) {
		return false
	}
	s.renewed[s.server.Address] = now
	return true
}

// Start sets the timers of a connection that is logged on.
func (s *Session) Start(now time.Time) {
	s.former = s.visit.Unsafe()
	s.began, s.attach, s.news = now, now, true
	s.reoffer = now.Add(AgainSpacing)
	if s.pub.old {
		s.attach = now.Add(formerGrace)
	}
}

// A Look lists the steps that are due.
type Look struct {
	Attach bool // put the subscriptions on the wire
	Live   bool // recovery is complete
}

// Look returns the steps that are due. lives are the store's lives. An error ends the
// connection.
func (s *Session) Look(now time.Time, lives []pubstore.Life) (l Look, err error) {
	s.Lives(lives)
	since := now.Sub(s.began)
	switch {
	case s.pub.Finished():
		return l, ErrSettled
	case since >= AgainSpacing && s.visit.Due(lives, s.inSync, since):
		return l, ErrReoffer
	case due(&s.late, now) && !s.live && len(s.unanswered) > 0:
		return l, fmt.Errorf("resume subscriptions: %w", ErrTimeout)
	}
	if !s.reoffer.After(now) {
		s.reoffer = now.Add(AgainSpacing)
	}
	if l.Attach = due(&s.attach, now); l.Attach {
		s.late = now.Add(s.recovery)
	}
	s.news = s.news || l.Attach // the session may be live at once
	l.Live = !l.Attach && s.recovered()
	return l, nil
}

// due reports, once, that the time at has come.
func due(at *time.Time, now time.Time) bool {
	if at.IsZero() || now.Before(*at) {
		return false
	}
	*at = time.Time{}
	return true
}

// recovered reports, once, that the replay is complete and every subscription is answered.
func (s *Session) recovered() bool {
	if s.live || !s.attach.IsZero() || !s.replayed || len(s.unanswered) > 0 {
		return false
	}
	s.live = true
	return true
}

// Due returns the latest time for the next call of Look.
func (s *Session) Due() time.Time {
	due := s.reoffer
	for _, at := range []time.Time{s.attach, s.late} {
		if !at.IsZero() && at.Before(due) {
			due = at
		}
	}
	return due
}

// Await delays the live state of the session until the answer to a subscribe.
func (s *Session) Await(id string) {
	if !s.live {
		s.unanswered[id] = true
	}
}

// Answered ends the wait for the answer to a subscribe.
func (s *Session) Answered(id string) {
	delete(s.unanswered, id)
	s.news = s.news || !s.live
}

// News reports, once, that Look may find a step that is due.
func (s *Session) News() bool {
	news := s.news
	s.news = false
	return news
}

// Lives handles a change of the store's lives. If the application has begun a new life, the
// life of this connection is a former one from now on. Lives reports whether that has just
// happened.
func (s *Session) Lives(lives []pubstore.Life) (renewed bool) {
	if !s.pub.old && len(lives) > 0 && lives[len(lives)-1].ID != s.life.ID {
		s.pub.Renewed()
		return true
	}
	return false
}

// Room implements Window.
func (s *Session) Room() bool { return s.pub.Room() }

// Write implements Window.
func (s *Session) Write(first uint64, sizes []int) (onWire uint64, n, again int, room bool) {
	for room = true; room && n < len(sizes); room = s.pub.Room() {
		if _, before := s.pub.Write(first+uint64(n), sizes[n]); before {
			again++
		}
		n++
	}
	return first + s.pub.offset, n, again, room
}

// Exhausted implements Window.
func (s *Session) Exhausted(lives []pubstore.Life) (again bool) {
	s.pub.Exhausted()
	if s.Lives(lives) {
		return true // something may have been appended to this life before it became a former one
	}
	s.news = s.news || s.pub.old // the life may be finished
	return false
}

// MayLeaveOut implements Window.
func (s *Session) MayLeaveOut(from, to uint64) bool { return s.pub.MayLeaveOut(from, to) }

// CaughtUp implements Window.
func (s *Session) CaughtUp(int) { s.replayed, s.news = true, true }

// persisted handles a cumulative ack of publishes.
func (s *Session) persisted(m *wire.Message) Event {
	e := Event{Kind: Acked, Ack: s.pub.Persisted(m.Sequence, string(m.Level) == wire.LevelSingle)}
	e.Ack.Life = s.pub.Life()
	s.news = s.news || s.pub.Finished()
	if e.Ack.InSync && s.former {
		s.inSync, s.news = true, true // the former lives can be offered again
	}
	return e
}

// rejected handles the rejection of one message. A server may repeat it until the store has let
// go of the message.
func (s *Session) rejected(onWire uint64, reason string) Event {
	n, ok := s.pub.Reject(onWire)
	if !ok {
		return Event{}
	}
	return Event{Kind: Rejected, Rejection: Rejection{Life: s.pub.Life(), Sequence: n, Reason: reason}}
}

// Told records that the application knows of a rejection, or need not know.
func (s *Session) Told(r *Rejection) Event {
	letGo, opened := s.pub.Told(r.Life, r.Sequence)
	s.news = s.news || s.pub.old
	return Event{Kind: Acked, Ack: AckEffect{Life: r.Life, LetGo: letGo, Moved: true, Opened: opened}}
}

// A Leave is the next step after the end of a connection.
type Leave struct {
	Again bool          // connect to the same server again, at once
	Gap   bool          // the server lacks messages that were acknowledged (R4)
	Wait  time.Duration // the least delay before the next attempt
	Cause error         // replaces the cause given to Ended, unless nil
	Renew bool          // the store has to begin a new life (R10)
	// GiveUp is a life of which no server takes anything any more (R11), or empty. The outcome
	// of the messages that the store keeps of it is unknown, and the application has to be
	// told.
	GiveUp string
}

// Ended handles the end of a connection, or of an attempt to connect.
func (s *Session) Ended(cause error, now time.Time, lives []pubstore.Life) (l Leave) {
	if s.pushedOut(cause, now) {
		cause = fmt.Errorf("%w, as it seems: %d connections in a row were closed right after the logon: %w", ErrNameInUse, s.pushes, cause)
		l.Cause = cause
	}
	l.Gap = errors.Is(cause, ErrPublishGap)
	diverged := errors.Is(cause, ErrDiverged)
	refused := errors.Is(cause, ErrOtherLife) || diverged
	l.Renew = refused && !s.pub.old && s.mayRenew(now) && !failpoint.On(failpoint.R10KeepsRefusedLife)
	l.Again = true
	switch {
	case errors.Is(cause, ErrRestate):
	case errors.Is(cause, ErrSettled):
		s.visit.Settled(s.life.ID, false)
	case errors.Is(cause, ErrReoffer):
		s.visit.StartOver()
	case errors.Is(cause, ErrUnnamed):
	case errors.Is(cause, ErrRolledBack) && failpoint.On(failpoint.R10RollbackStays):
	case (l.Gap || refused) && s.pub.old:
		s.visit.Settled(s.life.ID, true)
	default:
		l.Again, s.visit = false, Visit{}
	}
	if errors.Is(cause, ErrNameInUse) {
		if l.Cause == nil { // a plain server does not compare
			s.pub.NameInUse()
		}
		l.Wait = time.Duration(s.names.InUse(now.UnixNano()))
	}
	if diverged && (l.Renew || s.pub.old) && !failpoint.On(failpoint.R11DivergedKept) {
		l.GiveUp = s.life.ID
	}
	s.pub.Forget(lives)
	return l
}
