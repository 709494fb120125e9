package replica

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// lostAfter is how many heartbeat intervals without a byte mean that a link is lost.
const lostAfter = 4

// Check says whether the side that sent peer may be linked with the one that
// sends us; expect is the name that was dialled, empty if the peer dialled, known says
// whether the name is one of a destination or peer of ours. The error is a *RefusedError.
func Check(us, peer *Hello, expect string, known bool) error {
	switch {
	case peer.Name == us.Name && peer.Run == us.Run:
		return refused("linked to itself: %q answers to its own address", us.Name)
	case peer.Name == us.Name:
		return refused("another instance is named %q, too", us.Name)
	case peer.Name == "":
		return refused("a peer without a name")
	case expect != "" && peer.Name != expect:
		return refused("%q answered where %q was expected", peer.Name, expect)
	case !known && !mut.On(mut.R2AnyName):
		return refused("%q names neither a destination nor a peer of %q: see replication.destinations and replication.peers", peer.Name, us.Name)
	case peer.Group != us.Group:
		return refused("%q is of group %q, %q of %q", peer.Name, peer.Group, us.Name, us.Group)
	case peer.Digest != us.Digest:
		return refused("%q rejects by other rules: digest %q, ours is %q", peer.Name, peer.Digest, us.Digest)
	case !peer.Outbound && !us.Outbound:
		return refused("neither %q nor %q replicates to the other", peer.Name, us.Name)
	case peer.Outbound && us.Outbound && !slices.Equal(peer.Topics, us.Topics):
		return refused("%q sends %s, %q sends %s: where links run both ways they must be equal",
			peer.Name, describeTopics(peer.Topics), us.Name, describeTopics(us.Topics))
	}
	return nil
}

// CheckInto says whether peer may send here beside another peer that does:
// all links into an instance carry the same topics (R3).
func CheckInto(peer *Hello, other string, topics []string) error {
	if !peer.Outbound || other == peer.Name || slices.Equal(peer.Topics, topics) {
		return nil
	}
	return refused("%q sends %s, %q sends %s: all links into an instance must carry the same",
		peer.Name, describeTopics(peer.Topics), other, describeTopics(topics))
}

// describeTopics names patterns in a reason.
func describeTopics(patterns []string) string {
	if patterns == nil {
		return "all topics"
	}
	return strings.Join(patterns, ", ")
}

func refused(format string, args ...any) error {
	return &RefusedError{Code: refuseHello, Reason: fmt.Sprintf(format, args...)}
}

// Stays says whether a new connection between two instances replaces the one
// they have, given who dialled which: the one dialled by the smaller name
// stays, and of two by the same one the newer, since who dials again has lost
// the one before.
func Stays(newDialler, oldDialler string) bool { return newDialler <= oldDialler }

// Beyond reports whether an absent destination, which has what is before
// acknowledged, holds back more than hold bytes.
func Beyond(end, acknowledged journal.Position, hold int64) bool {
	return hold > 0 && end > acknowledged && uint64(end-acknowledged) > uint64(hold)
}

// Silence is how long a link may bring nothing before it is lost.
func Silence(heartbeat time.Duration) time.Duration { return lostAfter * heartbeat }

// A Decision is what a link does with the next record of the journal.
type Decision uint8

const (
	// Skip: the peer has it.
	Skip Decision = iota
	// Send it as it is.
	Send
	// Mark: send the marker that says it is elsewhere (R3).
	Mark
	// Wait: it becomes a marker, but is not durable here yet.
	Wait
	// Lacks: the peer lacks what stands before it, and gets our floor first.
	Lacks
	// Introduce: the peer does not know the publisher, so the record gets its
	// check (R10). Then Decide again.
	Introduce
)

// A Link is what one side of a connection knows of the other: what the peer
// has. It decides what to send. Until Begin the peer has nothing. It isn't safe for concurrent use.
type Link struct {
	have    bookmark.Vector
	carries func(topic []byte) bool // nil: all
}

// Begin begins a link with the peer's hello (R2).
func (l *Link) Begin(peer *Hello, carries func(topic []byte) bool) {
	l.have, l.carries = vectorOf(peer.States), carries
}

// Has says that the peer has everything up to b: it was sent to it, came from
// it, or was acknowledged by it. So nothing is echoed.
func (l *Link) Has(b bookmark.Bookmark) { l.have.Raise(b) }

