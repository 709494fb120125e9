// Package pubstore keeps what a publisher application publishes until both
// servers of a pair have it on disk (client/GUARANTEES.md G1). Three stores
// are ready; pubstoretest checks anyone's own:
//
//   - [Memory] survives the connection and the servers, not the process: for
//     messages that the application can make again, and for tests.
//   - [File] survives the process, and a power cut after some milliseconds or,
//     with SyncAlways, at once. It is a directory of its own, and the store to
//     take unless there is a reason for another.
//   - [Bolt] is in a bbolt database, and each Append waits for its commit. It is
//     for applications that keep their own data in one, and where a message is
//     to be published if and only if a transaction commits ([Bolt.AppendTx]).
//
// A store is one publisher's: two processes never share one, and a copy of a
// store must not be used beside it (R11).
package pubstore

import (
	"context"
	"errors"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A Message is one publish. Its identity is the store's life and Sequence.
type Message struct {
	Publisher uint64 // the id of its life (PublisherOf), as in bookmarks; set by Append
	Sequence  uint64 // in its life, from 1 without jumps; set by Append and by a Cursor
	// Prev is the highest sequence below Sequence that was not rejected: what
	// is between was left out (R1). Set by a Cursor.
	Prev uint64

	Topic         string
	Body          []byte
	Delta         bool          // delta_publish
	SOWKey        string        // k; base-64 characters (A-Z a-z 0-9 + / =), may be empty
	CorrelationID string        // x; the same
	Expiration    time.Duration // e; whole seconds, not negative, 0: none given
	Time          time.Time     // when it was appended; set by Append and by a Cursor

	record []byte
}

// Record returns the message as it goes to servers (package internal/record), nil if
// no Cursor of this package has returned it. It is valid as long as Body is.
func (m *Message) Record() []byte { return m.record }

// Size returns the bytes that m counts towards a store's bound: topic, body, key and correlation id.
func (m *Message) Size() int {
	return len(m.Topic) + len(m.Body) + len(m.SOWKey) + len(m.CorrelationID)
}

// HeaderSize returns how many bytes topic, key and correlation id are at most in
// a header on the wire, where a quote, a backslash or a control character is an escape.
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

// A Life is one run of sequences of a store, and so one publisher (R10).
type Life struct {
	ID    string // random; a secret, by which servers know the publisher
	Acked uint64 // highest sequence let go as persisted; not what was rejected (R4)
	Last  uint64 // highest sequence given out
	Kept  int    // messages still kept
	// Base is what is added to a sequence towards a server without our
	// extensions; 0 until chosen (SetBase).
	Base uint64
	// BaseAfter is what Acked was then: nothing up to it was sent under the base.
	BaseAfter uint64

	Clock uint64 // the group's clock, as a server said it to the life, 0 if it has heard none (SetClock, R10)
	Sent  uint64 // highest sequence that may have been sent, Last at most (SetSent, R10)
}

// PublisherOf returns the id by which servers and bookmarks name a life. Unlike the
// life it is no secret.
func PublisherOf(life string) uint64 { return bookmark.OfLife(life).ID }

// Usage is what is outstanding in a store, all lives together.
type Usage struct {
	Messages int
	Bytes    int64
	Single   int           // of these, acknowledged by one server only (R5)
	Oldest   time.Duration // age of the oldest, 0 if there is none
}

// A Store keeps published messages. All methods are safe for concurrent use.
// One client at a time uses a store; the client does not close it. Of a store
// that also has
//
//	Acquire() (release func(), err error)
//
// as the three here have, Dial makes sure of that, as far as one process goes.
//
// A store whose disk failed is in a failed state for good: every later call
// returns that error, a *FailedError (R7).
type Store interface {
	// Logon checks name against the client name the store was first used
	// with (ErrOtherName), raises the logon counter, keeps it, and returns it (R11).
	// From then on everything may have been sent, until SetSent says otherwise.
	Logon(name string) (counter uint64, err error)

	// Lives returns the store's lives, oldest first; the last one is what
	// Append adds to. An older one is there as long as it keeps a message.
	Lives() []Life

	// Append keeps m and returns its sequence. At the store's bound it
	// waits until there is room or ctx ends, or returns ErrFull at once,
	// as the store was opened. If ctx ends the wait the error is both ErrFull
	// and that of ctx. A message that is larger than the store ever takes is
	// a *TooLargeError; a SOWKey, CorrelationID or Expiration that is not as
	// Message says is an error that names it. After any error but a *FailedError m is not in the store.
	// It sets Publisher, Sequence and Time of m. Once Append has returned, m, what m.Body refers to, and ctx are the caller's again.
	Append(ctx context.Context, m *Message) (sequence uint64, err error)

	// Appended returns a channel that receives a value after an Append.
	// Several appends may send one value, and a value may come for nothing
	// or because the store has failed: a Cursor tells. It is for one receiver,
	// the client.
	Appended() <-chan struct{}

	// Cursor returns a cursor over the messages of a life above after.
	Cursor(life string, after uint64) (Cursor, error)

	// Discard lets go of everything of a life up to through: it is safe, on
	// two disks. Below what was let go before, it changes nothing; beyond
	// Last, it lets go up to Last. A life that is not there any more keeps
	// nothing, and is no error.
	Discard(life string, through uint64) error

	// Single notes that one server has everything of a life up to through.
	// It is kept all the same. Only Usage shows it.
	Single(life string, through uint64)

	// Reject lets go of one message that a server refused. The next logons
	// state it, as long as it is above Acked, also after a restart (Rejected).
	// Rejecting what is not kept, of whatever life, changes nothing.
	Reject(life string, sequence uint64) error

	// Rejected returns what was rejected of a life and is above its Acked, as
	// ranges in order: those that end at or above from, the first few of them.
	Rejected(life string, from uint64, most int) []Range

	// Get returns one message, ErrNotKept if it isn't kept: for the failed-write handler.
	Get(life string, sequence uint64) (*Message, error)

	// SetBase keeps the base of a life, and its Acked as BaseAfter, see Life.
	SetBase(life string, base uint64) error

	// SetClock keeps the clock of a life, see Life.Clock. It is called once in a life, as
	// a rule, before anything is sent, and survives a power cut if the store does.
	SetClock(life string, clock uint64) error

	// SetSent keeps the sent of a life, see Life.Sent: the client calls it when it
	// is closed. Nothing is sent after it without another Logon. It is durable
	// when the store is closed.
	SetSent(life string, sent uint64)

	// Renew begins a new life at sequence 1 (R10). What the old one keeps stays.
	Renew() error

	// Usage returns what is outstanding.
	Usage() Usage

	// Close makes what is kept durable and releases the store. Waiting Appends return ErrClosed.
	Close() error
}

// A Cursor reads the messages of one life in order. It isn't safe for
// concurrent use, but may run beside every method of its store.
type Cursor interface {
	// Next reads the next message that is still kept into m, whose Body is
	// valid until the next call. False: there is none for now.
	Next(m *Message) (bool, error)
	Close() error
}

var (
	// ErrFull reports a store at its bound.
	ErrFull = errors.New("publish store is full")
	// ErrClosed reports the use of a closed store.
	ErrClosed = errors.New("publish store is closed")
	// ErrOtherName reports a store that was first used with another client name.
	ErrOtherName = errors.New("publish store belongs to another client name")
	// ErrNotKept reports a message that is not in the store.
	ErrNotKept = errors.New("message is not in the publish store")
	// ErrLocked reports a store that another process has open.
	ErrLocked = errors.New("publish store is in use by another process")
	// ErrNoLife reports a life the store does not know.
	ErrNoLife = errors.New("publish store has no such life")
)

// A FailedError reports a store whose disk failed. Whether the message of
// the call that met it survives is not known (G1); nothing is sent any more.
type FailedError struct {
	Path string
	Err  error
}

func (e *FailedError) Error() string {
	return "publish store " + e.Path + " has failed: " + e.Err.Error()
}
func (e *FailedError) Unwrap() error { return e.Err }
