package replica

import (
	"context"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// standing returns the code of an instance's standing.
func (i *instance) standing() string { return i.l.Standing().Code }

func (i *instance) stands(code string) func() bool {
	return func() bool { return i.standing() == code }
}

// async returns an asynchronous destination.
func async(name string) Destination {
	d := to(name)
	d.Sync = false
	return d
}

// An instance has everything that was acknowledged only while its peer is linked, both have
// everything, and both wait for each other's acks.
func TestStanding(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", downgrading("b")), w.instance("b", configured("b", downgrading("a")))
		w.now("b was never met", a.stands(StandsPeerAway))
		b.start()
		w.eventually("b is linked", func() bool { return a.status("b").State != "down" })
		if got := a.standing(); got != StandsNotHeard && got != StandsCatchingUp {
			t.Errorf("before the first heartbeat: %q", got)
		}
		w.eventually("a is in sync", a.stands(""))
		w.eventually("b is in sync", b.stands(""))
		a.publish(1, 1, 5)
		w.now("a publishes", b.stands(""))

		w.Cut("a", "b")
		w.eventually("a has noticed", a.stands(StandsPeerAway))
		w.eventually("b has noticed", b.stands(StandsPeerAway))
		a.publish(1, 6, 9)
		w.eventually("a acknowledges alone", func() bool { return a.l.Settled(1) == 9 })
		if got := a.standing(); got != StandsPeerAway {
			t.Errorf("single: %q", got)
		}
		w.Heal("a", "b")
		for b.standing() != "" { // whenever it says so, it is true
			if pass(time.Millisecond); b.standing() == "" && mustState(b, 1).Durable < 9 {
				t.Fatal("b says that it has everything, and lacks what a has acknowledged alone")
			}
		}
		w.eventually("a is in sync again", a.stands(""))

		w.Pause("b")
		pass(maxHeardIntervals*500*time.Millisecond + 501*time.Millisecond)
		if got := a.standing(); got != StandsNotHeard {
			t.Errorf("b stands still: %q", got)
		}
		w.Resume("b")
	})
}

// An instance that a peer leaves out lacks what the peer acknowledges, although they are linked.
func TestStandingOfOneLeftOut(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", downgrading("b")), w.start("b", to("a"))
		w.linked(a, b)
		w.eventually("in sync", b.stands(""))
		b.disk.SetSyncDelay(8 * time.Second)
		a.publish(1, 1, 1)
		for range 100 {
			pass(100 * time.Millisecond)
			if a.l.Settled(1) == 1 && a.l.Safe(1) == 0 && b.standing() == "" && mustState(b, 1).Durable == 0 {
				t.Fatal("b says that it has everything, and lacks what a has acknowledged alone")
			}
			if b.standing() == StandsLeftOut {
				b.disk.SetSyncDelay(0)
				w.eventually("in sync again", b.stands(""))
				return
			}
		}
		t.Errorf("b never knew that it is left out: %q, %+v", b.standing(), a.status("b"))
	})
}

// An instance that starts and lacks messages does not say that it has everything before it has
// caught up, although it serves after a while.
func TestStandingWhileCatchingUp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", downgrading("b")), w.start("b", downgrading("a"))
		w.linked(a, b)
		b.kill(memfs.KeepAll)
		a.publish(1, 1, 5)
		w.eventually("a acknowledges alone", func() bool { return a.l.Settled(1) == 5 })
		w.Cut("a", "b")
		b.start()
		w.eventually("b serves", b.isReady)
		if got := b.standing(); got != StandsPeerAway {
			t.Errorf("without its peer: %q", got)
		}
		w.Heal("a", "b")
		for b.standing() != "" {
			if pass(time.Millisecond); b.standing() == "" && mustState(b, 1).Durable < 5 {
				t.Fatal("b says that it has everything, and lacks what a has acknowledged")
			}
		}
	})
}

// After a restart a peer waits for this instance again, which may still lack what the peer has
// acknowledged alone before.
func TestStandingAfterRestartOfPeer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", downgrading("b")), w.start("b", to("a"))
		w.linked(a, b)
		w.Cut("a", "b")
		a.publish(1, 1, 5)
		w.eventually("a acknowledges alone", func() bool { return a.l.Settled(1) == 5 })
		a.kill(memfs.KeepAll)
		w.Heal("a", "b")
		b.disk.SetSyncDelay(3 * time.Second)
		a.start()
		told := false
		for b.standing() != "" {
			pass(time.Millisecond)
			told = told || b.standing() == StandsCatchingUp && strings.Contains(b.l.Standing().Reason, "a has messages")
		}
		if mustState(b, 1).Durable < 5 || !told {
			t.Errorf("b says that it has everything, and has %d of 5; told before: %v", mustState(b, 1).Durable, told)
		}
	})
}

