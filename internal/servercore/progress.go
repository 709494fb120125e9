package servercore

import (
	"sync"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// A ReadState is the relation of a subscription to the log.
type ReadState uint8

const (
	ReadsLive   ReadState = iota + 1 // reads new records with the session's other live subscriptions
	ReadsBehind                      // reads old records by itself
	ReadsHeld                        // holds a record until it is safe
)

// A SubscriptionInfo describes a subscription: how far the log was read for it.
type SubscriptionInfo struct {
	ID, Topic string // of the subscribe command
	ReadProgress
}

// A ReadProgress is the progress of a reader of the log.
type ReadProgress struct {
	State    ReadState
	At       ledger.Position   // of the next record
	Last     bookmark.Bookmark // the newest record that was read; zero: none yet
	LastTime int64             // its time, in microseconds
}

// A progress is the ReadProgress of a follower, which the writer updates in each of its turns and
// the status reads. It is safe for concurrent use.
type progress struct {
	mu  sync.Mutex
	now ReadProgress // guarded by mu
}

func (p *progress) get() ReadProgress {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// set sets the progress. last is the record that was read last; its publisher is 0 if none was.
func (p *progress) set(state ReadState, at ledger.Position, last *ledger.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now.State, p.now.At = state, at
	if last.Publisher != 0 {
		p.now.Last, p.now.LastTime = bookmark.Bookmark{Publisher: last.Publisher, Sequence: last.Sequence}, last.Time
	}
}

// noteProgress notes the progress of a subscription that is behind, after its turn.
func (b *sub) noteProgress() {
	switch {
	case b.awaitsSafe:
		b.progress.set(ReadsHeld, b.record.Position, &ledger.Record{})
	case b.follower != nil:
		b.progress.set(ReadsBehind, b.follower.Position(), &b.record)
	default: // it is live, or has ended
		b.progress.set(ReadsLive, 0, &ledger.Record{})
	}
}

// noteLive notes the progress of the live subscriptions, after their turn or when the first one
// becomes live.
func (s *Session) noteLive() {
	if w := &s.writer; w.shared != nil {
		s.live.set(ReadsLive, w.shared.Position(), &w.record)
	}
}

// Subscriptions describes the subscriptions of the session, in no particular order.
func (s *Session) Subscriptions() []SubscriptionInfo {
	s.mu.Lock()
	subs := make([]*sub, 0, len(s.subs))
	for _, b := range s.subs {
		subs = append(subs, b)
	}
	s.mu.Unlock()
	live := s.live.get()
	list := make([]SubscriptionInfo, len(subs))
	for i, b := range subs {
		list[i] = SubscriptionInfo{b.ID, b.Pattern.String(), b.progress.get()}
		if list[i].State == ReadsLive {
			list[i].ReadProgress = live
		}
	}
	return list
}
