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
	Bytes        int    // the longest command that a server without extensions takes, if that is the limit
}

func (e *PublishersError) Error() string {
	if e.Limit > 0 {
		return fmt.Sprintf("place of subscription %q would name more than %d publishers: raise MaxPublishers, or begin a new place", e.Subscription, e.Limit)
	}
	return fmt.Sprintf("place of subscription %q would name more publishers than fit into a command of %d bytes, the longest that a server without extensions takes: "+
		"begin a new place", e.Subscription, e.Bytes)
}

// sequenceGrowth is by how many digits a sequence is expected to grow until the
// next resume.
const sequenceGrowth = 4

// A roster has the publishers that the place of a subscription names. It bounds
// them, since the place is in memory and in the store, and, with a server
// without extensions, in one command at each resume.
type roster struct {
	known   bookmark.Vector // only its publishers count
	recent  uint64          // known, if not 0
	bytes   int             // of the bookmark of a resume, about
	longest int             // command that the server takes; 0: any
}

// begin begins with the place of a subscribe, which it keeps, and its text.
func (r *roster) begin(place bookmark.Vector, text string, at *Server) {
	*r = roster{known: place, bytes: len(text), longest: at.Longest}
	if place == nil {
		r.known = make(bookmark.Vector)
	}
}

// add adds the publisher of b, and reports whether it is new.
func (r *roster) add(b bookmark.Bookmark) bool {
	if b.Publisher == r.recent && r.recent != 0 {
		return false
	}
	r.recent = b.Publisher
	if _, known := r.known[b.Publisher]; known {
		return false
	}
	r.known[b.Publisher] = b.Sequence
	var text [64]byte
	r.bytes += len(b.AppendText(text[:0])) + len(",") + sequenceGrowth
	return true
}

// remove takes the publishers of a vector out of it. A server to which the bytes
// matter has none that are closed.
func (r *roster) remove(v bookmark.Vector) {
	for publisher := range v {
		delete(r.known, publisher)
	}
	r.recent = 0
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
