package pace_test

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/pace"
)

func TestLimiter(t *testing.T) {
	var l pace.Limiter
	now := time.Unix(1_000_000, 0)
	taken := func() (n int) {
		for range 100 {
			if l.Allow(now, time.Second, 10*time.Second) {
				n++
			}
		}
		return n
	}
	for _, tt := range []struct {
		after time.Duration
		want  int
	}{{0, 11}, {0, 0}, {time.Second / 2, 0}, {time.Second / 2, 1}, {3 * time.Second, 3}, {time.Hour, 11}} {
		now = now.Add(tt.after)
		if got := taken(); got != tt.want {
			t.Errorf("%v later it happens %d times, want %d", tt.after, got, tt.want)
		}
	}
}
