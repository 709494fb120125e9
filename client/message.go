package client

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A Bookmark is the identity of a message. It is the same on every server.
type Bookmark = bookmarkstore.Bookmark

// A MessageRef names one message of one subscription. With it the message can be discarded later,
// from any goroutine and in any order.
type MessageRef = bookmarkstore.MessageRef

// Headers are the headers of a message, as the publisher has set them. The type is that of package
// pubstore, which documents its methods: Set and Delete to publish; Get, Lookup, Keys, All and Len
// to read. A message may have 32 headers of 4,096 bytes together, each with 3 bytes besides key and
// value.
type Headers = pubstore.Headers

// A HeadersError reports headers that no message may have. Publish returns it; the message is not
// stored.
//
//	type HeadersError struct {
//		Key    string // of the header at fault; empty if all of them together exceed a limit
//		Reason string
//	}
type HeadersError = pubstore.HeadersError

// A Message is a message that a subscription received. It, its Body and its Headers are valid until
// the next turn of the loop and must not be changed. Clone makes a copy that stays valid.
type Message struct {
	Topic string
	Body  []byte
	// Bookmark is zero if the server does not log the topic or the subscription has no From.
	Bookmark Bookmark

	Time          time.Time // time when the server processed it; only with WithTime
	SOWKey        string    // server's key of the record; always empty from holdfastd, which has no SOW
	CorrelationID string    // set by the publisher
	Headers       Headers   // set by the publisher; none from servers without our extensions
	UserID        string    // publisher's user, if the server sends it

	// Redeliveries is the number of earlier deliveries of the message in this process: a loop was
	// left in the message's turn (see Messages), or Retry called the function again.
	Redeliveries int

	sub *Subscription
	ctx context.Context // of the call of Handle; nil: none
}

// Clone returns a copy that stays valid.
func (m *Message) Clone() *Message {
	c := *m
	c.Body, c.Headers = slices.Clone(m.Body), m.Headers.Clone()
	return &c
}

// Context returns the context of the call of Handle that has the message, with the trace that a
// Tracer continues for it. Outside Handle it is context.Background.
func (m *Message) Context() context.Context {
	if m.ctx == nil {
		return context.Background()
	}
	return m.ctx
}

// Ref returns a reference to the message, for discarding it later.
func (m *Message) Ref() MessageRef {
	if m.sub == nil {
		return MessageRef{}
	}
	return MessageRef{Subscription: m.sub.id, Bookmark: m.Bookmark}
}

// Discard records in the bookmark store that the application is done with the message, so that it
// does not come again after a restart. The record is durable at the store's next commit; Drain
// waits for that. On a message of a subscription without bookmark Discard does nothing. The error
// is that of the bookmark store: bookmarkstore.ErrClosed or a *bookmarkstore.FailedError.
func (m *Message) Discard() error {
	if m.sub == nil {
		return nil
	}
	return m.sub.discard(m.Bookmark)
}

// Discard does the same as Message.Discard for the message that ref names.
func (s *Subscription) Discard(ref MessageRef) error {
	if ref.Subscription != s.id {
		return fmt.Errorf("discard %v in subscription %q: the message belongs to subscription %q", ref.Bookmark, s.id, ref.Subscription)
	}
	return s.discard(ref.Bookmark)
}

// Discard does the same as Message.Discard for the message that ref names. The subscription must
// not have ended (ErrNoSubscription).
func (c *Client) Discard(ref MessageRef) error {
	s := withLock(&c.mu, func() *Subscription { return c.subs[ref.Subscription] })
	if s == nil {
		return fmt.Errorf("discard %v in subscription %q: %w", ref.Bookmark, ref.Subscription, ErrNoSubscription)
	}
	return s.discard(ref.Bookmark)
}

func (s *Subscription) discard(b Bookmark) error {
	place := s.core.Place()
	if place == nil || b.IsZero() {
		return nil
	}
	if err := place.Discard(b); err != nil {
		return fmt.Errorf("discard %v in subscription %q: %w", b, s.id, err)
	}
	return nil
}

// syncDiscards waits until every earlier Discard is on disk.
func (c *Client) syncDiscards(ctx context.Context) error {
	if err := c.cfg.BookmarkStore.Sync(ctx); err != nil {
		return fmt.Errorf("sync the bookmark store: %w", err)
	}
	return nil
}
