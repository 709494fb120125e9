package servercore

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/nats-io/nuid"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	// plainLogonWait bounds the wait of a plain logon until have(p) and settled(p) are one number
	// (R15). extendedLogonWait bounds the wait of an extended logon for the peers' answers if this
	// instance does not know its publisher (R10).
	plainLogonWait    = time.Minute
	extendedLogonWait = 3 * time.Second

	// outbidWait is the time for which an outbid session holds a publish before the session ends. A
	// session is outbid if a peer keeps another session instead (R11). The peer's notice usually
	// ends it earlier.
	outbidWait = 3 * time.Second

	maxConflation = time.Minute // bound on the conflation interval that a client may request
	maxNameBytes  = 1024
)

// Intervals for the driver while a logon waits.
const (
	// LogonTick is the interval at which to call Decide if nothing else wakes the session.
	LogonTick = 100 * time.Millisecond
	// NoticeTimeout bounds the wait for the peers' answers to one notice. NoticePause is the time
	// between two notices.
	NoticeTimeout = 2 * time.Second
	NoticePause   = time.Second
)

// messageTypes are the message types that a logon may name. This server does not keep topics of
// different types apart.
var messageTypes = map[string]bool{
	"": true, "json": true, "binary": true, "msgpack": true, "xml": true, "fix": true, "nvfix": true,
}

// A RefusedError reports a logon that was answered with a failure ack.
type RefusedError struct{ Reason string }

func (e *RefusedError) Error() string { return "logon refused: " + e.Reason }

// clientInfo describes the client as its logon does.
type clientInfo struct {
	claim       Claim
	user        []byte // the authenticated user; nil: none. Messages carry it
	nameMadeUp  bool   // the client stated no name
	ext         bool
	canSequence bool
	unsequenced bookmark.Identity // publisher of messages without a sequence
	conflation  time.Duration     // least interval between persisted acks
}

// A logonRequest is a logon that waits for its decision.
type logonRequest struct {
	id          string
	acks        wire.AckType
	acked       uint64
	last        uint64      // highest sequence that the client's store has given out
	sent        uint64      // highest sequence that may have been sent
	clock       uint64      // group's clock: as stated by the client, later as sent in the logon ack
	spans       []wire.Span // rejected sequences above acked
	incarnation uint64      // highest incarnation of this group that the client's store has met
	lost        bool        // this logon has found messages to be lost
	since       time.Time   // time of the first Decide
	quiet       bool        // the logon has no line in the log
	waited      bool        // the ledger counts the logon as waiting
}

// logon executes the first command, which must be a logon. It claims the client name (R11) and has
// the peers asked. Decide completes the logon.
func (s *Session) logon(m *wire.Message) error {
	if m.Command != wire.Logon {
		return s.refuseLogon(m, wire.ReasonLogonRequired)
	}
	s.answer(m, wire.AckReceived, "")
	if reason := s.identify(m); reason != "" {
		return s.refuseLogon(m, reason)
	}
	rejected, err := wire.ParseSpans(m.Rejected)
	if err != nil || s.client.ext && (m.Acked > m.Last || m.Sent > m.Last) && !failpoint.On(failpoint.R1AckedBeyondLast) {
		return s.refuseLogon(m, "the numbers of the logon contradict each other")
	}
	if reason := s.inst.Ledger.OutdatedReason(); reason != "" {
		return s.refuseLogon(m, wire.ReasonIncarnation)
	}
	seen := m.Incarnation
	if !s.client.ext || string(m.Cluster) != s.inst.Ledger.Cluster() {
		seen = 0
	}
	if seen > s.inst.Ledger.Incarnation() {
		return s.refuseOutdated(m, seen)
	}
	if s.isOtherPublisher() { // before it replaces the session of the real publisher
		return s.refuseLogon(m, wire.ReasonPublisherIDTaken)
	}
	if s.ownedByOther() { // before it claims the publisher, which would keep the owner out
		return s.endOtherOwner(string(m.CommandID))
	}
	if from := s.divergedFrom(); from > 0 {
		s.endDiverged(string(m.CommandID), from)
		return &RefusedError{wire.ReasonPublisherDiverged}
	}
	losers, reason := s.inst.Registry.claim(s)
	if reason != "" {
		return s.refuseLogon(m, reason)
	}
	for _, old := range losers {
		s.inst.Counts.Fenced.Add(1)
		old.logTakeover(s.client.claim)
		old.Fence()
		old.leaveUser()
	}
	if !s.joinUser() {
		return s.refuseLogon(m, wire.ReasonTooManySessions)
	}
	s.reader.logon = logonRequest{
		id: string(m.CommandID), acks: m.Acks, acked: m.Acked, last: m.Last, sent: m.Sent, clock: m.Clock, spans: rejected, incarnation: seen,
	}
	s.reader.stage = stageDeciding
	s.announce()
	return nil
}

