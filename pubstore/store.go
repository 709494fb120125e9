// Package pubstore keeps published messages until they are safe: until both servers of a pair have
// them on disk. It has three stores. Package pubstoretest checks any other implementation of
// [Store].
//
//   - [Memory] survives a lost connection and a server failure, but not the end of the process.
//     It is for messages that the application can produce again, and for tests.
//   - [File] also survives a crash of the process. It survives a power cut after a few
//     milliseconds or, with SyncAlways, at once. It has a directory of its own. Use this one
//     unless you have a reason for another.
//   - [Bolt] lives in a bbolt database, and each Append waits for its commit. It is for
//     applications that keep their own data in such a database and publish a message if and only
//     if a transaction commits ([Bolt.AppendTx]).
//
// An application opens a store, gives it to a client (client.Config.PublishStore) and closes it
// after the client. The client calls the methods of [Store]; an application rarely calls one
// itself.
//
// # Lives
//
// A store numbers its messages from 1 without jumps. Such a series of numbers is a life of the
// store. The id of the life is a random secret that the client sends to each server at logon. To
// servers, and in bookmarks, a life is a publisher, and a message is known by its publisher and its
// sequence. Servers recognize a message that is sent again by these two numbers.
//
// A number must therefore never stand for two messages. So a store begins a new life when it may
// have lost numbers that it had given out. A Memory does so in each process. A File or a Bolt does
// so if the machine has crashed while the store was open, or if it is opened with AcceptDamage. It
// keeps its life if it was closed, or if only the process was killed. [Store.Renew] begins a new
// life on request. Messages of a former life stay in the store and are still sent.
//
// For the same reason a store belongs to one publisher. Two processes cannot share a store, and a
// copy of a store must not be used together with the original: servers end the session of one of
// the two, or refuse their life for good. Do not restore a store from a backup either: it would
// give out numbers a second time. The servers notice that, and the client begins a new life
// (client.ErrStoreRolledBack).
//
// # Ends
//
// Close ends a store; afterwards its methods return ErrClosed. A store whose disk failed has ended,
// too: its methods, Close included, return the *FailedError. A second Close waits for the first.
//
// The reasons for these rules are in client/GUARANTEES.md: the promise "The publish store keeps",
// and the rule "A new life of a store is a new publisher".
package pubstore

