package clientcore

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

const (
	// LogonID is the command id of a logon.
	LogonID = "0"
	// maxChallenges is how often a server may ask again in one logon.
	maxChallenges = 3
	// formerGrace is how long a connection under a former life may take before
	// subscriptions are taken up on it.
	formerGrace = 2 * time.Second
	// plainOptions are those of a logon at a server without our extensions.
	plainOptions = "ack_conflation=10ms"
)

// Why a session is begun anew at the same server, at once.
var (
	ErrSettled = errors.New("former life of the publish store is settled")
	ErrReoffer = errors.New("former lives of the publish store are offered again")
	errPlain   = errors.New("server has no extensions: connect again with its options")
)

// A Session decides what a client does on its connections, one after the other:
// which life of the store it logs on with, what it makes of the answer and of
// acks, when all is live again, when it leaves, and what comes then. For each
// connection Connect, Logon, Credentials, Take until it is accepted, Begin,
// Start, Take and Look, and in any case Ended are called in this order.
//
// It isn't safe for concurrent use. It never calls the store, so that the
// caller may hold a lock: what the store is to do has a method Apply.
type Session struct {
	pub      *Publisher
	visit    Visit
	names    NameRule
	known    Known
	plain    map[string]bool // addresses of servers without our extensions
	recovery time.Duration   // how long servers may take to answer subscriptions

	connection
}

// A connection is what a session knows of the present one.
type connection struct {
	uri        string        // as the chooser gave it
	server     Server        // before it has accepted the logon the address only
	life       pubstore.Life // as it was at the logon
	old        bool          // it was a former one then
	logon      wire.LogonCommand
	asked      int // times, in one logon
	accepted   bool
	former     bool // other lives were settled here that may not be safe
	inSync     bool // a safe ack has come, and none is only single
	replayed   bool // all that may have been sent before was sent again
	live       bool
	unanswered map[string]bool // subscribes that have to be answered before the session is live

	began                 time.Time
	resume, late, reoffer time.Time // when it is time for that; zero: never, or done
}

// NewSession makes the session of a client whose publish store has these lives,
// see NewPublisher.
func NewSession(lives []pubstore.Life, maxMessages, maxBytes int, recovery time.Duration) *Session {
	return &Session{
		pub:   NewPublisher(lives, maxMessages, maxBytes),
		known: make(Known), plain: make(map[string]bool), recovery: recovery,
	}
}

// Publisher returns what is known of publishing.
func (s *Session) Publisher() *Publisher { return s.pub }

// Known returns what servers have said last.
func (s *Session) Known() Known { return s.known }

// Connect begins a connection to a server, with the life whose turn it is. uri
// is the server's as the chooser gave it.
func (s *Session) Connect(uri, address string, lives []pubstore.Life) {
	s.connection = connection{uri: uri, server: Server{Address: address}, unanswered: make(map[string]bool)}
	s.life, s.old = s.visit.Next(lives)
}

// Server returns the server of the present connection.
func (s *Session) Server() Server { return s.server }

// Life returns the life of the present connection.
func (s *Session) Life() string { return s.life.ID }

// Logon prepares the logon. counter is what the store has given for it (R11).
func (s *Session) Logon(name, messageType, version string, counter uint64) {
	s.pub.Expect(s.life, s.old)
	s.logon = wire.LogonCommand{
		CommandID:   LogonID,
		ClientName:  name,
		MessageType: messageType,
		Acks:        wire.AckProcessed,
		Version:     version,
		Ext:         true,
		Store:       s.life.ID,
		Counter:     counter,
		Acked:       s.life.Acked,
	}
	if s.plain[s.server.Address] {
		s.logon.Options = plainOptions
	}
}

// Credentials returns the logon to be sent, the first or another after a challenge.
func (s *Session) Credentials(user, password string) wire.LogonCommand {
	s.asked++
	s.logon.UserID, s.logon.Password = user, password
	return s.logon
}

// A Kind says what an Event is.
type Kind uint8

const (
	Nothing    Kind = iota
	Challenged      // the server asks for other credentials, see the message's user and password
	Accepted        // it has accepted the logon: Begin is next
	Acked           // Ack has to take place
	Rejected        // the application has to be told of Rejection
)