// isOtherPublisher reports whether the ledger has another publisher with this id.
func (s *Session) isOtherPublisher() bool {
	c := s.client.claim
	return c.Publisher != 0 && bookmark.ChecksDiffer(s.inst.Ledger.Check(c.Publisher), c.Check)
}

// refuseLogon answers the logon with a failure and ends the session.
func (s *Session) refuseLogon(m *wire.Message, reason string) error {
	s.log.Warn("logon refused", "reason", reason)
	s.inst.Counts.Refusals.add(RefusedLogon, reason)
	s.End("logon refused: "+reason, &wire.AckMessage{
		CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: reason, Version: s.inst.Version,
	})
	return &RefusedError{reason}
}

// identify reads the name, user, publisher and options of the client from the logon. It returns the
// reason of a refusal, empty if the logon is acceptable.
func (s *Session) identify(m *wire.Message) (reason string) {
	switch {
	case !messageTypes[string(m.MessageType)]:
		return wire.ReasonInvalidMessageType
	case !validName(m.ClientName):
		return "invalid client name"
	case !validName(m.Store):
		return "invalid store"
	case !validName(m.UserID):
		return "invalid user"
	}
	info := clientInfo{ext: string(m.Ext) == "1"}
	for name, value := range wire.Options(m.Options) {
		if !info.option(string(name), value) {
			return wire.ReasonInvalidOptions
		}
	}
	if info.ext && !failpoint.On(failpoint.R15ConflatesAll) {
		info.conflation = 0 // meant for servers without the extensions
	}
	info.claim, info.nameMadeUp = claimOf(m, s.inst.Name), len(m.ClientName) == 0
	if user, ok := s.User(); ok {
		info.claim.User, info.user = user, []byte(user)
	} else if failpoint.On(failpoint.UserClaimed) {
		info.user = []byte(info.claim.User)
	}
	info.canSequence = info.claim.Publisher != 0
	info.unsequenced = s.inst.runPublisher(string(info.user), info.claim.ClientName)
	s.client = info
	s.log = s.log.With("client", info.claim.ClientName)
	if info.claim.User != "" {
		s.log = s.log.With("user", info.claim.User)
	}
	if !s.mayUseName(info.claim.ClientName) {
		return wire.ReasonNotEntitled
	}
	return ""
}

// claimOf returns the claim of a logon. A client without a name gets one from the server.
func claimOf(m *wire.Message, instance string) Claim {
	c := Claim{ClientName: string(m.ClientName), User: string(m.UserID), Instance: instance}
	publisher := PublisherOf(m)
	c.Publisher, c.Check = publisher.ID, publisher.Check
	if c.hasLife() {
		c.LogonCounter = m.Counter
	}
	if c.ClientName == "" {
		c.ClientName = anonymous + nuid.Next()
	}
	return c
}

