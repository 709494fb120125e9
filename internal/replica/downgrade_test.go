package replica

import (
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// downgrading returns a sync destination that is downgraded after 5 s.
func downgrading(name string) Destination {
	d := to(name)
	d.DowngradeAfter = 5 * time.Second
	return d
}

// An instance whose disk is nearly full refuses records that it lacks. That ends the link with the
// reason. Once there is space it accepts the records (R5, R7).
func TestFullDiskRefusesRecords(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		var full atomic.Bool
		a := w.start("a", downgrading("b"))
		b := w.instance("b", func(o *Options) { o.Destinations, o.DiskNearlyFull = []Destination{to("a")}, full.Load })
		b.start()
		w.linked(a, b)
		a.publish(1, 1, 5)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 5 })
		full.Store(true)
		a.publish(1, 6, 7)
		w.eventually("downgraded", func() bool { return a.status("b").Ack == "downgraded" })
		if s := a.status("b"); b.have(1) != 5 || a.l.Settled(1) != 7 || !strings.Contains(s.Reason, "the disk of b is nearly full") {
			t.Errorf("b has %d, %+v", b.have(1), s)
		}
		full.Store(false)
		w.linked(a, b)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 7 })
		w.same(a, b)
	})
}

// A link is downgraded when the oldest record has waited long enough, and not before. Then settled
// leaves it out and safe does not (R5).
func TestDowngradeAndBack(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", downgrading("b")), w.start("b", downgrading("a"))
		w.linked(a, b)
		a.publish(1, 1, 5)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 5 })
		w.Cut("a", "b")
		pass(20 * time.Second) // a link that is down stays as it is while nothing waits
		if s := a.status("b"); s.State != "down" || s.Ack != "counting" || s.Downgrades != 0 {
			t.Fatalf("status %+v", s)
		}
		a.publish(1, 6, 7)
		pass(5*time.Second - time.Millisecond)
		if a.l.Settled(1) != 0 || a.l.Single() || a.status("b").OldestWaitMS == 0 {
			t.Fatalf("downgraded too early: %+v", a.status("b"))
		}
		calls := a.watermarkCalls.Load()
		pass(time.Millisecond)
		if a.l.Settled(1) != 7 || a.l.Safe(1) != 0 || !a.l.Single() || a.status("b").Ack != "downgraded" {
			t.Fatalf("not downgraded: %+v", a.status("b"))
		}
		if a.watermarkCalls.Load() == calls || !a.logged("ERROR", "messages are acknowledged by this disk alone") {
			t.Error("no callback, or no log line")
		}
		start := time.Now()
		pass(time.Second)
		a.publish(1, 8, 9)
		a.publish(2, 1, 1)
		w.now("publishers go on", func() bool { return a.l.Settled(1) == 9 && a.l.Settled(2) == 1 })
		if n := a.status("b").Unacknowledged; n != 5 { // the first five were acknowledged before
			t.Errorf("%d records unacknowledged, want 5", n)
		}

		w.Heal("a", "b")
		w.linked(a, b)
		if s := a.status("b"); s.State != "sync" || s.Ack != "counting" || s.Downgrades != 1 || s.Unacknowledged != 0 || a.l.Single() {
			t.Errorf("status %+v", s)
		}
		w.same(a, b)
		w.now("safe", func() bool { return a.l.Safe(1) == 9 && a.l.Safe(2) == 1 })
		if b.status("a").Downgrades != 0 {
			t.Error("the other direction was downgraded, too, with nothing waiting")
		}
		checkInterval(t, a.j, start, []journal.PublisherRange{{Publisher: 1, From: 6, To: 9}, {Publisher: 2, From: 1, To: 1}})
	})
}

// checkInterval checks the one degraded interval in the journal.
func checkInterval(t *testing.T, j *journal.Journal, start time.Time, want []journal.PublisherRange) {
	t.Helper()
	all := j.DegradedIntervals()
	if len(all) != 1 {
		t.Fatalf("%d degraded intervals recorded: %+v", len(all), all)
	}
	i := all[0]
	if i.Destination != "b" || !i.Begin.Equal(start) || !i.End.After(i.Begin) {
		t.Errorf("interval %+v, want one of b from %v", i, start)
	}
	if len(i.Ranges) != len(want) {
		t.Fatalf("ranges %+v, want %+v", i.Ranges, want)
	}
	for n := range want {
		if i.Ranges[n] != want[n] {
			t.Errorf("range %+v, want %+v", i.Ranges[n], want[n])
		}
	}
}

// A peer that is connected but slow is downgraded as well.
func TestDowngradeOfAStalledDisk(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", downgrading("b")), w.start("b", to("a"))
		w.linked(a, b)
		b.disk.SetSyncDelay(8 * time.Second)
		a.publish(1, 1, 1)
		pass(5 * time.Second)
		if s := a.status("b"); s.State != "catching-up" || s.Ack != "downgraded" || a.l.Settled(1) != 1 {
			t.Fatalf("status %+v", s)
		}
		b.disk.SetSyncDelay(0)
		w.eventually("counting", func() bool { return a.status("b").Ack == "counting" && a.l.Safe(1) == 1 })
	})
}

