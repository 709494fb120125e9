package clientcore

import (
	"bytes"
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A TooManyPublishersError ends a subscription whose place would have too many publishers. The
// place stays as it was.
type TooManyPublishersError struct {
	Subscription string // the id of the subscription
	Limit        int    // Config.MaxPublishers; 0: Bytes is the limit
	Bytes        int    // longest command that a plain server takes, if that is the limit
}

func (e *TooManyPublishersError) Error() string {
	if e.Limit > 0 {
		return fmt.Sprintf("place of subscription %q would name more than %d publishers: raise MaxPublishers, or begin a new place", e.Subscription, e.Limit)
	}
	return fmt.Sprintf("place of subscription %q would name more publishers than fit into a command of %d bytes, the maximum of a server without extensions: "+
		"begin a new place", e.Subscription, e.Bytes)
}

// sequenceGrowth is the number of digits by which a sequence is expected to grow until the next
// resume.
const sequenceGrowth = 4

// A roster is the set of publishers in the place of a subscription. It limits their number,
// because the place is in memory, in the bookmark store and, with a plain server, in one
// command at each resume.
type roster struct {
	known      bookmark.Vector // only the keys count
	recent     uint64          // a publisher that is known to be in the roster; 0: none
	bytes      int             // approximate length of the bookmark at the next resume
	maxCommand int             // limit on a command of the server; 0: none
}

// reset starts a roster with the place of a subscribe and the text of its bookmark. The roster
// keeps the map place and changes it.
func (r *roster) reset(place bookmark.Vector, text string, at *Server) {
	*r = roster{known: place, bytes: len(text), maxCommand: at.MaxCommand}
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

// remove removes the publishers of v. It does not change bytes, which matters only with plain
// servers: they close no publishers.
func (r *roster) remove(v bookmark.Vector) {
	for publisher := range v {
		delete(r.known, publisher)
	}
	r.recent = 0
}

// CheckPublishers returns a *TooManyPublishersError if the place has too many publishers.
func (s *Subscription) CheckPublishers() error {
	r := &s.roster
	switch {
	case failpoint.On(failpoint.R9AnyPublishers):
	case s.MaxPublishers > 0 && len(r.known) > s.MaxPublishers:
		return &TooManyPublishersError{Subscription: s.ID, Limit: s.MaxPublishers}
	case r.maxCommand > 0 && r.bytes > r.maxCommand-wire.MaxHeader:
		return &TooManyPublishersError{Subscription: s.ID, Bytes: r.maxCommand}
	}
	return nil
}

// addPublishers adds the publishers in an effect to the roster. If there are too many, the
// effect loses its vectors and ends the subscription.
func (s *Subscription) addPublishers(e *Effect) {
	for _, v := range []bookmark.Vector{e.Base, e.Progress} {
		for publisher, sequence := range v {
			s.roster.add(bookmark.Bookmark{Publisher: publisher, Sequence: sequence})
		}
	}
	if err := s.CheckPublishers(); err != nil {
		e.Base, e.Progress, e.End = nil, nil, err
	}
}

// tooManyEntries reports whether a comma list has more entries than the place may have
// publishers. It is called before the list is parsed into memory.
func (s *Subscription) tooManyEntries(text []byte) bool {
	return s.MaxPublishers > 0 && bytes.Count(text, comma) >= s.MaxPublishers && !failpoint.On(failpoint.R9AnyPublishers)
}

var comma = []byte(",")
