package servercore

import (
	"bytes"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// A Claim identifies the publisher and client of a logon (R11), in the form that a notice has.
// Publisher is 0 if the client never publishes with a sequence.
type Claim ledger.Notice

// A Contest is the outcome of two claims to one name or one publisher.
type Contest uint8

const (
	NewWins        Contest = iota // the first claim loses
	OldWins                       // the second claim loses
	OtherUser                     // the second claim is refused: the name belongs to another user
	OtherPublisher                // the second claim is refused: another publisher with the same id (R10)
)

// ContestHere decides between a session and a later logon on the same instance. If both are of the
// same life, the higher counter wins. Otherwise the later logon wins (R11).
func ContestHere(old, later Claim) Contest {
	switch {
	case idCollides(old, later):
		return OtherPublisher
	case old.User != later.User && !failpoint.On(failpoint.R11AnyUser):
		return OtherUser
	case SameLife(old, later) && later.LogonCounter < old.LogonCounter && !failpoint.On(failpoint.R11LaterWins):
		return OldWins
	}
	return NewWins
}

// ContestAcross decides between a session here and a logon that a peer has announced. answered says
// that this peer had answered our notice before it sent its own, so that its logon is the later
// one. Otherwise the notices have crossed, and the decision uses only facts that both sides see
// alike.
func ContestAcross(here, there Claim, answered bool) Contest {
	switch {
	case idCollides(here, there) && !answered && bytes.Compare(there.Check[:], here.Check[:]) > 0:
		return NewWins
	case idCollides(here, there):
		return OtherPublisher
	case here.User != there.User && !answered && there.Instance < here.Instance:
		return NewWins // the notices have crossed, and one of them must win
	case here.User != there.User && !failpoint.On(failpoint.R11AnyUser):
		return OtherUser
	case failpoint.On(failpoint.R11LaterWins):
		return NewWins
	case SameLife(here, there) && here.LogonCounter != there.LogonCounter:
		return winner(there.LogonCounter > here.LogonCounter)
	case answered:
		return NewWins
	case here.Publisher != there.Publisher:
		return winner(there.Publisher > here.Publisher)
	}
	return winner(there.Instance < here.Instance)
}

// SameLife reports whether two claims are of the same life of one store.
func SameLife(a, b Claim) bool {
	return a.hasLife() && a.Publisher == b.Publisher && a.Check == b.Check
}

// hasLife reports whether the claim is of a client with one of our publish stores.
func (c Claim) hasLife() bool { return bookmark.IsLife(c.Publisher) }

// idCollides reports whether two claims have the same id but are of two publishers.
func idCollides(a, b Claim) bool {
	return a.Publisher == b.Publisher && bookmark.ChecksDiffer(a.Check, b.Check)
}

// A Takeover is the reason why a session has lost its name to a later claim.
type Takeover uint8

const (
	TakeoverSame    Takeover = iota // the same client has logged on again
	TakeoverProcess                 // another process with another store
	TakeoverUnknown                 // it cannot be known which
)

// TakeoverOf compares the claim of a session with the later one.
func TakeoverOf(old, later Claim) Takeover {
	switch {
	case SameLife(old, later):
		return TakeoverSame
	case old.hasLife() && later.hasLife():
		return TakeoverProcess
	}
	return TakeoverUnknown
}

func winner(isNew bool) Contest {
	if isNew {
		return NewWins
	}
	return OldWins
}
