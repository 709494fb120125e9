package servercore

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Driver carries a session: it has its connection, its goroutines and its
// clock. None of its methods blocks. None but AcksDue may call the session back:
// the others are called while the session holds a lock.
type Driver interface {
	// Wake has the session looked at: there is output for Fill, or a logon
	// that waits can be decided.
	Wake()
	// AcksDue says that persisted acks may be due, or a logon that waits may be
	// decided, and that nothing else is due: the driver may write FillAcks at
	// once, or do as for Wake.
	AcksDue()
	// AskPeers has the session's Notice sent to the peers and their answers
	// brought to Answered, again and again until that returns true.
	AskPeers()
	// Changed says that the session has changed its state. From StateDraining
	// on no command is to be read any more.
	Changed(State)
}

// A State is how far a session is. It only goes forward.
type State uint8

const (
	StateOpen     State = iota
	StateDraining       // no more commands are read; ends when its acks are out
	StateEnding         // its last frames are to be written, then the connection closed
	StateDead           // nothing more is to be written
)

// ErrEnding is the result of a command when its session is ending.
var ErrEnding = errors.New("session is ending")

// A Session is one client's session on the instance's side: its whole state and
// order, from the logon to the last ack, without goroutines, sockets, files or
// clocks. A [Driver] brings the commands and the time and writes the output.
//
// It has two halves. The methods Execute, Deciding, Decide, TooLarge, Refuse,
// Silence and Notify belong to one goroutine, which reads the connection; Fill, FillAcks,
// Next and Release to one at a time, which writes it. The other methods may be
// called by any goroutine. What both halves use is guarded by mu.
type Session struct {
	inst    *Instance    // of all sessions
	limits  Limits       // without zeros
	driver  Driver       // has the connection
	log     *slog.Logger // see Log
	address string       // where it comes from; guarded by the mu of the registry's arrivals
	gone    bool         // from the registry; guarded by its mu
	number  uint64       // of all sessions of the registry; constant once it is added
	ended   atomic.Bool  // the state is StateEnding or later
	waiting atomic.Bool  // a subscription holds a record until it is safe
	who     identity     // set by the logon, constant once that is answered
	reader  intake       // the reader's half
	writer  output       // the writer's half

	// appending is held while a record of this session goes into the ledger:
	// Fence waits for it.
	appending sync.Mutex
	fenced    bool // guarded by appending

	mu      sync.Mutex      // guards what follows
	state   State           // guarded by mu, like the rest
	account account         // what the session holds
	why     string          // it ends
	known   bool            // logged on
	box     outbox          // for the writer
	acks    AckCore         // of the sequenced publisher
	pending pendingAcks     // of the unsequenced one, and flushes
	subs    map[string]*sub // by id
	answers announcement    // of the peers
	told    toldStatus      // the sync status that the client knows
	given   uint64          // highest sequence that the client has given out, as far as it has said
}

// intake is the reader's half.
type intake struct {
	stage     stage
	appender  ledger.Appender
	record    ledger.Record
	batch     Batch
	came      ledger.Record // of the batch: the record of the publish
	logon     logonRequest
	begins    LogonStep     // as what the first publish of a plain client leaves numbers out: LogonGone, LogonLost; else LogonWait
	cause     ledger.Cause  // of LogonGone
	have      uint64        // of the publisher, as far as this session knows: at the logon, and what it added
	foreign   bool          // there was more of the publisher here than its store has given out
	heartbeat time.Duration // interval, 0: none
	mayTake   bool          // the peers have answered: numbers are taken at once
	held      heldPublish
	vector    wire.Assembly // of a subscribe whose first parts have come

	vectorBytes int // of vector, in the account
}

// A stage is how far the logon of a session is, and whether a publish is held.
type stage uint8

const (
	connected stage = iota
	deciding
	loggedOn
	holding
)

// NewSession returns the session of a client that has connected.
func NewSession(inst *Instance, driver Driver, log *slog.Logger, now time.Time) *Session {
	s := &Session{inst: inst, driver: driver, log: log, subs: make(map[string]*sub)}
	s.limits = inst.Limits.withDefaults(inst.MaxMessage)
	s.account = account{budget: &inst.held, total: s.limits.Memory, most: strangerMemory}
	if mut.On(mut.DAnyStranger) {
		s.account.most = s.limits.SessionMemory
	}
	s.reader.appender = inst.Ledger.Appender()
	s.writer.lastOutput = now
	return s
}

// Driver returns the session's driver.
func (s *Session) Driver() Driver { return s.driver }

// Log returns the session's logger, which names the client once it has logged
// on. It belongs to the reader's half.
func (s *Session) Log() *slog.Logger { return s.log }

