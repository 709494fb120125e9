package journal

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// Standing says what stands at the number of r, which is at or below have (R1).
// With search, what the table does not remember is read from the log, in one
// pass for numbers that ascend.
func (b *AppendBatch) Standing(r *Record, search bool) (Standing, error) {
	sum := sumOf(r)
	if s, known := b.j.remembered(r.Publisher, r.Sequence, sum); known || !search {
		return s, nil
	}
	found, err := b.recall.find(b.j, r.Publisher, r.Sequence)
	switch {
	case err != nil:
		return Standing{}, fmt.Errorf("journal: look for %d|%d: %w", r.Publisher, r.Sequence, err)
	case found:
		return b.recall.standing(sum), nil
	}
	s, _ := b.j.remembered(r.Publisher, r.Sequence, sum) // retention may have been faster
	return s, nil
}

// remembered says what the table knows of a number. known is false if the log
// may say more: of holes too many to be remembered one by one, and of what
// stands above the floor.
func (j *Journal) remembered(publisher, sequence uint64, sum uint32) (s Standing, known bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.table.of(publisher)
	if sequence > p.have {
		return Standing{}, true
	}
	ts := p.refused()
	if i, listed := slices.BinarySearchFunc(ts, sequence, bySequenceOf); listed {
		return Standing{Kind: Tombstone, Same: sum == tombstoneSum, Reason: ts[i].Reason, Listed: true}, true
	}
	switch had := p.ring.get(sequence); {
	case had == emptySum:
		return Standing{Kind: Empty, Same: sum == had}, true
	case had >= leastContent:
		return Standing{Kind: Message, Same: sum == had}, true
	}
	h, in := p.inHole(sequence)
	if !in && sequence > p.floor {
		return Standing{}, false
	}
	return Standing{Kind: Gone, Cause: h.cause}, sequence <= p.floor // no hole: Removed
}

func bySequenceOf(t Tombstoned, sequence uint64) int { return cmp.Compare(t.Sequence, sequence) }

// A recall reads a publisher's records again, in order. It knows the last one
// that it has read.
type recall struct {
	cursor    *seglog.Cursor // nil: nothing was read
	publisher uint64
	from, to  uint64 // numbers that the last one stands for
	last      Standing
	sum       uint32 // of the last one
	record    Record // scratch
}

// find reads on to the record that stands for a number, from further back if
// the last one stands behind it. False: the log has none.
func (c *recall) find(j *Journal, publisher, sequence uint64) (bool, error) {
	if c.cursor == nil || c.publisher != publisher || sequence < c.from {
		c.end()
		at, err := j.seekNumber(publisher, sequence)
		if err != nil {
			return false, err
		}
		c.cursor, c.publisher = j.log.Cursor(at), publisher
	}
	for c.to < sequence {
		more, err := c.next()
		if err != nil || !more {
			return false, err
		}
	}
	return c.from <= sequence, nil
}

// next reads the publisher's next record, and passes those of others.
func (c *recall) next() (bool, error) {
	for {
		rec, err := c.cursor.Next()
		if err == io.EOF {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		if Kind(rec.Kind) == kindState || len(rec.Payload) < timeLen {
			continue
		}
		if publisher, _, ok := record.Identity(rec.Payload[timeLen:]); !ok || publisher != c.publisher {
			continue
		}
		r := &c.record
		if err := decodeLogged(rec, r); err != nil {
			return false, err
		}
		c.from, c.to = max(r.Prev, c.to)+1, r.Sequence
		c.sum, c.last = sumOf(r), Standing{Kind: r.Kind, Cause: r.Cause, Reason: string(r.Reason)}
		if r.Kind == Gone && len(r.Reason) > 0 { // it refuses what it stands for
			c.last.Kind = Tombstone
		}
		return true, nil
	}
}

// standing is what the last record says, to who asks about something with that sum.
func (c *recall) standing(sum uint32) Standing {
	s := c.last
	s.Same = c.sum != 0 && c.sum == sum
	return s
}

// rest closes the file that is read, until there is more to read.
func (c *recall) rest() {
	if c.cursor != nil {
		_ = c.cursor.Close()
	}
}

// end forgets what was read.
func (c *recall) end() {
	c.rest()
	*c = recall{}
}

// seekNumber returns a position at or before the record that stands for a
// number of a publisher, by the summaries of the segments.
func (j *Journal) seekNumber(publisher, sequence uint64) (Position, error) {
	segs, err := j.segments()
	if err != nil {
		return 0, err
	}
	for _, s := range segs {
		if s.summary.of(publisher) >= sequence {
			return s.summary.seekNumber(publisher, sequence, s.first)
		}
	}
	return segs[len(segs)-1].end, nil
}

// seekNumber is that of the journal in the segment that begins at first.
func (s *summary) seekNumber(publisher, sequence uint64, first Position) (Position, error) {
	list, rest, err := s.inside()
	if err != nil || len(list) == 0 {
		return first, err
	}
	for _, part := range list {
		if highestOf(part.highest, publisher) >= sequence {
			return part.first, nil
		}
	}
	return rest, nil
}
