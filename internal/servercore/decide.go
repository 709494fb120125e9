package servercore

import (
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// LogonFacts are what is known when a logon is decided.
type LogonFacts struct {
	Ext       bool   // its client knows our extensions
	Publishes bool   // has a publisher of its own
	Other     bool   // its id is another one's here
	Acked     uint64 // extended: highest sequence its store has let go of
	Last      uint64 // extended: highest sequence its store has given out
	Sent      uint64 // extended: highest sequence that may have been sent
	Clock     uint64 // extended: the group's clock when the life was last unknown and nothing sent was open

	Have    uint64 // have(p) here
	Safe    uint64 // safe(p)
	Settled uint64 // settled(p)

	Lone       bool   // no peers: nobody is asked
	Asked      bool   // the peers have been asked at least once
	Answered   bool   // and all have answered
	PeerHave   uint64 // the highest answer
	Enough     bool   // those have answered from whom something may still come, and the sync destinations
	Coming     uint64 // the highest answer of those from whom something may still come
	Reachable  bool   // a peer is connected
	Single     bool   // a sync destination is left out
	CatchingUp bool   // serving without having caught up (R6)
	Intact     bool   // this instance is, or one that has answered: it would know

	Decreed   bool // a decree stands of which the publisher has not made use
	Survivors bool // the peers have answered that the decree does not name

	Closing ledger.Closing // a life that was forgotten was seen last below Closing.Forgotten
}

// A LogonStep is what comes of a logon for now.
type LogonStep uint8

const (
	// LogonWait: ask again when something has changed.
	LogonWait LogonStep = iota
	// LogonAccept: answer with s and have.
	LogonAccept
	// LogonGap: this instance lacks what the client let go of (R4).
	LogonGap
	// LogonGone: nobody knows the publisher; journal everything up to UpTo as gone, and what is above it up
	// to Unknown as refused, since nobody can say what has become of it (R10). Then decide again.
	LogonGone
	// LogonLost: by the decree everything up to UpTo is lost; journal that, then decide again (R4).
	LogonLost
	// LogonOther: the id of the publisher belongs to another one (R10).
	LogonOther
)

// A LogonVerdict is a decision. Sequence and Have are those of LogonAccept, UpTo
// and Unknown those of LogonGone and LogonLost, and Cause why the former is not here.
type LogonVerdict struct {
	Step     LogonStep
	Sequence uint64
	Have     uint64
	UpTo     uint64
	Cause    ledger.Cause
	Unknown  uint64 // 0: nothing
	// Foreign: more is here of the life than its store has given out, so that
	// nothing is known to be the client's until it has been compared.
	Foreign bool
}

// DecideLogon decides a logon from what is known.
func DecideLogon(f LogonFacts) LogonVerdict {
	switch {
	case !f.Publishes:
		return LogonVerdict{Step: LogonAccept}
	case f.Other:
		return LogonVerdict{Step: LogonOther}
	case f.Ext:
		return decideExtended(f)
	}
	return decidePlain(f)
}

// decideExtended is R4 and R10: two numbers, and a lagging instance is not
// written past.
func decideExtended(f LogonFacts) LogonVerdict {
	accept := LogonVerdict{Step: LogonAccept, Sequence: f.Safe, Have: f.Have}
	if mut.On(mut.G2LogonHave) {
		accept.Sequence = f.Have
	}
	if f.Have > f.Last && !mut.On(mut.R1ForeignTrusted) {
		accept.Sequence, accept.Foreign = min(f.Safe, f.Acked), true
	}
	gone := LogonVerdict{Step: LogonGone, UpTo: f.Acked, Cause: f.UnknownCause()}
	if f.maybeForgotten() {
		gone.Unknown = f.Sent
	}
	switch {
	case f.Acked <= f.Have && gone.Unknown == 0 || mut.On(mut.R4NoGapCheck):
		return accept
	case f.mayLose():
		return LogonVerdict{Step: LogonLost, UpTo: f.Acked, Unknown: gone.Unknown}
	case f.Decreed && !f.Survivors && f.PeerHave <= f.Have:
		return LogonVerdict{Step: LogonWait}
	case f.Have > 0 || mut.On(mut.R10UnknownIsGap):
		return LogonVerdict{Step: LogonGap}
	case f.Lone:
		return gone
	case f.PeerHave > 0 && f.Acked == 0: // it comes from there, and new numbers wait for it (R11)
		return accept
	case f.PeerHave > 0 && f.Coming >= f.Acked: // a peer that may be about to forget it says what is gone
		return LogonVerdict{Step: LogonWait}
	case f.CatchingUp || f.PeerHave > 0:
		return LogonVerdict{Step: LogonGap}
	case f.Answered:
		return gone
	}
	return LogonVerdict{Step: LogonWait}
}

// mayLose reports whether a decree stands for what this instance lacks: nobody is
// left who might have it. A peer that has more of the publisher will send it.
func (f LogonFacts) mayLose() bool {
	return f.Decreed && (f.Survivors || mut.On(mut.R4DecreeAlone)) && f.PeerHave <= f.Have
}

// maybeForgotten reports whether the group may have had, and forgotten, what the
// client keeps of what it may have sent: to take that now might be to take it twice.
func (f LogonFacts) maybeForgotten() bool {
	before := f.Clock > 0 && f.Clock <= f.Closing.Forgotten // 0: it has heard none, and sent nothing
	return f.Have == 0 && f.Sent > f.Acked && before && !mut.On(mut.R10ClockNotCompared)
}

// clock returns what the logon ack says of the group's clock: something, if the
// publisher is unknown, so that whoever forgets it later has seen it since.
func (f LogonFacts) clock() uint64 {
	if !f.Ext || f.Have > 0 || f.PeerHave > 0 {
		return 0
	}
	return f.Closing.Clock
}

// decidePlain is R15: one number serves for letting go and for numbering, so
// the logon waits until there is only one.
func decidePlain(f LogonFacts) LogonVerdict {
	accept := LogonVerdict{Step: LogonAccept, Sequence: f.Have, Have: f.Have}
	unknown := f.Have == 0
	switch {
	case mut.On(mut.R15LogonAtOnce):
		return accept
	case !f.Lone && !f.Asked:
		return LogonVerdict{Step: LogonWait}
	case f.Lone || f.Single || unknown && !f.Reachable:
		// Nobody to wait for.
	case !f.Enough || f.Coming > f.Have:
		return LogonVerdict{Step: LogonWait}
	}
	if f.Settled < f.Have {
		return LogonVerdict{Step: LogonWait}
	}
	return accept
}

// UnknownEverywhere reports whether no instance of the group knows the
// publisher, so that a first number above 1 is neither a gap nor a hole (R10).
func (f LogonFacts) UnknownEverywhere() bool {
	if mut.On(mut.R10UnknownIsGap) || f.Have > 0 || f.CatchingUp {
		return false
	}
	return f.Lone || f.Answered && f.PeerHave == 0
}

// UnknownCause says why what a publisher has behind it is not here, if no instance
// knows the publisher. Only one that never lost its journal can say that nothing of
// it was here: of another it may be what was lost (R10).
func (f LogonFacts) UnknownCause() ledger.Cause {
	if f.Intact || mut.On(mut.R10LetGoUnheard) {
		return ledger.LetGo
	}
	return ledger.Lost
}

// AgainFacts are what is known of a number at or below have(p) that is sent
// again, beside what stands there.
type AgainFacts struct {
	Foreign bool // the instance has more of the life than its store has given out
	LetGo   bool // the client has said that it let go of the number
	Refused bool // it would be refused now
}

// An AgainVerdict is the answer to such a number.
type AgainVerdict uint8

const (
	AgainKnown   AgainVerdict = iota // the watermark
	AgainRefused                     // the failure of what stands there
	AgainDiffers                     // one identity with two contents (R11)
	AgainUnknown                     // nobody can say what has become of it
)

// DecideAgain answers a number that is sent again by what stands there (R1).
func DecideAgain(st ledger.Standing, f AgainFacts) AgainVerdict {
	gone := st.Kind == 0 || st.Kind == ledger.Elsewhere || st.Kind == ledger.Gone // nothing to compare it with
	done := st.Kind != ledger.Gone || st.Cause == ledger.Removed || st.Cause == ledger.Closed || st.Cause == ledger.LetGo && f.LetGo
	switch {
	case mut.On(mut.R1CoveredIsDuplicate):
		return AgainKnown
	case st.Kind == ledger.Tombstone:
		return AgainRefused
	case st.Same:
		return AgainKnown
	case gone && done && !f.Foreign:
		return AgainKnown
	case gone:
		return AgainUnknown
	case f.Refused && !f.Foreign:
		return AgainKnown // taken by the rules of that time; a body that is too large now cannot be compared
	}
	return AgainDiffers
}
