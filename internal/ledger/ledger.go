// Package ledger says what a client's session needs of its instance: a log of
// publishers' messages with admission (R1), the watermarks of that log (G2,
// R5), and how the instance stands to its group. The pair, a journal with its
// links, is one implementation (package replica); package memledger is another,
// for tests.
package ledger

import (
	"errors"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
)

// ErrTrimmed reports that retention has removed records that a follower had not
// read. Its reader must not go on as if nothing had been there: it seeks anew
// and asks for the floors.
var ErrTrimmed = errors.New("records not read yet have been removed by retention")

// ErrClosed reports the use of a ledger whose instance stops.
var ErrClosed = errors.New("journal is closed")

// A Ledger is an instance's log and the state of its group, as sessions see it.
// Safe for concurrent use.
type Ledger interface {
	Log
	Watermarks
	Group
}

// TombstonesMost is how many refused messages of a publisher a ledger lists.
const TombstonesMost = 1024

// A Log keeps each publisher's messages in order and once (G3, G4).
type Log interface {
	// Appender returns an appender for one session.
	Appender() Appender
	// Have returns have(p), 0 and false for a publisher that the log does not know.
	Have(publisher uint64) (have uint64, known bool)
	// Check returns a publisher's check, the zero one if the log does not know it.
	Check(publisher uint64) bookmark.Check
	// Diverged returns the first number of a publisher that is not proven to be the
	// same on all instances, 0 if it has not diverged (R11). It does not wait.
	Diverged(publisher uint64) (from uint64)
	// Tombstones returns the refused messages of a publisher above a sequence,
	// in order: the newest TombstonesMost at most.
	Tombstones(publisher, above uint64) []Tombstoned
	// Lost returns what is lost of a publisher, in order: the newest 64 at most.
	Lost(publisher uint64) []Range
	// Seen notes that a publisher is in use now, so that retention keeps it.
	Seen(publisher uint64)
	// Closing returns how far the group has come with forgetting publishers, as
	// far as is known here. Whoever asks for have(p), too, asks for it before.
	Closing() Closing
	// Floor returns floor(p), Floors that of every publisher that has one.
	Floor(publisher uint64) uint64
	Floors() bookmark.Vector
	// Removed returns, of the publishers of which retention has removed a message
	// of a topic that matches, or may match, the highest number of these. Numbers up to
	// where a publisher was closed are left out if the place, named, does not name it. If
	// more of it was removed, it is added to named, up to where it was closed.
	Removed(matches func(topic []byte) bool, named bookmark.Vector) bookmark.Vector
	// Closed returns the publishers of which nothing up to their have(p), which it
	// returns, will come from any instance: places can do without them. The vector
	// must not be changed.
	Closed() bookmark.Vector

	// Unmatched returns the publishers of which nothing that the log has, or ever
	// had, can match, with have(p). One of which that is not known is not among them.
	Unmatched(matches func(topic []byte) bool) bookmark.Vector

	// TopicsKnown reports whether the log knows of each topic that a publisher's
	// messages have, or had, also of those that retention will have removed.
	TopicsKnown(publisher uint64) bool

	// First is the position of the oldest record, Durable the position behind
	// the newest durable one; DurableVector adds a vector that covers what stands
	// before that, and nothing that was not durable when it returned.
	First() Position
	Durable() Position
	DurableVector() (Position, bookmark.Vector)
	// SeekVector returns a position such that v covers every record before it.
	SeekVector(v bookmark.Vector) (Position, error)
	// SeekTime returns the position of the first record taken at or after t and
	// the vector of what stands before it, both at most the durable ones.
	SeekTime(t time.Time) (Position, bookmark.Vector, error)
	// Find returns the position of the message of a list that stands first, or of
	// what it left when it was refused; found is false if the log has none of them
	// (any more). It is one pass, however long the list is; stop, which may be nil,
	// is asked now and then whether to find nothing.
	Find(list []bookmark.Bookmark, stop func() bool) (at Position, found bool, err error)
	// Follow returns a follower of the durable records from a position on. The
	// pair's is a journal.Follower.
	Follow(from Position) Follower
}

// An Appender appends the records of one session. Those that come together
// share one reading of the clock, and the links learn of them together. It
// belongs to one goroutine. The pair's is a journal.AppendBatch.
type Appender interface {
	// Append admits r and, if the verdict is Take, adds it, setting its
	// Position, Next and, where they were 0, Time, Sequence and Prev. It waits
	// while the disk is too far behind. An error is final for the log, or says
	// that r does not fit.
	Append(r *Record) (Verdict, error)
	// AppendRun adds messages of one publisher, in order, as far as each is the next one
	// that the log lacks of it. What it leaves goes by Append, which says why. It
	// does not look whether they are sound.
	AppendRun(check bookmark.Check, run []record.Ordinary) (Taken, error)
	// Standing says what stands at the number of r, for which the verdict was
	// Differs or Covered. With search, what is not remembered is looked for in
	// the log: numbers that ascend cost one pass through it.
	Standing(r *Record, search bool) (Standing, error)
	// Notify has the links send what was appended. It must be called before the
	// session waits for its client.
	Notify()
}

