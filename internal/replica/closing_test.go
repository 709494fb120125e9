package replica

import (
	"context"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// quarter lets a quarter of a retention of 40 s pass while another publisher fills segments. Then
// it runs retention on the given instances.
func (w *world) quarter(filled *instance, trimmed ...*instance) {
	w.t.Helper()
	const filler = 99
	filled.publish(filler, filled.have(filler)+1, filled.have(filler)+200)
	pass(10 * time.Second)
	for _, i := range trimmed {
		i.retain()
	}
}

// retain runs retention and lets the peers receive its effects.
func (i *instance) retain() {
	i.w.t.Helper()
	if _, err := i.j.Trim(journal.Retention{Age: 40 * time.Second, SegmentNeeded: i.l.MustKeep, AgreeToForget: i.l.AgreeToForget}); err != nil {
		i.w.t.Fatal(err)
	}
	pass(time.Second)
}

// knows reports whether an instance has publisher 1 in its tables.
func (i *instance) knows() bool {
	_, known := i.j.State(1)
	return known
}

// forgottenAtA makes A forget publisher 1, of which 5 messages were published. B has told A that it
// may forget the publisher, and has not forgotten it yet.
func (w *world) forgottenAtA() (a, b *instance) {
	w.t.Helper()
	a, b = w.pair()
	w.linked(a, b)
	a.publish(1, 1, 5)
	quarters := func(n int) {
		for range n {
			w.quarter(a, a)
		}
	}
	quarters(12)
	if !a.knows() || !b.knows() {
		w.t.Fatal("A has forgotten a publisher that B may not forget yet")
	}
	b.retain() // B says so; A said so too early
	a.retain()
	b.retain()
	quarters(10)
	if a.knows() || !b.knows() {
		w.t.Fatalf("A knows the publisher: %v, B: %v", a.knows(), b.knows())
	}
	return a, b
}

// Both instances of a pair forget a publisher once both may, whatever happens to the link between
// them in between. The publisher does not come back on either.
func TestForgettingIsAgreed(t *testing.T) {
	for name, between := range map[string]func(w *world, a, b *instance){
		"linked": func(*world, *instance, *instance) {},
		"reset": func(w *world, a, b *instance) {
			w.Reset("a", "b")
			pass(5 * time.Second)
			w.linked(a, b)
		},
		"A dies":              func(w *world, a, b *instance) { a.kill(memfs.KeepAll); a.start(); w.linked(a, b) },
		"B dies":              func(w *world, a, b *instance) { b.kill(memfs.KeepAll); b.start(); w.linked(a, b) },
		"cut while B forgets": func(w *world, a, b *instance) { w.Cut("a", "b"); pass(5 * time.Second) },
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a, b := w.forgottenAtA()
				between(w, a, b)
				b.retain()
				if name == "cut while B forgets" {
					if !b.knows() {
						t.Fatal("B has forgotten a publisher without its peer")
					}
					w.Heal("a", "b")
					w.linked(a, b)
					b.retain()
				}
				pass(time.Second)
				w.quarter(a, a, b)
				for _, i := range []*instance{a, b} {
					p := i.l.dests[0]
					if i.l.watermarks.Durable(0, 1) > 0 || p.progress.Acknowledged()[1] > 0 || p.conn.peerKnows(1) {
						t.Errorf("the links of %s still know the publisher", i.name)
					}
				}
				if a.knows() || b.knows() {
					t.Fatalf("A knows the publisher: %v, B: %v", a.knows(), b.knows())
				}
			})
		})
	}
}

// A publisher may come back at the instance that has forgotten it. Then that instance learns the
// publisher's numbers from the other one. Or it comes back at the other instance. Then the first
// one accepts its records.
func TestSessionEndsForgetting(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.forgottenAtA()
		a.retain() // A's links forget the publisher as well
		if got := a.ask(t.Context(), Notice{Publisher: 1, Check: checkOf(1), LogonCounter: 1, Instance: "a"}); got.Have != 5 {
			t.Fatalf("%+v", got)
		}
		w.eventually("A knows have(p)", func() bool { return a.have(1) == 5 })
		w.eventually("A knows that the messages are on both disks", func() bool { safe, _ := a.l.Watermarks(1); return safe == 5 })
		b.retain()
		if !b.knows() {
			t.Fatal("B has forgotten a publisher that has a session")
		}
	})
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.forgottenAtA()
		b.j.Touch(1)
		b.publish(1, 6, 7)
		w.eventually("A has it", func() bool { return a.have(1) == 7 })
		if s := a.status("b"); s.Refused != 0 {
			t.Fatalf("%+v", s)
		}
	})
}

