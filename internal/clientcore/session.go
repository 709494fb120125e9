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
	// formerAttachDelay is the delay of the subscribes on a connection under a former life. Such
	// a connection is often short.
	formerAttachDelay = 2 * time.Second
	// minRenewInterval is the minimum time between two lives that the store begins because of
	// the reports of one server.
	minRenewInterval = time.Minute
	// logonOptions matter to plain servers only; other servers ignore this option.
	logonOptions = "ack_conflation=10ms"
)

// Reasons to connect to the same server again at once.
var (
	ErrFormerLifeDone = errors.New("former life of the publish store is done")
	ErrReoffer        = errors.New("former lives of the publish store are offered again")
	// ErrRestate: sequences before the next message were rejected after the logon, so another
	// logon has to state them.
	ErrRestate = errors.New("rejected sequences are stated in another logon")
)

// A Session owns the connections of a client, one after the other. The calls for each connection
// come in this order: Connect, Logon, Credentials, HandleAck until the logon is accepted,
// BeginPublishing, StartTimers, then HandleAck and DueSteps. Ended always comes last.
//
// A Session is not safe for concurrent use. It never calls the store, so the caller may hold a
// lock. An effect on the store has a method Apply.
type Session struct {
	pub              *Publisher
	visit            Visit
	nameBackoff      NameBackoff
	reports          ServerReports
	renewed          map[string]time.Time // time of the last new life because of a server, by its address
	recoveryTimeout  time.Duration        // limit on the time in which servers answer subscriptions
	allowPublishGaps bool                 // set by AllowPublishGaps
	dropHeaders      bool                 // set by DropHeaders
	earlyCloses      int                  // consecutive connections that were closed right after their logon

	connection
}

