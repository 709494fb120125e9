package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
)

// A Bookmark is the identity of a message, the same on every server.
type Bookmark = bookmarkstore.Bookmark

// A Mark names one message of one subscription, for discarding it later,
// from any goroutine and in any order.
type Mark = bookmarkstore.Mark

// A Message is one that a subscription received. It and its Data are valid
// until the next turn of the loop, and must not be changed; Clone makes a copy
// for other use.
type Message struct {
	Topic    string
	Data     []byte
	Bookmark Bookmark // zero: the server does not log the topic, or was not asked for bookmarks (From)

	Time          time.Time // when the server processed it; only WithTime
	SOWKey        string    // the server's key of the record; from holdfastd, which has no SOW, always empty
	CorrelationID string    // the publisher's
	UserID        string    // the publisher's, if the server tells

	// Redelivered is how often this process was handed the message before: its
	// loop was left in the message's turn, see Messages.
	Redelivered int

	sub *Subscription
}

// Clone returns a copy that stays valid.
func (m *Message) Clone() *Message {
	c := *m
	c.Data = slices.Clone(m.Data)
	return &c
}

// Mark returns what is needed to discard the message later.
func (m *Message) Mark() Mark {
	if m.sub == nil {
		return Mark{}
	}
	return Mark{Subscription: m.sub.id, Bookmark: m.Bookmark}
}

// Discard tells the bookmark store that the application is done with the
// message, so that it does not come again after a restart. Durable at the
// store's next commit; Drain waits for it. On a message of a subscription
// without bookmark it does nothing.
func (m *Message) Discard() error {
	if m.sub == nil {
		return nil
	}
	return m.sub.discard(m.Bookmark)
}

// Discard is Message.Discard for a mark that was kept.
func (s *Subscription) Discard(m Mark) error {
	if m.Subscription != s.id {
		return fmt.Errorf("discard of %v: the mark belongs to subscription %q, this one is %q", m.Bookmark, m.Subscription, s.id)
	}
	return s.discard(m.Bookmark)
}

// Discard is Message.Discard for a mark that was kept. The subscription must
// not have ended.
func (c *Client) Discard(m Mark) error {
	s := under(&c.mu, func() *Subscription { return c.subs[m.Subscription] })
	if s == nil {
		return fmt.Errorf("discard of %v in %q: %w", m.Bookmark, m.Subscription, ErrNoSubscription)
	}
	return s.discard(m.Bookmark)
}

func (s *Subscription) discard(b Bookmark) error {
	place := s.core.Place()
	if place == nil || b.IsZero() {
		return nil
	}
	if err := place.Discard(b); err != nil {
		return fmt.Errorf("discard of %v in %q: %w", b, s.id, err)
	}
	return nil
}

// syncMarks returns when every Discard so far is on disk.
func (c *Client) syncMarks(ctx context.Context) error {
	if err := c.cfg.Bookmarks.Sync(ctx); err != nil {
		return fmt.Errorf("sync of the bookmark store: %w", err)
	}
	return nil
}