// PublisherOf returns the publisher of a logon, the zero Identity if the client does not publish
// with a sequence.
func PublisherOf(logon *wire.Message) bookmark.Identity {
	switch ext := logon.IsExt(); {
	case ext && len(logon.Store) > 0:
		return bookmark.IdentityOfLife(string(logon.Store))
	case !ext && len(logon.ClientName) > 0:
		return bookmark.IdentityOfName(string(logon.ClientName))
	}
	return bookmark.Identity{}
}

// ValidUser reports whether a name can be that of an authenticated user.
func ValidUser(name string) bool { return name != "" && validName([]byte(name)) }

// Challenge asks the client for another logon. It belongs to the reader's half, before the logon is
// executed.
func (s *Session) Challenge(id, user, text string) {
	s.send(&wire.AckMessage{CommandID: id, Type: wire.AckProcessed, Challenge: true, UserID: user, Password: text, Version: s.inst.Version})
}

// RefuseUser refuses a logon whose user is not authenticated, and ends the session. id is the id of
// the logon.
func (s *Session) RefuseUser(id string) {
	s.inst.Counts.Refusals.add(RefusedLogon, wire.ReasonAuthFailure)
	s.End("logon refused: "+wire.ReasonAuthFailure, &wire.AckMessage{
		CommandID: id, Type: wire.AckProcessed, Reason: wire.ReasonAuthFailure, Version: s.inst.Version,
	})
}

// anonymous is the prefix of client names that the server generates.
const anonymous = "anonymous-"

// validName reports whether a name is valid UTF-8 of at most maxNameBytes, without control
// characters. It also refuses characters that change the direction of writing, since they can make
// one name look like another.
func validName(name []byte) bool {
	return len(name) <= maxNameBytes && utf8.Valid(name) && !bytes.ContainsFunc(name, func(r rune) bool {
		return unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)
	})
}

// option applies one option of the logon. It returns false if the option is unknown.
func (c *clientInfo) option(name string, value []byte) bool {
	switch name {
	case "ack_conflation":
		d, err := wire.ParseInterval(value)
		c.conflation = min(d, maxConflation)
		return err == nil
	case "pretty", "none":
		return true
	}
	return false
}

// Deciding reports whether a command waits: a logon for its decision, or a publish for the peers.
// While one waits, the driver must call Decide whenever it is woken, and after LogonTick at the
// latest. It must not execute another command, and it must keep the message of the waiting command
// unchanged.
func (s *Session) Deciding() bool {
	return s.reader.stage == stageDeciding || s.reader.stage == stageHolding
}

// Decide decides the waiting command if that is possible now. An error ends the session.
func (s *Session) Decide(now time.Time) error {
	if s.reader.stage == stageHolding {
		return s.decideHeld(now)
	}
	return s.decideLogon(now)
}

func (s *Session) decideLogon(now time.Time) error {
	l := &s.reader.logon
	if l.since.IsZero() {
		l.since = now
	}
	if from := s.divergedFrom(); from > 0 { // found after the claim
		s.endDiverged(l.id, from)
		return &RefusedError{wire.ReasonPublisherDiverged}
	}
	facts := s.facts(l)
	verdict, clock := DecideLogon(facts), facts.clock()
	for verdict.Step == LogonGone || verdict.Step == LogonLost {
		if err := s.recordMissing(verdict); err != nil {
			return err
		}
		facts = s.facts(l)
		verdict = DecideLogon(facts)
	}
	waits := verdict.Step == LogonWait
	switch {
	case verdict.Step == LogonAccept:
		s.reader.stage, l.clock = stageLoggedOn, clock
		return s.accept(verdict, facts)
	case verdict.Step == LogonOtherPublisher:
		s.endOtherPublisher(l.id)
		return &RefusedError{wire.ReasonPublisherIDTaken}
	case verdict.Step == LogonOtherOwner:
		return s.endOtherOwner(l.id)
	case verdict.Step == LogonGap, waits && s.client.ext && now.Sub(l.since) >= extendedLogonWait:
		_ = s.endPublishGap(l.acked)
		return &RefusedError{wire.ReasonPublishGap}
	case now.Sub(l.since) >= plainLogonWait:
		return fmt.Errorf("logon: this instance and its peers did not agree on a number within %v", plainLogonWait)
	}
	if !l.waited && facts.Have > 0 {
		l.waited = true
		s.inst.Ledger.ExpectSettled(s.client.claim.Publisher, facts.Have)
	}
	return nil
}

