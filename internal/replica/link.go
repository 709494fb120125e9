package replica

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// lostAfterIntervals is the number of heartbeat intervals without a byte after which a link is
// lost.
const lostAfterIntervals = 4

// CheckPeer returns an error if two instances must not be linked, given the hello of this instance
// and that of its peer. expect is the name that was dialled, empty if the peer dialled. known says
// whether the peer's name is that of a configured destination or peer. The error is a
// *RefusedError.
func CheckPeer(us, peer *Hello, expect string, known bool) error {
	switch {
	case peer.Name == us.Name && peer.Run == us.Run:
		return refused("linked to itself: %q answers at its own address", us.Name)
	case peer.Name == us.Name:
		return refused("another instance is named %q, too", us.Name)
	case peer.Name == "":
		return refused("the peer has no name")
	case expect != "" && peer.Name != expect:
		return refused("%q answered where %q was expected", peer.Name, expect)
	case !known && !failpoint.On(failpoint.R2AnyName):
		return refused("%q names neither a destination nor a peer of %q: see replication.destinations and replication.peers", peer.Name, us.Name)
	case peer.Group != us.Group:
		return refused("%q is of group %q, but %q is of %q", peer.Name, peer.Group, us.Name, us.Group)
	case peer.Digest != us.Digest:
		return refused("%q rejects by other rules: its digest is %q instead of %q", peer.Name, peer.Digest, us.Digest)
	case !peer.Outbound && !us.Outbound:
		return refused("neither %q nor %q replicates to the other", peer.Name, us.Name)
	case peer.Outbound && us.Outbound && !slices.Equal(peer.Topics, us.Topics):
		return refused("%q sends %s, but %q sends %s: the topics of the two directions must be equal",
			peer.Name, describeTopics(peer.Topics), us.Name, describeTopics(us.Topics))
	}
	return nil
}

// CheckInboundTopics returns an error if peer must not send records here beside the peer other,
// which sends these topics. All links into an instance carry the same topics (R3).
func CheckInboundTopics(peer *Hello, other string, topics []string) error {
	if !peer.Outbound || other == peer.Name || slices.Equal(peer.Topics, topics) {
		return nil
	}
	return refused("%q sends %s, but %q sends %s: all links into an instance must carry the same topics",
		peer.Name, describeTopics(peer.Topics), other, describeTopics(topics))
}

// describeTopics describes patterns for a reason.
func describeTopics(patterns []string) string {
	if patterns == nil {
		return "all topics"
	}
	return strings.Join(patterns, ", ")
}

func refused(format string, args ...any) error {
	return &RefusedError{Code: refuseHello, Reason: fmt.Sprintf(format, args...)}
}

// Replaces reports whether a new connection between two instances replaces their present one, given
// the names of the diallers. The connection dialled by the smaller name stays. Of two by the same
// dialler the newer stays: an instance that dials again has lost the earlier one.
func Replaces(newDialler, oldDialler string) bool { return newDialler <= oldDialler }

// ExceedsHold reports whether an absent destination holds back more than hold bytes of journal.
// acknowledged is the position up to which it has acknowledged everything.
func ExceedsHold(end, acknowledged journal.Position, hold int64) bool {
	return hold > 0 && end > acknowledged && uint64(end-acknowledged) > uint64(hold)
}

// LinkTimeout returns the time without a byte after which a link is lost.
func LinkTimeout(heartbeat time.Duration) time.Duration { return lostAfterIntervals * heartbeat }

// A Decision says how a link treats the next record of the journal.
type Decision uint8

const (
	// Skip: the peer has the record.
	Skip Decision = iota
	// Send: send the record unchanged.
	Send
	// SendElsewhere: send a marker instead, which says that the message is elsewhere (R3).
	SendElsewhere
	// WaitDurable: the record is replaced by a marker, but it is not durable here yet.
	WaitDurable
	// SendFloor: the peer lacks messages before the record. It gets our floor first.
	SendFloor
	// AddCheck: the peer does not know the publisher, so the record gets the publisher's check
	// (R10). Then call Decide again.
	AddCheck
)

// A Link has the knowledge that one side of a connection has of the other side's journal. It
// decides which records to send. Before Begin the peer counts as empty. It is not safe for
// concurrent use.
type Link struct {
	have    bookmark.Vector
	carries func(topic []byte) bool // topics that the link carries; nil: all
}

// Begin begins a link with the peer's hello (R2).
func (l *Link) Begin(peer *Hello, carries func(topic []byte) bool) {
	l.have, l.carries = haveVector(peer.States), carries
}

// Raise records that the peer has everything up to b, because we sent it, the peer sent it, or the
// peer acknowledged it. So no record is echoed.
func (l *Link) Raise(b bookmark.Bookmark) { l.have.Raise(b) }

