package journal

import (
	"cmp"
	"fmt"
	"io"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// Lookup implements [ledger.Appender]. It describes the record at the number of r, which is at
// or below have (R1). If the table does not know the number and searchLog is set, it reads the
// log. Ascending numbers cost one pass.
func (b *AppendBatch) Lookup(r *Record, searchLog bool) (RecordInfo, error) {
	sum := sumOf(r)
	if s, known := b.j.lookupTable(r.Publisher, r.Sequence, sum); known || !searchLog {
		return s, nil
	}
	found, err := b.lookups.find(b.j, r.Publisher, r.Sequence)
	switch {
	case err != nil:
		return RecordInfo{}, fmt.Errorf("journal: look up %d|%d: %w", r.Publisher, r.Sequence, err)
	case found:
		return b.lookups.recordInfo(sum), nil
	}
	s, _ := b.j.lookupTable(r.Publisher, r.Sequence, sum) // retention may have removed it meanwhile
	return s, nil
}

// lookupTable describes the record at a number as far as the table knows it. known is false if
// the log may say more. That is possible only for a number above the floor, even for one in a
// hole, because the two oldest holes may have been joined.
func (j *Journal) lookupTable(publisher, sequence uint64, sum uint32) (s RecordInfo, known bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	p := j.table.lookup(publisher)
	if sequence > p.have {
		return RecordInfo{}, true
	}
	ts := p.newestTombstones()
	if i, listed := slices.BinarySearchFunc(ts, sequence, bySequenceOf); listed {
		return RecordInfo{Kind: Tombstone, Same: sum == tombstoneSum, Reason: ts[i].Reason, Listed: true}, true
	}
	switch known := p.ring.get(sequence); {
	case known == emptySum:
		return RecordInfo{Kind: Empty, Same: sum == known}, true
	case known >= minContentSum:
		return RecordInfo{Kind: Message, Same: sum == known}, true
	}
	h, in := p.holeAt(sequence)
	if !in && sequence > p.floor {
		return RecordInfo{}, false
	}
	return RecordInfo{Kind: Gone, Cause: h.cause}, sequence <= p.floor // without a hole the cause is Removed
}

func bySequenceOf(t Refusal, sequence uint64) int { return cmp.Compare(t.Sequence, sequence) }

// A logLookup finds records of a publisher in the log, in order. It keeps the last one.
type logLookup struct {
	cursor    *seglog.Cursor // nil: no record was read
	publisher uint64
	from, to  uint64 // numbers of the last record
	info      RecordInfo
	sum       uint32 // of the last record
	record    Record // scratch
}

// find reads on to the record that stands for a number. If the last record is after the
// number, it starts again at an earlier position. It returns false if the log has no such
// record.
func (c *logLookup) find(j *Journal, publisher, sequence uint64) (bool, error) {
	if c.cursor == nil || c.publisher != publisher || sequence < c.from {
		c.reset()
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

// next reads the next record of the publisher. It skips the records of others.
func (c *logLookup) next() (bool, error) {
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
		c.sum, c.info = sumOf(r), RecordInfo{Kind: r.Kind, Cause: r.Cause, Reason: string(r.Reason)}
		if r.Kind == Gone && len(r.Reason) > 0 { // the marker refuses its numbers
			c.info.Kind = Tombstone
		}
		return true, nil
	}
}

// recordInfo describes the last record to a caller whose record has that sum.
func (c *logLookup) recordInfo(sum uint32) RecordInfo {
	s := c.info
	s.Same = c.sum != 0 && c.sum == sum
	return s
}

// closeFile closes the file that is being read. The next read opens it again.
func (c *logLookup) closeFile() {
	if c.cursor != nil {
		_ = c.cursor.Close()
	}
}

// reset drops the last record.
func (c *logLookup) reset() {
	c.closeFile()
	*c = logLookup{}
}

// seekNumber returns a position at or before the record that stands for a number of a
// publisher. It uses the summaries of the segments.
func (j *Journal) seekNumber(publisher, sequence uint64) (Position, error) {
	segs, err := j.segments()
	if err != nil {
		return 0, err
	}
	for _, s := range segs {
		if s.summary.highestOf(publisher) >= sequence {
			return s.summary.seekNumber(publisher, sequence, s.first)
		}
	}
	return segs[len(segs)-1].end, nil
}

// seekNumber is Journal.seekNumber in the segment that begins at first.
func (s *summary) seekNumber(publisher, sequence uint64, first Position) (Position, error) {
	list, rest, err := s.decodeOutline()
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
