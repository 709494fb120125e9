package servercore

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Driver connects a session to the world: it has the connection, the goroutines and the clock.
// Its methods must not block. Only AcksDue may call the session back, because the session calls the
// others while it holds a lock.
type Driver interface {
	// Wake has the driver call the session soon: there is output for Fill, or a waiting logon can
	// be decided.
	Wake()
	// AcksDue reports that persisted acks may be due or that a waiting logon may be decided, and
	// that nothing else is due. The driver may write the result of FillAcks at once, or do the same
	// as for Wake.
	AcksDue()
	// AskPeers has the driver send the session's Notice to the peers and pass their answers to
	// AddAnswers, repeatedly until AddAnswers returns true.
	AskPeers()
	// StateChanged reports a new state of the session. From StateDraining on the driver must read
	// no more commands.
	StateChanged(State)
}

// A State is a phase in the life of a session. It only moves forward.
type State uint8

const (
	StateOpen     State = iota
	StateDraining       // no more commands are read; ends when all acks are sent
	StateEnding         // the last frames are written, then the connection is closed
	StateDead           // nothing more is written
)

// ErrEnding is the error of a command whose session is ending.
var ErrEnding = errors.New("session is ending")

// A Session is the server's side of one client session: all of its state, from the logon to the
// last ack. It has no goroutines, sockets, files or clocks. A [Driver] brings the commands and the
// time and writes the output.
//
// A session has two halves. The methods Execute, Batch, Deciding, Decide, TooLarge, Refuse, Silence
// and Notify belong to one goroutine, which reads the connection. Fill, FillAcks, Next and Release
// belong to one goroutine at a time, which writes it. The other exported methods are safe for
// concurrent use unless their comment says otherwise. The state that both halves share is guarded
// by mu.
type Session struct {
	inst       *Instance    // shared by all sessions
	limits     Limits       // with the defaults filled in
	driver     Driver       // has the connection
	log        *slog.Logger // see Log
	address    string       // remote address; guarded by the mu of the registry's sessionSet
	gone       bool         // removed from the registry; guarded by its mu
	number     uint64       // number in the registry; constant once the session is added
	ended      atomic.Bool  // the state is StateEnding or later
	awaitsSafe atomic.Bool  // a subscription holds a record until it is safe
	probe      ackProbe     // measures the time to a persisted ack
	client     clientInfo   // set by the logon, constant once the logon is answered
	reader     readerState  // the reader's half
	writer     writerState  // the writer's half
	live       progress     // of the live subscriptions, for status and metrics

	// appending is held while a record of this session goes into the ledger. Fence waits for it.
	appending sync.Mutex
	fenced    bool // guarded by appending

	mu         sync.Mutex      // guards the fields below
	access     access          // of the user
	state      State           // guarded by mu, like the rest
	account    account         // memory of the session
	endReason  string          // reason why the session ends
	loggedOn   bool            // the logon was accepted
	box        outbox          // for the writer
	acks       AckCore         // of the sequenced publisher
	pending    pendingAcks     // of the publisher without sequences, and of flushes
	subs       map[string]*sub // by id
	answers    announcement    // of the peers
	sentStatus sentStatus      // the sync status that the client was told last
	givenOut   uint64          // highest sequence that the client is known to have given out
}

// readerState is the reader's half of a session.
type readerState struct {
	stage            stage
	appender         ledger.Appender
	record           ledger.Record
	batch            Batch
	batchRecord      ledger.Record // record of the batch's current publish
	logon            logonRequest
	firstPublishStep LogonStep     // how to record numbers that the first publish leaves out, see Session.firstPublishStep
	cause            ledger.Cause  // why these numbers are not here, if firstPublishStep is LogonGone
	usesDecree       bool          // the first message recorded uses the decree (R4)
	have             uint64        // have(p) at the logon, raised by the session's own messages
	ledgerAhead      bool          // the ledger had more of the publisher than the client's store has given out
	heartbeat        time.Duration // interval, 0: none
	mayAppend        bool          // the peers have answered, so every number may be appended
	held             heldPublish
	vector           wire.Assembly // of a subscribe that comes in parts
	publishable      topicAnswers  // of Permissions.Publish
	joined           atomic.Bool   // the session counts for its user
	recorded         uint64        // the user may have records of this publisher
	userPace

	vectorBytes int // memory of vector, as charged to the account
}

// A stage is the progress of the session's logon, and whether a publish is held.
type stage uint8

const (
	stageConnected stage = iota
	stageDeciding
	stageLoggedOn
	stageHolding
)

// NewSession returns the session of a new connection.
func NewSession(inst *Instance, driver Driver, log *slog.Logger, now time.Time) *Session {
	s := &Session{inst: inst, driver: driver, log: log, subs: make(map[string]*sub)}
	s.limits = inst.Limits.withDefaults(inst.MaxMessage)
	s.account = account{budget: &inst.memory, total: s.limits.Memory, limit: unauthenticatedMemory}
	if failpoint.On(failpoint.DMemoryWithoutLogon) {
		s.account.limit = s.limits.SessionMemory
	}
	s.reader.appender = inst.Ledger.Appender()
	s.writer.lastOutput = now
	return s
}

// Driver returns the session's driver.
func (s *Session) Driver() Driver { return s.driver }

// Log returns the session's logger, which names the client once it has logged on. It belongs to the
// reader's half.
func (s *Session) Log() *slog.Logger { return s.log }