// An Event is what a frame leads to.
type Event struct {
	Kind      Kind
	Ack       AckEffect
	Rejection Rejection
	Look      bool // Look may find something new
}

// Take takes in an ack that is for no command and no subscription: of the
// session or of publishes. An error ends the connection.
func (s *Session) Take(m *wire.Message) (Event, error) {
	processed := m.Acks == wire.AckProcessed && len(m.CommandID) == 0
	switch {
	case processed && failed(m):
		return Event{}, refusal("session", m)
	case processed && len(m.Sync) > 0:
		now := s.server
		now.Sync = syncstatus.Parse(m.Sync)
		now.CatchingUp = now.Sync == syncstatus.CatchingUp
		s.says(now)
		return Event{Look: true}, nil
	case !s.accepted && m.Acks&wire.AckProcessed != 0 && string(m.CommandID) == LogonID:
		return s.answered(m)
	case m.Acks&wire.AckPersisted == 0 || !m.HasSequence:
		return Event{}, nil // of a command whose caller has left
	case failed(m):
		return s.rejected(m), nil
	}
	return s.persisted(m), nil
}

// says takes in what the server says of itself.
func (s *Session) says(now Server) {
	s.server = now
	s.known.Says(s.uri, now)
}

// refusal is why a server ends a session in words (R4, R11).
func refusal(command string, m *wire.Message) error {
	reason := string(m.Reason)
	switch {
	case strings.HasPrefix(reason, wire.ReasonPublishGap):
		return ErrPublishGap
	case strings.HasPrefix(reason, wire.ReasonNameInUse):
		return ErrNameInUse
	}
	return &Refusal{Command: command, Reason: reason}
}

// answered takes in the answer to a logon.
func (s *Session) answered(m *wire.Message) (Event, error) {
	switch {
	case failed(m):
		return Event{}, refusal("logon", m)
	case string(m.Status) == wire.StatusSuccess:
	case s.asked < maxChallenges:
		return Event{Kind: Challenged}, nil
	default:
		return Event{}, fmt.Errorf("%w: %d challenges in one logon", ErrProtocol, maxChallenges)
	}
	knew := s.plain[s.server.Address]
	s.accepted = true
	s.plain[s.server.Address] = !m.IsExt()
	if !m.IsExt() && !knew {
		return Event{}, errPlain
	}
	s.says(serverOf(s.server.Address, m))
	return Event{Kind: Accepted}, nil
}

// Begin takes in what the ack of an accepted logon says about the publisher.
func (s *Session) Begin(m *wire.Message, now time.Time) (Beginning, error) {
	b := s.pub.Begin(s.life, LogonAnswer{
		Ext: m.IsExt(), Safe: m.Sequence, Have: m.Have,
		Clock: uint64(max(now.UnixMicro(), 1)),
	})
	b.Life, b.old = s.life, s.pub.old
	if b.Gap {
		return b, ErrPublishGap
	}
	return b, nil
}

// Start begins to send and to look after a connection that is logged on.
func (s *Session) Start(now time.Time) {
	s.former = s.visit.Unsafe()
	s.began, s.resume = now, now
	s.late, s.reoffer = now.Add(s.recovery), now.Add(AgainSpacing)
	if s.pub.old {
		s.resume = now.Add(formerGrace)
	}
}

// A Look is what it is time for.
type Look struct {
	Resume bool // take up the subscriptions
	Live   bool // all that was is there again
}

// Look finds out what it is time for. lives are the store's. An error ends the
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
	l.Resume = due(&s.resume, now)
	l.Live = !l.Resume && s.recovered()
	return l, nil
}

// due reports, once, whether a time has come.
func due(at *time.Time, now time.Time) bool {
	if at.IsZero() || now.Before(*at) {
		return false
	}
	*at = time.Time{}
	return true
}

// recovered reports, once, that everything is sent again and taken up again.
func (s *Session) recovered() bool {
	if s.live || !s.resume.IsZero() || !s.replayed || len(s.unanswered) > 0 {
		return false
	}
	s.live = true
	return true
}

