package replica

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// withThird starts a pair and an asynchronous third instance that replicates to no instance.
func (w *world) withThird() (a, b, c *instance) {
	third := to("c")
	third.Sync = false
	a, b = w.start("a", to("b"), third), w.start("b", to("a"), third)
	c = w.start("c")
	w.linked(a, b)
	for _, i := range []*instance{a, b} {
		w.eventually("c is linked", i.state("c", "live"))
	}
	return a, b, c
}

func (i *instance) decree(lost ...string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	_, err := i.l.Decree(ctx, lost)
	return err
}

func contains(err error, text string) bool { return err != nil && strings.Contains(err.Error(), text) }

// The pair is gone, and its asynchronous third instance goes on by a decree. A lost instance that
// returns must have an empty journal.
func TestDecreeOfTheThird(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b, c := w.withThird()
		a.publish(1, 1, 5)
		w.eventually("c has it", func() bool { return c.have(1) == 5 })
		if err := c.decree("a", "b"); !contains(err, "a is connected with c: stop it") {
			t.Errorf("with a and b connected: %v", err)
		}
		a.close()
		b.close()
		w.eventually("they are gone", func() bool { return c.status("a").State == "down" && c.status("b").State == "down" })
		if q := c.l.AskPeers(t.Context(), Notice{Publisher: 2}, nil); q.AllAnswered || !q.EnoughAnswered {
			t.Errorf("answers %+v: a and b may know the publisher, but do not count for EnoughAnswered", q)
		}
		for problem, lost := range map[string][]string{
			"b is not connected with c: start it, or name it": {"a"},
			"x is neither a destination nor a peer of c":      {"a", "b", "x"},
			"c is running: leave its name out":                {"a", "b", "c"},
		} {
			if err := c.decree(lost...); !contains(err, problem) {
				t.Errorf("%v: %v, want %s", lost, err, problem)
			}
		}
		if err := c.decree("a", "b"); err != nil {
			t.Fatal(err)
		}
		if err := c.decree("a", "b"); !contains(err, "end it first") {
			t.Errorf("a second decree: %v", err)
		}
		c.close()
		c.start()
		w.now("no peer is awaited", c.isReady)
		if c.l.CatchingUp() {
			t.Error("it waits for instances that will not return")
		}
		if q := c.l.AskPeers(t.Context(), Notice{Publisher: 1}, nil); !q.SurvivorsAnswered {
			t.Errorf("answers %+v: all that are left have answered", q)
		}

		a.start()
		w.eventually("a is outdated", func() bool { return a.l.OutdatedReason() != "" })
		if c.status("a").State != "down" || c.l.OutdatedReason() != "" || a.j.Decree().Incarnation != 0 {
			t.Errorf("a is linked: %+v; c is outdated: %q; a is of incarnation %d", c.status("a"), c.l.OutdatedReason(), a.j.Decree().Incarnation)
		}
		a.close()
		a.disk = memfs.New()
		a.start()
		w.eventually("an empty a joins", func() bool { return up(c.status("a")) && a.j.Decree().Same(c.j.Decree()) })
		if lost := c.j.Decree().Lost; !slices.Equal(lost, []string{"b"}) {
			t.Errorf("after a has joined, lost are %v", lost)
		}
	})
}

// No instance is gone, but messages are lost: both instances were restored from backups.
func TestDecreeOfThePair(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		if err := a.decree("b"); !contains(err, "b is connected with a") {
			t.Errorf("with b connected: %v", err)
		}
		if err := a.decree(); err != nil {
			t.Fatal(err)
		}
		b.kill(memfs.Durable)
		b.start()
		w.linked(a, b)
		if d := b.j.Decree(); !d.Same(a.j.Decree()) || !d.Stands() || d.Incarnation != 1 {
			t.Errorf("b has %+v", d)
		}
		if q := a.l.AskPeers(t.Context(), Notice{Publisher: 1}, nil); !q.SurvivorsAnswered || q.DecreeUsed {
			t.Errorf("answers %+v", q)
		}
		b.publish(1, 1, 1)
		if err := b.j.UseDecree(1); err != nil {
			t.Fatal(err)
		}
		if q := a.l.AskPeers(t.Context(), Notice{Publisher: 1}, nil); !q.DecreeUsed {
			t.Errorf("answers %+v: b has seen the publisher use the decree", q)
		}
		b.close()
		w.eventually("b is gone", func() bool { return a.status("b").State == "down" })
		if q := a.l.AskPeers(t.Context(), Notice{Publisher: 1}, nil); q.SurvivorsAnswered {
			t.Errorf("answers %+v: b may have more", q)
		}
		if _, err := a.l.EndDecree(t.Context()); err != nil {
			t.Fatal(err)
		}
		b.start()
		w.linked(a, b)
		if b.j.Decree().Stands() {
			t.Error("the decree still stands at b")
		}
	})
}

