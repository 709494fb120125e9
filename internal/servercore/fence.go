package servercore

import (
	"bytes"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// A Claim is what a logon says of who publishes (R11), as peers are told it. Its
// Publisher is 0 if it never publishes with a sequence.
type Claim ledger.Notice

// A Contest is the outcome of two claims to one name.
type Contest uint8

const (
	NewWins        Contest = iota // the first claim gives way
	OldWins                       // the second claim gives way
	OtherUser                     // the second is refused
	OtherPublisher                // the second is refused: it has the id of the first and is not the same (R10)
)

// ContestHere decides between a session and a later logon on the same
// instance: of one life the higher counter wins, otherwise the later (R11).
func ContestHere(old, later Claim) Contest {
	switch {
	case mistaken(old, later):
		return OtherPublisher
	case old.User != later.User:
		return OtherUser
	case SameLife(old, later) && later.Counter < old.Counter && !mut.On(mut.R11LaterWins):
		return OldWins
	}
	return NewWins
}

// ContestAcross decides between a session here and one that a peer tells of.
// told is whether the peers had answered our own notice before theirs came:
// then theirs is the later one. Otherwise the notices have crossed, and what
// decides is something that both sides see alike.
func ContestAcross(here, there Claim, told bool) Contest {
	switch {
	case mistaken(here, there) && !told && bytes.Compare(there.Check[:], here.Check[:]) > 0:
		return NewWins
	case mistaken(here, there):
		return OtherPublisher
	case here.User != there.User && !told && there.Instance < here.Instance:
		return NewWins // they have crossed, and there must be one
	case here.User != there.User:
		return OtherUser
	case mut.On(mut.R11LaterWins):
		return NewWins
	case SameLife(here, there) && here.Counter != there.Counter:
		return winner(there.Counter > here.Counter)
	case told:
		return NewWins
	case here.Publisher != there.Publisher:
		return winner(there.Publisher > here.Publisher)
	}
	return winner(there.Instance < here.Instance)
}

// SameLife reports whether two claims are of one life of one store.
func SameLife(a, b Claim) bool {
	return a.hasLife() && a.Publisher == b.Publisher && a.Check == b.Check
}

// hasLife reports whether a claim is of a client with a store that we know of.
func (c Claim) hasLife() bool { return bookmark.IsLife(c.Publisher) }

// mistaken reports whether two claims have one id and are of two publishers.
func mistaken(a, b Claim) bool {
	return a.Publisher == b.Publisher && bookmark.Mistaken(a.Check, b.Check)
}

// Takeover says who a session has lost its name to.
func Takeover(old, later Claim) string {
	switch {
	case SameLife(old, later):
		return "the client has logged on again"
	case old.hasLife() && later.hasLife():
		return "another process has taken the name: another store logs on with it"
	}
	return "a later logon has taken the name"
}

func winner(isNew bool) Contest {
	if isNew {
		return NewWins
	}
	return OldWins
}
