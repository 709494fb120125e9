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
	// formerAttachDelay is the time for which Look delays the subscriptions on a connection under a
	// former life. Such a connection is often short.
	formerAttachDelay = 2 * time.Second
	// minRenewInterval is the least time between two lives that the store begins because of the
	// reports of one server.
	minRenewInterval = time.Minute
	// logonOptions matter to plain servers only; other servers ignore this option.
	logonOptions = "ack_conflation=10ms"
)

// Reasons to start a new session at the same server at once.
var (
	ErrFormerLifeDone = errors.New("former life of the publish store is settled")
	ErrReoffer        = errors.New("former lives of the publish store are offered again")
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
	pub              *Publisher
	visit            Visit
	nameBackoff      NameBackoff
	reports          ServerReports
	renewed          map[string]time.Time // time of the last new life because of the server at an address
	recoveryTimeout  time.Duration        // limit on the time in which servers answer subscriptions
	allowPublishGaps bool                 // AllowPublishGaps
	earlyCloses      int                  // consecutive connections that were closed right after their logon

	connection
}

// A connection is the part of a session that belongs to one connection.
type connection struct {
	logon
	uri          string        // from the chooser
	life         pubstore.Life // the life, in its state at the logon
	formerLife   bool          // lifeID was a former one at the logon
	unsafeFormer bool          // unsafeFormer lives were settled on this server, and may not be safe
	inSync       bool          // a safe ack has come, and nothing is only single
	replayed     bool          // every message that may have been sent before this connection was sent again
	live         bool
	unanswered   map[string]bool // subscribes that must be answered before the session is live

	recheck bool // DueSteps may find a step that is due

	startedAt                             time.Time
	attachAt, recoveryDeadline, reofferAt time.Time // the time at which each is due; zero: never, or done
}

// NewSession returns the session of a client with these lives in its publish store, see
// NewPublisher.
func NewSession(lives []pubstore.Life, maxMessages, maxBytes int, recovery time.Duration) *Session {
	return &Session{
		pub:     NewPublisher(lives, maxMessages, maxBytes),
		reports: make(ServerReports), renewed: make(map[string]time.Time), recoveryTimeout: recovery,
	}
}

// Publisher returns the state of the publishes.
func (s *Session) Publisher() *Publisher { return s.pub }

// ServerReports returns a copy of the last reports of the servers.
func (s *Session) ServerReports() ServerReports { return maps.Clone(s.reports) }

// Connect starts a connection to a server, with the next life of the visit. uri is the server's
// URI from the chooser.
func (s *Session) Connect(uri, address string, lives []pubstore.Life) {
	s.connection = connection{uri: uri, logon: logon{server: Server{Address: address}}, unanswered: make(map[string]bool)}
	s.life, s.formerLife = s.visit.Next(lives)
}

// LifeID returns the life of the present connection.
func (s *Session) LifeID() string { return s.life.ID }

// RejectedFrom returns the first sequence whose rejection the logon states.
func (s *Session) RejectedFrom() uint64 { return s.pub.stateOf(s.life.ID).rejectedFrom }

