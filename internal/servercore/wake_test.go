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

// An idleClient is a subscriber that counts how often it is woken.
type idleClient struct {
	client
	wakes int
}

func (s *idleClient) Wake() { s.wakes++ }

// idle connects a subscriber that reads to the end of the log.
func (s *harness) idle(name, topic, options string) *idleClient {
	s.t.Helper()
	c := &idleClient{client: client{s: s}}
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
	s := newHarness(t, l, l.Sync)
	var idle []*idleClient
	for n := range 100 {
		idle = append(idle, s.idle(fmt.Sprint("idle", n), "b", ""))
	}
	woken := []*idleClient{s.idle("literal", "a", ""), s.idle("pattern", "^a$", ""), s.idle("two", "b", ""), s.idle("costly", "(a?){600}x|a", "")}
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
	wakes := func(list []*idleClient) (n int) {
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
		t.Errorf("a thousand messages woke %d: waking all would be less work", i)
	}
	at := make(map[time.Duration]int)
	for _, c := range idle {
		at[c.core.Next(s.now)]++
	}
	if next := slices.Collect(maps.Keys(at)); len(next) < 32 || slices.Max(next) > time.Second || slices.Min(next) < time.Second/2 {
		t.Errorf("they read on after %v", at)
	}
	publish("a", 1)
	if err := woken[2].send(&wire.UnsubscribeCommand{SubID: "2"}); err != nil {
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
func TestWatermarksWakeWaitingSubscribers(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	a, b := s.idle("a", "a", "fully_durable"), s.idle("b", "b", "fully_durable")
	p := s.publisher("p")
	if err := p.publish("a", 1, "x"); err != nil {
		t.Fatal(err)
	}
	publisher := bookmark.IdentityOfLife("p").ID
	l.SetWatermarks(publisher, 0, 0)
	s.sync()
	a.want() // b has not read on yet
	a.wakes, b.wakes = 0, 0
	l.SetWatermarks(publisher, 1, 1)
	s.inst.Registry.WatermarksMoved([]uint64{publisher})
	if a.wakes != 1 || b.wakes != 0 {
		t.Errorf("the one that waits was woken %d times, the other one %d", a.wakes, b.wakes)
	}
	a.want("1: x")
}
