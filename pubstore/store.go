// Package pubstore keeps published messages until they are safe: until both servers of a pair
// have them on disk (client/GUARANTEES.md G1). It has three stores. Package pubstoretest checks
// any other implementation of [Store].
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
// A store belongs to one publisher. Two processes cannot share a store, and a copy of a store must
// not be used together with the original: servers end the session of one of the two, or refuse
// their life for good (R11).
package pubstore

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A Message is one published message. Its identity is Publisher and Sequence.
type Message struct {
	Publisher uint64 // the id of the life (PublisherOf), as in bookmarks; set by Append
	Sequence  uint64 // number within the life, from 1 without jumps; set by Append and by a Cursor
	// Prev is the highest sequence below Sequence that was not rejected. The numbers between the
	// two were rejected and are not sent (R1). Set by a Cursor.
	Prev uint64

	Topic         string
	Body          []byte
	Delta         bool          // publish as a delta (delta_publish)
	SOWKey        string        // wire header k; base-64 characters (A-Z a-z 0-9 + / =), may be empty
	CorrelationID string        // wire header x; base-64 characters, may be empty
	Expiration    time.Duration // wire header e; whole seconds, not negative; 0: none
	Time          time.Time     // time of the Append; set by Append and by a Cursor

	record []byte
}

// Record returns the encoded message as the client sends it to servers (package internal/record).
// It is nil unless a Cursor of this package returned the message, and valid as long as Body is.
func (m *Message) Record() []byte { return m.record }

// Size returns the number of bytes that m counts towards the bound of a store: topic, body, key
// and correlation id.
func (m *Message) Size() int {
	return len(m.Topic) + len(m.Body) + len(m.SOWKey) + len(m.CorrelationID)
}

// HeaderSize returns an upper bound for the bytes of topic, key and correlation id in a wire
// header. A quote, a backslash and a control character in the topic count as escapes there.
func (m *Message) HeaderSize() int {
	n := m.Size() - len(m.Body)
	for _, c := range []byte(m.Topic) {
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
// (R10).
type Life struct {
	ID    string // random; servers identify the publisher by it, so keep it secret
	Acked uint64 // highest sequence discarded as persisted; a rejection does not raise it (R4)
	Last  uint64 // highest sequence given out
	Kept  int    // number of messages in the store
	// PlainOffset is the number that the client adds to each sequence for a server without our
	// extensions (R10); 0 until it is chosen (SetPlainOffset).
	PlainOffset uint64
	// PlainOffsetAfter is the value of Acked when PlainOffset was chosen: only sequences above it
	// were sent with that offset.
	PlainOffsetAfter uint64

	// Clock is the reading of the group's clock that a server gave the life; 0: none yet. It lets a
	// server that has forgotten the publisher refuse messages that it may have taken before (R10).
	Clock uint64
	// Sent is the highest sequence that may have been sent, at most Last. The messages above it
	// are new to every server (R10).
	Sent uint64
}

// PublisherOf returns the id by which servers and bookmarks name a life. Unlike the life itself
// it is not a secret.
func PublisherOf(life string) uint64 { return bookmark.IdentityOfLife(life).ID }

// Usage counts the messages in a store, over all lives.
type Usage struct {
	Messages int
	Bytes    int64
	Single   int           // number of messages that only one server has acknowledged (R5)
	Oldest   time.Duration // age of the oldest message, 0 if there is none
}

// A Store keeps published messages. All methods are safe for concurrent use. One client at a time
// uses a store, and the client does not close it.
//
// After a disk error a store stays failed for good: every later call returns the same
// *FailedError (R7).
type Store interface {
	// Acquire reserves the store for one client until release is called. While it is reserved,
	// the error is ErrInUse: two clients on one store would send its messages twice and end each
	// other's sessions (R11). Calling release again does nothing. Dial calls Acquire.
	Acquire() (release func(), err error)

	// Logon increments the durable logon counter and returns it. Of two sessions of one life,
	// servers keep the one with the higher counter (R11). The error is ErrNameMismatch if the store
	// was first used with another client name. After Logon every message counts as possibly sent,
	// until SetSent limits that.
	Logon(name string) (counter uint64, err error)

	// Group returns what SetGroup stored last: the cluster id, which all servers of a group share,
	// and the incarnation, the number of times that an operator has declared messages of the group
	// lost. With them the client never goes back to a server that missed such a declaration, not
	// even after a restart (R10).
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
	// limit for one message. If SOWKey, CorrelationID or Expiration is invalid (see Message), the
	// error names the field. After any error except a *FailedError, m is not in the store.
	Append(ctx context.Context, m *Message) (sequence uint64, err error)

	// Appended returns a channel that receives a value after an Append. Several appends may share
	// one value. A value may also arrive without a new message, or because the store has failed,
	// so read a Cursor to find out. The channel is for one receiver, the client.
	Appended() <-chan struct{}

	// Cursor returns a cursor over the messages of a life with sequences above after.
	Cursor(life string, after uint64) (Cursor, error)

	// Discard removes all messages of a life up to and including through, because they are safe:
	// on two disks. A through below an earlier one changes nothing. A through above Last counts
	// as Last. For a life that the store no longer has, Discard does nothing and returns nil.
	Discard(life string, through uint64) error

	// SetSingle records that one server has acknowledged all messages of a life up to through (R5).
	// The messages stay in the store. Only Usage shows the difference.
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
	// PlainOffsetAfter.
	SetPlainOffset(life string, offset uint64) error

	// SetClock stores the Clock of a life. The client usually calls it once per life, before it
	// sends anything. The value survives a power cut if the store does.
	SetClock(life string, clock uint64) error

	// SetSent stores the Sent of a life. The client calls it when it closes, and sends nothing
	// afterwards without another Logon. The value is durable when the store is closed.
	SetSent(life string, sent uint64)

	// Renew begins a new life at sequence 1 (R10). Messages of the old life stay.
	Renew() error

	// Usage returns the number and size of the messages in the store.
	Usage() Usage

	// Close makes all messages durable and releases the store. Waiting Appends return ErrClosed.
	Close() error
}

// A Cursor reads the messages of one life in order. It is not safe for concurrent use, but may
// run concurrently with every method of its store.
type Cursor interface {
	// Next reads the next message that is still in the store into m. m.Body is valid until the
	// next call. Next returns false if there is no further message yet.
	Next(m *Message) (bool, error)
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
	// ErrUnknownLife means that the store does not know the life.
	ErrUnknownLife = errors.New("publish store has no such life")
)

// A FailedError means that the disk of a store failed. If a call that stores a message returns
// it, the message may or may not be on the disk (G1). The client sends nothing more from this
// store.
type FailedError struct {
	Path string
	Err  error
}

func (e *FailedError) Error() string {
	return "publish store " + e.Path + " has failed: " + e.Err.Error()
}
func (e *FailedError) Unwrap() error { return e.Err }