// Logon prepares the logon. counter is the store's logon counter (R11). rejected are the
// reject sequences in the store from RejectedFrom on, at most wire.MaxSpans ranges.
func (s *Session) Logon(name, messageType, version string, counter uint64, rejected []pubstore.Range) {
	s.pub.BeginConnection(s.life, s.formerLife)
	spans := s.pub.stateRejected(rejected, s.life.Last)
	s.logonCommand = wire.LogonCommand{
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
func (s *Session) AllowPublishGaps() { s.allowPublishGaps = true }

// OmitExtensions leaves our extensions out of the logon.
func (s *Session) OmitExtensions() { s.logonCommand.Ext = false }

// StateGroup adds the group of servers that the store has met to the logon. The logon of a former
// lifeID leaves it out, because the losses of a former life are told at each logon.
func (s *Session) StateGroup(cluster string, incarnation uint64) {
	if !s.formerLife {
		s.logonCommand.Cluster, s.logonCommand.Incarnation = cluster, incarnation
	}
}

// Sent returns the highest sequence of a life that may have been sent.
func (s *Session) Sent(l pubstore.Life) uint64 { return min(s.pub.stateOf(l.ID).sentBound, l.Last) }

// Former reports whether the present connection is under a former life.
func (s *Session) Former() bool { return s.formerLife }

// A EventKind is the kind of an Event.
type EventKind uint8

const (
	EventNone       EventKind = iota
	EventChallenged           // the server asks for other credentials, with the user and password in its message
	EventAccepted             // the server has accepted the logon: call Begin
	EventAcked                // apply Ack to the store
	EventRejected             // tell the application of Rejection
)

// An Event is the effect of a frame.
type Event struct {
	Kind      EventKind
	Ack       AckEffect
	Rejection Rejection
}

// HandleAck handles an ack that belongs to no command and no subscription: an ack of the session or
// of publishes. An error ends the connection.
func (s *Session) HandleAck(m *wire.Message) (Event, error) {
	processed := m.Acks == wire.AckProcessed && len(m.CommandID) == 0
	switch {
	case processed && m.Failed():
		return s.handleRefusal(m)
	case processed && len(m.Sync) > 0:
		now := s.server
		now.Sync = syncstatus.Parse(m.Sync)
		now.CatchingUp = now.Sync == syncstatus.CatchingUp
		s.recordReport(now)
		s.recheck = true
		return Event{}, nil
	case !s.accepted && m.Acks&wire.AckProcessed != 0 && string(m.CommandID) == LogonID:
		kind, err := s.handleLogonAck(m)
		if kind == EventAccepted {
			s.recordReport(s.server)
		}
		return Event{Kind: kind}, err
	case s.server.Plain && m.Acks == wire.AckProcessed && m.Failed():
		return s.rejectedByID(m), nil
	case m.Acks&wire.AckPersisted == 0 || !m.HasSequence:
		return Event{}, nil // the ack of a command whose caller no longer waits
	case isRejection(m):
		return s.reject(m.Sequence, string(m.Reason)), nil
	}
	return s.handlePersisted(m), nil
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

// recordReport handles a report of the server.
func (s *Session) recordReport(now Server) {
	s.server = now
	s.reports.Record(s.uri, now)
}

// refusalError returns the error for the reason in a failure ack (R4, R11).
func refusalError(command string, m *wire.Message) error {
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
	case strings.HasPrefix(reason, wire.ReasonPublisherIDTaken):
		return ErrPublisherIDTaken
	case strings.HasPrefix(reason, wire.ReasonPublisherDiverged):
		return divergedError(m)
	}
	return &Refusal{Command: command, Reason: reason}
}

// BeginPublishing handles the publisher's part of the ack of an accepted logon. An error ends the
// connection. After a rollback the error comes from Beginning.Apply.
func (s *Session) BeginPublishing(m *wire.Message, now time.Time) (LogonEffect, error) {
	if !m.IsExt() && s.life.PlainOffset == 0 && m.Sequence > maxBase && !failpoint.On(failpoint.R1AnyNumber) {
		return LogonEffect{}, fmt.Errorf("%w: the last number under this client name is %d, which leaves none to count on from", ErrProtocol, m.Sequence)
	}
	b := s.pub.HandleLogon(s.life, LogonAnswer{
		Ext: m.IsExt(), AllowGaps: s.allowPublishGaps, Safe: m.Sequence, Have: m.Have, Clock: m.Clock,
		Now: uint64(max(now.UnixMicro(), 1)),
	})
	b.Life = s.life
	if m.IsExt() {
		b.MaxBatch = int(min(m.Max, batchBytes))
	}
	b.Unknown, b.UnknownReason = s.pub.current.suspects.takeAcked(b.After, s.life.Acked)
	switch {
	case b.PublishGap:
		return b, ErrPublishGap
	case b.RolledBack && !s.mayRenew(now):
		return b, fmt.Errorf("%w: this server has said so twice within %v, of two lives", ErrRolledBack, minRenewInterval)
	}
	return b, nil
}

// mayRenew reports whether the store may begin a new life because of a report of this server. A
// server that is wrong must not renew the store again and again.
func (s *Session) mayRenew(now time.Time) bool {
	last, was := s.renewed[s.server.Address]
	if was && now.Sub(last) < minRenewInterval && !failpoint.On(failpoint.R10RenewsFreely) {
		return false
	}
	s.renewed[s.server.Address] = now
	return true
}

// StartTimers sets the timers of a connection that is logged on.
func (s *Session) StartTimers(now time.Time) {
	s.unsafeFormer = s.visit.HasUnsafe()
	s.startedAt, s.attachAt, s.recheck = now, now, true
	s.reofferAt = now.Add(ReofferInterval)
	if s.pub.formerLife {
		s.attachAt = now.Add(formerAttachDelay)
	}
}

// A DueSteps lists the steps that are due.
type DueSteps struct {
	Attach bool // put the subscriptions on the wire
	Live   bool // recoveryTimeout is complete
}

// DueSteps returns the steps that are due. lives are the store's lives. An error ends the
// connection.
func (s *Session) DueSteps(now time.Time, lives []pubstore.Life) (l DueSteps, err error) {
	s.UpdateLives(lives)
	since := now.Sub(s.startedAt)
	switch {
	case s.pub.Finished():
		return l, ErrFormerLifeDone
	case since >= ReofferInterval && s.visit.ReofferDue(lives, s.inSync, since):
		return l, ErrReoffer
	case expired(&s.recoveryDeadline, now) && !s.live && len(s.unanswered) > 0:
		return l, fmt.Errorf("resume subscriptions: %w", ErrTimeout)
	}
	if !s.reofferAt.After(now) {
		s.reofferAt = now.Add(ReofferInterval)
	}
	if l.Attach = expired(&s.attachAt, now); l.Attach {
		s.recoveryDeadline = now.Add(s.recoveryTimeout)
	}
	s.recheck = s.recheck || l.Attach // the session may be live at once
	l.Live = !l.Attach && s.recovered()
	return l, nil
}

// expired reports, once, that the time at has come.
func expired(at *time.Time, now time.Time) bool {
	if at.IsZero() || now.Before(*at) {
		return false
	}
	*at = time.Time{}
	return true
}

// recovered reports, once, that the replay is complete and every subscription is answered.
func (s *Session) recovered() bool {
	if s.live || !s.attachAt.IsZero() || !s.replayed || len(s.unanswered) > 0 {
		return false
	}
	s.live = true
	return true
}

// NextDue returns the latest time for the next call of Look.
func (s *Session) NextDue() time.Time {
	due := s.reofferAt
	for _, at := range []time.Time{s.attachAt, s.recoveryDeadline} {
		if !at.IsZero() && at.Before(due) {
			due = at
		}
	}
	return due
}

// AwaitAnswer delays the live state of the session until the answer to a subscribe.
func (s *Session) AwaitAnswer(id string) {
	if !s.live {
		s.unanswered[id] = true
	}
}

// Answered ends the wait for the answer to a subscribe.
func (s *Session) Answered(id string) {
	delete(s.unanswered, id)
	s.recheck = s.recheck || !s.live
}

// News reports, once, that Look may find a step that is due.
func (s *Session) NeedsRecheck() bool {
	news := s.recheck
	s.recheck = false
	return news
}

// UpdateLives handles a change of the store's lives. If the application has begun a new life, the
// life of this connection is a former one from now on. Lives reports whether that has just
// happened.
func (s *Session) UpdateLives(lives []pubstore.Life) (renewed bool) {
	if !s.pub.formerLife && len(lives) > 0 && lives[len(lives)-1].ID != s.life.ID {
		s.pub.Renewed()
		return true
	}
	return false
}

// Room implements Window.
func (s *Session) Room() bool { return s.pub.Room() }

// Reserve implements Window.
func (s *Session) Reserve(first uint64, sizes []int) (onWire uint64, n, again int, room bool) {
	for room = true; room && n < len(sizes); room = s.pub.Room() {
		if _, before := s.pub.Reserve(first+uint64(n), sizes[n]); before {
			again++
		}
		n++
	}
	return first + s.pub.offset, n, again, room
}

// Exhausted implements Window.
func (s *Session) Exhausted(lives []pubstore.Life) (again bool) {
	s.pub.Exhausted()
	if s.UpdateLives(lives) {
		return true // something may have been appended to this life before it became a former one
	}
	s.recheck = s.recheck || s.pub.formerLife // the life may be finished
	return false
}

// MayLeaveOut implements Window.
func (s *Session) MayLeaveOut(from, to uint64) bool { return s.pub.MayLeaveOut(from, to) }

// ReplayDone implements Window.
func (s *Session) ReplayDone(int) { s.replayed, s.recheck = true, true }

// handlePersisted handles a cumulative ack of publishes.
func (s *Session) handlePersisted(m *wire.Message) Event {
	e := Event{Kind: EventAcked, Ack: s.pub.Persisted(m.Sequence, string(m.Level) == wire.LevelSingle)}
	e.Ack.Life = s.pub.LifeID()
	s.recheck = s.recheck || s.pub.Finished()
	if e.Ack.InSync && s.unsafeFormer {
		s.inSync, s.recheck = true, true // the former lives can be offered again
	}
	return e
}

// reject handles the rejection of one message. A server may repeat it until the store has let
// go of the message.
func (s *Session) reject(onWire uint64, reason string) Event {
	n, ok := s.pub.Reject(onWire)
	if !ok {
		return Event{}
	}
	return Event{Kind: EventRejected, Rejection: Rejection{Life: s.pub.LifeID(), Sequence: n, Reason: reason}}
}

// RejectionReported records that the application knows of a rejection, or need not know.
func (s *Session) RejectionReported(r *Rejection) Event {
	letGo, opened := s.pub.RejectionReported(r.Life, r.Sequence)
	s.recheck = s.recheck || s.pub.formerLife
	return Event{Kind: EventAcked, Ack: AckEffect{Life: r.Life, LetGo: letGo, Moved: true, WindowOpened: opened}}
}

// A EndEffect is the next step after the end of a connection.
type EndEffect struct {
	ReconnectNow bool          // connect to the same server again, at once
	PublishGap   bool          // the server lacks messages that were acknowledged (R4)
	Wait         time.Duration // the least delay before the next attempt
	Cause        error         // replaces the cause given to Ended, unless nil
	Renew        bool          // the store has to begin a new life (R10)
	// GiveUp is a life of which no server takes anything any more (R11), or empty. The outcome
	// of the messages that the store keeps of it is unknown, and the application has to be
	// told.
	GiveUp string
}

// Ended handles the end of a connection, or of an attempt to connect.
func (s *Session) Ended(cause error, now time.Time, lives []pubstore.Life) (l EndEffect) {
	if s.nameSeemsInUse(cause, now) {
		cause = fmt.Errorf("%w, as it seems: %d connections in a row were closed right after the logon: %w", ErrNameInUse, s.earlyCloses, cause)
		l.Cause = cause
	}
	l.PublishGap = errors.Is(cause, ErrPublishGap)
	diverged := errors.Is(cause, ErrDiverged)
	refused := errors.Is(cause, ErrPublisherIDTaken) || diverged
	l.Renew = refused && !s.pub.formerLife && s.mayRenew(now) && !failpoint.On(failpoint.R10KeepsRefusedLife)
	l.ReconnectNow = true
	switch {
	case errors.Is(cause, ErrRestate):
	case errors.Is(cause, ErrFormerLifeDone):
		s.visit.Done(s.life.ID, false)
	case errors.Is(cause, ErrReoffer):
		s.visit.StartOver()
	case errors.Is(cause, ErrUnnamedRefusal):
	case errors.Is(cause, ErrRolledBack) && failpoint.On(failpoint.R10RollbackStays):
	case (l.PublishGap || refused) && s.pub.formerLife:
		s.visit.Done(s.life.ID, true)
	default:
		l.ReconnectNow, s.visit = false, Visit{}
	}
	if errors.Is(cause, ErrNameInUse) {
		if l.Cause == nil { // a plain server does not compare
			s.pub.NameInUse()
		}
		l.Wait = time.Duration(s.nameBackoff.InUse(now.UnixNano()))
	}
	if diverged && (l.Renew || s.pub.formerLife) && !failpoint.On(failpoint.R11DivergedKept) {
		l.GiveUp = s.life.ID
	}
	s.pub.ForgetLives(lives)
	return l
}