// Asynchronous links do not make an instance one that has everything, and do not keep one of a pair
// from being it. A link that is synchronous in one direction only is a mistake.
func TestStandingByRole(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", to("b"), async("c")), w.start("b", to("a"), async("c"))
		c := w.start("c")
		w.linked(a, b)
		w.linked(a, c)
		w.linked(b, c)
		pass(time.Second)
		if a.standing() != "" || b.standing() != "" || c.standing() != StandsAsync {
			t.Errorf("%q, %q, %q", a.standing(), b.standing(), c.standing())
		}
		w.Kill("c")
		pass(10 * time.Second)
		w.now("c is away", a.stands(""))
	})
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", to("b")), w.start("b")
		w.linked(a, b)
		pass(time.Second)
		if a.standing() != StandsOneWay || b.standing() != StandsOneWay {
			t.Errorf("one way: %q, %q", a.standing(), b.standing())
		}
	})
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", to("b")), w.start("b", async("a"))
		w.linked(a, b)
		pass(time.Second)
		if a.standing() != StandsAsync || b.standing() != "" {
			t.Errorf("synchronous in one direction: %q, %q", a.standing(), b.standing())
		}
	})
	inWorld(t, func(t *testing.T, w *world) {
		i := w.instance("a", func(o *Options) {
			o.Listener.Close()
			o.Listener = nil
		})
		i.start()
		w.now("it is alone", i.stands(StandsAlone))
	})
}

// A slowConn takes a while for each write.
type slowConn struct {
	net.Conn
	perSecond int // bytes
}

func (c slowConn) Write(b []byte) (n int, err error) {
	const chunk = 4 << 10
	for n < len(b) && err == nil {
		part := b[n:min(n+chunk, len(b))]
		<-time.After(time.Second * time.Duration(len(part)) / time.Duration(c.perSecond))
		var wrote int
		wrote, err = c.Conn.Write(part)
		n += wrote
	}
	return n, err
}

// Both sides of a link know how much is left of a catch-up, how fast it goes, and how long it
// takes.
func TestHeadway(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		const messages, perSecond = 20_000, 100_000 // bytes; a message has about 60
		a := w.instance("a", func(o *Options) {
			o.Destinations = []Destination{downgrading("b")}
			dial := o.Dial
			o.Dial = func(ctx context.Context, address string) (net.Conn, error) {
				nc, err := dial(ctx, address)
				return slowConn{nc, perSecond}, err
			}
		})
		a.start()
		a.publish(1, 1, messages)
		pass(15 * time.Second) // b is downgraded
		b := w.start("b", downgrading("a"))
		w.eventually("b has begun", func() bool { return b.have(1) > 0 })
		pass(4 * time.Second)
		for b.have(1) < messages-3000 {
			sender, receiver := a.status("b"), b.status("a")
			for name, h := range map[string]*Headway{"sender": sender.Sending, "receiver": receiver.Receiving} {
				if h == nil {
					t.Fatalf("%s: no progress: %+v, %+v", name, sender, receiver)
				}
				left := messages - b.have(1)
				if h.Remaining == 0 || h.Rate == 0 || h.LeftMS <= 0 || h.Remaining > left+20_000*60/100 || h.LeftMS > 2000*int64(messages)*60/perSecond {
					t.Errorf("%s: %+v with %d messages left", name, h, left)
				}
			}
			if receiver.StateThere != "left-out" && receiver.StateThere != "catching-up" {
				t.Errorf("the receiver is told %q", receiver.StateThere)
			}
			pass(time.Second)
		}
		w.eventually("b has caught up", func() bool {
			r := b.status("a")
			return r.StateThere == "sync" && *r.Receiving == (Headway{Rate: r.Receiving.Rate}) && a.status("b").State == "sync"
		})
		synctest.Wait()
		want := []string{EventSingleBegan, EventPeerBack, EventSingleEnded, EventCatchUpDone}
		if got := a.events.kinds("b"); !slices.Equal(got, want) {
			t.Errorf("events %q, want %q", got, want)
		}
	})
}

// A meter tells the time left from the shrinking of the rest, and that it cannot tell it while the
// rest grows.
func TestMeter(t *testing.T) {
	for name, tt := range map[string]struct {
		remaining []uint64 // one sample a second; 10 records a second move
		want      Headway
	}{
		"none":           {nil, Headway{}},
		"one":            {[]uint64{5}, Headway{5, 0, -1}},
		"nothing to do":  {[]uint64{0, 0}, Headway{0, 10, 0}},
		"steady":         {[]uint64{100, 90, 80}, Headway{80, 10, 8000}},
		"grows":          {[]uint64{80, 90, 100}, Headway{100, 10, -1}},
		"a burst before": {[]uint64{0, 0, 100, 50}, Headway{50, 10, 1000}},
		"done":           {[]uint64{100, 0}, Headway{0, 10, 0}},
		"very slow":      {[]uint64{1 << 62, 1<<62 - 4096}, Headway{1<<62 - 4096, 10, maxLeft.Milliseconds()}},
	} {
		var m meter
		for i, n := range tt.remaining {
			m.add(time.Duration(i)*time.Second, n, uint64(10*i))
		}
		if got := m.headway(); got != tt.want {
			t.Errorf("%s: %+v, want %+v", name, got, tt.want)
		}
	}
	var m meter
	for i := range 10 * meterSamples { // only the last samples count
		m.add(time.Duration(i)*time.Second, uint64(1000-min(i, 9*meterSamples)), uint64(i))
	}
	if got := m.headway(); got.Rate != 1 || got.LeftMS != -1 {
		t.Errorf("stopped shrinking: %+v", got)
	}
}