// facts returns the current facts of the logon.
func (s *Session) facts(r *logonRequest) LogonFacts {
	l := s.inst.Ledger
	f := LogonFacts{
		Ext: s.client.ext, Publishes: s.client.canSequence, Acked: r.acked, Last: r.last, Sent: r.sent, Clock: r.clock,
		Lone: l.Lone(), Reachable: l.Reachable(), Single: l.Single(), CatchingUp: l.CatchingUp(),
	}
	s.mu.Lock()
	a := &s.answers
	f.Asked, f.AllAnswered, f.PeerHave, f.EnoughAnswered, f.IncomingHave = a.asked, a.AllAnswered, a.Have, a.EnoughAnswered, a.IncomingHave
	f.Intact, f.SurvivorsAnswered, f.DecreeUnused = a.Intact, a.SurvivorsAnswered, !a.DecreeUsed
	peers := ledger.GroupClock{Forgotten: a.Forgotten}
	ownerThere := a.Owner
	s.mu.Unlock()
	f.Intact = f.Intact || l.Intact()
	if s.client.canSequence {
		// Watermarks first: they are never above a have(p) that is read later.
		f.Safe, f.Settled = l.Watermarks(s.client.claim.Publisher)
		f.Have, _ = l.Have(s.client.claim.Publisher)
		f.OtherPublisher = s.isOtherPublisher()
		f.OtherOwner = s.isOtherUser(l.Owner(s.client.claim.Publisher)) || s.isOtherUser(ownerThere)
	}
	f.DecreeUnused = f.DecreeUnused && s.client.canSequence && l.DecreeUnused(s.client.claim.Publisher)
	f.GroupClock = peers.Max(l.GroupClock()) // read after have(p), to include all forgetting before that
	return f
}

// recordMissing records the messages that are missing here as the verdict says: those up to UpTo,
// then those up to Unknown with an unknown outcome.
func (s *Session) recordMissing(v LogonVerdict) error {
	if have, _ := s.inst.Ledger.Have(s.client.claim.Publisher); v.UpTo > have {
		if err := s.recordGone(v); err != nil {
			return err
		}
	}
	if v.Unknown == 0 {
		return nil
	}
	s.log.Warn("no instance of the group knows the client's publisher any more: the outcome of messages that it may have sent is unknown",
		"publisher", s.client.claim.Publisher, "first", v.UpTo+1, "last", v.Unknown)
	_, err := s.append(&ledger.Record{
		Kind: ledger.Gone, Publisher: s.client.claim.Publisher, Check: s.client.claim.Check, User: s.client.user,
		Sequence: v.Unknown, Prev: v.UpTo, Cause: ledger.LetGo, Reason: []byte(wire.ReasonOutcomeUnknown),
	})
	return err
}

// recordGone records that the publisher's messages up to v.UpTo are gone: the publisher let go of
// them before any instance knew it, they are lost with the journals that had them (R10), or they
// are lost by decree (R4).
func (s *Session) recordGone(v LogonVerdict) error {
	r := &ledger.Record{
		Kind: ledger.Gone, Publisher: s.client.claim.Publisher, Check: s.client.claim.Check, User: s.client.user, Sequence: v.UpTo, Cause: v.Cause,
	}
	r.Prev, _ = s.inst.Ledger.Have(r.Publisher)
	s.reader.logon.lost = v.Step == LogonLost || v.Cause == ledger.Lost
	if v.Step == LogonLost {
		s.log.Error("LOST: no instance has the messages that the client's store has let go of, and the decree declares them lost",
			"publisher", r.Publisher, "first", r.Prev+1, "last", v.UpTo)
		r.Cause = ledger.Lost
		if failpoint.On(failpoint.R4DecreeLetGo) {
			r.Cause = ledger.LetGo
		}
	} else {
		s.log.Warn("no instance of the group knows the client's publisher any more: it continues after the number that its client states",
			"publisher", r.Publisher, "sequence", v.UpTo)
	}
	_, err := s.append(r)
	return err
}