// send queues an ack.
func (s *Session) send(a *wire.AckMessage) {
	s.mu.Lock()
	s.sendLocked(a)
	s.mu.Unlock()
	s.driver.Wake()
}

func (s *Session) sendLocked(a *wire.AckMessage) {
	if s.state < StateEnding && !s.account.add(s.box.addFrame(a)) {
		s.endSlowLocked()
	}
}

// queueTask has the writer run a task after it has written the frames queued so far.
func (s *Session) queueTask(do func(now time.Time)) {
	s.mu.Lock()
	if s.state < StateEnding && !s.account.add(s.box.addTask(do)) {
		s.endSlowLocked()
	}
	s.mu.Unlock()
	s.driver.Wake()
}

// endSlowLocked ends the session of a client that does not read its output.
func (s *Session) endSlowLocked() {
	s.inst.Counts.Slow.Add(1)
	s.becomeLocked(StateDead, "slow client")
}

// End ends the session after the queued output and then last, if it is not nil, are written.
func (s *Session) End(why string, last *wire.AckMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state < StateEnding && last != nil {
		s.box.addFrame(last)
	}
	s.becomeLocked(StateEnding, why)
}

// endWithAck ends the session after a failure ack with the reason. id is the id of the command that
// the ack answers, empty if there is none.
func (s *Session) endWithAck(reason, id string) {
	s.inst.Counts.Refusals.add(RefusedSession, reason)
	s.End(reason, &wire.AckMessage{CommandID: id, Type: wire.AckProcessed, Reason: reason})
}

// Abort ends the session without writing anything more.
func (s *Session) Abort(why string) { s.become(StateDead, why) }

// Drain ends the session once its outstanding acks are sent.
func (s *Session) Drain() { s.become(StateDraining, "drained") }

func (s *Session) become(state State, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.becomeLocked(state, why)
}

// Stop ends the session because the instance stops. A client with our extensions is told.
func (s *Session) Stop() {
	s.mu.Lock()
	last := s.sentStatus.stopping()
	s.mu.Unlock()
	s.End("the instance stops", last)
}

func (s *Session) becomeLocked(state State, why string) {
	if state <= s.state {
		return
	}
	if why != "" && (s.endReason == "" || s.state == StateDraining) {
		s.endReason = why
	}
	s.state = state
	s.ended.Store(state >= StateEnding && !failpoint.On(failpoint.DWorksWhileEnding))
	s.driver.StateChanged(state)
	s.driver.Wake()
}

// State returns the current state.
func (s *Session) State() State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// Reason returns the reason why the session ends, empty if it does not.
func (s *Session) Reason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.endReason
}

// Fence ends a session that has lost its name to another one (R11), after telling the client. When
// it returns, the session appends nothing more.
func (s *Session) Fence() {
	s.endWithAck(wire.ReasonNameInUse, "")
	s.stopAppends()
}

// stopAppends waits for the append in progress and prevents any further one.
func (s *Session) stopAppends() {
	s.appending.Lock()
	s.fenced = true
	s.appending.Unlock()
}

// endOtherPublisher ends a session whose publisher id belongs to another publisher (R10), and frees
// it for that publisher. id is the id of the command that this answers, empty if there is none.
func (s *Session) endOtherPublisher(id string) {
	s.log.Error("session ends: another publisher has the id of its publisher", "publisher", s.client.claim.Publisher)
	s.inst.Registry.freeNames(s)
	s.endWithAck(wire.ReasonPublisherIDTaken, id)
}

// yield ends a session that has lost to a claim on a peer.
func (s *Session) yield(to Claim) {
	if idCollides(s.client.claim, to) {
		s.endOtherPublisher("")
		s.stopAppends()
		return
	}
	s.logTakeover(to)
	s.Fence()
}

// logTakeover logs that the session has lost its name to a later claim. After a failover that is
// normal: the client has left a connection that nobody has missed yet.
func (s *Session) logTakeover(to Claim) {
	switch TakeoverOf(s.client.claim, to) {
	case TakeoverSame:
		s.log.Info("session ends: the client has logged on again", "peer", to.Instance)
	case TakeoverProcess:
		s.log.Warn("session ends: another process has taken the client name, with another publish store", "peer", to.Instance)
	default:
		s.log.Info("session ends: a later logon has taken the client name", "peer", to.Instance)
	}
}

// checkOvertaken ends the session if the ledger has numbers of its publisher that the client has
// not given out: another process publishes as it, or the client's store was rolled back (R11). The
// client is told that its name is in use. At its next logon every number is compared before the
// client lets go of it.
func (s *Session) checkOvertaken(have uint64) {
	s.mu.Lock()
	overtaken := have > s.givenOut && s.state < StateEnding && !failpoint.On(failpoint.R11SessionBehindLink)
	given := s.givenOut
	s.mu.Unlock()
	if !overtaken {
		return
	}
	s.log.Error("session ends: a peer has numbers that this client has not given out, so another process publishes as it, or its store was rolled back",
		"publisher", s.client.claim.Publisher, "have", have, "given_out", given)
	s.Fence()
}

// LoggedOn reports whether the logon was accepted.
func (s *Session) LoggedOn() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.loggedOn
}

// Info describes a session that is logged on. ok is false if the session is not.
func (s *Session) Info() (info SessionInfo, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.loggedOn {
		return SessionInfo{}, false
	}
	return SessionInfo{Claim: s.client.claim, Extended: s.client.ext, Subscriptions: len(s.subs)}, true
}

// A SessionInfo describes a session.
type SessionInfo struct {
	Claim
	Extended      bool
	Subscriptions int
}
