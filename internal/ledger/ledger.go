// Package ledger is the interface between a client's session and its instance: a log of
// publishers' messages that admits prefixes only (R1), the watermarks of that log (G2, R5), and
// the state of the instance's group. The pair, a journal with its links, implements it in package
// replica. Package memledger implements it for tests.
package ledger

import (
	"errors"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
)

// ErrTrimmed reports that retention has removed records that a follower had not read. Its reader
// must not continue as if nothing had been there. It must seek anew and ask for the floors.
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

// MaxTombstones is the most refused messages of a publisher that a ledger lists.
const MaxTombstones = 1024

// A Log keeps each publisher's messages once (G3) and in order (G4).
type Log interface {
	// Appender returns an appender for one session.
	Appender() Appender
	// Have returns have(p), or 0 and false for a publisher that the log does not know.
	Have(publisher uint64) (have uint64, known bool)
	// Check returns a publisher's check, zero if the log does not know the publisher.
	Check(publisher uint64) bookmark.Check
	// Diverged returns the first number of a publisher that is not proven to be the same on all
	// instances, 0 if the publisher has not diverged (R11). It does not block.
	Diverged(publisher uint64) (from uint64)
	// Tombstones returns the refused messages of a publisher above a sequence, in order. It
	// returns at most the newest MaxTombstones.
	Tombstones(publisher, above uint64) []Refusal
	// LostRanges returns the lost ranges of a publisher, in order, at most the newest 64.
	LostRanges(publisher uint64) []Range
	// Touch notes that a publisher is in use now, so that retention keeps it.
	Touch(publisher uint64)
	// GroupClock returns the group's progress with forgetting publishers, as far as it is known here.
	// A caller that needs have(p) as well must read Closing first.
	GroupClock() GroupClock
	// Floor returns floor(p). Floors returns the floors of all publishers that have one.
	Floor(publisher uint64) uint64
	Floors() bookmark.Vector
	// RemovedMatching returns the publishers with removed messages whose topic matches, or may match, each
	// with the highest number of these messages. It leaves out numbers up to where a publisher was
	// closed if named, the vector of the place, does not name the publisher. If more messages of
	// such a publisher were removed, it adds to named the number at which the publisher was
	// closed.
	RemovedMatching(matches func(topic []byte) bool, named bookmark.Vector) bookmark.Vector
	// ClosedPublishers returns publishers with their have(p). No message of them up to that number will come
	// from any instance, so places can do without them. The caller must not change the vector.
	ClosedPublishers() bookmark.Vector

	// Unmatched returns, with have(p), the publishers of which no message that the log has or ever
	// had can match. It leaves out a publisher if that is not known.
	NeverMatching(matches func(topic []byte) bool) bookmark.Vector

	// TopicsKnown reports whether the log knows every topic of a publisher's messages, including
	// those that retention has removed or will remove.
	TopicsKnown(publisher uint64) bool

	// First returns the position of the oldest record. Durable returns the position behind the
	// newest durable record. DurableVector returns that position with a vector that covers all
	// records before it, and no record that was not durable when it returned.
	First() Position
	DurableEnd() Position
	DurableVector() (Position, bookmark.Vector)
	// SeekVector returns a position such that v covers every record before it.
	SeekVector(v bookmark.Vector) (Position, error)
	// SeekTime returns the position of the first record taken at or after t, and the vector of the
	// records before it. Both are at most the durable ones.
	SeekTime(t time.Time) (Position, bookmark.Vector, error)
	// Find returns the position of the first message in the log that is on a list, or of the
	// tombstone or empty record in its place. found is false if the log has none of them (any
	// more). Find makes one pass, however long the list is. It asks stop, which may be nil, now
	// and then whether to give up.
	Find(list []bookmark.Bookmark, stop func() bool) (at Position, found bool, err error)
	// Follow returns a follower of the durable records from a position on. The pair's follower is
	// a journal.Follower.
	Follow(from Position) Follower
}

// An Appender appends the records of one session. Records that are appended together share one
// reading of the clock, and the links learn of them together. An Appender belongs to one
// goroutine. The pair's is a journal.AppendBatch.
type Appender interface {
	// Append admits r and adds it if the verdict is Take. It then sets Position and Next, and also
	// Time, Sequence and Prev where they were 0. It blocks while the disk is too far behind. An
	// error is final for the log, or says that r does not fit.
	Append(r *Record) (Verdict, error)
	// AppendRun adds messages of one publisher, in order, as long as each is the next one that the
	// log lacks. The rest must go through Append, which gives the reason. AppendRun does not check
	// that the messages are sound.
	AppendRun(check bookmark.Check, run []record.OrdinaryMessage) (RunResult, error)
	// RecordInfo describes the record at the number of r, for which the verdict was Differs or
	// Covered. With search it looks in the log for a record that is not remembered. For ascending
	// numbers that costs one pass through the log in total.
	Lookup(r *Record, search bool) (RecordInfo, error)
	// Notify makes the links send the appended records. It must be called before the session waits
	// for its client.
	Notify()
}

