package servercore_test

import (
	"fmt"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// logonWith logs on with the given numbers of a store.
func (s *harness) logonWith(life string, counter, acked, last uint64, rejected ...wire.Span) *client {
	s.t.Helper()
	c := s.connect()
	cmd := wire.LogonCommand{CommandID: "0", ClientName: life, Acks: wire.AckProcessed, Ext: true,
		Store: life, Counter: counter, Acked: acked, Last: last, Rejected: rejected}
	if err := c.core.Execute(s.message(&cmd), 0); err != nil {
		s.t.Fatal(err)
	}
	if err := c.core.Decide(s.now); err != nil {
		s.t.Fatal(err)
	}
	return c
}

func (c *client) publishAll(topic string, from, to uint64) {
	c.s.t.Helper()
	for n := from; n <= to; n++ {
		if err := c.publish(topic, n, fmt.Sprint(n)); err != nil {
			c.s.t.Fatal(err)
		}
	}
}

// A message may leave out numbers that the client has stated as rejected, and no others. A number
// that was left out is refused from then on, for every sender.
func TestLeftOut(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p := s.logonWith("x", 1, 0, 105, wire.Span{From: 101, To: 104}, wire.Span{From: 107, To: 107})
		p.publishAll("a", 1, 100)
		if err := p.publish("a", 105, "105"); err != nil {
			t.Fatal(err)
		}
		s.sync()
		failed := func(n int) string { return fmt.Sprintf("persisted failure s=%d reason=rejected elsewhere", n) }
		done := func(n int) string { return fmt.Sprintf("persisted success s=%d", n) }
		p.want("processed success s=0 have=0", done(100), failed(101), done(101), failed(102), done(102), failed(103), done(103), failed(104), done(105))
		if err := p.publish("a", 103, "103"); err != nil {
			t.Fatal(err)
		}
		p.want(failed(103))
		if err := p.publish("a", 108, "108"); err == nil {
			t.Error("106 was left out, which the client has not stated as rejected")
		}
		p.want("processed failure reason=publish gap", "end")
		again := s.logonWith("x", 2, 105, 108, wire.Span{From: 106, To: 107})
		if err := again.publish("a", 108, "108"); err != nil {
			t.Fatal(err)
		}
		s.sync()
		again.want("processed success s=105 have=105", failed(106), done(106), failed(107), done(108))
	})
}

// A forger sends the highest possible number as a publisher and leaves out all numbers before it.
// The publisher's own messages are then rejected, not acknowledged.
func TestForgedNumbers(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		const highest = bookmark.MaxSequence
		p := s.logonWith("x", 1, 0, 0)
		p.publishAll("a", 1, 2)
		s.sync()
		p.want("processed success s=0 have=0", "persisted success s=2")
		forged := s.logonWith("x", 2, 2, highest, wire.Span{From: 3, To: highest - 1})
		if err := forged.send(&wire.PublishCommand{Topic: "/AMPS/devnull", Acks: wire.AckPersisted, Sequence: highest}); err != nil {
			t.Fatal(err)
		}
		s.sync()
		p.want("processed failure reason=name in use", "end")
		forged.out()

		p = s.logonWith("x", 3, 2, 20)
		for _, line := range p.out() {
			if line == fmt.Sprintf("processed success s=%d have=%d", uint64(highest), uint64(highest)) {
				t.Errorf("all is acknowledged: %s", line)
			}
		}
		for n := uint64(3); n <= 20; n++ {
			p.publishAll("a", n, n)
			p.want(fmt.Sprintf("persisted failure s=%d reason=rejected elsewhere", n))
		}
	})
}

// While an instance has more of a life than its store has given out, messages are compared with the
// log even if their sums are no longer in memory.
func TestReplayIsCompared(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		const many = 6000
		p := s.logonWith("x", 1, 0, many)
		if err := p.send(&wire.PublishCommand{Topic: "/AMPS/devnull", Acks: wire.AckPersisted, Sequence: 1}); err != nil {
			t.Fatal(err)
		}
		p.publishAll("a", 2, many)
		again := s.logonWith("x", 2, 0, many-1) // nothing is durable yet
		want := []string{fmt.Sprintf("processed success s=0 have=%d", many)}
		for n := uint64(1); n < many; n++ {
			body := fmt.Sprint(n)
			if n%1000 == 7 {
				body = "other"
			}
			if n == 1 || body == "other" {
				want = append(want, fmt.Sprintf("persisted failure s=%d reason=duplicate with other content", n))
			}
			if err := again.publish("a", n, body); err != nil {
				t.Fatal(err)
			}
		}
		s.sync()
		again.want(append(want, fmt.Sprintf("persisted success s=%d", many-1))...)
	})
}

// While an instance has more of a life than its store has given out, it acknowledges only messages
// with equal content.
func TestLedgerAhead(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p := s.logonWith("x", 1, 0, 9)
		p.publishAll("a", 1, 9)
		s.sync()
		p.out()
		back := s.logonWith("x", 2, 2, 5) // the store states that it has given out 5
		back.want("processed success s=2 have=9")
		back.publishAll("a", 3, 3)
		back.want("persisted success s=3")
		if err := back.publish("a", 4, "other"); err != nil {
			t.Fatal(err)
		}
		back.want("persisted failure s=4 reason=duplicate with other content")
		back.publishAll("a", 5, 5)
		back.want("persisted success s=5")
	})
}

