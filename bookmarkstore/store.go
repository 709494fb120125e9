// Package bookmarkstore keeps the places of a subscriber application: for each subscription, the
// messages that the application has discarded, which means that it is done with them. A process
// that starts again resumes from there: the messages that it had not discarded come again, and no
// others. The package has two stores. Package bookmarkstoretest checks any other implementation of
// [Store].
//
//   - [Memory] lasts as long as the process.
//   - [Bolt] lives in a bbolt database, its own or the application's. In the application's database a
//     discard can be part of a transaction with its other data ([Bolt.DiscardTx]).
//
// An application opens a store, gives it to a client (client.Config.BookmarkStore) and closes it
// after the client. One store serves any number of subscriptions.
//
// A place is a [Vector]: one number for each publisher. One position in a log would not do, because
// the two servers of a pair may have the messages of different publishers in different orders. To
// servers a publisher is one life of a publish store (package pubstore). client/GUARANTEES.md has
// the reasons, under the rule "A subscription resumes by version vector".
package bookmarkstore

import (
	"context"
	"errors"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A Bookmark is the identity of a message. It is the same on every server.
//
//	type Bookmark struct {
//		Publisher uint64 // the publisher's id
//		Sequence  uint64 // number within that publisher, from 1 to 2^63-1
//	}
//
// The zero Bookmark names no message (IsZero). String returns "publisher|sequence|" in decimal
// digits, which ParseBookmark reads.
type Bookmark = bookmark.Bookmark

// ParseBookmark parses the result of Bookmark.String, such as "7|43|". The last bar may be
// missing. An error quotes the invalid text.
func ParseBookmark(text string) (Bookmark, error) { return bookmark.Parse([]byte(text)) }

// A Vector maps the id of each publisher to the highest sequence that it covers. An absent
// publisher is at 0. It is a map[uint64]uint64 and not safe for concurrent use. String returns it
// as a list of bookmarks, "7|43|,9|5|", ascending by publisher. The string of a Vector that
// covers nothing is "0".
type Vector = bookmark.Vector

// A MessageRef names one message of one subscription. Keep it to discard the message later in the
// application's own transaction (Bolt.DiscardTx).
type MessageRef struct {
	Subscription string
	Bookmark     Bookmark
}

// A Query is the topic and filter of a subscription. If an id is opened with another query, its
// place is forgotten.
type Query struct {
	Topic  string
	Filter string
}

// A Store keeps the places of several subscriptions. It is safe for concurrent use.
type Store interface {
	// OpenSubscription returns the subscription with the given id, and creates it if needed. The
	// application chooses the id. If the stored subscription has another query, its place is
	// forgotten. Until Release, the error of further calls with the id is ErrInUse.
	OpenSubscription(id string, q Query) (Subscription, error)
	// Group returns the values of the last SetGroup. cluster is the id that all servers of a group
	// share. incarnation is the number of times that an operator has declared messages of the group
	// lost. With them the client never goes back to a server that missed such a declaration, not
	// even after a restart.
	Group() (cluster string, incarnation uint64)
	// SetGroup stores the cluster id and the incarnation of the group of servers that the client
	// logged on to. In a durable store they are durable when SetGroup returns.
	SetGroup(cluster string, incarnation uint64) error
	// Sync returns when every Discard so far is on disk, or ctx ends.
	Sync(ctx context.Context) error
	// Close makes all discards durable and ends the store. Afterwards every call that returns an
	// error returns ErrClosed, also those of its subscriptions. The client does not call it. A
	// second Close returns the result of the first.
	Close() error
}

// A Subscription is the place of one subscription. It is safe for concurrent use.
//
// Messages of one publisher are received in order. Discards may come in any order and from any
// goroutine.
type Subscription interface {
	// Received returns the vector from which a client resumes within the process. After
	// OpenSubscription it equals Discarded. known is false for a new subscription: SetBase was
	// never called and nothing is stored.
	Received() (v Vector, known bool)
	// OutOfOrder returns the sequences above Received that were discarded before OpenSubscription,
	// by publisher and ascending. It is nil if there are none. If retention has removed such a
	// message, the subscription has missed nothing.
	OutOfOrder() map[uint64][]uint64
	// Discarded returns the vector from which the next process resumes. Every received message at
	// or below it is discarded. Tools and tests use it; the client does not.
	Discarded() (v Vector, known bool)
	// SetBase stores the base, the vector that the server sends with its first answer: messages up
	// to it do not belong to the subscription. If a message was received before the call, base
	// counts like a ReceiveMark after it. In a durable store, base is durable when SetBase returns:
	// a subscription without a stored base would begin at Now again and miss messages.
	SetBase(base Vector) error
	// Reset forgets the whole place. The client calls it before the subscription starts anew, at
	// the start of the log, at its end, or at a time.
	Reset() error
	// Receive records that b is queued for the application. It returns false if b was received or
	// discarded before, or if the subscription is released; the caller must drop b then.
	Receive(b Bookmark) bool
	// ReceiveMark adds a progress mark to the queue: of each publisher in v, everything up to its
	// sequence was delivered. The mark counts as discarded once all messages received before it
	// are.
	ReceiveMark(v Vector) error
	// ForgetPublishers removes publishers that servers have closed at the given sequences: they
	// were silent for long, and retention has removed all their messages. A publisher is removed
	// from the place only if exactly that sequence is both received and discarded. If a message of
	// it arrives later, it is new. The removal becomes durable at a later commit, or never: a place
	// that names a publisher for longer does no harm.
	ForgetPublishers(closed Vector) error
	// Discard records that the application is done with b. It does nothing if b is not outstanding.
	// It becomes durable at the next commit of the store.
	Discard(b Bookmark) error
	// Outstanding returns the number of messages that were received and are not yet discarded.
	Outstanding() int
	// IsOutstanding reports whether b was received and is not yet discarded.
	IsOutstanding(b Bookmark) bool
	// Release frees the id for another OpenSubscription. Messages that were received and not
	// discarded are delivered again after that. A second call does nothing.
	Release()
}

var (
	// ErrClosed means that the store is closed.
	ErrClosed = errors.New("bookmark store is closed")
	// ErrInUse means that the subscription id is in use in this process.
	ErrInUse = errors.New("subscription id is in use")
	// ErrReleased means that SetBase, Reset, ReceiveMark or ForgetPublishers was called on a
	// subscription after its Release. Applications do not see it: the client releases a
	// subscription when it ends. A Discard after Release still counts until the id is opened again.
	ErrReleased = errors.New("subscription has been released")
	// ErrNotOutstanding means that a message cannot be discarded in a transaction (Bolt.DiscardTx).
	// It is discarded already, or it will be delivered again because its subscription was opened or
	// reset in the meantime. Roll back the transaction and go on with the next message.
	ErrNotOutstanding = errors.New("message is not outstanding")
	// ErrLocked means that another process has the store open.
	ErrLocked = errors.New("bookmark store is in use by another process")
)

// A FailedError means that the disk of a store failed. The store stays failed: every later call
// returns the error. Restart the process: it finds the discards that reached the disk.
type FailedError struct {
	Path string
	Err  error
}

func (e *FailedError) Error() string {
	return "bookmark store " + e.Path + " has failed: " + e.Err.Error()
}
func (e *FailedError) Unwrap() error { return e.Err }
