package bench

import (
	"sync"
	"time"

	hdr "github.com/HdrHistogram/hdrhistogram-go"
)

// A times takes durations, from any goroutine.
type times struct {
	mu        sync.Mutex
	histogram *hdr.Histogram // guarded by mu; of nanoseconds up to an hour, to three digits
}

func newTimes() *times { return &times{histogram: hdr.New(1, int64(time.Hour), 3)} }

// record takes one duration.
func (t *times) record(d time.Duration) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.histogram.RecordValue(min(max(1, int64(d)), int64(time.Hour)))
}

// quantiles returns those of what was taken, nil if that is nothing.
func (t *times) quantiles() *Quantiles {
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