// accept answers the logon. The failures of rejected messages go before the logon ack. Otherwise
// its number would make the client let go of them in silence (R14).
func (s *Session) accept(v LogonVerdict, f LogonFacts) error {
	r := &s.reader
	s.raiseMemoryLimit() // before the failures, of which there may be many
	if f.DecreeUnused && s.client.ext && s.client.canSequence && f.Have > 0 {
		if err := s.inst.Ledger.UseDecree(s.client.claim.Publisher); err != nil {
			return err
		}
	}
	r.firstPublishStep, r.cause = s.firstPublishStep(f), f.UnknownCause()
	r.usesDecree = r.firstPublishStep == LogonLost || f.DecreeUnused && s.client.ext && s.client.canSequence && f.Have == 0
	r.have, r.ledgerAhead = f.Have, v.LedgerAhead
	if r.ledgerAhead {
		s.log.Warn("this instance has more of the client's publisher than its store has given out: each message is compared before it is acknowledged",
			"publisher", s.client.claim.Publisher, "have", f.Have, "given_out", r.logon.last)
	}
	if !s.client.ext { // a plain client lets go of the messages up to the number that it gets now
		r.logon.acked = v.Sequence
	}
	failuresSent := uint64(0)
	if s.client.canSequence {
		s.inst.Ledger.Touch(s.client.claim.Publisher)
		failuresSent = s.tellTombstones(&v)
	}
	s.mu.Lock()
	s.acks.Begin(s.client.ext, v.Sequence, failuresSent)
	s.loggedOn, s.givenOut = true, max(r.logon.last, f.Have)
	s.mu.Unlock()
	s.notifyEvent(EventLogon, nil, "") // before the client knows
	if have, _ := s.inst.Ledger.Have(s.client.claim.Publisher); s.client.canSequence {
		s.checkOvertaken(have) // a link may have brought records before givenOut was set
	}
	a := s.logonAck(v, f)
	s.mu.Lock() // one lock for both: the client gets each change after its logon ack
	if s.reader.logon.acks&wire.AckProcessed != 0 {
		s.sendLocked(a)
	}
	s.sentStatus.status = a.Sync
	s.mu.Unlock()
	s.driver.Wake()
	s.inst.Counts.Logons.Add(1)
	s.logLogon(v)
	return nil
}

// logLogon logs a logon. It leaves out numbers that are not known, and the publisher of a client
// that has published nothing.
func (s *Session) logLogon(v LogonVerdict) {
	full := s.inst.Full != nil && s.inst.Full()
	attempts, quiet := s.inst.fullDisk.logon(s.client.claim.ClientName, full)
	if s.reader.logon.quiet = quiet; quiet {
		return
	}
	publisher := s.client.claim.Publisher
	if v.Have == 0 && v.Sequence == 0 && s.reader.logon.last == 0 {
		publisher = 0
	}
	plain := ""
	if !s.client.ext {
		plain = "false"
	}
	s.log.Info("client logged on", "publisher", known(publisher), "safe", known(v.Sequence), "have", known(v.Have), "extended", plain,
		"attempts", known(uint64(attempts)))
}

// known returns a number for the log, and nil, which the log leaves out, for 0.
func known(n uint64) any {
	if n == 0 {
		return nil
	}
	return n
}

// LoggedQuietly reports whether the logon had no line in the log, since the disk is nearly full and
// has ended the session before this one. It belongs to the reader's half.
func (s *Session) LoggedQuietly() bool { return s.reader.logon.quiet }

