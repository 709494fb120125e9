package servercore

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// PublishersClosed tells subscriptions that their places no longer need these publishers: no
// instance will send any of their messages up to the given numbers (R10).
func (r *Registry) PublishersClosed(closed bookmark.Vector) {
	for _, s := range r.listSubscribers() {
		s.queueTask(func(now time.Time) {
			for b := range s.writer.subs {
				s.tellClosed(b, closed, now)
			}
		})
	}
}

// tellClosed tells a subscription by vector which closed publishers its place no longer needs:
// those whose number in the place equals the closed number. A mark goes first, so that the client's
// place has these numbers too.
func (s *Session) tellClosed(b *sub, closed bookmark.Vector, now time.Time) {
	if !b.Options.Vector || len(closed) == 0 {
		return
	}
	closedHere, seen := make(bookmark.Vector), b.Seen()
	for publisher, have := range closed {
		if seen[publisher] == have {
			closedHere[publisher] = have
		}
	}
	if len(closedHere) == 0 {
		return
	}
	s.writeMark(b, now)
	a := wire.AckMessage{CommandID: b.id, Type: wire.AckPersisted, Success: true, Reason: wire.ReasonPublisherClosed, SubID: b.ID}
	for text := closedHere.String(); text != ""; { // each part is valid by itself
		a.Bookmark, text = wire.CutPart(text)
		s.write(&a)
	}
}
