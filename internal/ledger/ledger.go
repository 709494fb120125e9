// Package ledger is the interface between a client's session and its instance: a log that admits
// prefixes of publishers' messages only (R1), the watermarks of that log (G2, R5), and the state of
// the instance's group. Package replica implements it as a pair: a journal with its links. Package
// memledger implements it for tests.
package ledger

import (
	"errors"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
)

// ErrTrimmed reports that retention has removed records that a follower had not read. The reader
// must not skip them silently: it must seek again and ask for the floors.
var ErrTrimmed = errors.New("records not read yet have been removed by retention")

// ErrClosed reports the use of a ledger whose instance is stopping.
var ErrClosed = errors.New("journal is closed")

// A Ledger is an instance's log and the state of its group, as sessions see it. It is safe for
// concurrent use.
type Ledger interface {
	Log
	Watermarks
	Group
}

// MaxTombstones is the maximum number of rejected messages that a ledger lists for one publisher.
const MaxTombstones = 1024

// A Log keeps each publisher's messages once (G3) and in order (G4).
type Log interface {
	// Appender returns an appender for one session.
	Appender() Appender
	// Have returns have(p), or 0 and false for a publisher that the log does not know.
	Have(publisher uint64) (have uint64, known bool)
	// Check returns a publisher's check, zero if the log does not know the publisher.
	Check(publisher uint64) bookmark.Check
	// Owner returns the user who owns a publisher: that of its first record with a user. It is empty
	// if no record has one, and if the log does not know the publisher.
	Owner(publisher uint64) string
	// Diverged returns the first number of a publisher that is not proven to be the same on all
	// instances, 0 if the publisher has not diverged (R11). It does not block.
	Diverged(publisher uint64) (from uint64)
	// Tombstones returns the rejected messages of a publisher above a sequence, in order. It
	// returns at most the newest MaxTombstones.
	Tombstones(publisher, above uint64) []Refusal
	// LostRanges returns the lost ranges of a publisher, in order, at most the newest 64.
	LostRanges(publisher uint64) []Range
	// Touch records that a publisher is in use now, so that it is not forgotten.
	Touch(publisher uint64)
	// GroupClock returns the group's clock as far as this instance knows it. A caller that needs
	// have(p) as well must call GroupClock afterwards, so that the clock includes all forgetting
	// before that.
	GroupClock() GroupClock
	// Floor returns floor(p). Floors returns the floors of all publishers that have one.
	Floor(publisher uint64) uint64
	Floors() bookmark.Vector
	// RemovedMatching returns the publishers with removed messages whose topics match, or may
	// match, each with the highest number of these messages. place is the vector of a place. If it
	// does not name a publisher, the messages up to the number at which the publisher was closed do
	// not count. If later ones of it were removed as well, RemovedMatching adds the publisher to
	// place with that number.
	RemovedMatching(matches func(topic []byte) bool, place bookmark.Vector) bookmark.Vector
	// ClosedPublishers returns publishers with their have(p). No instance will send a message of
	// them up to that number, so places can leave them out. The caller must not change the vector.
	ClosedPublishers() bookmark.Vector

	// NeverMatching returns the publishers whose messages cannot match, neither those in the log
	// nor those that were in it earlier, each with have(p). It leaves out a publisher whose topics
	// are not all known.
	NeverMatching(matches func(topic []byte) bool) bookmark.Vector

	// TopicsKnown reports whether the log knows every topic of a publisher's messages, including
	// those that retention has removed or will remove.
	TopicsKnown(publisher uint64) bool

	// First returns the position of the oldest record. DurableEnd returns the position after the
	// newest durable record. DurableVector returns the same position and a vector. The vector
	// covers all records before the position, and only records that were durable when the call
	// returned.
	First() Position
	DurableEnd() Position
	DurableVector() (Position, bookmark.Vector)
	// SeekVector returns a position such that v covers every record before it.
	SeekVector(v bookmark.Vector) (Position, error)
	// SeekTime returns the position of the first record taken at or after t, and the vector of the
	// records before it. Neither is beyond the result of DurableVector.
	SeekTime(t time.Time) (Position, bookmark.Vector, error)
	// Find returns the position of the first record in the log whose message is on a list. The
	// record may also be a tombstone or an empty one. found is false if the log has none of the
	// messages, or no longer has them. Find makes one pass, however long the list is. It calls stop
	// now and then and gives up if stop returns true. A nil stop never stops it.
	Find(list []bookmark.Bookmark, stop func() bool) (at Position, found bool, err error)
	// Follow returns a follower of the durable records from a position on. In a pair it is a
	// journal.Follower.
	Follow(from Position) Follower
}

// An Appender appends the records of one session. The records between two calls of Notify share
// one reading of the clock, and the links learn of them together. An Appender belongs to one
// goroutine. In a pair it is a journal.AppendBatch.
type Appender interface {
	// Append admits r and adds it if the verdict is Accepted. It then sets Position and Next, and
	// also Time, Sequence and Prev where they were 0. It blocks while the disk is too far behind.
	// An error is final for the log, or says that r is too large or malformed.
	Append(r *Record) (Verdict, error)
	// AppendRun adds messages of one publisher, in order, as long as each is the next one that the
	// log lacks. The caller must pass the rest to Append, whose verdict gives the reason. AppendRun
	// does not verify the sums of the messages. If user is not empty, the messages have no user, and
	// get this one.
	AppendRun(check bookmark.Check, user []byte, run []record.OrdinaryMessage) (RunResult, error)
	// Lookup describes the record at the number of r, for which the verdict was Differs or
	// ContentUnknown. If the number is not in memory and searchLog is set, Lookup reads the log. For
	// ascending numbers that costs one pass through the log in total.
	Lookup(r *Record, searchLog bool) (RecordInfo, error)
	// Notify makes the links send the appended records. The session must call it before it waits
	// for its client.
	Notify()
}

