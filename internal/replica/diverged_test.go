package replica

import (
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// readFor reads frames until the time is over. It returns the records and the diverged publishers
// that arrived.
func (c *fakeConn) readFor(d time.Duration) (records, diverged []bookmark.Bookmark) {
	c.w.t.Helper()
	for end := time.Now().Add(d); ; {
		_ = c.nc.SetReadDeadline(end)
		payload, err := c.fr.next()
		if err != nil {
			return records, diverged
		}
		switch t, dec := decode(payload); t {
		case frameRecords:
			raws, err := recordsOf(dec)
			if err != nil {
				c.w.t.Fatal(err)
			}
			for _, raw := range raws {
				var r journal.Record
				if err := record.Parse(raw, &r); err != nil {
					c.w.t.Fatal(err)
				}
				records = append(records, bm(r.Publisher, r.Sequence))
			}
		case frameDiverged:
			var list vectorFrame
			if err := dec.body(&list); err != nil {
				c.w.t.Fatal(err)
			}
			diverged = append(diverged, list...)
		case frameRefuse:
			c.w.t.Fatal("refused")
		}
	}
}

// A record with other content ends no link. Its publisher is set apart, the peer hears of it, and
// later records of it are skipped. Everything else goes on.
func TestDivergedByRecord(t *testing.T) {
	other := message(1, 1, "x")
	other.Body = []byte("other content")
	for name, r := range map[string]*journal.Record{
		"other content":                 other,
		"a tombstone for a message":     {Kind: journal.Tombstone, Publisher: 1, Sequence: 1, Reason: []byte("no")},
		"an empty record for a message": {Kind: journal.Empty, Publisher: 1, Sequence: 1},
	} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a := w.instance("a", func(o *Options) { o.Destinations = []Destination{to("b")} })
				a.open()
				a.publish(1, 1, 1)
				a.start()
				c := w.fake("b").accept()
				c.handshake(&Hello{})
				c.sendRecords(r, message(1, 2, "x"), message(2, 1, "x"))
				if _, diverged := c.readFor(time.Second); !slices.Contains(diverged, bm(1, 1)) {
					t.Errorf("the peer got %v", diverged)
				}
				if a.j.Diverged(1) != 1 || a.have(1) != 1 || a.have(2) != 1 {
					t.Errorf("diverged from %d, have %d, of another publisher %d", a.j.Diverged(1), a.have(1), a.have(2))
				}
				if s := a.status("b"); !up(s) || s.Refused != 0 || s.Diverged != 1 {
					t.Errorf("status %+v", s)
				}
			})
		})
	}
}

// Each side of a cut has its own content for one identity. The pair finds this when the cut
// is healed, keeps its link, and is in sync for all other publishers. Numbers that are proven
// equal stay safe, no others become safe, and both sides know it for good.
func TestDivergedAcrossACut(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		a.publish(1, 1, 5)
		a.publish(2, 1, 5)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 5 && a.l.Safe(2) == 5 })
		pass(2 * time.Second) // the heartbeats compare
		w.Cut("a", "b")
		pass(10 * time.Second)
		a.publishTo("x", 1, 6, 7)
		b.publishTo("y", 1, 6, 8)
		a.publish(2, 6, 9)
		w.Heal("a", "b")
		w.eventually("found", func() bool { return a.j.Diverged(1) == 6 && b.j.Diverged(1) == 6 })
		w.linked(a, b)
		w.eventually("others are safe", func() bool { return a.l.Safe(2) == 9 })
		w.eventually("nothing waits", func() bool {
			s := a.status("b")
			return s.State == "sync" && s.OldestWaitMS == 0 && s.Unacknowledged == 0
		})
		for _, i := range []*instance{a, b} {
			if safe, settled := i.l.Watermarks(1); safe != 5 || settled != 5 {
				t.Errorf("%s: safe %d, settled %d, want 5", i.name, safe, settled)
			}
			if i.l.MustKeep(bookmark.Vector{1: 9}) {
				t.Errorf("%s keeps segments for its peer", i.name)
			}
		}
		a.kill(memfs.Durable)
		a.start()
		w.linked(a, b)
		a.publish(3, 1, 1)
		w.eventually("safe", func() bool { return a.l.Safe(3) == 1 })
		if a.j.Diverged(1) != 6 || b.j.Diverged(1) != 6 || !up(a.status("b")) || a.l.MustKeep(bookmark.Vector{1: 9}) {
			t.Errorf("after a restart from %d and %d, %+v", a.j.Diverged(1), b.j.Diverged(1), a.status("b"))
		}
	})
}

