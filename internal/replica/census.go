package replica

import (
	"cmp"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/journal"
)

// MaxBehind is the largest number of publishers in Census.Behind.
const MaxBehind = 20

// A Census is a count over all publishers of the journal.
type Census struct {
	Records    uint64         // numbers above the floors
	Tombstones int            // rejected messages that the journal remembers
	Unsafe     uint64         // messages that wait: they are not known to be on the disks of this instance and of all sync destinations
	Waiting    int            // publishers with such messages
	Behind     []PublisherLag // those with the most of them, most first

	unacknowledged map[*peer]uint64 // sequences above the floors that a destination has not acknowledged
}

// A PublisherLag is the number of a publisher's messages that are not safe, as in Census.Unsafe.
type PublisherLag struct{ Publisher, Messages uint64 }

// countedAtOnce is the number of publishers that are counted under one lock. Publishes and acks
// wait meanwhile.
const countedAtOnce = 256

// census counts the publishers part by part: the journal and the links go on between two parts.
func (l *Links) census() *Census {
	all := &Census{unacknowledged: make(map[*peer]uint64, len(l.dests))}
	part := make([]journal.PublisherCounts, 0, countedAtOnce)
	for from := uint64(0); ; {
		part = l.o.Journal.CountsFrom(from, part[:0])
		l.mu.Lock()
		for i := range part {
			all.addLocked(&part[i], l.dests)
		}
		l.mu.Unlock()
		if len(part) < countedAtOnce {
			return all
		}
		from = part[len(part)-1].Publisher + 1
	}
}

// addLocked counts a publisher. An acknowledgement on any connection of this process counts, so
// that a peer which is away does not make all of its messages unsafe. A diverged publisher waits for
// nothing.
func (s *Census) addLocked(c *journal.PublisherCounts, dests []*peer) {
	s.Records += c.Have - c.Floor
	s.Tombstones += c.Tombstones
	safe := c.Durable
	for _, p := range dests {
		acked := max(p.progress.Acknowledged()[c.Publisher], c.Floor)
		s.unacknowledged[p] += c.Have - min(c.Have, acked)
		if p.dest.Sync {
			safe = min(safe, acked)
		}
	}
	if lag := c.Have - min(c.Have, max(safe, c.Floor)); lag > 0 && !c.Diverged {
		s.Unsafe += lag
		s.Waiting++
		s.addBehind(PublisherLag{c.Publisher, lag})
	}
}

// addBehind adds a publisher to those with the largest lag, if it is one of them.
func (s *Census) addBehind(p PublisherLag) {
	if len(s.Behind) == MaxBehind {
		if p.Messages <= s.Behind[MaxBehind-1].Messages {
			return
		}
		s.Behind = s.Behind[:MaxBehind-1]
	}
	at, _ := slices.BinarySearchFunc(s.Behind, p, func(a, b PublisherLag) int {
		return cmp.Or(cmp.Compare(b.Messages, a.Messages), cmp.Compare(a.Publisher, b.Publisher))
	})
	s.Behind = slices.Insert(s.Behind, at, p)
}
