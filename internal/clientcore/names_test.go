package clientcore

import "testing"

func TestNameRule(t *testing.T) {
	const second = 1_000_000_000
	var r NameRule
	for i, tt := range []struct {
		at   int64
		stop bool
	}{{0, false}, {10, false}, {71, false}, {80, false}, {100, true}} {
		wait, stop := r.InUse(tt.at * second)
		if wait != 5*second || stop != tt.stop {
			t.Errorf("step %d at %d s: wait %d, stop %v; want 5 s, %v", i, tt.at, wait, stop, tt.stop)
		}
	}
}
