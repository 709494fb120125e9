package histogram

import (
	"maps"
	"slices"
	"sync"
	"testing"
	"time"
)

// A duration is counted in the first bucket whose bound it does not exceed.
func TestBuckets(t *testing.T) {
	for _, c := range []struct {
		d     time.Duration
		bound float64 // seconds; 0: none
	}{
		{-time.Second, 25e-6}, {0, 25e-6}, {1, 25e-6}, {first, 25e-6}, {first + 1, 50e-6}, {2 * first, 50e-6}, {2*first + 1, 100e-6},
		{time.Millisecond, 0.0016}, {52 * time.Second, 52.4288}, {first << (buckets - 1), 52.4288}, {first<<(buckets-1) + 1, 0}, {1 << 62, 0},
	} {
		var h Histogram
		h.Observe(c.d)
		s, found := h.Snapshot(), 0.0
		for _, bound := range slices.Backward(slices.Sorted(maps.Keys(s.Buckets))) {
			if s.Buckets[bound] == 1 {
				found = bound
			}
		}
		if found != c.bound || s.Count != 1 || s.Sum != max(c.d, 0).Seconds() {
			t.Errorf("%v: bucket %v, want %v; count %d, sum %v", c.d, found, c.bound, s.Count, s.Sum)
		}
	}
}

// Nothing is lost when several goroutines count.
func TestConcurrent(t *testing.T) {
	var h Histogram
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 1000 {
				h.Observe(time.Duration(i) * time.Millisecond)
			}
		})
	}
	wg.Wait()
	if s := h.Snapshot(); s.Count != 8000 || s.Sum != 8*499.5 {
		t.Errorf("count %d, sum %v", s.Count, s.Sum)
	}
}

func TestObserveAllocatesNothing(t *testing.T) {
	var h Histogram
	if n := testing.AllocsPerRun(100, func() { h.Observe(time.Millisecond) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	var h Histogram
	for b.Loop() {
		h.Observe(time.Millisecond)
	}
}
