package replica

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"
)

// A link that comes and goes has lines for the first three times only, and one more when it is
// steady.
func TestUnsteadyLinkHasFewLines(t *testing.T) {
	var s states
	lines, now := 0, time.Minute
	for range 1000 {
		if _, _, tell := s.linkUp(now); tell {
			lines++
		}
		if now += time.Second; s.linkDown(now, errors.New("link lost"), false) {
			lines++
		}
		now += time.Second
	}
	if lines < 4 || lines > 8 {
		t.Errorf("%d lines", lines)
	}
	if _, _, tell := s.linkUp(now); tell {
		t.Error("an unsteady link is told at once")
	}
	if _, _, tell := s.becameSteady(now + steadyAfter - 1); tell {
		t.Error("told too early")
	}
	attempts, away, tell := s.becameSteady(now + steadyAfter)
	if !tell || attempts < 900 || away < 1900*time.Second {
		t.Errorf("after %d attempts in %v, told %v", attempts, away, tell)
	}
	now += time.Hour
	if !s.linkDown(now, errors.New("link lost"), false) {
		t.Error("the end of a steady link is not told")
	}
}

// Connections that cross are no event, and a refusal is told once in an outage.
func TestLinesOfAnOutage(t *testing.T) {
	var s states
	now := time.Minute
	s.linkUp(now)
	if s.linkDown(now, &RefusedError{Code: refuseCrossed, Reason: "another connection takes its place"}, false) {
		t.Error("a crossed connection is told")
	}
	if _, _, tell := s.linkUp(now); tell {
		t.Error("the connection that stays is told")
	}
	now += time.Hour
	refusal := &RefusedError{Code: refuseCluster, Reason: "two clusters"}
	if !s.linkDown(now, errors.New("link lost"), true) || !s.planned {
		t.Error("the end is not told, or not planned")
	}
	told := 0
	for range 10 {
		if s.attemptFailed(refusal, true) {
			told++
		}
	}
	if told != 1 || s.down.Attempts() != 10 {
		t.Errorf("a refusal is told %d times in %d attempts", told, s.down.Attempts())
	}
}

// A handler that blocks is called without Links.mu.
func TestBlockedLogHoldsNoLock(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.instance("a", func(o *Options) { o.Destinations = []Destination{to("b")} })
		h := &holding{release: make(chan struct{})}
		configure := a.set
		a.set = func(o *Options) { configure(o); o.Log = slog.New(h) }
		a.start()
		b := w.start("b", to("a"))
		pass(time.Minute) // something is logged by now, and blocks
		for range 3 {
			a.l.Single()
			a.l.Status()
			a.l.GiveUpAbsent()
		}
		close(h.release)
		w.linked(a, b)
	})
}

// holding is a handler that does not return until release is closed.
type holding struct {
	slog.Handler
	release chan struct{}
}

func (h *holding) Enabled(context.Context, slog.Level) bool { return true }
func (h *holding) WithAttrs([]slog.Attr) slog.Handler       { return h }
func (h *holding) Handle(context.Context, slog.Record) error {
	<-h.release
	return nil
}