// A Taken is what an append of several records has added, and where: from behind the
// record before the first to behind the last.
type Taken struct {
	Records  int
	From, To Position
}

// A Follower reads durable records in order and, at its end, is called again
// later. It belongs to one goroutine.
type Follower interface {
	// Next reads the next record into r, whose slices are valid until the next
	// call. It returns false when there is no more for now. An error is final:
	// ErrTrimmed, ErrClosed, or one of the disk.
	Next(r *Record) (bool, error)
	// Position returns where the next record will be read.
	Position() Position
	// Seek has it go on as one that begins there, see Log.Follow. Records that it has
	// read are no longer valid.
	Seek(to Position)
	Close() error
}

// Watermarks are how far publishers are acknowledged.
type Watermarks interface {
	// Watermarks returns safe(p) and settled(p) as they are at one moment.
	// Whoever reads have(p), too, reads it afterwards, so that it is not below.
	Watermarks(publisher uint64) (safe, settled uint64)
	// Waits notes that something that is not settled is waited for from now on:
	// a replayed duplicate, or a logon that is held back (R5).
	Waits(publisher, sequence uint64)
}

// A Group is the instance among its failover equivalents.
type Group interface {
	// Lone reports whether there is no group to ask.
	Lone() bool
	// Reachable reports whether any peer is connected.
	Reachable() bool
	// Single reports whether acks are of level single at the moment (R5).
	Single() bool
	// CatchingUp reports whether the instance serves without having caught up (R6).
	CatchingUp() bool
	// Carried returns the topic patterns that every sync destination carries,
	// nil for all, empty without a sync destination (R3).
	Carried() []string
	// SyncPeers returns the names of the sync destinations.
	SyncPeers() []string
	// SyncStatus says how the instance stands to them.
	SyncStatus() syncstatus.Status
	// Linked reports whether the peer of that name is connected.
	Linked(peer string) bool
	// Awaits reports whether a session must not take a number above have(p) yet:
	// a sync peer is not among those that have answered its notice, or have(p)
	// has not reached the answer of one that replicates to us. A peer that is
	// away or downgraded is not waited for (R11).
	Awaits(publisher uint64, answers map[string]uint64) bool
	// Incarnation counts the decrees of the group (R4).
	Incarnation() uint64
	// Outdated says why no clients may be served: the group has a decree in which
	// this instance had no part. Empty: they may.
	Outdated() string
	// Unsettled reports whether a decree stands of which a publisher has not made
	// use; Settle notes that it has.
	Unsettled(publisher uint64) bool
	Settle(publisher uint64) error
	// Hold notes that a publish is held back for that, from now on until
	// release is called (R5).
	Hold() (release func())
	// Cluster returns the id that all instances of the group have in common, in hex.
	Cluster() string
	// Intact reports whether the log has what the instance has acknowledged since
	// the group began: only then does it say that nobody knows a publisher (R10).
	Intact() bool
}

// A Notice tells the peers that a client has logged on here (R11).
type Notice struct {
	ClientName string
	User       string
	Publisher  uint64
	Check      bookmark.Check
	Counter    uint64 // of the logon, 0: a plain client
	Instance   string // where it logged on
}

// A Reply is what an instance says to a notice beside its have(p).
type Reply struct {
	Refused bool // the name belongs to another user here
	Other   bool // the id belongs to another publisher here
	Lost    bool // another session stays, here or on a third instance
}

// Answers are what the peers have said to a notice.
type Answers struct {
	Have    uint64 // the highest have(p)
	All     bool   // every configured destination and connected peer has answered
	Refused bool   // the name belongs to another user on one of them
	Other   bool   // the id belongs to another publisher on one of them

	// Coming is the highest have(p) of the peers that replicate to us, which
	// ours will reach; Enough says that they have answered, those that are
	// connected, and every sync destination. What only an asynchronous
	// destination has never comes here, and one that is away is not missed.
	Coming uint64
	Enough bool

	// By are the answers of each peer by name: have(p). A peer that keeps a
	// session of its own has not answered: it is not in By, All and Enough are
	// false, and Lost is true.
	By   map[string]uint64
	Lost bool

	Intact bool // one of those that have answered is intact
	// Survivors says that every configured peer has answered that the standing
	// decree does not name; Settled that one of them has seen the publisher make
	// use of it (R4).
	Survivors bool
	Settled   bool

	Forgotten uint64 // the highest Closing.Forgotten
}

// A Range is the sequences From to To of a publisher, both included.
type Range struct{ From, To uint64 }