// A RunResult is the result of AppendRun: the number of appended records, the end of the log before
// the first of them, and the end of the log after the last.
type RunResult struct {
	Records  int
	From, To Position
}

// A Follower reads durable records in order. At the end of the log Next can be called again later.
// A Follower belongs to one goroutine.
type Follower interface {
	// Next reads the next record into r, whose slices are valid until the next call. It returns
	// false if there is no record for now. An error is final: ErrTrimmed, ErrClosed, or an error
	// of the disk.
	Next(r *Record) (bool, error)
	// Position returns the position of the next record to read.
	Position() Position
	// Seek moves the follower to a position, as if Log.Follow had begun there. It invalidates the
	// records that were read before.
	Seek(to Position)
	Close() error
}

// Watermarks reports how far publishers' messages are acknowledged.
type Watermarks interface {
	// Watermarks returns safe(p) and settled(p) at one moment. A caller that needs have(p) as well
	// must read it afterwards, so that have(p) is not below them.
	Watermarks(publisher uint64) (safe, settled uint64)
	// ExpectSettled starts the wait for a message to be settled (R5). A replayed duplicate and a
	// logon that is held back wait this way.
	ExpectSettled(publisher, sequence uint64)
}

// A Group is the instance's view of its failover equivalents.
type Group interface {
	// Lone reports whether there is no group to ask.
	Lone() bool
	// Reachable reports whether any peer is connected.
	Reachable() bool
	// Single reports whether acks are of level single at the moment (R5).
	Single() bool
	// CatchingUp reports whether the instance serves without having caught up (R6).
	CatchingUp() bool
	// CarriedTopics returns the topic patterns that every sync destination carries (R3). Nil means
	// all topics. Without a sync destination the list is empty.
	CarriedTopics() []string
	// SyncPeers returns the names of the sync destinations.
	SyncPeers() []string
	// SyncStatus returns the state of the instance's sync destinations.
	SyncStatus() syncstatus.Status
	// Linked reports whether the peer of that name is connected.
	Linked(peer string) bool
	// MustHoldPublish reports whether a session must not take a number above have(p) yet (R11).
	// answers has the peers' answers to the session's notice, by name. The session must wait while
	// the answer of a sync peer is missing, or while have(p) is below the answer of a peer that
	// replicates here. It does not wait for a peer that is away or downgraded.
	MustHoldPublish(publisher uint64, answers map[string]uint64) bool
	// Incarnation counts the decrees of the group (R4).
	Incarnation() uint64
	// OutdatedReason returns the reason why this instance must not serve clients: the group has a
	// decree in which it had no part. The reason is empty if it may serve them.
	OutdatedReason() string
	// DecreeUnused reports whether a decree stands that a publisher has not used. UseDecree records
	// that the publisher has used it. It does nothing for a publisher without a message.
	DecreeUnused(publisher uint64) bool
	UseDecree(publisher uint64) error
	// HoldPublish records that a publish is held back because of MustHoldPublish, until release is
	// called (R5).
	HoldPublish() (release func())
	// Cluster returns the cluster id in hex. All instances of the group have the same one.
	Cluster() string
	// Intact reports whether the log has everything that the instance has acknowledged since the
	// group began. Only then can the instance say that no instance knows a publisher (R10).
	Intact() bool
}

// A Notice tells the peers that a client has logged on here (R11).
type Notice struct {
	ClientName   string
	User         string
	Publisher    uint64
	Check        bookmark.Check
	LogonCounter uint64 // 0: a plain client
	Instance     string // the instance where the client logged on
}

// A Reply is an instance's answer to a notice, without its have(p).
type Reply struct {
	NameTaken      bool // the name belongs to another user there
	OtherPublisher bool // the id belongs to another publisher there
	Outbid         bool // another session keeps the name, there or on a third instance
}

// Answers are the peers' answers to a notice.
type Answers struct {
	Have           uint64 // the highest have(p)
	AllAnswered    bool   // every configured peer has answered, also those that are not destinations
	NameTaken      bool   // the name belongs to another user on one of them
	OtherPublisher bool   // the id belongs to another publisher on one of them
	Owner          string // the owner of the publisher on one of them, if they state several one that is not Notice.User; empty: none states an owner

	// IncomingHave is the highest have(p) of the peers that replicate here. Our have(p) will reach
	// it. EnoughAnswered reports that each of these peers that is connected has answered, and every
	// sync destination. Apart from the sync destinations it needs no peer that is away. It does not
	// need an asynchronous destination that does not replicate here.
	IncomingHave   uint64
	EnoughAnswered bool

	// HaveByPeer has the have(p) of each peer's answer, by name. A peer that keeps a session of its
	// own counts as not having answered: HaveByPeer leaves it out, AllAnswered and EnoughAnswered
	// are false, and Outbid is true.
	HaveByPeer map[string]uint64
	Outbid     bool

	Intact bool // one of the peers that have answered is intact
	// SurvivorsAnswered reports that every configured peer which the standing decree does not name
	// has answered. DecreeUsed reports that the publisher has used the decree at one of them (R4).
	SurvivorsAnswered bool
	DecreeUsed        bool

	Forgotten uint64 // the highest GroupClock.Forgotten
}

// A Range is the sequences from From to To of a publisher, both included.
type Range struct{ From, To uint64 }
