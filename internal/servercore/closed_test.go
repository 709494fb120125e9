package servercore_test

import (
	"encoding/binary"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testkit/memledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A subscription is told when its place names a publisher, at its last number, that all instances
// are about to forget. It is told at the subscribe and as soon as the instance knows it. A base
// does not name such a publisher (R10).
func TestClosed(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	for _, life := range []string{"x", "y", "z"} {
		if err := s.publisher(life).publish("a", 1, life); err != nil {
			t.Fatal(err)
		}
	}
	s.sync()
	x, y, z := bookmark.IdentityOfLife("x").ID, bookmark.IdentityOfLife("y").ID, bookmark.IdentityOfLife("z").ID
	l.SetGroup(memledger.GroupState{ClosedPublishers: bookmark.Vector{x: 1, y: 2}})
	c := s.publisher("reader")
	closed := func(id uint64) string {
		return "persisted success sub=1 reason=publisher closed bm=" + bookmark.Vector{id: 1}.String()
	}
	if err := c.subscribe("1", "a", bookmark.Vector{x: 1, y: 1, z: 1}.String(), "vector"); err != nil {
		t.Fatal(err)
	}
	c.want("processed success sub=1", closed(x))
	s.inst.Registry.PublishersClosed(bookmark.Vector{y: 2, z: 1})
	c.want(closed(z))

	fresh := s.publisher("fresh")
	if err := fresh.subscribe("1", "a", "0|1|", "vector"); err != nil {
		t.Fatal(err)
	}
	b, _, _ := fresh.core.Fill(nil, s.now)
	var ack wire.Message
	if err := wire.Parse(b[4:4+binary.BigEndian.Uint32(b)], &ack); err != nil {
		t.Fatal(err)
	}
	if base, want := string(ack.Bookmark), (bookmark.Vector{y: 1, z: 1}).String(); base != want {
		t.Errorf("base %s, want %s", base, want)
	}
}