// Introduced says that the next record of a publisher brings its check along, unless
// the peer knows it already.
func (l *Link) Introduced(publisher uint64) (known bool) {
	if _, known = l.have[publisher]; !known {
		l.have[publisher] = 0
	}
	return known
}

// Closed says that the peer may forget a publisher: what is sent of it later is
// introduced, and what is gone of it said before.
func (l *Link) Closed(publisher uint64) { delete(l.have, publisher) }

// Have returns what the peer has, as far as is known. It is read only.
func (l *Link) Have() bookmark.Vector { return l.have }

// Floors returns a marker for each floor that the peer hasn't reached, given
// our states in order: what retention removed here and it hasn't got is gone (R2).
func (l *Link) Floors(states []journal.State) []journal.Record {
	var gone []journal.Record
	for _, s := range states {
		if s.Floor > l.have[s.Publisher] {
			gone = append(gone, goneMarker(s, l.have[s.Publisher]))
		}
	}
	return gone
}

// Decide says what to do with the next record, given how far its publisher is
// durable here. A larger durable can turn Wait into Mark, nothing else. What is to be
// sent as it is the peer has then.
func (l *Link) Decide(r *journal.Record, durable uint64) Decision {
	switch have, known := l.have[r.Publisher]; {
	case !known && !mut.On(mut.R10NotIntroduced):
		return Introduce
	case r.Sequence <= have:
		return Skip
	case r.Prev > have:
		return Lacks
	case r.Kind != journal.Message || l.carries == nil || l.carries(r.Topic):
		l.have[r.Publisher] = r.Sequence
		return Send
	case mut.On(mut.R3NoMarker):
		return Skip
	case durable < r.Sequence && !mut.On(mut.R3MarkerEarly):
		// The marker will be acknowledged as if the peer had the message. Until
		// our own disk has it that would be a message that nobody has.
		return Wait
	}
	return Mark
}

// Run says how many messages at the beginning of a run, which are of one publisher and
// follow one another, are to be sent as they are, and that the peer has them then.
// Of the others Decide says more.
func (l *Link) Run(run []record.Ordinary) (n int) {
	if len(run) == 0 {
		return 0
	}
	publisher, first := run[0].Publisher(), run[0].Sequence()
	if have, known := l.have[publisher]; !known || have+1 != first {
		return 0
	}
	if n = len(run); l.carries != nil {
		n = carriedOf(run, l.carries)
	}
	if n > 0 {
		l.have[publisher] = run[n-1].Sequence()
	}
	return n
}

// carriedOf returns how many messages at the beginning of a run are carried.
func carriedOf(run []record.Ordinary, carries func(topic []byte) bool) int {
	var topic []byte
	for i, o := range run {
		if t := o.Topic(); topic == nil || !bytes.Equal(t, topic) {
			if !carries(t) {
				return i
			}
			topic = t
		}
	}
	return len(run)
}

// goneMarker returns the marker for all sequences of a publisher above the peer's
// have, up to our floor. The running CRC at the floor goes along, so that the
// peer's can be compared with ours for ever after (R11).
func goneMarker(s journal.State, have uint64) journal.Record {
	r := journal.Record{Kind: journal.Gone, Publisher: s.Publisher, Sequence: s.Floor, Prev: have, Check: s.Check}
	if have == 0 && s.Floor <= s.Closed {
		r.Cause = journal.Closed
	}
	switch s.Floor {
	case s.Have:
		r.RunningCRC = s.RunningCRC
	case s.Removed:
		r.RunningCRC = s.RemovedCRC
	}
	if mut.On(mut.R11GoneWithoutCRC) {
		r.RunningCRC = 0
	}
	return r
}

// Refusals count how often a link in a row was ended because of what was sent
// on it. The first time may be an accident that the next hello mends; the
// second time the same will happen again, and the link counts as down (R2).
type Refusals struct{ row int }

// Refused counts one and reports whether the link is to be taken as down.
func (r *Refusals) Refused() (down bool) {
	r.row++
	return r.row > 1
}

// Progressed says that the peer has taken what was sent.
func (r *Refusals) Progressed() { r.row = 0 }

// Down reports whether the link is taken as down.
func (r *Refusals) Down() bool { return r.row > 1 }
