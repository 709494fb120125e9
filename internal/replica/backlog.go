package replica

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
)

// A Wait is the part of a publisher's messages in the journal that this instance's disk and those of
// all sync destinations have not acknowledged, on any connection of this process. Without a sync
// destination this instance's disk counts alone. A diverged publisher waits for nothing.
type Wait struct {
	journal.PublisherState
	Safe, Settled  uint64
	Unacknowledged uint64        // number of the messages
	Oldest         uint64        // sequence of the first of them; 0: there are none
	Waits          time.Duration // how long it has waited for a sync destination; 0: not at all
}

// A Backlog sums up the Waits of all publishers.
type Backlog struct {
	Publishers int           // publishers with such messages
	Messages   uint64        // of all publishers
	Oldest     time.Duration // how long the oldest of them has waited for a sync destination
	Worst      []Wait        // the publishers with the most, most first; at most MaxBehind
}

// waitsAtOnce is the number of publishers whose longest waits are found under one lock, among up to
// twice maxBuckets buckets. Publishes and acks wait meanwhile.
const waitsAtOnce = 128

// Backlog returns the sum of all publishers. It visits them part by part: publishes and acks go on
// between two parts.
func (l *Links) Backlog() Backlog {
	c := l.census()
	w := Backlog{Publishers: c.Waiting, Messages: c.Unsafe}
	states := make([]journal.PublisherState, 0, len(c.Behind))
	for _, b := range c.Behind {
		states = append(states, l.o.Journal.StatesFrom(b.Publisher, 1)...)
	}
	w.Worst = l.Waits(states)
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.dests {
		if since, waiting := p.progress.Oldest(); p.dest.Sync && waiting {
			w.Oldest = max(w.Oldest, now-since)
		}
	}
	return w
}

// Waits returns the Wait of each publisher. states are their states.
func (l *Links) Waits(states []journal.PublisherState) []Wait {
	waits := make([]Wait, 0, len(states))
	for part := range slices.Chunk(states, waitsAtOnce) {
		now := l.now()
		l.mu.Lock()
		for i := range part {
			waits = append(waits, l.waitLocked(&part[i], now))
		}
		l.mu.Unlock()
	}
	return waits
}

func (l *Links) waitLocked(s *journal.PublisherState, now time.Duration) Wait {
	w := Wait{
		PublisherState: *s,
		Safe:           l.capAtDivergence(s.Publisher, l.watermarks.Safe(s.Publisher, s.Durable)),
		Settled:        l.capAtDivergence(s.Publisher, l.watermarks.Settled(s.Publisher, s.Durable)),
	}
	if w.Unacknowledged, w.Oldest = l.unackedLocked(s); w.Unacknowledged == 0 {
		return w
	}
	for _, p := range l.dests {
		if since, waits := p.progress.Since(s.Publisher); waits && p.dest.Sync {
			w.Waits = max(w.Waits, now-since)
		}
	}
	return w
}

// unackedLocked returns how many messages of a publisher wait, and the sequence of the first.
func (l *Links) unackedLocked(s *journal.PublisherState) (n, oldest uint64) {
	acked := s.Durable
	for _, p := range l.dests {
		if p.dest.Sync {
			acked = min(acked, p.progress.Acknowledged()[s.Publisher])
		}
	}
	if acked = max(acked, s.Floor); acked >= s.Have || s.Diverged > 0 {
		return 0, 0
	}
	return s.Have - acked, acked + 1
}
