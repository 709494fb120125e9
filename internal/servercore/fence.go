package servercore

import "github.com/holdfast-mq/holdfast/internal/mut"

// A Claim is what a logon says of who publishes (R11).
type Claim struct {
	Name      string
	User      string
	Publisher uint64 // 0: never publishes with a sequence
	Life      string // empty: a plain client
	Counter   uint64 // of the logon; 0: a plain client
	Instance  string // where it logged on
}

// A Contest is the outcome of two claims to one name.
type Contest uint8

const (
	NewWins   Contest = iota // the first claim gives way
	OldWins                  // the second claim gives way
	OtherUser                // the second is refused
)

// ContestHere decides between a session and a later logon on the same
// instance: of one life the higher counter wins, otherwise the later (R11).
func ContestHere(old, later Claim) Contest {
	switch {
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
	case here.Life != there.Life:
		return winner(there.Life > here.Life)
	}
	return winner(there.Instance < here.Instance)
}

// SameLife reports whether two claims are of one life of one store.
func SameLife(a, b Claim) bool { return a.Life != "" && a.Life == b.Life }

// Takeover says who a session has lost its name to.
func Takeover(old, later Claim) string {
	switch {
	case SameLife(old, later):
		return "the client has logged on again"
	case old.Life != "" && later.Life != "":
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