// A lost message is not acknowledged to a client that still keeps it.
func TestLostIsUnknown(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p := s.logonWith("x", 1, 0, 9)
		p.publishAll("a", 1, 3)
		gone := ledger.Record{Kind: ledger.Gone, Publisher: bookmark.IdentityOfLife("x").ID, Prev: 3, Sequence: 6, Cause: ledger.Lost}
		if v, err := s.inst.Ledger.Appender().Append(&gone); v != ledger.Accepted || err != nil {
			t.Fatal(v, err)
		}
		s.sync()
		p.out()
		again := s.logonWith("x", 2, 3, 9)
		again.out()
		again.publishAll("a", 5, 5)
		again.want("persisted failure s=5 reason=outcome unknown")
		again.publishAll("a", 7, 7)
		s.sync()
		again.want("persisted success s=7")
	})
}

// If a link brings numbers that the client has not given out, the client's session ends.
func TestOvertakenByALink(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p := s.logonWith("x", 1, 0, 2)
		p.publishAll("a", 1, 3)
		s.sync()
		p.out()
		receive := func(n uint64) {
			id := bookmark.IdentityOfLife("x").ID
			r := ledger.Record{Kind: ledger.Message, Publisher: id, Prev: n - 1, Sequence: n, Topic: []byte("a")}
			if _, err := s.inst.Ledger.Appender().Append(&r); err != nil {
				t.Fatal(err)
			}
			s.inst.Registry.RecordsReceived([]bookmark.Bookmark{{Publisher: 7, Sequence: 99}, {Publisher: id, Sequence: n}})
		}
		receive(3)
		p.want()
		receive(4)
		p.want("processed failure reason=name in use", "end")
		if err := p.publish("a", 4, "4"); err == nil {
			t.Error("the session continues")
		}
	})
}

// A marker of messages that were removed elsewhere does not hide the messages before it. A
// subscriber that resumes there gets those, and is told of the hole in its place.
func TestHoleIsToldWhereItStands(t *testing.T) {
	for name, cause := range map[string]ledger.Cause{"removed": ledger.Removed, "lost": ledger.Lost} {
		t.Run(name, func(t *testing.T) {
			onEachLedger(t, func(s *harness) {
				id := bookmark.IdentityOfLife("x").ID
				add := func(r ledger.Record) {
					r.Publisher, r.Topic, r.Body = id, []byte("a"), fmt.Append(nil, r.Sequence)
					if r.Kind == ledger.Gone {
						r.Topic, r.Body = nil, nil
					}
					if v, err := s.inst.Ledger.Appender().Append(&r); v != ledger.Accepted || err != nil {
						t.Fatal(v, err)
					}
				}
				for n := uint64(1); n <= 4; n++ {
					add(ledger.Record{Kind: ledger.Message, Sequence: n, Prev: n - 1})
				}
				add(ledger.Record{Kind: ledger.Gone, Sequence: 6, Prev: 4, Cause: cause})
				add(ledger.Record{Kind: ledger.Message, Sequence: 7, Prev: 6})
				s.sync()
				gap := fmt.Sprintf("gap=%d|5|6", id)
				c := s.publisher("reader")
				if err := c.subscribe("1", "a", bookmark.Vector{id: 2}.String(), "vector"); err != nil {
					t.Fatal(err)
				}
				c.want("processed success sub=1", "1: 3", "1: 4", "persisted success sub=1", "processed failure sub=1 reason="+wire.ReasonBookmarkNotFound+" "+gap)
				if err := c.subscribe("2", "a", bookmark.Vector{id: 2}.String(), "vector,bookmark_not_found=epoch"); err != nil {
					t.Fatal(err)
				}
				c.want("processed success sub=2", "2: 3", "2: 4", "processed success sub=2 "+gap, "2: 7")
				if err := c.subscribe("3", "a", bookmark.Vector{id: 6}.String(), "vector"); err != nil {
					t.Fatal(err)
				}
				c.want("processed success sub=3", "3: 7")
			})
		})
	}
}

// A subscriber that has nothing of a publisher is told of its lost messages, but not of messages
// that were let go before any instance knew them.
func TestLostIsTold(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		for life, cause := range map[string]ledger.Cause{"x": ledger.LetGo, "y": ledger.Lost} {
			r := ledger.Record{Kind: ledger.Gone, Publisher: bookmark.IdentityOfLife(life).ID, Sequence: 6, Cause: cause}
			if v, err := s.inst.Ledger.Appender().Append(&r); v != ledger.Accepted || err != nil {
				t.Fatal(v, err)
			}
		}
		s.sync()
		c := s.publisher("reader")
		if err := c.subscribe("1", "a", "0", "vector,bookmark_not_found=epoch"); err != nil {
			t.Fatal(err)
		}
		c.want("processed success sub=1", fmt.Sprintf("processed success sub=1 gap=%d|1|6", bookmark.IdentityOfLife("y").ID))
	})
}