// The link is made again between the permission to forget and the session. The hello of the
// instance that knows the publisher leaves it out.
func TestSessionOfPublisherLeftOutOfHello(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.forgottenAtA()
		w.Reset("a", "b")
		pass(5 * time.Second)
		w.linked(a, b)
		a.ask(t.Context(), Notice{Publisher: 1, Check: checkOf(1), LogonCounter: 1, Instance: "a"})
		w.eventually("A knows that the messages are on both disks", func() bool { safe, _ := a.l.Watermarks(1); return safe == 5 })
		a.retain()
		if safe, _ := a.l.Watermarks(1); safe != 5 {
			t.Errorf("after retention safe is %d", safe)
		}
	})
}

// A peer that was wiped is not told of a publisher that may be forgotten here, until the publisher has
// a session here. Otherwise the publisher's messages, which this instance has had long ago, would
// never be acknowledged.
func TestSessionWherePublisherIsClosing(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		a.publish(1, 1, 5)
		for range 12 {
			w.quarter(a, a, b)
		}
		if s, _ := a.j.State(1); !s.Closing || s.Have != 5 {
			t.Fatalf("the publisher is not closing: %+v", s)
		}
		b.close()
		b.disk = memfs.New()
		b.start()
		w.linked(a, b)
		pass(time.Second)
		if safe, _ := a.l.Watermarks(1); b.knows() || safe != 0 {
			t.Fatalf("B knows the publisher: %v, safe at A is %d", b.knows(), safe)
		}
		a.ask(t.Context(), Notice{Publisher: 1, Check: checkOf(1), LogonCounter: 1, Instance: "a"})
		w.eventually("B knows the publisher", func() bool { return b.have(1) == 5 })
		w.eventually("A knows that the messages are on both disks", func() bool { safe, _ := a.l.Watermarks(1); return safe == 5 })
		if s, _ := a.j.State(1); s.Closing {
			t.Error("a publisher with a session may be forgotten")
		}
	})
}

// The links drop their state of a forgotten publisher when it has a session again. Later would be
// too late, because the peers may have sent new information about it by then.
func TestReturningPublisherIsDropped(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.forgottenAtA()
		if a.l.watermarks.Durable(0, 1) != 5 {
			t.Fatal("nothing to drop")
		}
		w.Cut("a", "b")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		a.ask(ctx, Notice{Publisher: 1, Check: checkOf(1), LogonCounter: 1, Instance: "a"})
		if a.l.watermarks.Durable(0, 1) > 0 || len(a.l.agreed) > 0 || !b.knows() {
			t.Errorf("the links know of %d, agreed %v", a.l.watermarks.Durable(0, 1), a.l.agreed)
		}
	})
}

// A peer that lacks removed messages of a publisher gets the gone marker, even if the publisher may
// be forgotten here. Otherwise the peer would refuse the publisher's client because of a gap.
func TestGoneMarkerOfClosingPublisher(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		a.publish(1, 1, 3)
		w.eventually("B has it", func() bool { return b.have(1) == 3 })
		w.Cut("a", "b")
		pass(5 * time.Second)
		a.publish(1, 4, 5)
		for range 12 { // B is given up
			w.quarter(a)
			if _, err := a.j.Trim(journal.Retention{Age: 40 * time.Second, AgreeToForget: a.l.AgreeToForget}); err != nil {
				t.Fatal(err)
			}
		}
		if s, _ := a.j.State(1); !s.Closing {
			t.Fatalf("the publisher is not closing: %+v", s)
		}
		w.Heal("a", "b")
		w.linked(a, b)
		w.eventually("B has the gone marker", func() bool { return b.have(1) == 5 })
	})
}

// A publisher is not forgotten while an asynchronous third instance is linked that may have more of
// it. Otherwise its client would be refused with a publish gap for ever.
func TestThirdKnowsPublisher(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b, c := w.withThird()
		a.publish(1, 1, 2)
		w.eventually("all have it", func() bool { return b.have(1) == 2 && c.have(1) == 2 })
		for n, name := range []string{"b", "c"} {
			if got, _ := a.l.AgreeToForget([]bookmark.Bookmark{bm(1, 2)}); len(got) > 0 {
				t.Errorf("forgotten although %s knows it", []string{"b", "c"}[n:])
			}
			a.l.peers[name].conn.forget([]bookmark.Bookmark{bm(1, 2)}) // as for a peer that may forget it
		}
		if got, _ := a.l.AgreeToForget([]bookmark.Bookmark{bm(1, 2)}); len(got) != 1 {
			t.Errorf("agreed on %v", got)
		}
	})
}