// A RunResult is the result of appending several records: their number, and their place in the log,
// from behind the record before the first one to behind the last one.
type RunResult struct {
	Records  int
	From, To Position
}

// A Follower reads durable records in order. At the end of the log it can be called again later.
// It belongs to one goroutine.
type Follower interface {
	// Next reads the next record into r, whose slices are valid until the next call. It returns
	// false if there is no record for now. An error is final: ErrTrimmed, ErrClosed, or an error
	// of the disk.
	Next(r *Record) (bool, error)
	// Position returns the position of the next record to be read.
	Position() Position
	// Seek moves the follower to a position, as Log.Follow would begin there. It invalidates the
	// records that were read before.
	Seek(to Position)
	Close() error
}

// Watermarks report how far publishers' messages are acknowledged.
type Watermarks interface {
	// Watermarks returns safe(p) and settled(p) of the same moment. A caller that needs have(p) as
	// well must read it afterwards, so that have(p) is not below them.
	Watermarks(publisher uint64) (safe, settled uint64)
	// ExpectSettled notes that from now on something waits for the message to be settled: a replayed
	// duplicate, or a logon that is held back (R5).
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
	// CarriedTopics returns the topic patterns that every sync destination carries (R3). Nil means all
	// topics; it is empty without a sync destination.
	CarriedTopics() []string
	// SyncPeers returns the names of the sync destinations.
	SyncPeers() []string
	// SyncStatus returns how the instance stands to its sync destinations.
	SyncStatus() syncstatus.Status
	// Linked reports whether the peer of that name is connected.
	Linked(peer string) bool
	// MustHoldPublish reports whether a session must not take a number above have(p) yet (R11). That is so
	// if a sync peer is not among answers, which are the answers to the session's notice, or if
	// have(p) is below the answer of a peer that replicates to us. It does not wait for a peer
	// that is away or downgraded.
	MustHoldPublish(publisher uint64, answers map[string]uint64) bool
	// Incarnation counts the decrees of the group (R4).
	Incarnation() uint64
	// OutdatedReason returns the reason why no clients may be served: the group has a decree in which
	// this instance had no part. It is empty if they may.
	OutdatedReason() string
	// DecreeUnused reports whether a decree stands that a publisher has not used. Settle notes that
	// the publisher has used it.
	DecreeUnused(publisher uint64) bool
	UseDecree(publisher uint64) error
	// HoldPublish notes that a publish is held back because of Awaits, until release is called (R5).
	HoldPublish() (release func())
	// Cluster returns the cluster id, which all instances of the group share, in hex.
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
	LogonCounter uint64 // of the logon; 0: a plain client
	Instance     string // the instance where the client logged on
}

// A Reply is an instance's answer to a notice, beside its have(p).
type Reply struct {
	NameTaken      bool // the name belongs to another user there
	OtherPublisher bool // the id belongs to another publisher there
	Outbid         bool // another session stays, there or on a third instance
}

// Answers are the peers' answers to a notice.
type Answers struct {
	Have           uint64 // the highest have(p)
	AllAnswered    bool   // every configured destination and connected peer has answered
	NameTaken      bool   // the name belongs to another user on one of them
	OtherPublisher bool   // the id belongs to another publisher on one of them

	// IncomingHave is the highest have(p) of the peers that replicate to us. Our have(p) will reach it.
	// EnoughAnswered reports that the connected ones of these peers and every sync destination have
	// answered. It does not need a peer that is away or an asynchronous destination, whose own
	// records never come here.
	IncomingHave   uint64
	EnoughAnswered bool

	// HaveByPeer has the have(p) in the answer of each peer, by name. A peer that keeps a session of its
	// own counts as not having answered: By leaves it out, All and Enough are false, and Lost is
	// true.
	HaveByPeer map[string]uint64
	Outbid     bool

	Intact bool // one of the peers that have answered is intact
	// SurvivorsAnswered reports that every configured peer which the standing decree does not name has
	// answered. Settled reports that one of them has seen the publisher use the decree (R4).
	SurvivorsAnswered bool
	DecreeUsed        bool

	Forgotten uint64 // the highest Closing.Forgotten
}

// A Range is the sequences From to To of a publisher, both included.
type Range struct{ From, To uint64 }
