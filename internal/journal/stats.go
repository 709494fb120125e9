package journal

import (
	"time"
)

// Stats are measurements of a journal.
type Stats struct {
	Bytes               int64 // size on disk
	Segments            int
	First, Durable, End Position  // of the oldest record, after the newest durable one, after the newest one
	Oldest              time.Time // when the oldest record was taken; zero: not known, or there is none
}

// Stats returns the present measurements. Its cost does not depend on the number of records or
// publishers.
func (j *Journal) Stats() Stats {
	segs, s := j.log.Segments(), Stats{Bytes: j.log.Size()}
	s.Segments, s.First = len(segs), segs[0].First
	j.mu.Lock()
	defer j.mu.Unlock()
	s.Durable, s.End = j.durable, j.end
	oldest := j.table.segFrom
	if len(segs) > 1 {
		oldest = j.summaries[s.First].from
	}
	if oldest > 0 {
		s.Oldest = time.UnixMicro(oldest)
	}
	return s
}

// PublisherCounts are the numbers of a publisher that a monitor counts.
type PublisherCounts struct {
	Publisher            uint64
	Have, Durable, Floor uint64 // as in PublisherState
	Diverged             bool
	Tombstones           int // rejected messages that are remembered
}

// CountsFrom appends to counts those of the publishers whose id is at least from, ordered by id, up
// to the capacity of counts. Appends wait meanwhile.
func (j *Journal) CountsFrom(from uint64, counts []PublisherCounts) []PublisherCounts {
	j.mu.Lock()
	defer j.mu.Unlock()
	at, _ := j.table.find(from)
	all := j.table.sorted()[at:]
	for _, p := range all[:min(cap(counts)-len(counts), len(all))] {
		counts = append(counts, PublisherCounts{p.id, p.have, p.durable, p.floor, p.diverged > 0, len(p.newestTombstones())})
	}
	return counts
}
