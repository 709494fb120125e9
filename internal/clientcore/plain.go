package clientcore

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// This file has the decisions that only servers without our extensions (plain servers) need.

// refusedMost is the number of times that a message is sent if the server refuses it each time
// without naming it.
const refusedMost = 3

// ErrUnnamed ends a connection whose server has refused a message without naming it. The
// messages in flight are sent again, one at a time.
var ErrUnnamed = errors.New("messages are sent again, since the server has refused one without naming it")

// knowsNotFound reports whether a server of that version, such as "5.3.5.0", supports the
// option bookmark_not_found.
func knowsNotFound(version string) bool {
	var v [3]int // missing numbers count as 0
	_, _ = fmt.Sscanf(version, "%d.%d.%d", &v[0], &v[1], &v[2])
	return slices.Compare(v[:], []int{5, 3, 5}) >= 0
}

// notFound returns the option for bookmarks that the server does not know, for a subscribe with
// the bookmark bm. It returns "" if the subscribe has no such option.
func (r *Request) notFound(to *Server, bm string) string {
	option := "bookmark_not_found=" + r.NotFound
	switch {
	case to.Plain && failpoint.On(failpoint.R9NotFoundAnyway):
		return "bookmark_not_found=fail"
	case r.NotFound == "" || !to.NotFound || bm == bookmark.NowText || !strings.Contains(bm, "|"):
		return ""
	}
	return option
}

// lostPlace reports whether the server refused a subscribe because it knows none of the
// bookmarks. The answer of version 5.3.5 in this case is not documented.
func (s *Subscription) lostPlace(by *Server, m *wire.Message) bool {
	switch string(m.Reason) {
	case wire.ReasonBookmarkNotFound:
		return true
	case wire.ReasonInvalidBookmark:
		return by.NotFound && s.NotFound == "fail"
	}
	return false
}

// plainMark returns the progress in a persisted ack of a server without vectors. Once the
// replay is complete, such an ack says that the subscription was shown everything in the log up
// to the bookmark. If the place is full, the mark is ignored: it is no reason to end the
// subscription.
func (s *Subscription) plainMark(m *wire.Message) bookmark.Vector {
	b, err := bookmark.Parse(m.Bookmark)
	switch {
	case err != nil, b.Publisher == 0, b.Sequence == 0, failpoint.On(failpoint.R9PlainMarksIgnored):
		return nil
	case !s.replayed && !failpoint.On(failpoint.R9MarkBeforeReplay):
		return nil
	}
	before := s.roster
	if s.roster.add(b) && s.TooMany() != nil {
		delete(s.roster.known, b.Publisher)
		s.roster = before
		return nil
	}
	return bookmark.Vector{b.Publisher: b.Sequence}
}

// refused handles a failure ack without a command id. From a plain server, such an ack ends the
// session only if its reason is one of ours. With any other reason the server refuses a message
// that it cannot read.
func (s *Session) refused(m *wire.Message) (Event, error) {
	err := refusal("session", m)
	var foreign *Refusal
	switch {
	case !s.server.Plain || !errors.As(err, &foreign) || failpoint.On(failpoint.R14UnnamedEnds):
		return Event{}, err
	case m.HasSequence:
		return s.rejected(m.Sequence, foreign.Reason), nil
	}
	onWire, again := s.pub.Unnamed(foreign.Reason)
	if again {
		return Event{}, fmt.Errorf("%w: %s", ErrUnnamed, foreign.Reason)
	}
	return s.rejected(onWire, foreign.Reason), nil
}

// rejectedByID handles a failure ack whose command id is the number of a message.
func (s *Session) rejectedByID(m *wire.Message) Event {
	n := m.Sequence
	if !m.HasSequence {
		n, _ = strconv.ParseUint(string(m.CommandID), 10, 64)
	}
	return s.rejected(n, string(m.Reason))
}

// suspects are messages of one life. A server has refused one of them without naming it.
type suspects struct {
	first, last uint64 // the range to send one at a time; the messages below first are settled
	reason      string

	alone uint64 // the message that was refused while it was the only one in flight
	times int    // number of these refusals
}

// Unnamed handles the refusal of a message that the server does not name. If several messages
// are in flight, all of them are sent again, one at a time (again). If only one is in flight,
// it is the refused one, and is sent again. After refusedMost refusals it is rejected: onWire
// is its number on the wire, otherwise 0.
func (p *Publisher) Unnamed(reason string) (onWire uint64, again bool) {
	x := &p.current.suspects
	switch p.flight.Len() {
	case 0:
		return 0, false // the refusal concerns no message
	case 1:
		alone := p.flight.At(0).sequence
		if x.alone != alone {
			x.alone, x.times = alone, 0
		}
		if x.times++; x.times < refusedMost {
			return 0, true
		}
		return alone + p.offset, false
	}
	x.first, x.last, x.reason = p.flight.At(0).sequence, p.written, reason
	return 0, true
}

// covered returns the suspects that the server reports as done and that were not let go. Those
// can no longer be tried alone, so their outcome is unknown.
func (x *suspects) covered(through, letGo uint64) (done pubstore.Range, reason string) {
	done = pubstore.Range{From: max(x.first, letGo+1), To: min(x.last, through)}
	x.first = max(x.first, through+1)
	if done.From > done.To || failpoint.On(failpoint.R14UnnamedLetGo) {
		return pubstore.Range{}, ""
	}
	return done, x.reason
}

// ApplyUnknown calls tell for each message that the server may or may not have taken. tell has
// to tell the application, and then has the store let go of the message.
func (b *Beginning) ApplyUnknown(store pubstore.Store, tell func(*Rejection, *pubstore.Message)) error {
	if b.Unknown.To == 0 {
		return nil
	}
	reason := wire.ReasonUnknown + ": the server has refused one of several messages without naming it: " + b.Refusal
	return tellKept(store, Rejection{Life: b.Life.ID, Reason: reason}, b.Unknown, tell)
}
