package replica

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// A decree is made only if each configured peer is connected or named in it, both at the instance
// that makes it and at each peer. So every instance that is not named has been offered the decree
// and is one of its members.
//
// The link or process of a member may end between the rounds. Then that member is one incarnation
// behind and learns of the decree from the next hello. It may take the decree at that time: it was
// present when the decree was made, nothing was declared lost without its answer
// (Answers.SurvivorsAnswered), and the records that it has taken since count as before.

// outdatedReason returns the reason why h must not be linked with an instance that has the later
// decree d. An empty reason means that h takes d.
func outdatedReason(d journal.Decree, h *Hello) string {
	switch {
	case h.Empty && !h.Damaged && h.Decree.Incarnation == 0, failpoint.On(failpoint.R2AnyIncarnation):
		return ""
	case h.Decree.Incarnation+1 == d.Incarnation && slices.Contains(d.Members, h.Name):
		return ""
	}
	return fmt.Sprintf("%q is of incarnation %d and had no part in the decree of %s that began incarnation %d: export the records "+
		"that you need ('holdfast journal dump'), move the journal away, and start it with an empty one",
		h.Name, h.Decree.Incarnation, formatTime(d.Time), d.Incarnation)
}

func formatTime(t time.Time) string { return t.UTC().Format(time.DateTime) }

// checkDecree compares the decrees of two instances. take means that we take the peer's decree.
// outdated is the reason why we may not take it, because we had no part in it. err means that the
// two must not be linked.
func checkDecree(us, peer *Hello) (take bool, outdated string, err error) {
	a, b := us.Decree, peer.Decree
	switch {
	case a.Same(b):
		return b.Ended && !a.Ended, "", nil
	case a.Incarnation > b.Incarnation:
		if reason := outdatedReason(a, peer); reason != "" {
			err = &RefusedError{Code: refuseIncarnation, Reason: reason}
		}
		return false, "", err
	case a.Incarnation < b.Incarnation:
		if outdated = outdatedReason(b, us); outdated != "" {
			err = refused("%s", outdated)
		}
		return outdated == "", outdated, err
	case memberOfAll(us.Name, a, b) && memberOfAll(peer.Name, a, b):
		return b.ID < a.ID, "", nil
	}
	return false, "", refused("%q and %q began incarnation %d by two decrees: one of them must start with an empty journal",
		us.Name, peer.Name, a.Incarnation)
}

func memberOfAll(name string, decrees ...journal.Decree) bool {
	return !slices.ContainsFunc(decrees, func(d journal.Decree) bool { return !slices.Contains(d.Members, name) })
}
