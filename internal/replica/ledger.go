package replica

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// A Ledger is a journal with its links. It is the [ledger.Ledger] of a pair.
type Ledger struct {
	*Links
	*journal.Journal
}

// Ledger returns the links and their journal as sessions see them.
func (l *Links) Ledger() *Ledger { return &Ledger{l, l.o.Journal} }

// Appender implements [ledger.Log].
func (l *Ledger) Appender() ledger.Appender { return l.Journal.NewAppendBatch() }

// Have implements [ledger.Log].
func (l *Ledger) Have(publisher uint64) (have uint64, known bool) {
	s, known := l.Journal.State(publisher)
	return s.Have, known
}

// Check implements [ledger.Log].
func (l *Ledger) Check(publisher uint64) bookmark.Check {
	s, _ := l.Journal.State(publisher)
	return s.Check
}

// Owner implements [ledger.Log].
func (l *Ledger) Owner(publisher uint64) string {
	s, _ := l.Journal.State(publisher)
	return s.Owner
}

// Floor implements [ledger.Log].
func (l *Ledger) Floor(publisher uint64) uint64 {
	s, _ := l.Journal.State(publisher)
	return s.Floor
}

// Cluster implements [ledger.Group].
func (l *Ledger) Cluster() string { return l.Links.Cluster() }

// Incarnation implements [ledger.Group].
func (l *Ledger) Incarnation() uint64 { return l.Journal.Decree().Incarnation }

// First implements [ledger.Log].
func (l *Ledger) First() ledger.Position { return ledger.Position(l.Journal.First()) }

// DurableEnd implements [ledger.Log].
func (l *Ledger) DurableEnd() ledger.Position { return ledger.Position(l.Journal.DurableEnd()) }

// DurableVector implements [ledger.Log].
func (l *Ledger) DurableVector() (ledger.Position, bookmark.Vector) {
	at, v := l.Journal.DurableVector()
	return ledger.Position(at), v
}

// SeekVector implements [ledger.Log].
func (l *Ledger) SeekVector(v bookmark.Vector) (ledger.Position, error) {
	at, err := l.Journal.SeekVector(v)
	return ledger.Position(at), err
}

// SeekTime implements [ledger.Log].
func (l *Ledger) SeekTime(t time.Time) (ledger.Position, bookmark.Vector, error) {
	at, v, err := l.Journal.SeekTime(t)
	return ledger.Position(at), v, err
}

// Find implements [ledger.Log].
func (l *Ledger) Find(list []bookmark.Bookmark, stop func() bool) (at ledger.Position, found bool, err error) {
	p, found, err := l.Journal.Find(list, stop)
	return ledger.Position(p), found, err
}

// Follow implements [ledger.Log].
func (l *Ledger) Follow(from ledger.Position) ledger.Follower {
	return follower{l.Journal.Follow(journal.Position(from), journal.Durable)}
}

// A follower is a follower of the journal's durable records.
type follower struct{ *journal.Follower }

func (f follower) Position() ledger.Position { return ledger.Position(f.Follower.Position()) }

func (f follower) Seek(to ledger.Position) { f.Follower.Seek(journal.Position(to)) }
