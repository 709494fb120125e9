package server

import "github.com/holdfast-mq/holdfast/internal/mut"

// A claim is what a logon says of who publishes (R11).
type claim struct {
	name      string
	user      string
	publisher uint64 // 0: never publishes with a sequence
	life      string // empty: a plain client
	counter   uint64 // of the logon; 0: a plain client
	instance  string // where it logged on
}

// A contest is the outcome of two claims to one name.
type contest uint8

const (
	newWins contest = iota
	oldWins
	otherUser // the later one is refused
)

// contestHere decides between a session and a later logon on the same
// instance: of one life the higher counter wins, otherwise the later (R11).
func contestHere(old, later claim) contest {
	switch {
	case old.user != later.user:
		return otherUser
	case sameLife(old, later) && later.counter < old.counter && !mut.On(mut.R11LaterWins):
		return oldWins
	}
	return newWins
}

// contestAcross decides between a session here and one that a peer tells of.
// told is whether the peers had answered our own notice before theirs came:
// then theirs is the later one. Otherwise the notices have crossed, and what
// decides is something that both sides see alike.
func contestAcross(here, there claim, told bool) contest {
	switch {
	case here.user != there.user && !told && there.instance < here.instance:
		return newWins // they have crossed, and there must be one
	case here.user != there.user:
		return otherUser
	case mut.On(mut.R11LaterWins):
		return newWins
	case sameLife(here, there) && here.counter != there.counter:
		return winner(there.counter > here.counter)
	case told:
		return newWins
	case here.life != there.life:
		return winner(there.life > here.life)
	}
	return winner(there.instance < here.instance)
}

func sameLife(a, b claim) bool { return a.life != "" && a.life == b.life }

// takeover says who a session has lost its name to.
func takeover(old, later claim) string {
	switch {
	case sameLife(old, later):
		return "the client has logged on again"
	case old.life != "" && later.life != "":
		return "another process has taken the name: another store logs on with it"
	}
	return "a later logon has taken the name"
}

func winner(isNew bool) contest {
	if isNew {
		return newWins
	}
	return oldWins
}