// If both instances were restored without their journals, none is intact any more. A decree
// declares the loss and makes them intact again.
func TestDecreeWithoutIntact(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.bare("a", to("b")), w.bare("b", to("a"))
		for _, i := range []*instance{a, b} {
			i.open()
			if err := i.j.AdoptCluster(testCluster); err != nil {
				t.Fatal(err)
			}
			i.start()
		}
		w.linked(a, b)
		if a.l.Intact() || b.l.Intact() {
			t.Fatal("intact by itself")
		}
		if err := a.decree(); err != nil {
			t.Fatal(err)
		}
		if !a.l.Intact() {
			t.Error("not intact after the decree")
		}
		w.eventually("b is intact by a", b.l.Intact)
	})
}

// An instance that becomes intact by a peer reports it to the instances that have no other peer.
func TestIntactThroughChain(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b, c := w.bare("a", to("b")), w.bare("b", to("a"), to("c")), w.bare("c", to("b"))
		for _, i := range w.instances {
			i.open()
			if err := i.j.AdoptCluster(testCluster); err != nil {
				t.Fatal(err)
			}
			i.start()
		}
		w.linked(a, b)
		w.linked(b, c)
		if err := a.j.BecomeIntact(); err != nil {
			t.Fatal(err)
		}
		a.close()
		a.start()
		w.eventually("b is intact by a", b.l.Intact)
		w.eventually("c is intact by b", c.l.Intact)
		w.linked(b, c)
	})
}

// The cases in which an instance takes another one's decree, or is refused because of a decree.
func TestCheckDecree(t *testing.T) {
	ab := []string{"a", "b"}
	none, first := journal.Decree{}, journal.Decree{Incarnation: 1, ID: 5, Members: ab, Lost: []string{"c"}}
	for _, tt := range []struct {
		name     string
		us, peer Hello
		take     bool
		refused  refuseCode
	}{
		{"neither has one", Hello{Name: "a"}, Hello{Name: "b"}, false, 0},
		{"both have it", Hello{Name: "a", Decree: first}, Hello{Name: "b", Decree: first}, false, 0},
		{"it has ended there", Hello{Name: "a", Decree: first}, Hello{Name: "b", Decree: ended(first)}, true, 0},
		{"it has ended here", Hello{Name: "a", Decree: ended(first)}, Hello{Name: "b", Decree: first}, false, 0},
		{"a member missed it", Hello{Name: "a", Decree: none}, Hello{Name: "b", Decree: first}, true, 0},
		{"the other member missed it", Hello{Name: "a", Decree: first}, Hello{Name: "b"}, false, 0},
		{"it was named", Hello{Name: "a", Decree: first}, Hello{Name: "c"}, false, refuseIncarnation},
		{"we were named", Hello{Name: "c"}, Hello{Name: "a", Decree: first}, false, refuseHello},
		{"not a member", Hello{Name: "a", Decree: first}, Hello{Name: "d"}, false, refuseIncarnation},
		{"named, and empty", Hello{Name: "c", Empty: true}, Hello{Name: "a", Decree: first}, true, 0},
		{"two behind", Hello{Name: "a", Decree: journal.Decree{Incarnation: 2, Members: ab}}, Hello{Name: "b"}, false, refuseIncarnation},
		{"two at the same moment, ours stays", Hello{Name: "a", Decree: first}, Hello{Name: "b", Decree: withID(first, 6)}, false, 0},
		{"two at the same moment, theirs stays", Hello{Name: "b", Decree: withID(first, 6)}, Hello{Name: "a", Decree: first}, true, 0},
		{"two that exclude each other", Hello{Name: "a", Decree: first},
			Hello{Name: "c", Decree: journal.Decree{Incarnation: 1, ID: 4, Members: []string{"c"}, Lost: ab}}, false, refuseHello},
	} {
		take, outdated, err := checkDecree(&tt.us, &tt.peer)
		code := refuseCode(0)
		if r, is := err.(*RefusedError); is {
			code = r.Code
		}
		if take != tt.take || code != tt.refused || (outdated != "") != (tt.us.Name == "c" && code != 0) {
			t.Errorf("%s: take %v, refused %v, outdated %q", tt.name, take, err, outdated)
		}
	}
}

func ended(d journal.Decree) journal.Decree {
	d.Ended = true
	return d
}

func withID(d journal.Decree, id uint64) journal.Decree {
	d.ID = id
	return d
}
