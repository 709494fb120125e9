package clientcore

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// This file has the decisions that only servers without our extensions need.

// refusedMost is how often a message is sent that a server refuses without naming it.
const refusedMost = 3

// ErrUnnamed: a server has refused a message without naming it. What it may be is
// sent again, one message at a time.
var ErrUnnamed = errors.New("messages are sent again, since the server has refused one without naming it")

// knowsNotFound reports whether a server of a version, "5.3.5.0", knows the option
// bookmark_not_found.
func knowsNotFound(version string) bool {
	var v [3]int // what is missing counts as 0
	_, _ = fmt.Sscanf(version, "%d.%d.%d", &v[0], &v[1], &v[2])
	return slices.Compare(v[:], []int{5, 3, 5}) >= 0
}

// notFound returns the option for bookmarks that a server does not know, for a
// subscribe at bm.
func (r *Request) notFound(to *Server, bm string) string {
	option := "bookmark_not_found=" + r.NotFound
	switch {
	case to.Plain && mut.On(mut.R9NotFoundAnyway):
		return "bookmark_not_found=fail"
	case r.NotFound == "" || !to.NotFound || bm == bookmark.NowText || !strings.Contains(bm, "|"):
		return ""
	}
	return option
}

// lostPlace reports whether a subscribe was refused because the server knows none
// of its bookmarks. How 5.3.5 says so is not documented.
func (s *Subscription) lostPlace(by *Server, m *wire.Message) bool {
	switch string(m.Reason) {
	case wire.ReasonBookmarkNotFound:
		return true
	case wire.ReasonInvalidBookmark:
		return by.NotFound && s.NotFound == "fail"
	}
	return false
}

// plainMark returns what a persisted ack of a server without vectors adds to the
// place: everything up to its bookmark in the log has been shown, once the replay is
// complete. It is no reason to end a subscription whose place is full.
func (s *Subscription) plainMark(m *wire.Message) bookmark.Vector {
	b, err := bookmark.Parse(m.Bookmark)
	switch {
	case err != nil, b.Publisher == 0, b.Sequence == 0, mut.On(mut.R9PlainMarksIgnored):
		return nil
	case !s.replayed && !mut.On(mut.R9MarkBeforeReplay):
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

// refused handles a failure without a command id. Of a server without our extensions
// only our own reasons are about the session; anything else it says of a message that
// it can't read.
func (s *Session) refused(m *wire.Message) (Event, error) {
	err := refusal("session", m)
	var foreign *Refusal
	switch {
	case !s.server.Plain || !errors.As(err, &foreign) || mut.On(mut.R14UnnamedEnds):
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

// rejectedByID handles a failure with a command id, which is the number of a message.
func (s *Session) rejectedByID(m *wire.Message) Event {
	n := m.Sequence
	if !m.HasSequence {
		n, _ = strconv.ParseUint(string(m.CommandID), 10, 64)
	}
	return s.rejected(n, string(m.Reason))
}

// suspects are messages of a life one of which a server has refused without naming it.
type suspects struct {
	first, last uint64 // to be sent one at a time; what is below first is settled
	reason      string

	alone uint64 // the message that was refused when nothing else was in flight
	times int    // so often
}

// Unnamed takes in that a server has refused a message that it does not name. It is
// the only one in flight, or what is in flight is to be sent again. A message that
// is refused again and again is rejected: onWire is its number, 0 for none.
func (p *Publisher) Unnamed(reason string) (onWire uint64, again bool) {
	x := &p.current.suspects
	switch p.flight.Len() {
	case 0:
		return 0, false // of no message
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

// covered returns the suspects, but for those that were let go, that a server says it
// is done with, so that they can't be tried alone any more.
func (x *suspects) covered(through, letGo uint64) (done pubstore.Range, reason string) {
	done = pubstore.Range{From: max(x.first, letGo+1), To: min(x.last, through)}
	x.first = max(x.first, through+1)
	if done.From > done.To || mut.On(mut.R14UnnamedLetGo) {
		return pubstore.Range{}, ""
	}
	return done, x.reason
}

// ApplyUnknown calls tell for each message that the server may or may not have
// taken: it has to tell the application, then have the store let go of it.
func (b *Beginning) ApplyUnknown(store pubstore.Store, tell func(*Rejection, *pubstore.Message)) error {
	if b.Unknown.To == 0 {
		return nil
	}
	reason := wire.ReasonUnknown + ": the server has refused one of several messages without naming it: " + b.Refusal
	return tellKept(store, Rejection{Life: b.Life.ID, Reason: reason}, b.Unknown, tell)
}