// A connection is the part of a session that belongs to one connection.
type connection struct {
	logon
	uri          string        // from the chooser
	life         pubstore.Life // as it was at the logon
	formerLife   bool          // life was a former one at the logon
	unsafeFormer bool          // former lives were settled on this server, and may not be safe
	inSync       bool          // the last ack was safe, and nothing is only single
	replayed     bool          // every message that may have been sent before this connection was sent again
	live         bool
	unanswered   map[string]bool // subscribes that must be answered before the session is live

	recheck bool // DueSteps may find a step that is due

	startedAt                             time.Time
	attachAt, recoveryDeadline, reofferAt time.Time // when each is due; zero: never, or done
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

// LifeID returns the id of the life of the present connection.
func (s *Session) LifeID() string { return s.life.ID }

// RejectedFrom returns the first sequence whose rejection the logon states.
func (s *Session) RejectedFrom() uint64 { return s.pub.stateOf(s.life.ID).rejectedFrom }

// Logon prepares the logon. counter is the store's logon counter (R11). rejected are the
// rejected sequences in the store from RejectedFrom on, at most wire.MaxSpans ranges.
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

// DropHeaders lets the client send messages to plain servers without their headers.
func (s *Session) DropHeaders() { s.dropHeaders = true }

// OmitExtensions leaves our extensions out of the logon.
func (s *Session) OmitExtensions() { s.logonCommand.Ext = false }

// StateGroup adds the group of servers that the store has met to the logon. The logon of a
// former life leaves it out, so that the server reports the losses of that life at each logon.
func (s *Session) StateGroup(cluster string, incarnation uint64) {
	if !s.formerLife {
		s.logonCommand.Cluster, s.logonCommand.Incarnation = cluster, incarnation
	}
}

// Sent returns the highest sequence of a life that may have been sent.
func (s *Session) Sent(l pubstore.Life) uint64 { return min(s.pub.stateOf(l.ID).sentBound, l.Last) }

// Former reports whether the present connection is under a former life.
func (s *Session) Former() bool { return s.formerLife }

// An EventKind is the kind of an Event.
type EventKind uint8

const (
	EventNone       EventKind = iota
	EventChallenged           // the server asks for another logon; its challenge is in UserID and Password of its ack
	EventAccepted             // the server has accepted the logon: call BeginPublishing
	EventAcked                // apply Ack to the store
	EventRejected             // report Rejection to the application
)

// An Event is the effect of a frame.
type Event struct {
	Kind      EventKind
	Ack       AckEffect
	Rejection Rejection
}

// HandleAck handles an ack that belongs to no command and no subscription: an ack of the session
// or of publishes. An error ends the connection.
func (s *Session) HandleAck(m *wire.Message) (Event, error) {
	processed := m.Acks == wire.AckProcessed && len(m.CommandID) == 0
	switch {
	case processed && m.Failed():
		return s.handleRefusal(m)
	case processed && len(m.Sync) > 0:
		report := s.server
		report.Sync = syncstatus.Parse(m.Sync)
		report.CatchingUp = report.Sync == syncstatus.CatchingUp
		s.recordReport(report)
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
// message. A plain server reports the failure "duplicate" for a message that it has, and may
// report "not entitled" with any status.
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
func (s *Session) recordReport(report Server) {
	s.server = report
	s.reports.Record(s.uri, report)
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

// BeginPublishing handles the publisher's part of the ack of an accepted logon. An error ends
// the connection. After a rollback the error comes from LogonEffect.Apply.
func (s *Session) BeginPublishing(m *wire.Message, now time.Time) (LogonEffect, error) {
	if !m.IsExt() && s.life.PlainOffset == 0 && m.Sequence > maxPlainOffset && !failpoint.On(failpoint.R1AnyNumber) {
		return LogonEffect{}, fmt.Errorf("%w: the last number under this client name is %d, which leaves too few numbers for new messages", ErrProtocol, m.Sequence)
	}
	e := s.pub.HandleLogon(s.life, LogonAnswer{
		Ext: m.IsExt(), AllowGaps: s.allowPublishGaps, Safe: m.Sequence, Have: m.Have, Clock: m.Clock,
		Now: uint64(max(now.UnixMicro(), 1)),
	})
	e.Life, e.DropHeaders = s.life, s.dropHeaders
	if m.IsExt() {
		e.MaxBatch = int(min(m.Max, batchBytes))
	}
	e.Unknown, e.UnknownReason = s.pub.current.suspects.takeAcked(e.After, s.life.Acked)
	switch {
	case e.PublishGap:
		return e, ErrPublishGap
	case e.RolledBack && !s.mayRenew(now):
		return e, fmt.Errorf("%w: this server has reported it for two lives within %v", ErrRolledBack, minRenewInterval)
	}
	return e, nil
}

// mayRenew reports whether the store may begin a new life because of a report of this server,
// and records that it does. A faulty server must not make the store begin one life after the
// other.
func (s *Session) mayRenew(now time.Time) bool {
	last, found := s.renewed[s.server.Address]
	if found && now.Sub(last) < minRenewInterval && !failpoint.On(failpoint.R10RenewsFreely) {
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

// DueSteps are the steps that are due.
type DueSteps struct {
	Attach bool // put the subscriptions on the wire
	Live   bool // recovery is complete
}

// DueSteps returns the steps that are due. lives are the store's lives. An error ends the
// connection.
func (s *Session) DueSteps(now time.Time, lives []pubstore.Life) (due DueSteps, err error) {
	s.UpdateLives(lives)
	age := now.Sub(s.startedAt)
	switch {
	case s.pub.Finished():
		return due, ErrFormerLifeDone
	case age >= ReofferInterval && s.visit.ReofferDue(lives, s.inSync, age):
		return due, ErrReoffer
	case expired(&s.recoveryDeadline, now) && !s.live && len(s.unanswered) > 0:
		return due, fmt.Errorf("resume subscriptions: %w", ErrTimeout)
	}
	if !s.reofferAt.After(now) {
		s.reofferAt = now.Add(ReofferInterval)
	}
	if due.Attach = expired(&s.attachAt, now); due.Attach {
		s.recoveryDeadline = now.Add(s.recoveryTimeout)
	}
	s.recheck = s.recheck || due.Attach // the session may be live at once
	due.Live = !due.Attach && s.recovered()
	return due, nil
}

// expired reports whether the time at has come. It clears at, so it returns true once.
func expired(at *time.Time, now time.Time) bool {
	if at.IsZero() || now.Before(*at) {
		return false
	}
	*at = time.Time{}
	return true
}

// recovered returns true once: at the first call after the replay is complete and every
// subscription is answered.
func (s *Session) recovered() bool {
	if s.live || !s.attachAt.IsZero() || !s.replayed || len(s.unanswered) > 0 {
		return false
	}
	s.live = true
	return true
}

// NextDue returns the latest time for the next call of DueSteps.
func (s *Session) NextDue() time.Time {
	due := s.reofferAt
	for _, at := range []time.Time{s.attachAt, s.recoveryDeadline} {
		if !at.IsZero() && at.Before(due) {
			due = at
		}
	}
	return due
}

// AwaitAnswer delays the live state of the session until a subscribe is answered.
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

// NeedsRecheck reports whether DueSteps may find a step that is due. It returns true once for
// each change.
func (s *Session) NeedsRecheck() bool {
	recheck := s.recheck
	s.recheck = false
	return recheck
}

// UpdateLives handles a change of the store's lives. If the application has begun a new life,
// the life of this connection is a former one from now on. UpdateLives reports whether that has
// just happened.
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
func (s *Session) Reserve(first uint64, sizes []int) (onWire uint64, n, resent int, room bool) {
	for room = true; room && n < len(sizes); room = s.pub.Room() {
		if _, before := s.pub.Reserve(first+uint64(n), sizes[n]); before {
			resent++
		}
		n++
	}
	return first + s.pub.offset, n, resent, room
}

// Exhausted implements Window.
func (s *Session) Exhausted(lives []pubstore.Life) (reread bool) {
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

// reject handles the rejection of one message. A server may repeat it until the store has let go
// of the message.
func (s *Session) reject(onWire uint64, reason string) Event {
	n, ok := s.pub.Reject(onWire)
	if !ok {
		return Event{}
	}
	return Event{Kind: EventRejected, Rejection: Rejection{Life: s.pub.LifeID(), Sequence: n, Reason: reason}}
}

// RejectionReported records that a rejection was reported to the application, or need not be.
func (s *Session) RejectionReported(r *Rejection) Event {
	letGo, opened := s.pub.RejectionReported(r.Life, r.Sequence)
	s.recheck = s.recheck || s.pub.formerLife
	return Event{Kind: EventAcked, Ack: AckEffect{Life: r.Life, LetGo: letGo, Moved: true, WindowOpened: opened}}
}

// An EndEffect lists the actions after the end of a connection.
type EndEffect struct {
	ReconnectNow bool          // connect to the same server again, at once
	PublishGap   bool          // the server lacks messages that were acknowledged (R4)
	Wait         time.Duration // minimum delay before the next attempt
	Cause        error         // unless nil, it replaces the cause given to Ended
	Renew        bool          // the store has to begin a new life (R10)
	// GiveUp is a life that every server refuses from now on (R11), or empty. The outcome of its
	// kept messages is unknown, and that has to be reported to the application.
	GiveUp string
}

// Ended handles the end of a connection, or of an attempt to connect.
func (s *Session) Ended(cause error, now time.Time, lives []pubstore.Life) (e EndEffect) {
	if s.nameSeemsInUse(cause, now) {
		cause = fmt.Errorf("%w (assumed, because %d connections in a row were closed right after the logon): %w", ErrNameInUse, s.earlyCloses, cause)
		e.Cause = cause
	}
	e.PublishGap = errors.Is(cause, ErrPublishGap)
	diverged := errors.Is(cause, ErrDiverged)
	refused := errors.Is(cause, ErrPublisherIDTaken) || diverged
	e.Renew = refused && !s.pub.formerLife && s.mayRenew(now) && !failpoint.On(failpoint.R10KeepsRefusedLife)
	e.ReconnectNow = true
	switch {
	case errors.Is(cause, ErrRestate):
	case errors.Is(cause, ErrFormerLifeDone):
		s.visit.Done(s.life.ID, false)
	case errors.Is(cause, ErrReoffer):
		s.visit.StartOver()
	case errors.Is(cause, ErrUnnamedRefusal):
	case errors.Is(cause, ErrRolledBack) && failpoint.On(failpoint.R10RollbackStays):
	case (e.PublishGap || refused) && s.pub.formerLife:
		s.visit.Done(s.life.ID, true)
	default:
		e.ReconnectNow, s.visit = false, Visit{}
	}
	if errors.Is(cause, ErrNameInUse) {
		if e.Cause == nil { // a plain server does not compare
			s.pub.NameInUse()
		}
		e.Wait = time.Duration(s.nameBackoff.InUse(now.UnixNano()))
	}
	if diverged && (e.Renew || s.pub.formerLife) && !failpoint.On(failpoint.R11DivergedKept) {
		e.GiveUp = s.life.ID
	}
	s.pub.ForgetLives(lives)
	return e
}
