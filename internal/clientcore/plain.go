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

// This file has the decisions for servers without our extensions (plain servers).

// maxUnnamedRefusals is the number of times that a message is sent if the server refuses it each
// time without naming it.
const maxUnnamedRefusals = 3

// ErrUnnamedRefusal ends a connection whose server refused a message without naming it. The
// messages in flight are sent again, one at a time.
var ErrUnnamedRefusal = errors.New("server refused a message without naming it: the messages in flight are sent again")

// supportsNotFound reports whether a server of that version, such as "5.3.5.0", supports the
// option bookmark_not_found.
func supportsNotFound(version string) bool {
	var v [3]int // missing numbers count as 0
	_, _ = fmt.Sscanf(version, "%d.%d.%d", &v[0], &v[1], &v[2])
	return slices.Compare(v[:], []int{5, 3, 5}) >= 0
}

// notFoundOption returns the option bookmark_not_found of a subscribe with the bookmark bm, or
// "" if the subscribe has none.
func (r *Request) notFoundOption(to *Server, bm string) string {
	option := "bookmark_not_found=" + r.NotFound
	switch {
	case to.Plain && failpoint.On(failpoint.R9NotFoundAnyway):
		return "bookmark_not_found=fail"
	case r.NotFound == "" || !to.SupportsNotFound || bm == bookmark.NowText || !strings.Contains(bm, "|"):
		return ""
	}
	return option
}

// bookmarksUnknown reports whether the server refused a subscribe because it knows none of the
// bookmarks. The answer of version 5.3.5 is not documented.
func (s *Subscription) bookmarksUnknown(by *Server, m *wire.Message) bool {
	switch string(m.Reason) {
	case wire.ReasonBookmarkNotFound:
		return true
	case wire.ReasonInvalidBookmark:
		return by.SupportsNotFound && s.NotFound == "fail"
	}
	return false
}

// plainMark returns the progress in a persisted ack of a server without vectors. Once the replay
// is complete, such an ack says that the subscription has received everything in the log up to
// the bookmark. If the place is full, the mark is ignored, because it is no reason to end the
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
	if s.roster.add(b) && s.CheckPublishers() != nil {
		delete(s.roster.known, b.Publisher)
		s.roster = before
		return nil
	}
	return bookmark.Vector{b.Publisher: b.Sequence}
}

// handleRefusal handles a failure ack without a command id. From a plain server, such an ack
// ends the session only if its reason is one of ours. With any other reason the server refuses a
// message that it cannot read.
func (s *Session) handleRefusal(m *wire.Message) (Event, error) {
	err := refusalError("session", m)
	var foreign *Refusal
	switch {
	case !s.server.Plain || !errors.As(err, &foreign) || failpoint.On(failpoint.R14UnnamedEnds):
		return Event{}, err
	case m.HasSequence:
		return s.reject(m.Sequence, foreign.Reason), nil
	}
	onWire, resend := s.pub.UnnamedRefusal(foreign.Reason)
	if resend {
		return Event{}, fmt.Errorf("%w: %s", ErrUnnamedRefusal, foreign.Reason)
	}
	return s.reject(onWire, foreign.Reason), nil
}

// rejectedByID handles a failure ack whose command id is the number of a message.
func (s *Session) rejectedByID(m *wire.Message) Event {
	n := m.Sequence
	if !m.HasSequence {
		n, _ = strconv.ParseUint(string(m.CommandID), 10, 64)
	}
	return s.reject(n, string(m.Reason))
}

// An UnsupportedError says why a server without our extensions cannot take a message as it is.
type UnsupportedError struct {
	Field  string // Headers or CorrelationID
	Char   rune   // first character of CorrelationID that such a server does not take; utf8.RuneError: not UTF-8
	Offset int    // of Char, in bytes
}

func (e *UnsupportedError) Error() string {
	if e.Field == "CorrelationID" {
		return fmt.Sprintf("the server lacks our extensions and takes only base-64 characters in CorrelationID: it has %q at byte %d", e.Char, e.Offset)
	}
	return "the server lacks our extensions and takes no headers: with Config.DropHeaders the message is sent without them"
}

