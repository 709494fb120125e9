package clientcore

import "testing"

func TestNameBackoff(t *testing.T) {
	const second = 1_000_000_000
	var b NameBackoff
	for i, tt := range []struct{ at, delay int64 }{
		{100, 5}, {106, 10}, {117, 20}, {170, 40}, {211, 60}, {300, 60}, {421, 5}, {427, 10},
	} {
		if delay := b.InUse(tt.at * second); delay != tt.delay*second {
			t.Errorf("step %d at %d s: delay %v s, want %d", i, tt.at, delay/second, tt.delay)
		}
	}
}
