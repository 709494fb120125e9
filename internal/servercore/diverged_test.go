package servercore_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/testkit/memledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A publisher that has diverged has no session: its open session ends, a logon is refused, and so
// is a publish in between.
func TestDivergedHasNoSession(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	id := bookmark.IdentityOfLife("x").ID
	ended, racing, other := s.publisher("x"), s.publisher("y"), s.publisher("z")
	if err := ended.publish("a", 1, "1"); err != nil {
		t.Fatal(err)
	}
	l.SetDiverged(id, 1)
	l.SetDiverged(bookmark.IdentityOfLife("y").ID, 1)
	s.inst.Registry.PublishersDiverged([]bookmark.Bookmark{{Publisher: id, Sequence: 1}})
	ended.want("processed failure reason="+wire.ReasonPublisherDiverged, "end")
	if err := ended.publish("a", 2, "2"); err == nil {
		t.Error("a publish was accepted")
	}
	if err := racing.publish("a", 1, "1"); !errors.Is(err, servercore.ErrEnding) {
		t.Errorf("a publish: %v", err)
	}
	racing.want("processed failure reason="+wire.ReasonPublisherDiverged, "end")
	again := s.connect()
	if _, err := again.logon("x", "x", 2, 0); err == nil {
		t.Error("a logon was accepted")
	}
	again.want("processed failure reason="+wire.ReasonPublisherDiverged, "end")
	if err := other.publish("a", 1, "1"); err != nil {
		t.Error(err)
	}
}

// Numbers that are not proven equal never become safe, so a fully durable subscription does not
// wait for them. Each subscription is told once: before the first such message, or at once if its
// place is already past it.
func TestDivergedHoldsNothingBack(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	id := bookmark.IdentityOfLife("x").ID
	p, durable, live := s.publisher("x"), s.publisher("durable"), s.publisher("live")
	for _, c := range []*client{durable, live} {
		options := "vector"
		if c == durable {
			options += ",fully_durable"
		}
		if err := c.subscribe("1", "a", "0", options); err != nil {
			t.Fatal(err)
		}
		c.out()
	}
	for n := range uint64(4) {
		if err := p.publish("a", n+1, fmt.Sprint(n+1)); err != nil {
			t.Fatal(err)
		}
	}
	l.SetWatermarks(id, 2, 2)
	s.sync()
	durable.want("1: 1", "1: 2")
	live.want("1: 1", "1: 2", "1: 3", "1: 4")
	l.SetDiverged(id, 3)
	s.inst.Registry.PublishersDiverged([]bookmark.Bookmark{{Publisher: id, Sequence: 3}})
	event := "persisted success sub=1 reason=" + wire.ReasonPublisherDiverged
	durable.want(event, "1: 3", "1: 4")
	live.want(event)

	moved := s.publisher("moved")
	for list, want := range map[string][]string{
		fmt.Sprintf("%d|3|", id): {"processed success sub=1", event, "1: 4"},
		fmt.Sprintf("%d|1|", id): {"processed success sub=1", "1: 2", event, "1: 3", "1: 4"},
	} {
		if err := moved.subscribe("1", "a", list, "vector,replace"); err != nil {
			t.Fatal(err)
		}
		moved.want(want...)
	}
}