// send queues an ack.
func (s *Session) send(a *wire.AckMessage) {
	s.mu.Lock()
	s.sendLocked(a)
	s.mu.Unlock()
	s.driver.Wake()
}

func (s *Session) sendLocked(a *wire.AckMessage) {
	if s.state < StateEnding && !s.account.take(s.box.frame(a)) {
		s.slowLocked()
	}
}

// later has the writer do a step behind the frames queued so far.
func (s *Session) later(do func(now time.Time)) {
	s.mu.Lock()
	if s.state < StateEnding && !s.account.take(s.box.step(do)) {
		s.slowLocked()
	}
	s.mu.Unlock()
	s.driver.Wake()
}

// slowLocked ends the session of a client that does not read.
func (s *Session) slowLocked() {
	s.inst.Counts.Slow.Add(1)
	s.becomeLocked(StateDead, "slow client")
}

// End ends the session: what is queued is written, then last, if there is one.
func (s *Session) End(why string, last *wire.AckMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state < StateEnding && last != nil {
		s.box.frame(last)
	}
	s.becomeLocked(StateEnding, why)
}

// endBy ends the session for a reason that the client is told first. id is of the command
// that is answered with it, if there is one.
func (s *Session) endBy(reason, id string) {
	s.End(reason, &wire.AckMessage{CommandID: id, Type: wire.AckProcessed, Reason: reason})
}

// Cut ends the session of a client that can't be written to.
func (s *Session) Cut(why string) { s.become(StateDead, why) }

// Drain makes the session end when its outstanding acks are out.
func (s *Session) Drain() { s.become(StateDraining, "drained") }

func (s *Session) become(state State, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.becomeLocked(state, why)
}

// Stop ends the session because the instance stops, which a client with our
// extensions is told.
func (s *Session) Stop() {
	s.mu.Lock()
	last := s.told.stopping()
	s.mu.Unlock()
	s.End("the instance stops", last)
}

func (s *Session) becomeLocked(state State, why string) {
	if state <= s.state {
		return
	}
	if why != "" && (s.why == "" || s.state == StateDraining) {
		s.why = why
	}
	s.state = state
	s.ended.Store(state >= StateEnding && !mut.On(mut.DEndUnseen))
	s.driver.Changed(state)
	s.driver.Wake()
}

// State returns how far the session is.
func (s *Session) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Reason returns why the session ends.
func (s *Session) Reason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// Fence ends a session whose name has gone to another one (R11). It tells the
// client first. When it returns the session appends nothing more.
func (s *Session) Fence() {
	s.endBy(wire.ReasonNameInUse, "")
	s.bar()
}

// bar waits for the append that is under way, and lets no other one begin.
func (s *Session) bar() {
	s.appending.Lock()
	s.fenced = true
	s.appending.Unlock()
}

// endOther ends a session whose id is another publisher's (R10), and gives the
// id free for that one. id is of the command that is answered with it.
func (s *Session) endOther(id string) {
	s.log.Error("the id of the client's publisher belongs to another publisher", "publisher", s.who.claim.Publisher)
	s.inst.Registry.release(s)
	s.endBy(wire.ReasonOtherPublisher, id)
}

// yield ends a session that has lost to a claim on a peer.
func (s *Session) yield(to Claim) {
	if mistaken(s.who.claim, to) {
		s.endOther("")
		s.bar()
		return
	}
	s.log.Warn(Takeover(s.who.claim, to), "instance", to.Instance)
	s.Fence()
}

// raised ends the session if the ledger has numbers of its publisher that its
// client has not given out: somebody else sends as it, or its store was rolled
// back (R11). The client is told that its name is in use, so that at its next
// logon it lets nothing go that was not compared.
func (s *Session) raised(have uint64) {
	s.mu.Lock()
	overtaken := have > s.given && s.state < StateEnding && !mut.On(mut.R11Overtaken)
	given := s.given
	s.mu.Unlock()
	if !overtaken {
		return
	}
	s.log.Error("numbers have come from a peer that this client has not given out: another process sends as its publisher, or its store was rolled back",
		"publisher", s.who.claim.Publisher, "have", have, "given_out", given)
	s.Fence()
}

// LoggedOn reports whether the logon was accepted.
func (s *Session) LoggedOn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known
}

// Info describes a session that is logged on; false: it is not.
func (s *Session) Info() (i Info, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		return Info{}, false
	}
	return Info{Claim: s.who.claim, Extended: s.who.ext, Subscriptions: len(s.subs)}, true
}

// An Info describes a session.
type Info struct {
	Claim
	Extended      bool
	Subscriptions int
}
