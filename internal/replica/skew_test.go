package replica

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestSkew(t *testing.T) {
	var s Skew
	if s.Estimate() != 0 || s.Disagree() {
		t.Error("there is a skew before the first heartbeat")
	}
	for i, step := range []struct {
		ahead   time.Duration
		times   int
		changed bool // by the last sample
		want    bool // Disagree
	}{
		{0, 1, false, false},
		{-8 * time.Second, skewSamples - 1, false, false}, // slow heartbeats, except for the first one
		{-8 * time.Second, 1, true, true},                 // the last fast heartbeat is out of the window
		{-3 * time.Second, 1, false, true},                // not far enough below the bound
		{-2 * time.Second, 1, true, false},
		{5 * time.Second, 1, false, false},
		{5*time.Second + 1, 1, true, true},
		{-1 << 63, 1, false, true},
		{1<<63 - 1, skewSamples, false, true},
		{0, skewSamples, true, false},
	} {
		changed := false
		for range step.times {
			changed = s.Add(step.ahead)
		}
		if changed != step.changed || s.Disagree() != step.want {
			t.Errorf("step %d: changed %v, disagree %v, estimate %v", i, changed, s.Disagree(), s.Estimate())
		}
	}
}

// Both sides notice a wrong wall clock, and each logs it once.
func TestClocksDisagree(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var ahead atomic.Int64
		a := w.start("a", to("b"))
		b := w.instance("b", func(o *Options) {
			o.Destinations = []Destination{to("a")}
			o.Wall = func() time.Time { return time.Now().Add(time.Duration(ahead.Load())) }
		})
		b.start()
		w.linked(a, b)
		pass(2 * time.Second)
		if a.l.ClocksDisagree() || b.l.ClocksDisagree() {
			t.Fatal("clocks that agree count as different")
		}
		ahead.Store(int64(time.Hour))
		pass(time.Minute)
		if got, back := a.status("b"), b.status("a"); got.ClockSkewMS != 3_600_000 || back.ClockSkewMS != -3_600_000 || !got.ClocksDisagree || !back.ClocksDisagree {
			t.Errorf("a sees %d ms (%v), b %d ms (%v)", got.ClockSkewMS, got.ClocksDisagree, back.ClockSkewMS, back.ClocksDisagree)
		}
		for _, i := range []*instance{a, b} {
			if n := strings.Count(i.log.String(), "the wall clocks disagree"); n != 1 || !i.l.ClocksDisagree() {
				t.Errorf("%s logs %d times that they disagree, ClocksDisagree is %v", i.name, n, i.l.ClocksDisagree())
			}
		}
		w.Cut("a", "b")
		w.eventually("the link is lost", a.state("b", "down"))
		if !a.l.ClocksDisagree() {
			t.Error("a lost link makes the clocks agree")
		}
		w.Heal("a", "b")
		ahead.Store(0)
		w.linked(a, b)
		pass(time.Minute)
		if a.l.ClocksDisagree() || b.l.ClocksDisagree() || !a.logged("the wall clocks agree again") {
			t.Error("clocks that were set right count as different")
		}
	})
}
