// Package checker judges a system by its history as seen from outside: the messages that
// applications published and were handed, and the records of the journals. It is the one
// checker of all tests that make faults, whether they run the cores in memory, servers
// over an in-memory network, or real processes. It reads no files and no clock, and takes
// time in proportion to the history.
package checker

import (
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// A History is the history of a whole system as seen from outside: the messages that
// applications published and were handed, the messages that publish stores let go of with
// the content of the disks at that moment, and the records of the journals at the end,
// when no fault has happened for long enough. Check judges it by the guarantees.
type History struct {
	Published []*Publication
	LetGo     []LetGoEvent
	Journals  []Journal
	Readers   []*Reader
	Errors    []string // of applications and instances, although nothing entitles them to one (G7)
}

// A Fate is the required outcome of a message.
type Fate int

// The fates of a message.
const (
	Unknown  Fate = iota // its publisher died with it: it may be delivered, once
	Accepted             // Publish returned nil, and its store has not been lost
	Refused              // Publish returned an error: it must not be delivered
)

// A Publication is one message given to Publish. Bodies are unique.
type Publication struct {
	App         string
	N           int // counts the messages of App
	Topic, Body string
	Publisher   uint64 // that Sequence is of; 0: not known. If all identities are known, there is nothing after the last
	Sequence    uint64 // that Publish returned; 0 unless it returned nil
	Fate        Fate
	PublishedAt int64        // when Publish was called, by the clock that Reader.Since is of
	Kind        journal.Kind // of the records that stand for it; 0: Message
	HasBase     bool         // on the wire sequences are counted from a base, as towards servers without our extensions
}

// A LetGoEvent is a publish store letting go of messages.
type LetGoEvent struct {
	App     string
	Through bookmark.Bookmark            // all of the publisher up to it
	Durable map[string]bookmark.Bookmark // by synchronous instance: the last message that was durable on its disk at that moment
	Single  bool                         // one disk is enough: a client without our extensions, and a downgrade (R15)
}

// A Journal is the content of an instance's journal.
type Journal struct {
	Instance string
	Records  []Record
	Floor    bookmark.Vector // removed by retention, or perhaps removed; nil: nothing
	Have     bookmark.Vector // how far it says that it has publishers; of one that is absent it says nothing
	OneWay   bool            // it gives nothing to the others: it may have messages that died with them and with their publisher
}

// A Record is a record of a journal.
type Record struct {
	bookmark.Bookmark
	Prev        uint64
	Kind        journal.Kind
	Topic, Body string
	Sum         uint32 // over all of it that must be the same everywhere; 0: not known
}

// A Reader is the history of one bookmark subscription.
type Reader struct {
	Name         string
	Topic        string // empty: all
	Since        int64  // when it was accepted from NOW; 0: from EPOCH
	FullyDurable bool
	Gaps         []Gap         // reported to it, because retention went past it (R9)
	Processes    [][]*Delivery // of the processes that had it, one after the other
}

// A Gap is a range of a publisher's messages, both ends included.
type Gap struct{ Publisher, From, Through uint64 }

// A Delivery is a message handed to an application.
type Delivery struct {
	bookmark.Bookmark
	Body  string
	State DiscardState
}

// DiscardState says how far a discard has come.
type DiscardState int

// How far a discard has come.
const (
	NotDiscarded   DiscardState = iota
	Discarding                  // was called, may be on disk
	DiscardDurable              // a Sync after it has returned
)

// A Violation is something in a history that the guarantees do not allow.
type Violation struct {
	Kind ViolationKind
	Rule string // the guarantee or rule that it breaks: G1 to G7, R1, R9, R13
	Text string
}

func (v Violation) String() string { return v.Rule + ": " + v.Text }

// A ViolationKind is the damage that a violation does to a user of the guarantee.
type ViolationKind int

// The harms.
const (
	Lost       ViolationKind = iota // not where it must be, or no longer
	Duplicated                      // there twice, or handed over twice
	Disordered                      // out of order, or after a hole
	Foreign                         // was never published, or not so
	Diverged                        // the journals differ
	Unsafe                          // let go of too early
	Unexpected                      // an error that nothing entitles to
	kindCount
)

func (h ViolationKind) String() string {
	return [...]string{"lost", "duplicated", "out of order", "foreign", "diverged", "unsafe", "unexpected"}[h]
}

// A Tally counts violations by kind.
type Tally [kindCount]int

// Count returns the number of violations of each kind.
func Count(all []Violation) (t Tally) {
	for _, v := range all {
		t[v.Kind]++
	}
	return t
}