// CheckPlain returns an *UnsupportedError if a plain server cannot take a message. dropHeaders
// says that the message may be sent without its headers.
func CheckPlain(m *pubstore.Message, dropHeaders bool) error {
	if m.Headers.Size() > 0 && !dropHeaders {
		return &UnsupportedError{Field: "Headers"}
	}
	for i, c := range m.CorrelationID {
		if !isBase64(c) {
			return &UnsupportedError{Field: "CorrelationID", Char: c, Offset: i}
		}
	}
	return nil
}

func isBase64(c rune) bool {
	return c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '='
}

// refuse rejects the next message if the plain server cannot take it, and reports whether it has
// done so.
func (s *Sender) refuse() (bool, error) {
	err := CheckPlain(&s.message, s.noHeaders)
	if err == nil || failpoint.On(failpoint.PlainGetsAll) {
		return false, nil
	}
	_, err = s.window.Refuse(s.message.Sequence, s.message.Size(), err)
	return true, err
}

// Refuse implements Window. If the message may have been sent to another server before, its outcome
// is unknown.
func (s *Session) Refuse(sequence uint64, bytes int, cause error) (Event, error) {
	onWire, resent := s.pub.Reserve(sequence, bytes)
	if resent {
		cause = fmt.Errorf("%w: %w", ErrOutcomeUnknown, cause)
	}
	e := s.reject(onWire, cause.Error())
	e.Rejection.Err = cause
	return e, nil
}

// suspects are messages of one life, of which a server refused one without naming it.
type suspects struct {
	first, last uint64 // the range to send one at a time; messages below first are settled
	reason      string

	alone         uint64 // the message that was refused while it was the only one in flight
	aloneRefusals int    // number of these refusals
}

// UnnamedRefusal handles the refusal of a message that the server does not name. If several
// messages are in flight, all of them are sent again, one at a time, and resend is true. If only
// one is in flight, it is the refused one, and it is sent again, too. After maxUnnamedRefusals
// refusals it is rejected: onWire is its number on the wire, otherwise 0.
func (p *Publisher) UnnamedRefusal(reason string) (onWire uint64, resend bool) {
	s := &p.current.suspects
	switch p.flight.Len() {
	case 0:
		return 0, false // the refusal concerns no message
	case 1:
		sequence := p.flight.At(0).sequence
		if s.alone != sequence {
			s.alone, s.aloneRefusals = sequence, 0
		}
		if s.aloneRefusals++; s.aloneRefusals < maxUnnamedRefusals {
			return 0, true
		}
		return sequence + p.offset, false
	}
	s.first, s.last, s.reason = p.flight.At(0).sequence, p.written, reason
	return 0, true
}

// takeAcked returns the suspects that the server acknowledges and that the store has not let go.
// They can no longer be sent alone, so their outcome is unknown.
func (s *suspects) takeAcked(through, letGo uint64) (acked pubstore.Range, reason string) {
	acked = pubstore.Range{From: max(s.first, letGo+1), To: min(s.last, through)}
	s.first = max(s.first, through+1)
	if acked.From > acked.To || failpoint.On(failpoint.R14UnnamedLetGo) {
		return pubstore.Range{}, ""
	}
	return acked, s.reason
}

// ApplyUnknown calls report for each message that the server may or may not have taken. report
// has to report the unknown outcome to the application, and then make the store let go of the
// message.
func (e *LogonEffect) ApplyUnknown(store pubstore.Store, report func(*Rejection, *pubstore.Message)) error {
	if e.Unknown.To == 0 {
		return nil
	}
	reason := wire.ReasonOutcomeUnknown + ": the server refused one of several messages without naming it: " + e.UnknownReason
	return reportKept(store, Rejection{Life: e.Life.ID, Reason: reason}, e.Unknown, report)
}