// A record that the peer acknowledged before its connection ended does not wait again, unless a
// publisher replays it. Then it waits from that moment.
func TestReplayedDuplicateWaits(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", downgrading("b")), w.start("b", to("a"))
		w.linked(a, b)
		a.publish(1, 1, 5)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 5 })
		a.l.ExpectSettled(1, 5) // it is settled, so nothing waits
		b.close()
		pass(30 * time.Second)
		if a.status("b").Ack != "counting" {
			t.Fatal("downgraded with nothing waiting")
		}
		a.l.ExpectSettled(1, 4)
		pass(5*time.Second - time.Millisecond)
		if a.l.Settled(1) != 0 {
			t.Fatal("downgraded too early")
		}
		pass(time.Millisecond)
		if a.l.Settled(1) != 5 {
			t.Fatal("not downgraded")
		}
		b.start()
		w.linked(a, b)
		if a.l.Safe(1) != 5 || a.status("b").OldestWaitMS != 0 {
			t.Errorf("safe %d, status %+v", a.l.Safe(1), a.status("b"))
		}
	})
}

// Records that the journal held at the start wait from the end of rejoin_timeout.
func TestDowngradeAfterStart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.instance("a", func(o *Options) { o.Destinations = []Destination{downgrading("b")} })
		a.open()
		a.publish(1, 1, 3)
		a.start()
		pass(15*time.Second - time.Millisecond)
		if a.l.Settled(1) != 0 || !a.isReady() || !a.l.CatchingUp() {
			t.Fatalf("settled %d, ready %v, catching up %v", a.l.Settled(1), a.isReady(), a.l.CatchingUp())
		}
		pass(time.Millisecond)
		if a.l.Settled(1) != 3 || a.l.Safe(1) != 0 {
			t.Fatalf("settled %d, safe %d", a.l.Settled(1), a.l.Safe(1))
		}
	})
}

func TestMinSync(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.instance("a", func(o *Options) {
			o.Destinations = []Destination{downgrading("b"), downgrading("c")}
			o.MinSync = 1
		})
		a.start()
		b := w.start("b", to("a"))
		c := w.start("c", to("a"))
		w.linked(a, b)
		w.linked(a, c)
		c.close()
		a.publish(1, 1, 1)
		pass(6 * time.Second)
		if a.status("c").Ack != "downgraded" || a.l.Settled(1) != 1 {
			t.Fatalf("status %+v", a.status("c"))
		}
		b.close()
		a.publish(1, 2, 2)
		pass(time.Minute)
		if a.status("b").Ack != "counting" || a.l.Settled(1) != 0 {
			t.Fatalf("the last one was downgraded: %+v", a.status("b"))
		}
		c.start()
		w.eventually("c counts again and b may go", func() bool {
			return a.status("c").Ack == "counting" && a.status("b").Ack == "downgraded" && a.l.Settled(1) == 2
		})
	})
}

func TestNeverDowngraded(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", to("b"))
		a.publish(1, 1, 1)
		pass(time.Hour)
		if a.l.Settled(1) != 0 || a.status("b").Ack != "counting" {
			t.Errorf("settled %d, status %+v", a.l.Settled(1), a.status("b"))
		}
	})
}

// A link whose oldest record is young counts again. It is in sync only when the peer has everything
// up to that moment.
func TestCountingIsNotYetSync(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", downgrading("b")), w.start("b", to("a"))
		w.linked(a, b)
		b.disk.SetSyncDelay(6 * time.Second)
		a.publish(1, 1, 1)
		w.eventually("downgraded", func() bool { return a.status("b").Ack == "downgraded" })
		pass(500 * time.Millisecond)
		a.publish(1, 2, 2) // comes with the next fsync
		w.eventually("counts again", func() bool { return a.status("b").Ack == "counting" })
		if s := a.status("b"); s.State != "catching-up" || a.l.Safe(1) != 1 || a.l.Settled(1) != 1 {
			t.Errorf("status %+v", s)
		}
		b.disk.SetSyncDelay(0)
		w.eventually("in sync", a.state("b", "sync"))
	})
}

// The next process ends an interval that a killed process left open.
func TestOpenIntervalEndsAtStart(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", downgrading("b"))
		start := time.Now()
		a.publish(1, 1, 4)
		pass(5 * time.Second)
		start = start.Add(5 * time.Second)
		pass(6 * time.Second)
		if i := a.j.DegradedIntervals(); len(i) != 1 || !i[0].End.IsZero() {
			t.Fatalf("intervals %+v", i)
		}
		if err := a.j.Sync(); err != nil {
			t.Fatal(err)
		}
		a.kill(memfs.KeepAll)
		pass(time.Second)
		a.start()
		checkInterval(t, a.j, start, []journal.PublisherRange{{Publisher: 1, From: 1, To: 4}})
	})
}

// Reports are in the order of what they report, even if one of them is held up: the last event, the last
// line and the journaled interval are about the state that holds.
func TestReportsAreInOrder(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		heldUp := make(chan struct{})
		a := w.instance("a", func(o *Options) {
			o.Destinations = []Destination{downgrading("b")}
			note := o.OnEvent
			o.OnEvent = func(e Event) {
				if e.Kind == EventSingleBegan {
					<-heldUp
				}
				note(e)
			}
		})
		a.start()
		a.publish(1, 1, 5)
		pass(10 * time.Second)
		b := w.start("b", downgrading("a"))
		w.eventually("b counts", func() bool { return b.have(1) == 5 && a.status("b").State == "sync" })
		close(heldUp)
		synctest.Wait()
		want := []string{EventSingleBegan, EventPeerBack, EventSingleEnded, EventCatchUpDone}
		if got := a.events.kinds("b"); !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
		log := a.log.String()
		began, ended := strings.Index(log, "acknowledged by this disk alone"), strings.Index(log, "acknowledged by the disk of the peer, too")
		if began < 0 || ended < began {
			t.Errorf("the log has the beginning at %d and the end at %d", began, ended)
		}
		if intervals := a.j.DegradedIntervals(); len(intervals) != 1 || intervals[0].End.IsZero() {
			t.Errorf("intervals %+v", intervals)
		}
	})
}
