package servercore_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/testkit/stretches"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// frames returns the messages of a command that consists of several frames.
func frames(t *testing.T, b []byte) (all []*wire.Message) {
	t.Helper()
	var frame []byte
	for len(b) > 0 {
		frame, b = stretches.Cut(b)
		m := new(wire.Message)
		err := wire.Parse(frame[4:], m)
		if err == nil && m.Command == wire.Stretch {
			b, err = stretches.Expand(m, b)
		} else {
			all = append(all, m)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return all
}

// execute executes messages in the session.
func (c *client) execute(all ...*wire.Message) {
	c.s.t.Helper()
	for _, m := range all {
		if err := c.core.Execute(m, 0); err != nil {
			c.s.t.Fatal(err)
		}
	}
}

// base returns the base in the answer to the subscribe and drops all other output.
func (c *client) base() string {
	c.s.t.Helper()
	b, _, _ := c.core.Fill(nil, c.s.now)
	var whole wire.Assembly
	for _, m := range frames(c.s.t, b) {
		switch {
		case m.Acks != wire.AckProcessed:
		case m.Part > 0:
			whole.Add(m, 0)
		default:
			if err := whole.Complete(m); err != nil {
				c.s.t.Fatal(err)
			}
			return string(m.Bookmark)
		}
	}
	c.s.t.Fatal("no answer")
	return ""
}

// A vector with more publishers than fit into one frame comes in parts. An incomplete vector is
// refused and does not affect the next one.
func TestSubscribeInParts(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		x, c := s.publisher("x"), s.publisher("reader")
		for n := range uint64(3) {
			if err := x.publish("a", n+1, fmt.Sprint(n+1)); err != nil {
				t.Fatal(err)
			}
		}
		s.sync()
		v := bookmark.Vector{bookmark.IdentityOfLife("x").ID: 2}
		for p := range uint64(5000) {
			v[1<<63+p] = 1 << 40
		}
		command := func(id string) []*wire.Message {
			cmd := wire.SubscribeCommand{Command: wire.Subscribe, CommandID: id, SubID: id, Topic: "a", Bookmark: v.String(), Options: "vector", Acks: wire.AckProcessed, InParts: true}
			return frames(t, cmd.AppendTo(nil))
		}
		one := command("1")
		c.execute(slices.Delete(one, 1, 2)...)
		c.want("processed failure sub=1 reason=" + wire.ReasonVectorIncomplete)
		two := command("2")
		c.execute(two[:2]...)
		c.want()
		c.execute(command("3")...)
		c.want("processed success sub=3", "3: 3")
		c.execute(two[len(two)-1])
		c.want("processed failure sub=2 reason=" + wire.ReasonVectorIncomplete)
	})
}

// A base names exactly the publishers that have sent something for the subscription, however many
// topics they have. Later messages of the other publishers are all delivered, at a resume as well,
// and then a mark names these publishers.
func TestPlaceLeavesOut(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		x, y, c := s.publisher("x"), s.publisher("y"), s.publisher("reader")
		publish := func(p *client, topic string, n uint64) {
			t.Helper()
			if err := p.publish(topic, n, topic+fmt.Sprint(n)); err != nil {
				t.Fatal(err)
			}
			s.sync()
		}
		publish(x, "a", 1)
		publish(x, "b", 2)
		publish(y, "b", 1)
		if err := c.subscribe("1", "a", bookmark.NowText, "vector"); err != nil {
			t.Fatal(err)
		}
		named := bookmark.Bookmark{Publisher: bookmark.IdentityOfLife("x").ID, Sequence: 2}.String()
		if base := c.base(); base != named {
			t.Errorf("the base is %s, want x up to 2: %s", base, named)
		}
		publish(y, "b", 2)
		publish(y, "a", 3)
		c.want("1: a3")
		s.now = s.now.Add(2 * markWait)
		b, _, _ := c.core.Fill(nil, s.now)
		if m := frames(t, b); len(m) != 1 || string(m[0].Bookmark) != (bookmark.Bookmark{Publisher: bookmark.IdentityOfLife("y").ID, Sequence: 3}).String() {
			t.Errorf("the mark is not y up to 3: %v", m)
		}
		r := s.publisher("another")
		if err := r.subscribe("2", "a", named, "vector"); err != nil {
			t.Fatal(err)
		}
		r.want("processed success sub=2", "2: a3")
		if err := r.subscribe("3", "^b$", bookmark.NowText, "vector"); err != nil {
			t.Fatal(err)
		}
		if base := r.base(); strings.Count(base, ",") != 1 {
			t.Errorf("the base of another topic is %s, want x and y", base)
		}
	})
}

const markWait = 1_000_000_000

// Messages that were never here might have matched, so their publisher is named.
func TestPlaceNamesPublishersElsewhere(t *testing.T) {
	for _, kind := range []ledger.Kind{ledger.Elsewhere, ledger.Gone} {
		onEachLedger(t, func(s *harness) {
			r := ledger.Record{Kind: kind, Publisher: 7, Sequence: 9, Cause: ledger.Removed}
			if v, err := s.inst.Ledger.Appender().Append(&r); err != nil || v != ledger.Accepted {
				t.Fatal(v, err)
			}
			s.sync()
			c := s.publisher("reader")
			if err := c.subscribe("1", "a", bookmark.NowText, "vector"); err != nil {
				t.Fatal(err)
			}
			if base := c.base(); base != "7|9|" {
				t.Errorf("of what is %v: the base is %s", kind, base)
			}
		})
	}
}
