package replica

import (
	"strings"
	"testing"
	"time"
)

// An operator leaves a peer out: acks go on at once and do not wait for it while it is connected,
// until the operator says so (R5).
func TestLeaveOut(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", downgrading("b")), w.start("b", downgrading("a"))
		w.linked(a, b)
		if err := a.l.LeaveOut("b"); err != nil {
			t.Fatal(err)
		}
		pass(time.Minute)
		a.publish(1, 1, 5)
		w.eventually("settled", func() bool { return a.l.Settled(1) == 5 && a.l.Safe(1) == 5 })
		if s := a.status("b"); s.Ack != "downgraded" || !s.LeftOut || s.Downgrades != 1 || !a.l.Single() {
			t.Errorf("left out: %+v", s)
		}
		if s := b.l.Standing(); s.Code != StandsLeftOut {
			t.Errorf("b does not know that it is left out: %+v", s)
		}
		if counts, err := a.l.CountAgain("b"); err != nil || !counts || a.status("b").Ack != "counting" || a.l.Single() {
			t.Errorf("counts again: %v, %v, %+v", counts, err, a.status("b"))
		}
	})
}

// A peer that is left out, stops and comes back counts again by itself once it has caught up. A
// peer that is away is left out at once.
func TestLeaveOutEndsByItself(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", downgrading("b")), w.start("b", downgrading("a"))
		w.linked(a, b)
		if err := a.l.LeaveOut("b"); err != nil {
			t.Fatal(err)
		}
		w.Cut("a", "b")
		pass(20 * time.Second)
		a.publish(1, 1, 5)
		w.eventually("settled", func() bool { return a.l.Settled(1) == 5 })
		if counts, err := a.l.CountAgain("b"); err != nil || counts {
			t.Errorf("a peer that is away counts: %v", err)
		}
		w.Heal("a", "b")
		w.linked(a, b)
		w.eventually("counts again", func() bool { return a.status("b").Ack == "counting" && a.l.Safe(1) == 5 })

		w.Cut("a", "b")
		pass(20 * time.Second)
		if err := a.l.LeaveOut("b"); err != nil {
			t.Fatal(err)
		}
		a.publish(1, 6, 7)
		if w.eventually("settled", func() bool { return a.l.Settled(1) == 7 }); a.status("b").LeftOut {
			t.Error("the hold is not over, although the peer is away")
		}
		if lag := a.l.Lags()[0]; lag.Peer != "b" || lag.Connected || !lag.Single || lag.ToSend < 2 {
			t.Errorf("lag: %+v", lag)
		}
		w.Heal("a", "b")
		w.linked(a, b)
		w.eventually("counts again", func() bool { return a.status("b").Ack == "counting" && a.l.Safe(1) == 7 })
	})
}

// A peer is not left out against the configuration, and only a peer of which acks know.
func TestLeaveOutRefused(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		for name, c := range map[string]struct {
			d       Destination
			minSync int
			peer    string
			want    string
		}{
			"unknown":           {downgrading("b"), 0, "x", `"x" is not a peer`},
			"async":             {Destination{Name: "b", Address: "b:1"}, 0, "b", "not a synchronous destination"},
			"no downgrade":      {to("b"), 0, "b", "no downgrade_after"},
			"fewer than wanted": {downgrading("b"), 1, "b", "min_sync = 1"},
		} {
			a := w.instance(strings.ReplaceAll(name, " ", "-"), func(o *Options) { o.Destinations, o.MinSync = []Destination{c.d}, c.minSync })
			a.start()
			if err := a.l.LeaveOut(c.peer); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%s: %v", name, err)
			}
			if s := a.status("b"); s.Ack == "downgraded" {
				t.Errorf("%s: %+v", name, s)
			}
		}
	})
}
