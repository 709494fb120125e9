package clientcore

import (
	"bytes"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A PublishersError ends a subscription whose place would name too many
// publishers. The place stays as it was.
type PublishersError struct {
	Subscription string // its id
	Limit        int    // Config.MaxPublishers; 0: the server's limit counts
	Bytes        int    // the longest command that the server takes, if that is the limit
}

func (e *PublishersError) Error() string {
	if e.Limit > 0 {
		return fmt.Sprintf("place of subscription %q would name more than %d publishers: raise MaxPublishers, or begin a new place", e.Subscription, e.Limit)
	}
	return fmt.Sprintf("place of subscription %q would name more publishers than fit into a command of %d bytes, the longest that the server takes: "+
		"raise max_message of the servers, or begin a new place", e.Subscription, e.Bytes)
}

// sequenceGrowth is by how many digits a sequence is expected to grow until the
// next resume.
const sequenceGrowth = 4

// A roster has the publishers that the place of a subscription names. It bounds
// them, since the place is in memory, in the store, and in one command at each
// resume.
type roster struct {
	known   map[uint64]struct{}
	recent  uint64 // known if known isn't empty
	bytes   int    // of the bookmark of a resume, about
	longest int    // command that the server takes; 0: not known
}

// begin begins with the place of a subscribe, and its text.
func (r *roster) begin(place bookmark.Vector, text string, at *Server) {
	*r = roster{known: make(map[uint64]struct{}, len(place)), bytes: len(text), longest: at.Longest}
	for publisher := range place {
		r.known[publisher] = struct{}{}
		r.recent = publisher
	}
}

// add adds the publisher of b, and reports whether it is new.
func (r *roster) add(b bookmark.Bookmark) bool {
	if b.Publisher == r.recent && len(r.known) > 0 {
		return false
	}
	r.recent = b.Publisher
	if _, known := r.known[b.Publisher]; known {
		return false
	}
	r.known[b.Publisher] = struct{}{}
	var text [64]byte
	r.bytes += len(b.AppendText(text[:0])) + len(",") + sequenceGrowth
	return true
}

// TooMany returns a *PublishersError if the place names too many publishers.
func (s *Subscription) TooMany() error {
	r := &s.roster
	switch {
	case mut.On(mut.R9AnyPublishers):
	case s.Publishers > 0 && len(r.known) > s.Publishers:
		return &PublishersError{Subscription: s.ID, Limit: s.Publishers}
	case r.longest > 0 && r.bytes > r.longest-wire.MaxHeader:
		return &PublishersError{Subscription: s.ID, Bytes: r.longest}
	}
	return nil
}

// bound takes the vectors of an effect into the roster. If that makes too many
// publishers, the subscription ends without them.
func (s *Subscription) bound(e *Effect) {
	for _, v := range []bookmark.Vector{e.Base, e.Shown} {
		for publisher, sequence := range v {
			s.roster.add(bookmark.Bookmark{Publisher: publisher, Sequence: sequence})
		}
	}
	if err := s.TooMany(); err != nil {
		e.Base, e.Shown, e.End = nil, nil, err
	}
}

// flood reports whether the text of a list has more entries than a place may
// have publishers, before it takes memory to parse it.
func (s *Subscription) flood(text []byte) bool {
	return s.Publishers > 0 && bytes.Count(text, comma) >= s.Publishers && !mut.On(mut.R9AnyPublishers)
}

var comma = []byte(",")

// longestCommand returns the length of the longest command that a server takes
// which has accepted a logon with m: a message, or a subscribe.
func longestCommand(m *wire.Message) int {
	if m.Max == 0 {
		return wire.MaxFrame
	}
	return int(min(max(m.Max, wire.LeastFrame), 1<<31-1))
}
