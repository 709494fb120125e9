// Package heap is a test part: it measures how much memory a function allocates, so that
// a test can compare it with the size of its input.
package heap

import "runtime/metrics"

// slack is how far off Allocated may be: small objects are counted by the span,
// when it is used up or a garbage collection begins.
const slack = 4 << 20

// Allocated runs f and returns how many bytes the process allocated meanwhile,
// freed or not, give or take 4 MiB. Whatever else runs at the time is counted
// too. It is cheap: runtime.ReadMemStats is exact, and stops the world.
func Allocated(f func()) uint64 {
	before := total()
	f()
	return total() - before
}

func total() uint64 {
	sample := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}

// A reporter is a *testing.T, *testing.F or *rapid.T.
type reporter interface {
	Helper()
	Errorf(format string, args ...any)
}

// Bounded runs f, which was given so many bytes of input, and fails the test
// if it allocated more than times as many and constant bytes.
func Bounded(t reporter, input, times, constant int, f func()) {
	t.Helper()
	most := uint64(input)*uint64(times) + uint64(constant) + slack
	if took := Allocated(f); took > most {
		t.Errorf("%d bytes of input took %d bytes of memory, want no more than %d", input, took, most)
	}
}