import (
	"context"
	"encoding/base64"
	"errors"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A Message is one published message. Its identity is Publisher and Sequence.
type Message struct {
	Publisher uint64 // the id of the life (PublisherOf), as in bookmarks; set by Append
	Sequence  uint64 // number within the life, from 1 without jumps; set by Append and by a Cursor
	// Prev is the highest sequence below Sequence that was not rejected. The numbers between the
	// two were rejected and are not sent. Set by a Cursor.
	Prev uint64

	Topic         string
	Body          []byte
	Delta         bool          // publish as a delta (delta_publish)
	SOWKey        string        // wire header k; base-64 characters (A-Z a-z 0-9 + / =), may be empty
	CorrelationID string        // wire header x; any bytes; may be empty. See client.UnsupportedError
	Expiration    time.Duration // wire header e; whole seconds, not negative; 0: none
	Headers       Headers       // set by the application
	Time          time.Time     // time of the Append; set by Append and by a Cursor

	record []byte
}

// Record returns the encoded message as the client sends it to servers with our extensions. It is
// nil unless a Cursor of this package returned the message, and valid as long as Body is.
func (m *Message) Record() []byte { return m.record }

// Size returns the number of bytes that m counts towards the bound of a store: topic, body, key,
// correlation id and headers.
func (m *Message) Size() int {
	return len(m.Topic) + len(m.Body) + len(m.SOWKey) + len(m.CorrelationID) + m.Headers.Size()
}

// HeaderSize returns an upper bound for the bytes of topic, key, correlation id and headers in a
// wire header. A quote, a backslash and a control character in topic and correlation id count as
// escapes there, and the headers as base-64.
func (m *Message) HeaderSize() int {
	n := m.Size() - len(m.Body) + escapes(m.Topic)
	if m.CorrelationID != "" {
		n += escapes(m.CorrelationID)
	}
	if size := m.Headers.Size(); size > 0 {
		n += base64.StdEncoding.EncodedLen(size) - size + len(`,"headers":""`)
	}
	return n
}

// escapes returns the number of bytes that the escapes of a text add to it in a wire header.
func escapes(text string) (n int) {
	for _, c := range []byte(text) {
		switch {
		case c < 0x20:
			n += 5
		case c == '"', c == '\\':
			n++
		}
	}
	return n
}

// A Life is one series of sequences of a store. For servers each life is a publisher of its own
// (see the package comment).
type Life struct {
	ID    string // random; servers identify the publisher by it, so keep it secret
	Acked uint64 // highest sequence discarded as persisted; a rejection does not raise it
	Last  uint64 // highest sequence given out
	Kept  int    // number of messages in the store
	// PlainOffset is the number that the client adds to each sequence for a server without our
	// extensions; 0 until it is chosen (SetPlainOffset). Such a server knows publishers by client
	// name only, so the numbers of two lives must differ there.
	PlainOffset uint64
	// PlainOffsetAfter is the value of Acked when PlainOffset was chosen: only sequences above it
	// were sent with that offset.
	PlainOffsetAfter uint64

	// Clock is the reading of the group's clock that a server gave the life; 0: none yet. It lets a
	// server that has forgotten the publisher refuse messages that it may have taken before.
	Clock uint64
	// Sent is the highest sequence that may have been sent, at most Last. The messages above it
	// are new to every server.
	Sent uint64
}

// PublisherOf returns the id by which servers and bookmarks name a life. Unlike the life itself
// it is not a secret.
func PublisherOf(life string) uint64 { return bookmark.IdentityOfLife(life).ID }

// Usage counts the messages of a store, over all lives.
type Usage struct {
	Messages int           // number of messages
	Bytes    int64         // their size (Message.Size)
	Single   int           // number of messages that only one server has acknowledged
	Oldest   time.Duration // age of the oldest message, 0 if there is none

	// Counts since the store was opened:
	Appended int64 // messages that Append, or a transaction, has stored
	Safe     int64 // messages that Discard has removed
}

// A Store keeps published messages. All methods are safe for concurrent use. One client at a time
// uses a store, and the client does not close it.
//
// After a disk error a store stays failed for good: every later call returns the same
// *FailedError. After Close every call that returns an error returns ErrClosed, except a
// second Close.
type Store interface {
	// Acquire reserves the store for one client until release is called. While it is reserved,
	// the error is ErrInUse: two clients on one store would send its messages twice and end each
	// other's sessions. Calling release again does nothing. client.Dial calls Acquire.
	Acquire() (release func(), err error)

	// Logon increments the durable logon counter and returns it. Of two sessions of one life,
	// servers keep the one with the higher counter. The error is ErrNameMismatch if the store
	// was first used with another client name. After Logon every message counts as possibly sent,
	// until SetSent limits that.
	Logon(name string) (counter uint64, err error)

	// Group returns the values of the last SetGroup. cluster is the id that all servers of a group
	// share. incarnation is the number of times that an operator has declared messages of the group
	// lost. With them the client never goes back to a server that missed such a declaration, not
	// even after a restart.
	Group() (cluster string, incarnation uint64)
	// SetGroup stores the cluster id and the incarnation of the group of servers that the client
	// logged on to. It is as durable as Logon.
	SetGroup(cluster string, incarnation uint64) error

	// Lives returns the lives of the store, oldest first. Append adds to the last one. An older
	// life stays as long as it keeps a message.
	Lives() []Life

	// Append stores m and returns its sequence. It sets Publisher, Sequence and Time of m. The
	// store does not use m, m.Body or ctx after Append has returned.
	//
	// At the store's bound Append waits until there is room or ctx ends. A store opened with
	// FailWhenFull returns ErrFull at once. If ctx ends the wait, the error matches both ErrFull
	// and the error of ctx. The error is a *TooLargeError if the message exceeds the store's
	// limit for one message, and a *HeadersError if its headers exceed a limit. If SOWKey or
	// Expiration is invalid (see Message), the error names the field. After any error except a *FailedError, m is not in the store.
	Append(ctx context.Context, m *Message) (sequence uint64, err error)

	// Appended returns a channel that receives a value after an Append. Several appends may share
	// one value. A value may also arrive without a new message, or because the store has failed,
	// so read a Cursor to find out. The channel is for one receiver, the client.
	Appended() <-chan struct{}

	// Cursor returns a cursor over the messages of a life with sequences above after. The error is
	// ErrUnknownLife if Lives does not return the life.
	Cursor(life string, after uint64) (Cursor, error)

	// Discard removes all messages of a life up to and including through, because they are safe:
	// on two disks. A through below an earlier one changes nothing. A through above Last counts
	// as Last. For a life that the store no longer has, Discard does nothing and returns nil.
	Discard(life string, through uint64) error

	// SetSingle records that one server has acknowledged all messages of a life up to through,
	// while its peer was away. The messages stay in the store. Only Usage shows the difference.
	SetSingle(life string, through uint64)

	// Reject removes one message that a server refused. While its sequence is above Acked, Rejected
	// returns it and the client states it at each logon, also after a restart. If the message or
	// the life is not in the store, Reject changes nothing and returns nil.
	Reject(life string, sequence uint64) error

	// Rejected returns the rejected sequences of a life above its Acked as ascending ranges. The
	// first range is the lowest one that ends at or above from. It returns at most limit ranges.
	Rejected(life string, from uint64, limit int) []Range

	// Get returns one message, or ErrNotFound. The client calls it for the failed-write handler.
	Get(life string, sequence uint64) (*Message, error)

	// SetPlainOffset stores the PlainOffset of a life, and the current Acked as its
	// PlainOffsetAfter. The error is ErrUnknownLife if the store does not have the life.
	SetPlainOffset(life string, offset uint64) error

	// SetClock stores the Clock of a life. The client usually calls it once per life, before it
	// sends anything. The value survives a power cut if the store does. The error is ErrUnknownLife
	// if the store does not have the life.
	SetClock(life string, clock uint64) error

	// SetSent stores the Sent of a life. The client calls it when it closes, and sends nothing
	// afterwards without another Logon. In a store on disk the value is durable once the store is
	// closed.
	SetSent(life string, sent uint64)

	// Renew begins a new life at sequence 1. Messages of the old life stay and are still sent.
	Renew() error

	// Usage returns the number and size of the messages in the store.
	Usage() Usage

	// Close ends the store. A store on disk makes all messages durable first; the messages of a
	// store in memory are lost. Waiting Appends return ErrClosed. A second Close waits for the
	// first and returns nil, or the *FailedError of a store whose disk failed.
	Close() error
}

// A Cursor reads the messages of one life in order. It is not safe for concurrent use, but may
// run concurrently with every method of its store.
type Cursor interface {
	// Next reads the next message that is still in the store into m. m.Body and m.Headers are
	// valid until the next call. Next returns false if there is no further message yet.
	Next(m *Message) (bool, error)
	// Close releases the cursor. A second call does nothing.
	Close() error
}

var (
	// ErrFull means that the store is at its bound, or its disk has too little space.
	ErrFull = errors.New("publish store is full")
	// ErrClosed means that the store is closed.
	ErrClosed = errors.New("publish store is closed")
	// ErrNameMismatch means that the store was first used with another client name.
	ErrNameMismatch = errors.New("publish store belongs to another client name")
	// ErrNotFound means that the message is not in the store.
	ErrNotFound = errors.New("message is not in the publish store")
	// ErrLocked means that another process has the store open.
	ErrLocked = errors.New("publish store is in use by another process")
	// ErrUnknownLife means that the store does not have the life: no call has begun it, or the
	// store has removed it because it was a former life without a message. Cursor, SetPlainOffset
	// and SetClock return it. Discard, Reject, SetSingle and SetSent ignore such a life.
	ErrUnknownLife = errors.New("publish store has no such life")
)

// A FailedError means that the disk of a store failed. If a call that stores a message returns it,
// the message may or may not be on the disk: only the next process that opens the store finds out.
// The client sends nothing more from this store.
type FailedError struct {
	Path string
	Err  error
}

func (e *FailedError) Error() string {
	return "publish store " + e.Path + " has failed: " + e.Err.Error()
}
func (e *FailedError) Unwrap() error { return e.Err }