// Due returns when Look is to be called at the latest.
func (s *Session) Due() time.Time {
	due := s.reoffer
	for _, at := range []time.Time{s.resume, s.late} {
		if !at.IsZero() && at.Before(due) {
			due = at
		}
	}
	return due
}

// Await has the session not be live before a subscribe is answered, if it is
// not so yet.
func (s *Session) Await(id string) {
	if !s.live {
		s.unanswered[id] = true
	}
}

// Answered notes that a subscribe was answered, or will not be. look says that
// Look may find something new.
func (s *Session) Answered(id string) (look bool) {
	delete(s.unanswered, id)
	return !s.live
}

// Lives notes which lives the store has: the application may have begun a new
// one, so that the present one is a former one.
func (s *Session) Lives(lives []pubstore.Life) {
	if !s.pub.old && len(lives) > 0 && lives[len(lives)-1].ID != s.life.ID {
		s.pub.Renewed()
	}
}

// Room, Write, Exhausted and CaughtUp are the Window of the connection's Sender.

// Room implements Window.
func (s *Session) Room() bool { return s.pub.Room() }

// Write implements Window.
func (s *Session) Write(sequence uint64, bytes int) (onWire uint64, again, room bool) {
	onWire, again = s.pub.Write(sequence, bytes)
	return onWire, again, s.pub.Room()
}

// Exhausted implements Window.
func (s *Session) Exhausted() { s.pub.Exhausted() }

// CaughtUp implements Window.
func (s *Session) CaughtUp(int) { s.replayed = true }

// Former reports whether the present life is a former one.
func (s *Session) Former() bool { return s.pub.old }

// persisted takes in a cumulative ack of publishes.
func (s *Session) persisted(m *wire.Message) Event {
	e := Event{Kind: Acked, Ack: s.pub.Persisted(m.Sequence, string(m.Level) == wire.LevelSingle)}
	e.Ack.Life = s.pub.Life()
	e.Look = e.Ack.Moved && s.pub.old
	if e.Ack.InSync && s.former {
		s.inSync, e.Look = true, true // the former lives can be offered again
	}
	return e
}

// rejected takes in that a server refused one message. It may say so again
// until the store no longer has it.
func (s *Session) rejected(m *wire.Message) Event {
	n, ok := s.pub.Reject(m.Sequence)
	if !ok {
		return Event{}
	}
	return Event{Kind: Rejected, Rejection: Rejection{Life: s.pub.Life(), Sequence: n, Reason: string(m.Reason)}}
}

// Told notes that the application knows of a rejection, or that there was
// nothing to tell.
func (s *Session) Told(r *Rejection) Event {
	_, opened := s.pub.Told(r.Life, r.Sequence)
	return Event{Kind: Acked, Ack: AckEffect{Life: r.Life, Moved: true, Opened: opened}, Look: s.pub.old}
}

// A Leave is what comes after a connection.
type Leave struct {
	Again bool          // connect to the same server again, at once
	Gap   bool          // the server lacks messages that were acknowledged (R4)
	Wait  time.Duration // before the next attempt, at least
	Stop  bool          // the client ends (R11)
}

// Ended notes why a connection, or the attempt to make one, has ended.
func (s *Session) Ended(cause error, now time.Time, lives []pubstore.Life) (l Leave) {
	l.Gap = errors.Is(cause, ErrPublishGap)
	l.Again = true
	switch {
	case errors.Is(cause, errPlain):
	case errors.Is(cause, ErrSettled):
		s.visit.Settled(s.life.ID, false)
	case errors.Is(cause, ErrReoffer):
		s.visit.StartOver()
	case l.Gap && s.pub.old:
		s.visit.Settled(s.life.ID, true)
	default:
		l.Again, s.visit = false, Visit{}
	}
	if errors.Is(cause, ErrNameInUse) {
		s.pub.NameInUse()
		wait, stop := s.names.InUse(now.UnixNano())
		l.Wait, l.Stop = time.Duration(wait), stop
	}
	s.pub.Forget(lives)
	return l
}
