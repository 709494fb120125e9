package bench

import (
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// A latencyRecorder takes durations, from any goroutine.
type latencyRecorder struct {
	mu        sync.Mutex
	histogram *hdr.Histogram // guarded by mu; of nanoseconds up to an hour, to three digits
}

func newLatencyRecorder() *latencyRecorder {
	return &latencyRecorder{histogram: hdr.New(1, int64(time.Hour), 3)}
}

// record takes one duration.
func (t *latencyRecorder) record(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.histogram.RecordValue(min(max(1, int64(d)), int64(time.Hour)))
}

// quantiles returns those of what was taken, nil if that is nothing.
func (t *latencyRecorder) quantiles() *Quantiles {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.histogram.TotalCount() == 0 {
		return nil
	}
	at := func(percent float64) float64 {
		return microseconds(time.Duration(t.histogram.ValueAtPercentile(percent)))
	}
	return &Quantiles{at(50), at(90), at(99), at(99.9), microseconds(time.Duration(t.histogram.Max()))}
}
