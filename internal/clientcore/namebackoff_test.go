package clientcore

import "testing"

func TestNameRule(t *testing.T) {
	const second = 1_000_000_000
	var r NameBackoff
	for i, tt := range []struct{ at, wait int64 }{
		{100, 5}, {106, 10}, {117, 20}, {170, 40}, {211, 60}, {300, 60}, {421, 5}, {427, 10},
	} {
		if wait := r.InUse(tt.at * second); wait != tt.wait*second {
			t.Errorf("step %d at %d s: wait %v s, want %d", i, tt.at, wait/second, tt.wait)
		}
	}
}