// Nothing is sent of a publisher that the peer reports as diverged, and nothing of it waits.
func TestDivergedIsNotSent(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.instance("a", func(o *Options) { o.Destinations = []Destination{to("b")} })
		a.open()
		a.publish(1, 1, 5)
		a.publish(2, 1, 5)
		a.start()
		c := w.fake("b").accept()
		c.handshake(&Hello{States: []journal.PublisherState{{Publisher: 1, Check: checkOf(1), Have: 4, Durable: 4, Diverged: 3}}})
		records, _ := c.readFor(time.Second)
		if i := slices.IndexFunc(records, func(b bookmark.Bookmark) bool { return b.Publisher == 1 }); i >= 0 || len(records) != 5 {
			t.Errorf("sent %v", records)
		}
		c.enc.frame(frameAck, vectorFrameOf([]bookmark.Bookmark{bm(2, 5)}))
		c.send()
		w.eventually("in sync", a.state("b", "sync"))
		if a.j.Diverged(1) != 3 || a.l.Safe(1) != 2 || a.status("b").Unacknowledged != 0 {
			t.Errorf("from %d, safe %d, %+v", a.j.Diverged(1), a.l.Safe(1), a.status("b"))
		}
	})
}

// An instance that hears of a divergence tells the others. A number that one of them lacks is not
// proven equal.
func TestDivergedIsPassedOn(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b, c := w.chain()
		a.publish(1, 1, 5)
		w.eventually("all have it", func() bool { return c.have(1) == 5 })
		if err := a.l.noteDiverged([]bookmark.Bookmark{bm(1, 4)}); err != nil {
			t.Fatal(err)
		}
		w.eventually("all know", func() bool { return b.j.Diverged(1) == 4 && c.j.Diverged(1) == 4 })
		c.kill(memfs.Durable)
		c.disk = memfs.New()
		c.start()
		w.linked(b, c)
		w.eventually("nothing is proven any more", func() bool {
			return a.j.Diverged(1) == 1 && b.j.Diverged(1) == 1 && c.j.Diverged(1) == 1
		})
		if c.have(1) != 0 {
			t.Error("it was sent")
		}
	})
}

// Running CRCs of different topics prove nothing, nor do those of publishers that both had before
// the two processes met. Their difference is shown, and no publisher is set apart.
func TestUncertainDivergence(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		f := w.fake("b")
		a := w.instance("a", func(o *Options) { o.Destinations = []Destination{to("b")} })
		a.open()
		a.publish(1, 1, 3)
		a.start()
		c := f.accept()
		c.handshake(&Hello{Run: 7, States: []journal.PublisherState{{Publisher: 1, Check: checkOf(1), Have: 3, Durable: 3, RunningCRC: 1}}})
		w.eventually("shown", func() bool { return a.status("b").Diverged == 1 })
		if a.j.Diverged(1) != 0 || !up(a.status("b")) {
			t.Error("set apart")
		}
		c.nc.Close()
		c = f.accept()
		c.handshake(&Hello{Run: 8, CRCTopics: 5})
		a.publish(2, 1, 3)
		c.enc.frame(frameHeartbeat, &heartbeat{moved: []journal.PublisherState{{Publisher: 2, Have: 3, RunningCRC: 1}}})
		c.send()
		w.eventually("shown", func() bool { return a.status("b").Diverged == 2 })
		if a.j.Diverged(2) != 0 {
			t.Error("set apart")
		}
	})
}
