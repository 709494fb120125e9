package client

import (
	"log/slog"
	"strings"
	"testing"
	"time"
)

// A pulse that is late while its goroutine waits tells that the process did not run. Time in which
// the goroutine was busy does not count.
func TestPulse(t *testing.T) {
	p := newPulse()
	defer p.timer.Stop()
	due := p.due
	p.waiting = due.Add(-time.Millisecond)
	if late := p.beat(due.Add(3 * time.Second)); late != 3*time.Second {
		t.Errorf("late by %v, want 3s", late)
	}
	if want := due.Add(4 * time.Second); !p.due.Equal(want) {
		t.Errorf("the next pulse is due %v, want %v", p.due, want)
	}
	p.waiting = p.due.Add(5 * time.Second)
	if late := p.beat(p.due.Add(6 * time.Second)); late != 0 {
		t.Errorf("a busy goroutine was late by %v", late)
	}
}

// The log tells of it from a second on, and at most once a minute.
func TestLogLateness(t *testing.T) {
	var text strings.Builder
	c := &Client{cfg: Config{Logger: slog.New(slog.NewTextHandler(&text, nil))}}
	now := time.Now()
	for _, s := range []struct{ at, late time.Duration }{{0, 900 * time.Millisecond}, {1 * time.Second, 2 * time.Second}, {50 * time.Second, 3 * time.Second}, {62 * time.Second, 4 * time.Second}} {
		c.logLateness(s.late, now.Add(s.at))
	}
	if got := strings.Count(text.String(), "this process did not run"); got != 2 || !strings.Contains(text.String(), "duration=2s") || !strings.Contains(text.String(), "duration=4s") {
		t.Errorf("got %s", text.String())
	}
}