// NoteIntroduced records that the next record of a publisher carries the publisher's check. It
// reports whether the peer knows the publisher already.
func (l *Link) NoteIntroduced(publisher uint64) (known bool) {
	if _, known = l.have[publisher]; !known {
		l.have[publisher] = 0
	}
	return known
}

// PeerMayForget records that the peer may forget a publisher. The next record of the publisher
// carries its check again, and its gone marker is sent before that record.
func (l *Link) PeerMayForget(publisher uint64) { delete(l.have, publisher) }

// Have returns the vector of the peer, as far as it is known. The caller must not change it.
func (l *Link) Have() bookmark.Vector { return l.have }

// GoneMarkers returns a gone marker for each floor that the peer has not reached, which means that
// retention has removed messages here that the peer lacks (R2). states are our states in order.
func (l *Link) GoneMarkers(states []journal.PublisherState) []journal.Record {
	var gone []journal.Record
	for _, s := range states {
		if s.Floor > l.have[s.Publisher] {
			gone = append(gone, goneMarker(s, l.have[s.Publisher]))
		}
	}
	return gone
}

// Decide decides how to treat the next record. durable is durable(p) of its publisher here. A
// larger durable can turn WaitDurable into SendElsewhere and changes nothing else. If the decision
// is Send, Decide counts the record as sent.
func (l *Link) Decide(r *journal.Record, durable uint64) Decision {
	switch have, known := l.have[r.Publisher]; {
	case !known && !failpoint.On(failpoint.R10NotIntroduced):
		return AddCheck
	case r.Sequence <= have:
		return Skip
	case r.Prev > have:
		return SendFloor
	case r.Kind != journal.Message || l.carries == nil || l.carries(r.Topic):
		l.have[r.Publisher] = r.Sequence
		return Send
	case failpoint.On(failpoint.R3NoMarker):
		return Skip
	case durable < r.Sequence && !failpoint.On(failpoint.R3MarkerEarly):
		// The peer will acknowledge the marker as if it had the message. If our own disk did not
		// have the message yet, no disk would have it.
		return WaitDurable
	}
	return SendElsewhere
}

// SendRun returns how many messages at the beginning of a run can be sent unchanged, and counts
// them as sent. A run holds consecutive messages of one publisher. Decide handles the rest.
func (l *Link) SendRun(run []record.OrdinaryMessage) (n int) {
	if len(run) == 0 {
		return 0
	}
	publisher, first := run[0].Publisher(), run[0].Sequence()
	if have, known := l.have[publisher]; !known || have+1 != first {
		return 0
	}
	if n = len(run); l.carries != nil {
		n = countCarried(run, l.carries)
	}
	if n > 0 {
		l.have[publisher] = run[n-1].Sequence()
	}
	return n
}

// countCarried returns the number of messages at the beginning of a run whose topics are carried.
func countCarried(run []record.OrdinaryMessage, carries func(topic []byte) bool) int {
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

// elsewhereMarker returns the marker for a message that the link does not carry. It has the user of
// the message, who may be the owner of the publisher.
func elsewhereMarker(r *journal.Record) *journal.Record {
	m := &journal.Record{Kind: journal.Elsewhere, Publisher: r.Publisher, Sequence: r.Sequence, Prev: r.Prev, Check: r.Check, User: r.User}
	if failpoint.On(failpoint.R10OwnerNotIntroduced) {
		m.User = nil
	}
	return m
}

// goneMarker returns the marker for all sequences of a publisher above the peer's have, up to our
// floor. It carries the owner, whose first record may be among them, and the running CRC at the
// floor. From then on the peer's CRC can be compared with ours (R11).
func goneMarker(s journal.PublisherState, have uint64) journal.Record {
	r := journal.Record{Kind: journal.Gone, Publisher: s.Publisher, Sequence: s.Floor, Prev: have, Check: s.Check, User: []byte(s.Owner)}
	if failpoint.On(failpoint.R10OwnerNotIntroduced) {
		r.User = nil
	}
	if have == 0 && s.Floor <= s.ClosedUpTo {
		r.Cause = journal.Closed
	}
	switch s.Floor {
	case s.Have:
		r.RunningCRC = s.RunningCRC
	case s.Removed:
		r.RunningCRC = s.RemovedCRC
	}
	if failpoint.On(failpoint.R11GoneWithoutCRC) {
		r.RunningCRC = 0
	}
	return r
}

// Refusals count how often in a row a link has ended because a record on it was refused. The first
// refusal may be an accident that the next hello repairs. After the second the next one would be
// refused again, so the link counts as down (R2).
type Refusals struct{ inARow int }

// Refused counts a refusal and reports whether the link counts as down now.
func (r *Refusals) Refused() (down bool) {
	r.inARow++
	return r.inARow > 1
}

// Progressed notes that the peer has taken all records that it lacked.
func (r *Refusals) Progressed() { r.inARow = 0 }

// Down reports whether the link counts as down.
func (r *Refusals) Down() bool { return r.inARow > 1 }
