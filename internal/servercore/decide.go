package servercore

import (
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// LogonFacts are the facts that decide a logon.
type LogonFacts struct {
	Ext            bool   // the client uses our extensions
	Publishes      bool   // the client may publish with sequences
	OtherPublisher bool   // the id belongs to another publisher here
	OtherOwner     bool   // the publisher belongs to another user, here or on a peer
	Acked          uint64 // extended: highest sequence that its store has let go of as persisted
	Last           uint64 // extended: highest sequence that its store has given out
	Sent           uint64 // extended: highest sequence that it may have sent
	Clock          uint64 // extended: group's clock that its store keeps, from a logon at which no instance knew the life

	Have    uint64 // have(p) here
	Safe    uint64 // safe(p)
	Settled uint64 // settled(p)

	Lone           bool   // the instance has no peers
	Asked          bool   // the peers have been asked at least once
	AllAnswered    bool   // all peers have answered
	PeerHave       uint64 // the highest have(p) that a peer answered
	EnoughAnswered bool   // the sync destinations and all connected peers that replicate here have answered
	IncomingHave   uint64 // the highest have(p) that a peer which replicates here answered
	Reachable      bool   // a peer is connected
	Single         bool   // a sync destination is downgraded
	CatchingUp     bool   // the instance serves clients before it has caught up (R6)
	Intact         bool   // this instance or one that has answered is intact

	DecreeUnused      bool // a decree stands that this publisher has not used
	SurvivorsAnswered bool // all peers that the decree does not name have answered

	GroupClock ledger.GroupClock // every forgotten life was last seen at a clock below GroupClock.Forgotten
}

// A LogonStep is the next step of a logon.
type LogonStep uint8

const (
	// LogonWait: decide again when a fact has changed.
	LogonWait LogonStep = iota
	// LogonAccept: answer with s and have.
	LogonAccept
	// LogonGap: this instance lacks messages that the client's store has let go of (R4).
	LogonGap
	// LogonGone: no instance knows the publisher. Record everything up to UpTo as gone, and
	// everything above it up to Unknown as refused with an unknown outcome (R10). Then decide
	// again.
	LogonGone
	// LogonLost: everything up to UpTo is lost, according to the decree (R4). Record that, then
	// decide again.
	LogonLost
	// LogonOtherPublisher: the id belongs to another publisher (R10).
	LogonOtherPublisher
	// LogonOtherOwner: the publisher belongs to another user (R10).
	LogonOtherOwner
)

// A LogonVerdict is the decision on a logon. Sequence and Have belong to LogonAccept, UpTo and
// Unknown to LogonGone and LogonLost, and Cause to LogonGone.
type LogonVerdict struct {
	Step     LogonStep
	Sequence uint64
	Have     uint64
	UpTo     uint64
	Cause    ledger.Cause
	Unknown  uint64 // 0: none
	// LedgerAhead: the instance has more of the life than the client's store has given out. So each
	// number must be compared before it is acknowledged as the client's.
	LedgerAhead bool
}

// DecideLogon decides a logon from the facts.
func DecideLogon(f LogonFacts) LogonVerdict {
	switch {
	case !f.Publishes:
		return LogonVerdict{Step: LogonAccept}
	case f.OtherPublisher:
		return LogonVerdict{Step: LogonOtherPublisher}
	case f.OtherOwner && !failpoint.On(failpoint.R10AnyOwner):
		return LogonVerdict{Step: LogonOtherOwner}
	case f.Ext:
		return decideExtended(f)
	}
	return decidePlain(f)
}

// decideExtended decides the logon of a client with our extensions. The client may let go of
// messages up to one number, safe(p), and publish after another, have(p). An instance that lacks
// acknowledged messages refuses it (R4). A publisher that no instance knows may go on (R10).
func decideExtended(f LogonFacts) LogonVerdict {
	accept := LogonVerdict{Step: LogonAccept, Sequence: f.Safe, Have: f.Have}
	if failpoint.On(failpoint.G2LogonHave) {
		accept.Sequence = f.Have
	}
	if f.Have > f.Last && !failpoint.On(failpoint.R1ForeignTrusted) {
		accept.Sequence, accept.LedgerAhead = min(f.Safe, f.Acked), true
	}
	gone := LogonVerdict{Step: LogonGone, UpTo: f.Acked, Cause: f.UnknownCause()}
	if f.maybeForgotten() {
		gone.Unknown = f.Sent
	}
	switch {
	case f.Acked <= f.Have && gone.Unknown == 0 || failpoint.On(failpoint.R4NoGapCheck):
		return accept
	case f.mayDeclareLost():
		return LogonVerdict{Step: LogonLost, UpTo: f.Acked, Unknown: gone.Unknown}
	case f.DecreeUnused && !f.SurvivorsAnswered && f.PeerHave <= f.Have:
		return LogonVerdict{Step: LogonWait}
	case f.Have > 0 || failpoint.On(failpoint.R10UnknownIsGap):
		return LogonVerdict{Step: LogonGap}
	case f.Lone:
		return gone
	case f.PeerHave > 0 && f.Acked == 0: // the link will bring its messages, and new numbers wait for those (R11)
		return accept
	case f.PeerHave > 0 && f.IncomingHave >= f.Acked: // the link brings them, or markers for those that are gone
		return LogonVerdict{Step: LogonWait}
	case f.CatchingUp || f.PeerHave > 0:
		return LogonVerdict{Step: LogonGap}
	case f.AllAnswered:
		return gone
	}
	return LogonVerdict{Step: LogonWait}
}

// mayDeclareLost reports whether the missing messages may be declared lost by a decree: no instance
// is left that could have them. A peer that has more of the publisher will send it.
func (f LogonFacts) mayDeclareLost() bool {
	return f.DecreeUnused && (f.SurvivorsAnswered || failpoint.On(failpoint.R4DecreeAlone)) && f.PeerHave <= f.Have
}

// maybeForgotten reports whether the group may have had, and forgotten, messages that the client's
// store still keeps. Taking such a message now could take it twice.
func (f LogonFacts) maybeForgotten() bool {
	before := f.Clock > 0 && f.Clock <= f.GroupClock.Forgotten // 0: it has heard no clock, so it has sent nothing
	return f.Have == 0 && f.Sent > f.Acked && before && !failpoint.On(failpoint.R10ClockNotCompared)
}

// clock returns the group's clock for the logon ack, 0 to leave it out. Only a client whose
// publisher is unknown gets it: an instance that forgets the publisher later has seen it after this
// clock.
func (f LogonFacts) clock() uint64 {
	if !f.Ext || f.Have > 0 || f.PeerHave > 0 {
		return 0
	}
	return f.GroupClock.Now
}

// decidePlain decides the logon of a plain client. The number in its logon ack serves both for
// letting go and for numbering, so the logon waits until have(p) and settled(p) are equal (R15).
func decidePlain(f LogonFacts) LogonVerdict {
	accept := LogonVerdict{Step: LogonAccept, Sequence: f.Have, Have: f.Have}
	unknown := f.Have == 0
	switch {
	case failpoint.On(failpoint.R15LogonAtOnce):
		return accept
	case !f.Lone && !f.Asked:
		return LogonVerdict{Step: LogonWait}
	case f.Lone || f.Single || unknown && !f.Reachable:
		// The logon waits for no peer.
	case !f.EnoughAnswered || f.IncomingHave > f.Have:
		return LogonVerdict{Step: LogonWait}
	}
	if f.Settled < f.Have {
		return LogonVerdict{Step: LogonWait}
	}
	return accept
}

// UnknownEverywhere reports whether no instance of the group knows the publisher, so that a first
// number above 1 is neither a publish gap nor a hole (R10).
func (f LogonFacts) UnknownEverywhere() bool {
	if failpoint.On(failpoint.R10UnknownIsGap) || f.Have > 0 || f.CatchingUp {
		return false
	}
	return f.Lone || f.AllAnswered && f.PeerHave == 0
}

// UnknownCause returns the cause with which the earlier messages of a publisher that no instance
// knows are recorded as gone. Only an intact instance can say that the publisher let go of them
// before it came here. On another instance they may have been on a disk that was lost (R10).
func (f LogonFacts) UnknownCause() ledger.Cause {
	if f.Intact || failpoint.On(failpoint.R10LostAsLetGo) {
		return ledger.LetGo
	}
	return ledger.Lost
}

// ResendFacts are the facts about a number at or below have(p) that the client sends again, besides
// the record at that number.
type ResendFacts struct {
	LedgerAhead bool // the instance has more of the life than the client's store has given out
	LetGo       bool // the client has stated that its store let go of the number
	Refused     bool // the message would be refused if it were new
}

// A ResendVerdict is the answer to a number that is sent again.
type ResendVerdict uint8

const (
	ResendKnown   ResendVerdict = iota // answer with the watermark
	ResendRefused                      // answer with the failure of the tombstone at that number
	ResendDiffers                      // one identity with two contents: reject the message (R11)
	ResendUnknown                      // reject the message: its outcome is unknown
)

// DecideResend decides the answer to a number that is sent again from the record at that number
// (R1).
func DecideResend(st ledger.RecordInfo, f ResendFacts) ResendVerdict {
	gone := st.Kind == 0 || st.Kind == ledger.Elsewhere || st.Kind == ledger.Gone // nothing to compare with
	done := st.Kind != ledger.Gone || st.Cause == ledger.Removed || st.Cause == ledger.Closed || st.Cause == ledger.LetGo && f.LetGo
	switch {
	case failpoint.On(failpoint.R1CoveredIsDuplicate):
		return ResendKnown
	case st.Kind == ledger.Tombstone:
		return ResendRefused
	case st.Same:
		return ResendKnown
	case gone && done && !f.LedgerAhead:
		return ResendKnown
	case gone:
		return ResendUnknown
	case f.Refused && !f.LedgerAhead:
		return ResendKnown // taken under earlier rules; a body that is too large now cannot be compared
	}
	return ResendDiffers
}
