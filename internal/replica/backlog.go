package replica

import (
	"cmp"
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
	Worst      []Wait        // the publishers with the most, most first; at most MaxWorst
}

// MaxWorst is the largest number of publishers in Backlog.Worst.
const MaxWorst = 20

// The numbers of publishers that are visited under one lock. Publishes and acks wait meanwhile.
const (
	countedAtOnce = 1024 // to count messages
	waitsAtOnce   = 128  // to find how long they have waited, among up to twice maxBuckets buckets
)

// Backlog returns the sum of all publishers. It visits them part by part: publishes and acks go on
// between two parts.
func (l *Links) Backlog() (w Backlog) {
	var worst []Wait
	for from := uint64(0); ; {
		states := l.o.Journal.StatesFrom(from, countedAtOnce)
		l.mu.Lock()
		for i := range states {
			if n, _ := l.unackedLocked(&states[i]); n > 0 {
				w.Publishers++
				w.Messages += n
				worst = addWorst(worst, Wait{PublisherState: states[i], Unacknowledged: n})
			}
		}
		l.mu.Unlock()
		if len(states) < countedAtOnce {
			break
		}
		from = states[len(states)-1].Publisher + 1
	}
	states := make([]journal.PublisherState, len(worst))
	for i := range worst {
		states[i] = worst[i].PublisherState
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

// addWorst adds a publisher to those with the most messages, if it is one of them.
func addWorst(worst []Wait, w Wait) []Wait {
	if len(worst) == MaxWorst {
		if w.Unacknowledged <= worst[MaxWorst-1].Unacknowledged {
			return worst
		}
		worst = worst[:MaxWorst-1]
	}
	at, _ := slices.BinarySearchFunc(worst, w, func(a, b Wait) int {
		return cmp.Or(cmp.Compare(b.Unacknowledged, a.Unacknowledged), cmp.Compare(a.Publisher, b.Publisher))
	})
	return slices.Insert(worst, at, w)
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
