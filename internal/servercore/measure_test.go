package servercore

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/histogram"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A probe measures one message at a time, until the ack that covers it.
func TestAckProbe(t *testing.T) {
	begin := time.Unix(1000, 0)
	now := begin
	s := &Session{inst: &Instance{Now: func() time.Time { return now }}}
	var h histogram.Histogram
	end := func(acked uint64, after time.Duration, count uint64) {
		t.Helper()
		s.probe.end(acked, begin.Add(after), &h)
		if n := h.Snapshot().Count; n != count {
			t.Errorf("ack of %d: %d measurements, want %d", acked, n, count)
		}
	}
	end(10, 0, 0)
	s.beginProbe(5)
	now = begin.Add(time.Second)
	s.beginProbe(6) // 5 is being measured
	end(4, time.Second, 0)
	end(5, 3*time.Second, 1)
	end(6, 4*time.Second, 1)
	s.beginProbe(7)
	end(9, 5*time.Second, 2)
	if sum := h.Snapshot().Sum; sum != 7 {
		t.Errorf("the sum is %v s, want 3+4", sum)
	}
}

// The last reason of each kind stands for those that are not counted by themselves.
func TestRefusalCounts(t *testing.T) {
	var c RefusalCounts
	for kind, reasons := range refusalReasons {
		if len(reasons) > maxReasons || reasons[len(reasons)-1] != otherReason {
			t.Errorf("reasons of %v: %q", RefusalKind(kind), reasons)
		}
		for _, reason := range append(slices.Clone(reasons), "made up", "") {
			c.add(RefusalKind(kind), reason)
		}
	}
	c.add(RefusedSession, wire.ReasonPublishGap)
	seen := 0
	c.Each(func(kind RefusalKind, reason string, count uint64) {
		want := uint64(1)
		switch {
		case reason == otherReason:
			want = 3
		case kind == RefusedSession && reason == wire.ReasonPublishGap:
			want = 2
		}
		if seen++; count != want {
			t.Errorf("%v %q: %d, want %d", kind, reason, count, want)
		}
	})
	if seen < 30 {
		t.Errorf("%d reasons", seen)
	}
}

// BenchmarkMeasures measures what a publish pays for the measurements at most, as it does if each
// message comes in a frame of its own and is acknowledged before the next one.
func BenchmarkMeasures(b *testing.B) {
	s := &Session{inst: &Instance{Now: time.Now}}
	for n := uint64(1); b.Loop(); n++ {
		s.inst.Counts.ReceivedBytes.Add(100)
		s.beginProbe(n)
		s.inst.Counts.PublishedBytes.Add(100)
		s.probe.end(n, time.Time{}, &s.inst.Counts.AckTimes)
		s.inst.Counts.SentBytes.Add(100)
	}
}

// BenchmarkMeasuresOfRun is the same for a run of messages in a batch while earlier ones are not
// acknowledged yet.
func BenchmarkMeasuresOfRun(b *testing.B) {
	s := &Session{inst: &Instance{Now: time.Now}}
	s.beginProbe(1)
	for b.Loop() {
		s.beginProbe(2)
		s.inst.Counts.PublishedBytes.Add(6400)
	}
}