// A publisher is closed when nothing of it is left on any instance, and not while an instance is
// away that may still have messages of it.
func TestClosedByAll(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b, c := w.withThird()
		a.publish(1, 1, 2)
		w.eventually("all have it", func() bool { return b.have(1) == 2 && c.have(1) == 2 })
		mayForget := func(name string) { a.l.peers[name].conn.forget([]bookmark.Bookmark{bm(1, 2)}) }
		want := func(when string, wantAgreed, wantClosed bool) {
			t.Helper()
			agreed, closed := a.l.AgreeToForget([]bookmark.Bookmark{bm(1, 2)})
			if len(agreed) > 0 != wantAgreed || len(closed) > 0 != wantClosed {
				t.Errorf("%s: agreed on %v, closed are %v", when, agreed, closed)
			}
		}
		c.close()
		w.eventually("c is gone", func() bool { return !up(a.status("c")) })
		mayForget("b")
		want("c is away", true, false)
		c.start()
		w.eventually("c is back", func() bool { return up(a.status("c")) })
		want("c knows it", false, false)
		mayForget("c")
		want("nobody knows it", true, true)
	})
}

// Places hear of a publisher when each instance reports that it was closed there for as long as
// retain. It is forgotten after the same time again.
func TestLeavesEverywhere(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		reported := 0
		a.l.o.OnClosed = func(closed bookmark.Vector) { reported += len(closed) }
		a.publish(1, 1, 5)
		w.eventually("B has it", func() bool { return b.have(1) == 5 })
		quarters := func(n int, trimmed ...*instance) (s, stateAtB journal.PublisherState) {
			for range n {
				w.quarter(a, trimmed...)
			}
			s, _ = a.j.State(1)
			stateAtB, _ = b.j.State(1)
			return s, stateAtB
		}
		s, stateAtB := quarters(12, a, b)
		if s.ClosedUpTo != 5 || stateAtB.ClosedUpTo != 5 || s.Leaving || stateAtB.Leaving || reported > 0 {
			t.Fatalf("closed: %+v, %+v, reported %d", s, stateAtB, reported)
		}
		if s, _ = quarters(4, a); !s.Leaving || reported > 0 || len(a.l.ClosedPublishers()) > 0 {
			t.Fatalf("B has not reported it as leaving: %+v, reported %d", s, reported)
		}
		b.retain()
		a.retain()
		if reported != 1 || a.l.ClosedPublishers()[1] != 5 || !a.knows() || !b.knows() {
			t.Fatalf("all report it as leaving: reported %d, %v", reported, a.l.ClosedPublishers())
		}
		quarters(6, a, b)
		if a.knows() || b.knows() || reported != 1 || len(a.l.ClosedPublishers()) > 0 {
			t.Errorf("A knows it: %v, B: %v, reported %d, %v", a.knows(), b.knows(), reported, a.l.ClosedPublishers())
		}
	})
}

// The states leave out a publisher that the peer does not know only if our hello called it closing,
// and if it has had no session since. Otherwise the peer waits for the numbers in the hello, or the
// publisher waits for the peer.
func TestClosingSinceTheHello(t *testing.T) {
	for _, tt := range []struct {
		inHello, now bool
		theirs       bookmark.Vector
		want         int
	}{{false, true, nil, 1}, {true, true, nil, 0}, {true, false, nil, 1}, {true, true, bookmark.Vector{1: 2}, 1}} {
		inHello, now := []journal.PublisherState{{Publisher: 1, Have: 3, Closing: tt.inHello}}, []journal.PublisherState{{Publisher: 1, Have: 3, Closing: tt.now}}
		if got := withoutForgotten(now, inHello, tt.theirs); len(got) != tt.want {
			t.Errorf("%+v: states %v", tt, got)
		}
	}
}

// A peer's statement that it may forget a diverged publisher does not count, and such a publisher
// never becomes closing (R11).
func TestDivergedIsNotForgotten(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		a.publish(1, 1, 5)
		w.eventually("B has it", func() bool { return b.have(1) == 5 })
		if err := a.l.noteDiverged([]bookmark.Bookmark{bm(1, 3)}); err != nil {
			t.Fatal(err)
		}
		w.eventually("B sets it apart", func() bool { return b.j.Diverged(1) == 3 })
		for range 20 {
			w.quarter(a, a, b)
		}
		for _, i := range []*instance{a, b} {
			c := i.l.dests[0].conn
			c.notePeerMayForget(bm(1, 5))
			if s, known := i.j.State(1); !known || s.Floor != 5 || s.Closing || !c.peerKnows(1) {
				t.Errorf("%s: known %v, %+v, to be sent to the peer: %v", i.name, known, s, !c.peerKnows(1))
			}
		}
	})
}
