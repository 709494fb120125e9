package bench

import (
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// A latencyRecorder collects durations. It is safe for concurrent use.
type latencyRecorder struct {
	mu        sync.Mutex
	histogram *hdr.Histogram // guarded by mu; nanoseconds up to an hour, with three digits
}

func newLatencyRecorder() *latencyRecorder {
	return &latencyRecorder{histogram: hdr.New(1, int64(time.Hour), 3)}
}

// record adds a duration.
func (r *latencyRecorder) record(d time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.histogram.RecordValue(min(max(1, int64(d)), int64(time.Hour)))
}

// quantiles returns the quantiles of the durations, nil if there are none.
func (r *latencyRecorder) quantiles() *Quantiles {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.histogram.TotalCount() == 0 {
		return nil
	}
	at := func(percent float64) float64 {
		return microseconds(time.Duration(r.histogram.ValueAtPercentile(percent)))
	}
	return &Quantiles{at(50), at(90), at(99), at(99.9), microseconds(time.Duration(r.histogram.Max()))}
}
