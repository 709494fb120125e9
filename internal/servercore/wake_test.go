package servercore_test

import (
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/testkit/memledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A sleeper is a subscriber that counts how often it is woken.
type sleeper struct {
	client
	wakes int
}

func (s *sleeper) Wake() { s.wakes++ }

// sleep connects a subscriber that reads to the end of the log.
func (s *stand) sleep(name, topic, options string) *sleeper {
	s.t.Helper()
	c := &sleeper{client: client{s: s}}
	c.core = servercore.NewSession(s.inst, c, slog.New(slog.DiscardHandler), s.now)
	if !s.inst.Registry.Add(c.core, "") {
		s.t.Fatal("too many connections")
	}
	if again, err := c.logon(name, name, 1, 0); again || err != nil {
		s.t.Fatal(again, err)
	}
	if err := c.subscribe("1", topic, "0", options); err != nil {
		s.t.Fatal(err)
	}
	c.out()
	return c
}

// With many subscribers, a message wakes only those that may want it. The others read on within a
// second, and miss nothing.
func TestWakesByTopic(t *testing.T) {
	l := memledger.New()
	s := newStand(t, l, l.Sync)
	var idle []*sleeper
	for n := range 100 {
		idle = append(idle, s.sleep(fmt.Sprint("idle", n), "b", ""))
	}
	woken := []*sleeper{s.sleep("literal", "a", ""), s.sleep("pattern", "^a$", ""), s.sleep("two", "b", ""), s.sleep("costly", "(a?){600}x|a", "")}
	if err := woken[2].subscribe("2", "a", "0", ""); err != nil {
		t.Fatal(err)
	}
	woken[2].out()
	p := s.publisher("p")
	n := uint64(0)
	publish := func(topic string, count int) {
		t.Helper()
		for range count {
			n++
			if err := p.publish(topic, n, "x"); err != nil {
				t.Fatal(err)
			}
		}
		for _, c := range slices.Concat(idle, woken) {
			c.wakes = 0
		}
		s.sync()
		s.inst.DurableMoved()
	}
	wakes := func(list []*sleeper) (n int) {
		for _, c := range list {
			n += min(c.wakes, 1)
		}
		return n
	}
	publish("a", 1) // the first message wakes all
	for range 2 {
		publish("a", 1)
		if i, w := wakes(idle), wakes(woken); i != 0 || w != 4 {
			t.Errorf("a message of a woke %d of 100 others and %d of its 4", i, w)
		}
	}
	publish("b", 1)
	if i, w := wakes(idle), wakes(woken); i != 100 || w != 2 {
		t.Errorf("a message of b woke %d of its 100 and %d of the 2 that may want it", i, w)
	}
	publish("a", 1000)
	if i := wakes(idle); i != 100 {
		t.Errorf("a thousand messages woke %d, it would be less work to wake all", i)
	}
	at := make(map[time.Duration]int)
	for _, c := range idle {
		at[c.core.Next(s.now)]++
	}
	if next := slices.Collect(maps.Keys(at)); len(next) < 32 || slices.Max(next) > time.Second || slices.Min(next) < time.Second/2 {
		t.Errorf("they look again after %v", at)
	}
	publish("a", 1)
	if err := woken[2].do(&wire.UnsubscribeCommand{SubID: "2"}); err != nil {
		t.Fatal(err)
	}
	if got := len(woken[2].out()); got == 0 {
		t.Error("nothing came on a")
	}
	woken[0].core.Release()
	publish("a", 1)
	publish("a", 1)
	if w := wakes(woken); w != 2 {
		t.Errorf("a message of a woke %d of the 2 that are left", w)
	}
	for _, c := range idle {
		c.core.Abort("gone")
		c.core.Release()
		s.inst.Registry.Remove(c.core)
	}
	publish("a", 1)
	if w := wakes(woken[1:]); w != 3 {
		t.Errorf("a message woke %d of the 3 that are left", w)
	}
	s.inst.Close()
}

// A watermark wakes the subscribers that hold a message until it is safe, but not the other fully
// durable ones.
func TestWatermarksWakeWhoWaits(t *testing.T) {
	l := memledger.New()
	s := newStand(t, l, l.Sync)
	a, b := s.sleep("a", "a", "fully_durable"), s.sleep("b", "b", "fully_durable")
	p := s.publisher("p")
	if err := p.publish("a", 1, "x"); err != nil {
		t.Fatal(err)
	}
	who := bookmark.IdentityOfLife("p").ID
	l.SetWatermarks(who, 0, 0)
	s.sync()
	a.want() // b has not read on yet
	a.wakes, b.wakes = 0, 0
	l.SetWatermarks(who, 1, 1)
	s.inst.Registry.WatermarksMoved([]uint64{who})
	if a.wakes != 1 || b.wakes != 0 {
		t.Errorf("the one that waits was woken %d times, the other one %d", a.wakes, b.wakes)
	}
	a.want("1: x")
}
