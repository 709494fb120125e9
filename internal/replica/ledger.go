package replica

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// A Ledger is a journal with its links, the pair's [ledger.Ledger].
type Ledger struct {
	*Links
	journal *journal.Journal
}

// Ledger returns the links with their journal as sessions see them.
func (l *Links) Ledger() *Ledger { return &Ledger{l, l.o.Journal} }

// Appender implements [ledger.Log].
func (l *Ledger) Appender() ledger.Appender { return l.journal.NewBatch() }

// Have implements [ledger.Log].
func (l *Ledger) Have(publisher uint64) (have uint64, known bool) {
	s, known := l.journal.State(publisher)
	return s.Have, known
}

// Check implements [ledger.Log].
func (l *Ledger) Check(publisher uint64) bookmark.Check {
	s, _ := l.journal.State(publisher)
	return s.Check
}

// Diverged implements [ledger.Log].
func (l *Ledger) Diverged(publisher uint64) (from uint64) { return l.journal.Diverged(publisher) }

// Floor implements [ledger.Log].
func (l *Ledger) Floor(publisher uint64) uint64 {
	s, _ := l.journal.State(publisher)
	return s.Floor
}

// Tombstones implements [ledger.Log].
func (l *Ledger) Tombstones(publisher, above uint64) []ledger.Tombstoned {
	return l.journal.Tombstones(publisher, above)
}

// Lost implements [ledger.Log].
func (l *Ledger) Lost(publisher uint64) []ledger.Range { return l.journal.Lost(publisher) }

// Cluster implements [ledger.Group].
func (l *Ledger) Cluster() string { return "" }

// Incarnation implements [ledger.Group].
func (l *Ledger) Incarnation() uint64 { return l.journal.Decree().Incarnation }

// Unsettled implements [ledger.Group].
func (l *Ledger) Unsettled(publisher uint64) bool { return l.journal.Unsettled(publisher) }

// Settle implements [ledger.Group].
func (l *Ledger) Settle(publisher uint64) error { return l.journal.Settle(publisher) }

// Seen implements [ledger.Log].
func (l *Ledger) Seen(publisher uint64) { l.journal.Seen(publisher) }

// Floors implements [ledger.Log].
func (l *Ledger) Floors() bookmark.Vector { return l.journal.Floors() }

// Removed implements [ledger.Log].
func (l *Ledger) Removed(matches func(topic []byte) bool, named bookmark.Vector) bookmark.Vector {
	return l.journal.Removed(matches, named)
}

// Unmatched implements [ledger.Log].
func (l *Ledger) Unmatched(matches func(topic []byte) bool) bookmark.Vector {
	return l.journal.Unmatched(matches)
}

// TopicsKnown implements [ledger.Log].
func (l *Ledger) TopicsKnown(publisher uint64) bool { return l.journal.TopicsKnown(publisher) }

// First implements [ledger.Log].
func (l *Ledger) First() ledger.Position { return ledger.Position(l.journal.First()) }

// Durable implements [ledger.Log]. It hides Links.Durable, which takes the news of an fsync.
func (l *Ledger) Durable() ledger.Position { return ledger.Position(l.journal.Durable()) }

// DurableVector implements [ledger.Log].
func (l *Ledger) DurableVector() (ledger.Position, bookmark.Vector) {
	at, v := l.journal.DurableVector()
	return ledger.Position(at), v
}

// SeekVector implements [ledger.Log].
func (l *Ledger) SeekVector(v bookmark.Vector) (ledger.Position, error) {
	at, err := l.journal.SeekVector(v)
	return ledger.Position(at), err
}

// SeekTime implements [ledger.Log].
func (l *Ledger) SeekTime(t time.Time) (ledger.Position, bookmark.Vector, error) {
	at, v, err := l.journal.SeekTime(t)
	return ledger.Position(at), v, err
}

// Find implements [ledger.Log].
func (l *Ledger) Find(list []bookmark.Bookmark, stop func() bool) (at ledger.Position, found bool, err error) {
	p, found, err := l.journal.Find(list, stop)
	return ledger.Position(p), found, err
}

// Follow implements [ledger.Log].
func (l *Ledger) Follow(from ledger.Position) ledger.Follower {
	return follower{l.journal.Follow(journal.Position(from), journal.Durable)}
}

// A follower is a journal's, of durable records.
type follower struct{ *journal.Follower }

func (f follower) Position() ledger.Position { return ledger.Position(f.Follower.Position()) }

func (f follower) Seek(to ledger.Position) { f.Follower.Seek(journal.Position(to)) }
