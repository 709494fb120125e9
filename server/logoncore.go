package server

import "github.com/holdfast-mq/holdfast/internal/mut"

// logonFacts are what is known when a logon is decided.
type logonFacts struct {
	ext       bool
	publishes bool   // has a publisher of its own
	acked     uint64 // extended: highest sequence its store has let go of

	have, safe, settled uint64 // of the publisher, here

	lone       bool   // no peers: nobody is asked
	asked      bool   // the peers have been asked at least once
	answered   bool   // and all have answered
	peerHave   uint64 // the highest answer
	enough     bool   // those have answered from whom something may still come, and the sync destinations
	coming     uint64 // the highest answer of those from whom something may still come
	reachable  bool   // a peer is connected
	single     bool   // a sync destination is left out
	catchingUp bool   // serving without having caught up (R6)
}

// A logonStep is what comes of a logon for now.
type logonStep uint8

const (
	// logonWait: ask again when something has changed.
	logonWait logonStep = iota
	// logonAccept: answer with s and have.
	logonAccept
	// logonGap: this instance lacks what the client let go of (R4).
	logonGap
	// logonGone: nobody knows the publisher; journal everything up to upTo as gone (R10), then decide again.
	logonGone
)

// A logonVerdict is a decision. sequence and have are those of logonAccept.
type logonVerdict struct {
	step     logonStep
	sequence uint64
	have     uint64
	upTo     uint64
}

// decideLogon decides a logon from what is known.
func decideLogon(f logonFacts) logonVerdict {
	switch {
	case !f.publishes:
		return logonVerdict{step: logonAccept}
	case f.ext:
		return decideExtended(f)
	}
	return decidePlain(f)
}

// decideExtended is R4 and R10: two numbers, and a lagging instance is not
// written past.
func decideExtended(f logonFacts) logonVerdict {
	accept := logonVerdict{step: logonAccept, sequence: f.safe, have: f.have}
	if mut.On(mut.G2LogonHave) {
		accept.sequence = f.have
	}
	switch {
	case f.acked <= f.have || mut.On(mut.R4NoGapCheck):
		return accept
	case f.have > 0 || mut.On(mut.R10UnknownIsGap):
		return logonVerdict{step: logonGap}
	case f.lone:
		return logonVerdict{step: logonGone, upTo: f.acked}
	case f.catchingUp || f.peerHave > 0:
		return logonVerdict{step: logonGap}
	case f.answered:
		return logonVerdict{step: logonGone, upTo: f.acked}
	}
	return logonVerdict{step: logonWait}
}

// decidePlain is R15: one number serves for letting go and for numbering, so
// the logon waits until there is only one.
func decidePlain(f logonFacts) logonVerdict {
	accept := logonVerdict{step: logonAccept, sequence: f.have, have: f.have}
	unknown := f.have == 0
	switch {
	case mut.On(mut.R15LogonAtOnce):
		return accept
	case !f.lone && !f.asked:
		return logonVerdict{step: logonWait}
	case f.lone || f.single || unknown && !f.reachable:
		// Nobody to wait for.
	case !f.enough || f.coming > f.have:
		return logonVerdict{step: logonWait}
	}
	if f.settled < f.have {
		return logonVerdict{step: logonWait}
	}
	return accept
}

// unknownEverywhere reports whether no instance of the group knows the
// publisher, so that a first number above 1 is neither a gap nor a hole (R10).
func (f logonFacts) unknownEverywhere() bool {
	if mut.On(mut.R10UnknownIsGap) || f.have > 0 || f.catchingUp {
		return false
	}
	return f.lone || f.answered && f.peerHave == 0
}
