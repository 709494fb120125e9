// Package histogram counts durations in fixed buckets, for the latencies that an instance reports.
package histogram

import (
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	// first is the upper bound of the first bucket. Each further bound is twice the one before it.
	first = 25 * time.Microsecond
	// buckets is the number of buckets with an upper bound. The last bound is 52.4 seconds.
	buckets = 22
)

// A Histogram counts durations. Its zero value is ready for use. It is safe for concurrent use:
// Observe neither locks nor allocates.
type Histogram struct {
	counts [buckets + 1]atomic.Uint64 // by bucket; the last one has the durations above all bounds
	sum    atomic.Int64               // nanoseconds
}

// Observe counts a duration. A negative one counts as zero.
func (h *Histogram) Observe(d time.Duration) {
	d = max(d, 0)
	h.counts[min(bits.Len64(uint64(max(d-1, 0)/first)), buckets)].Add(1)
	h.sum.Add(int64(d))
}

// A Snapshot is the state of a Histogram.
type Snapshot struct {
	Count   uint64             // number of durations
	Sum     float64            // of the durations, seconds
	Buckets map[float64]uint64 // number of durations up to each bound; bounds in seconds
}

// Snapshot returns the current state. Durations that are counted meanwhile may be missing in a part
// of it; Count and Buckets agree with each other.
func (h *Histogram) Snapshot() Snapshot {
	s := Snapshot{Sum: time.Duration(h.sum.Load()).Seconds(), Buckets: make(map[float64]uint64, buckets)}
	for i := range h.counts {
		if s.Count += h.counts[i].Load(); i < buckets {
			s.Buckets[float64(first<<i)/float64(time.Second)] = s.Count // Duration.Seconds would round it
		}
	}
	return s
}
