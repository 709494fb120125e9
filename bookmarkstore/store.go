// Package bookmarkstore keeps a subscriber application's place: for each
// subscription a version vector of what the application is done with
// (client/GUARANTEES.md R9). Memory and Bolt are ready; bookmarkstoretest
// checks anyone's own.
package bookmarkstore

import (
	"context"
	"errors"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A Bookmark is the identity of a message, the same on every server:
//
//	type Bookmark struct {
//		Publisher uint64 // the publisher's id
//		Sequence  uint64 // in that publisher, from 1 to 2^63-1
//	}
//
// The zero Bookmark names nothing (IsZero). String returns it as text,
// "publisher|sequence|" in decimal digits, which ParseBookmark reads.
type Bookmark = bookmark.Bookmark

// ParseBookmark parses what Bookmark.String returned: "7|43|", of which the
// last bar may be missing. The error quotes a text that is no bookmark.
func ParseBookmark(text string) (Bookmark, error) { return bookmark.Parse([]byte(text)) }

// A Vector says for each publisher, by its id, the highest sequence covered;
// an absent publisher is at 0. It is a map[uint64]uint64, not safe for
// concurrent use. String returns it as a list of bookmarks, "7|43|,9|5|",
// ascending by publisher; one that covers nothing is "0".
type Vector = bookmark.Vector

// A Mark names one message of one subscription: what has to be kept of it to
// discard it later, for one in the application's own transaction (Bolt.DiscardTx).
type Mark struct {
	Subscription string
	Bookmark     Bookmark
}

// A Query is what a subscription asks for. Another query under a kept id
// starts a new vector.
type Query struct {
	Topic  string
	Filter string
}

// A Store keeps the places of several subscriptions. Safe for concurrent use.
type Store interface {
	// Subscription returns the subscription that is kept under id, a text
	// the application chose, making it if it is new. If what is kept belongs
	// to another query it is forgotten. One caller at a time uses an id (ErrInUse).
	Subscription(id string, q Query) (Subscription, error)
	// Sync returns when every Discard so far is on disk, or ctx ends.
	Sync(ctx context.Context) error
	// Close syncs and releases the store. The client does not close it.
	Close() error
}

// A Subscription is one subscription's place. Safe for concurrent use.
//
// Within one publisher messages are received in order; discards come in any
// order and from any goroutine.
type Subscription interface {
	// Received returns what the client resumes from. It begins, with each call
	// of Store.Subscription, as Discarded. known is false until SetBase was
	// called or something was kept.
	Received() (v Vector, known bool)
	// OutOfOrder returns the sequences above Received that earlier processes have
	// discarded, ascending, by publisher; nil if there are none. Where retention
	// has removed such a message, it is not missing.
	OutOfOrder() map[uint64][]uint64
	// Discarded returns what the next process will resume from: nothing
	// received in this life of the process below it is undiscarded. The client
	// does not ask for it; tools and tests do.
	Discarded() (v Vector, known bool)
	// SetBase answers the first subscribe: everything up to base is none
	// of the subscription's (R9). Should something have been received before,
	// base counts as a progress mark behind it. In a store that lasts it is
	// durable when SetBase returns, or a process that dies before its first
	// discard would begin at NOW again.
	SetBase(base Vector) error
	// Restart forgets everything, as for a subscription that begins again at EPOCH or NOW.
	Restart() error
	// Receive notes that b has been queued for the application. It returns
	// false for what was received or discarded before: drop it.
	Receive(b Bookmark) bool
	// Progress notes a progress mark in its place in the queue: everything
	// of the publishers in v up to there has been shown. It is discarded
	// when everything received before it is.
	Progress(v Vector) error
	// Forget notes that of the publishers in closed nothing comes any more up to
	// there. Those leave the place of which exactly that much was received, and is
	// discarded; should more come of one, it begins anew. Forgetting is durable at
	// the store's next commit, or not at all: it does no harm to name a publisher
	// for longer.
	Forget(closed Vector) error
	// Discard notes that the application is done with b. Discarding what is
	// not outstanding changes nothing. Durable at the store's next commit.
	Discard(b Bookmark) error
	// Outstanding returns how many messages were received and not yet discarded.
	Outstanding() int
	// IsOutstanding reports whether b is one of them.
	IsOutstanding(b Bookmark) bool
	// Release gives the id free for another Subscription call. What was
	// received and not discarded comes again then.
	Release()
}

var (
	// ErrClosed reports the use of a closed store.
	ErrClosed = errors.New("bookmark store is closed")
	// ErrInUse reports a subscription id that is in use in this process.
	ErrInUse = errors.New("subscription id is in use")
	// ErrReleased reports a change to a subscription after its Release.
	ErrReleased = errors.New("subscription has been released")
	// ErrNotOutstanding reports a discard in a transaction (Bolt.DiscardTx) of
	// a message that is done already, or comes again because its subscription
	// was opened anew or restarted since. Roll back and take the next message.
	ErrNotOutstanding = errors.New("message is not outstanding")
	// ErrLocked reports a store that another process has open.
	ErrLocked = errors.New("bookmark store is in use by another process")
)

// A FailedError reports a store whose disk failed. Every later call returns it (R7).
type FailedError struct {
	Path string
	Err  error
}

func (e *FailedError) Error() string {
	return "bookmark store " + e.Path + " has failed: " + e.Err.Error()
}
func (e *FailedError) Unwrap() error { return e.Err }