// firstPublishStep returns how to record the numbers that the first publish of a plain client
// leaves out: as gone (LogonGone), as lost (LogonLost), or not at all (LogonWait).
func (s *Session) firstPublishStep(f LogonFacts) LogonStep {
	switch {
	case !s.client.canSequence || s.client.ext:
	case f.UnknownEverywhere():
		return LogonGone
	case f.Have > 0 && f.mayDeclareLost():
		return LogonLost
	}
	return LogonWait
}

// tellTombstones sends the failures of the rejected messages that the client may still keep. It
// returns the sequence of the last one. If the ledger's list is full, it sets the number of the
// logon ack below the first entry: earlier messages may have been rejected too, and the client must
// not let go of them before it gets their failures.
func (s *Session) tellTombstones(v *LogonVerdict) (last uint64) {
	if !s.client.ext || failpoint.On(failpoint.R14NotToldAgain) {
		return 0
	}
	tombs := s.inst.Ledger.Tombstones(s.client.claim.Publisher, s.reader.logon.acked)
	if len(tombs) >= ledger.MaxTombstones {
		v.Sequence = min(v.Sequence, tombs[0].Sequence-1)
	}
	for _, t := range tombs {
		s.send(&wire.AckMessage{Type: wire.AckPersisted, Sequence: t.Sequence, HasSequence: true, Reason: t.Reason})
		last = t.Sequence
	}
	return last
}

func (s *Session) logonAck(v LogonVerdict, f LogonFacts) *wire.AckMessage {
	a := &wire.AckMessage{
		CommandID: s.reader.logon.id, Type: wire.AckProcessed, Success: true,
		Sequence: v.Sequence, HasSequence: true,
		Bookmark:   bookmark.Bookmark{Publisher: s.client.claim.Publisher, Sequence: v.Sequence}.String(),
		ClientName: s.client.claim.ClientName,
		Version:    s.inst.Version,
	}
	if !s.client.ext {
		return a
	}
	a.Ext, a.Have, a.Max, a.CatchingUp = true, v.Have, uint64(s.inst.MaxMessage), f.CatchingUp
	if carried := s.inst.Ledger.CarriedTopics(); carried != nil {
		a.Carried, a.HasCarried = strings.Join(carried, ","), true
	}
	a.Instance = s.inst.Name
	a.Peers = strings.Join(s.inst.Ledger.SyncPeers(), ",")
	a.Sync, a.Clock = s.inst.SyncStatus().String(), s.reader.logon.clock
	a.Cluster, a.Incarnation = s.inst.Ledger.Cluster(), s.inst.Ledger.Incarnation()
	if r := &s.reader.logon; (r.incarnation < a.Incarnation || r.lost && !failpoint.On(failpoint.R4LossNotTold)) && s.client.canSequence {
		a.Lost = spansOf(s.inst.Ledger.LostRanges(s.client.claim.Publisher))
	}
	return a
}

// spansOf converts ranges to spans and joins adjacent ones.
func spansOf(ranges []ledger.Range) (spans []wire.Span) {
	for _, r := range ranges {
		if n := len(spans); n > 0 && spans[n-1].To+1 >= r.From {
			spans[n-1].To = max(spans[n-1].To, r.To)
			continue
		}
		spans = append(spans, wire.Span(r))
	}
	return spans
}

// refuseOutdated refuses a client that has seen a later incarnation of the group. The instance
// keeps serving other clients, because any client could make that claim.
func (s *Session) refuseOutdated(m *wire.Message, seen uint64) error {
	s.inst.notifyRefused(wire.ReasonIncarnation)
	if s.inst.outdated.CompareAndSwap(false, true) {
		s.log.Error("a client has seen a later incarnation of this group and is refused: was this instance replaced while it was away?",
			"incarnation", s.inst.Ledger.Incarnation(), "client_incarnation", seen)
	}
	return s.refuseLogon(m, wire.ReasonIncarnation)
}
