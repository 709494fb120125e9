package server

import (
	"testing"
	"time"
)

// A late tick has a line with the length of the pause, at most one a minute, and none is lost.
func TestPauseWatch(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	var w pauseWatch
	for _, step := range []struct{ after, want time.Duration }{
		{0, 0},
		{time.Second, 0},
		{1900 * time.Millisecond, 0}, // late by less than a second
		{3500 * time.Millisecond, 2500 * time.Millisecond},
		{5 * time.Second, 0}, // kept for later
		{time.Second, 0},
		{50 * time.Second, 0}, // not yet a minute
		{4 * time.Second, 49 * time.Second},
		{time.Second, 0},
	} {
		now = now.Add(step.after)
		if got := w.tick(now); got != step.want {
			t.Errorf("a tick after %v tells of a pause of %v, want %v", step.after, got, step.want)
		}
	}
}
