package servercore_test

import (
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/testkit/memledger"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A harness is an instance without I/O: a ledger, its sessions, and a clock that the test moves.
type harness struct {
	t             *testing.T
	inst          *servercore.Instance
	sync          func()
	setGroupClock func(ledger.GroupClock) // sets the group's clock, as the peers report it
	now           time.Time
}

// onEachLedger runs a test on the in-memory ledger and on a journal with links.
func onEachLedger(t *testing.T, test func(s *harness)) {
	t.Run("memory", func(t *testing.T) {
		l := memledger.New()
		s := newHarness(t, l, l.Sync)
		s.setGroupClock = func(c ledger.GroupClock) { l.SetGroup(memledger.GroupState{GroupClock: c}) }
		test(s)
	})
	t.Run("journal", func(t *testing.T) {
		j, err := journal.Open(journal.Options{FS: memfs.New(), Dir: "data", Stepped: true})
		if err != nil {
			t.Fatal(err)
		}
		links, err := replica.NewSteppedLinks(replica.Options{Name: "a", Group: "g", Journal: j})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { links.Close(); j.Close() })
		s := newHarness(t, links.Ledger(), func() {
			if err := j.Sync(); err != nil {
				t.Fatal(err)
			}
		})
		s.setGroupClock = func(c ledger.GroupClock) {
			if err := j.MergeGroupClock(c); err != nil {
				t.Fatal(err)
			}
		}
		test(s)
	})
}

func newHarness(t *testing.T, l ledger.Ledger, sync func()) *harness {
	logged, err := topic.NewSet([]string{"a", "b"})
	if err != nil {
		t.Fatal(err)
	}
	return &harness{t: t, sync: sync, now: time.Unix(1_000_000, 0), inst: &servercore.Instance{
		Name: "a", Version: "1", Run: 1, MaxMessage: 1 << 16, Logged: logged, Ledger: l, Registry: servercore.NewRegistry(0),
	}}
}

// A client is a connection without I/O.
type client struct {
	s      *harness
	core   *servercore.Session
	asks   int
	states []servercore.State
}

func (c *client) Wake()                           {}
func (c *client) AcksDue()                        {}
func (c *client) AskPeers()                       { c.asks++ }
func (c *client) StateChanged(s servercore.State) { c.states = append(c.states, s) }

func (s *harness) connect() *client {
	c := &client{s: s}
	c.core = servercore.NewSession(s.inst, c, slog.New(slog.DiscardHandler), s.now)
	if !s.inst.Registry.Add(c.core, "") {
		s.t.Fatal("too many connections")
	}
	return c
}

type command interface{ AppendTo([]byte) []byte }

// message returns the parsed frame of a command.
func (s *harness) message(c command) *wire.Message {
	s.t.Helper()
	var m wire.Message
	if err := wire.Parse(c.AppendTo(nil)[4:], &m); err != nil {
		s.t.Fatal(err)
	}
	return &m
}

// logon logs on with our extensions and calls Decide once; life is the publisher's life.
func (c *client) logon(name, life string, counter, acked uint64) (again bool, err error) {
	cmd := wire.LogonCommand{CommandID: "0", ClientName: name, Acks: wire.AckProcessed, Ext: true, Store: life, Counter: counter, Acked: acked, Last: acked + 10}
	if err := c.core.Execute(c.s.message(&cmd), 0); err != nil {
		return false, err
	}
	err = c.core.Decide(c.s.now)
	return c.core.Deciding(), err
}

func (c *client) send(cmd command) error {
	err := c.core.Execute(c.s.message(cmd), 0)
	c.core.Notify()
	return err
}

func (c *client) publish(topic string, seq uint64, body string) error {
	return c.send(&wire.PublishCommand{Topic: topic, Acks: wire.AckPersisted, Sequence: seq, Body: []byte(body)})
}

func (c *client) subscribe(id, topic, at, options string) error {
	return c.send(&wire.SubscribeCommand{Command: wire.Subscribe, CommandID: id, SubID: id, Topic: topic, Bookmark: at, Options: options, Acks: wire.AckProcessed})
}

// out returns all output as text, one line per frame.
func (c *client) out() []string {
	c.s.t.Helper()
	var lines []string
	for more := true; more; {
		var b []byte
		var ended bool
		b, more, ended = c.core.Fill(nil, c.s.now)
		for _, m := range frames(c.s.t, b) {
			lines = append(lines, describe(m))
		}
		if ended {
			return append(lines, "end")
		}
	}
	return lines
}

func (c *client) want(lines ...string) {
	c.s.t.Helper()
	if got := c.out(); !slices.Equal(got, lines) {
		c.s.t.Errorf("got\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(lines, "\n\t"))
	}
}

func describe(m *wire.Message) string {
	switch {
	case m.Command == wire.Publish:
		return fmt.Sprintf("%s: %s", m.SubIDs, m.Body)
	case m.Command == wire.Heartbeat:
		return "heartbeat"
	}
	text := fmt.Sprintf("%v %s", m.Acks, m.Status)
	add := func(name string, value any) { text += fmt.Sprintf(" %s=%v", name, value) }
	if len(m.SubID) > 0 {
		add("sub", string(m.SubID))
	}
	if m.HasSequence {
		add("s", m.Sequence)
	}
	if m.IsExt() {
		add("have", m.Have)
	}
	if m.Clock > 1 {
		add("clock", m.Clock)
	}
	if len(m.Level) > 0 {
		add("level", string(m.Level))
	}
	if len(m.Reason) > 0 {
		add("reason", string(m.Reason))
	}
	if len(m.Gap) > 0 {
		add("gap", string(m.Gap))
	}
	if string(m.Reason) == wire.ReasonPublisherClosed {
		add("bm", string(m.Bookmark))
	}
	if len(m.Lost) > 0 {
		add("lost", string(m.Lost))
	}
	return text
}

func (s *harness) publisher(life string) *client {
	s.t.Helper()
	c := s.connect()
	if again, err := c.logon(life, life, 1, 0); again || err != nil {
		s.t.Fatal(again, err)
	}
	c.out()
	return c
}

// A client with our extensions requests the conflation of acks for servers without them, so it is
// ignored here.
func TestConflationIsForPlainClients(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		for _, ext := range []bool{true, false} {
			p := s.connect()
			name := fmt.Sprint(ext)
			cmd := wire.LogonCommand{CommandID: "0", ClientName: name, Acks: wire.AckProcessed, Options: "ack_conflation=1s", Ext: ext, Store: name, Counter: 1, Last: 10}
			if err := p.core.Execute(s.message(&cmd), 0); err != nil {
				t.Fatal(err)
			}
			if err := p.core.Decide(s.now); err != nil {
				t.Fatal(err)
			}
			p.out()
			acks := 0
			for n := uint64(1); n <= 5; n++ {
				if err := p.publish("a", n, "x"); err != nil {
					t.Fatal(err)
				}
				s.sync()
				acks += len(p.out())
			}
			if ext != (acks == 5) {
				t.Errorf("extensions %v: %d acks for 5 messages, sent one after the other", ext, acks)
			}
		}
	})
}

// A publish is acknowledged once it is durable, and again as a duplicate. Above a hole it is not
// acknowledged.
func TestPublish(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p := s.publisher("x")
		for n := range uint64(3) {
			if err := p.publish("a", n+1, fmt.Sprint(n+1)); err != nil {
				t.Fatal(err)
			}
		}
		p.want()
		s.sync()
		p.want("persisted success s=3")
		if err := p.publish("a", 2, "2"); err != nil {
			t.Fatal(err)
		}
		p.want("persisted success s=3")
		if err := p.publish("a", 5, "5"); err == nil {
			t.Error("a hole was accepted")
		}
		p.want("processed failure reason=publish gap", "end")
		if have, _ := s.inst.Ledger.Have(bookmark.IdentityOfLife("x").ID); have != 3 {
			t.Errorf("have %d", have)
		}
	})
}

// The logon ack has both numbers. The failures of refused messages go before it (R4, R14).
func TestLogonTellsRefusals(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p := s.publisher("x")
		for n, topic := range []string{"a", "unlogged", "a"} {
			if err := p.publish(topic, uint64(n)+1, "m"); err != nil {
				t.Fatal(err)
			}
		}
		s.sync()
		p.want("persisted success s=1", "persisted failure s=2 reason=invalid topic", "persisted success s=3")
		again := s.connect()
		if wait, err := again.logon("x", "x", 2, 1); wait || err != nil {
			t.Fatal(wait, err)
		}
		p.want("processed failure reason=name in use", "end")
		again.want("persisted failure s=2 reason=invalid topic", "processed success s=3 have=3")
		if err := p.publish("a", 4, "late"); err == nil {
			t.Error("a fenced session has published")
		}
	})
}

// An instance that lacks acknowledged messages refuses their publisher. An instance that knows
// nothing of the publisher accepts it if there is no peer to ask (R4, R10).
func TestLogonGap(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p := s.publisher("x")
		if err := p.publish("a", 1, "1"); err != nil {
			t.Fatal(err)
		}
		s.sync()
		again := s.connect()
		if _, err := again.logon("x", "x", 2, 7); err == nil {
			t.Error("the logon of a publisher that is ahead was accepted")
		}
		again.want("processed failure reason=publish gap", "end")
		stranger := s.connect()
		if wait, err := stranger.logon("y", "y", 1, 7); wait || err != nil {
			t.Fatal(wait, err)
		}
		s.sync()
		stranger.want("processed success s=0 have=7")
	})
}

// A subscription gets only durable messages. It resumes by vector whatever the order of the log,
// and marks tell it how far it is.
func TestSubscribe(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		x, y, c := s.publisher("x"), s.publisher("y"), s.publisher("reader")
		send := func(p *client, seq uint64, body string) {
			if err := p.publish("a", seq, body); err != nil {
				t.Fatal(err)
			}
		}
		send(x, 1, "x1")
		send(y, 1, "y1")
		s.sync()
		send(x, 2, "x2")
		if err := c.subscribe("1", "a", "0", "vector"); err != nil {
			t.Fatal(err)
		}
		c.want("processed success sub=1", "1: x1", "1: y1")
		s.sync()
		c.want("1: x2")
		s.now = s.now.Add(time.Second)
		c.want("persisted success sub=1")
		again := s.publisher("other")
		seen := bookmark.Vector{bookmark.IdentityOfLife("x").ID: 1}
		if err := again.subscribe("1", "^a$", seen.String(), "vector"); err != nil {
			t.Fatal(err)
		}
		again.want("processed success sub=1", "1: y1", "1: x2")
	})
}

// A subscription that starts at Now begins after the durable records.
func TestSubscribeNow(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		x, c := s.publisher("x"), s.publisher("reader")
		for n := range uint64(4) {
			if n == 2 {
				s.sync()
				if err := c.subscribe("1", "a", "0|1|", "vector"); err != nil {
					t.Fatal(err)
				}
				c.out()
			}
			if err := x.publish("a", n+1, fmt.Sprint(n+1)); err != nil {
				t.Fatal(err)
			}
		}
		s.sync()
		c.want("1: 3", "1: 4")
	})
}

// A heartbeat is written at the time that Next returns.
func TestHeartbeat(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		c := s.publisher("x")
		if err := c.send(&wire.HeartbeatCommand{Options: wire.HeartbeatStart(time.Second)}); err != nil {
			t.Fatal(err)
		}
		c.want()
		if next := c.core.Next(s.now); next != time.Second {
			t.Fatalf("next in %v", next)
		}
		s.now = s.now.Add(time.Second)
		c.want("heartbeat")
		if c.core.Silence() != 2*time.Second {
			t.Errorf("silence %v", c.core.Silence())
		}
	})
}

// A draining session ends once its acks are sent.
func TestDrain(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		p := s.publisher("x")
		if err := p.publish("a", 1, "1"); err != nil {
			t.Fatal(err)
		}
		p.core.Drain()
		p.want()
		s.sync()
		p.want("persisted success s=1", "end")
		if !slices.Equal(p.states, []servercore.State{servercore.StateDraining}) {
			t.Errorf("states %v", p.states)
		}
	})
}

// If the ledger has the publisher's id for another publisher, the session is refused: at the logon,
// at the first message if the other publisher came in between, and when a peer answers so.
func TestOtherPublisher(t *testing.T) {
	onEachLedger(t, func(s *harness) {
		id := bookmark.IdentityOfLife("x").ID
		taken := &ledger.Record{Kind: ledger.Message, Publisher: id, Check: bookmark.Check{1}, Sequence: 1, Topic: []byte("a")}
		early, asked := s.publisher("x"), s.publisher("y")
		if v, err := s.inst.Ledger.Appender().Append(taken); v != ledger.Accepted || err != nil {
			t.Fatal(v, err)
		}
		if err := early.publish("a", 1, "forged"); !errors.Is(err, servercore.ErrEnding) {
			t.Errorf("a publish: %v", err)
		}
		early.want("processed failure reason="+wire.ReasonPublisherIDTaken, "end")
		s.inst.Registry.Remove(early.core)
		late := s.connect()
		if _, err := late.logon("x", "x", 2, 0); err == nil {
			t.Error("a logon was accepted")
		}
		late.want("processed failure reason="+wire.ReasonPublisherIDTaken, "end")
		if !asked.core.AddAnswers(ledger.Answers{OtherPublisher: true}) {
			t.Error("the peers are asked once more")
		}
		asked.want("processed failure reason="+wire.ReasonPublisherIDTaken, "end")
		if have, _ := s.inst.Ledger.Have(id); have != 1 {
			t.Errorf("have %d", have)
		}
	})
}

// In a group, acks wait for the peer. While the peer is downgraded, acks are at level single (G2,
// R5).
func TestSingleAcks(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	l.SetGroup(memledger.GroupState{Grouped: true, Reachable: true})
	p := s.publisher("x")
	id := bookmark.IdentityOfLife("x").ID
	l.SetWatermarks(id, 0, 0)
	if err := p.publish("a", 1, "1"); err != nil {
		t.Fatal(err)
	}
	s.sync()
	p.want()
	if out, more := p.core.FillAcks(nil, s.now); len(out) > 0 || more {
		t.Errorf("%q, %v: nothing is due", out, more)
	}
	l.SetWatermarks(id, 0, 1)
	p.want("persisted success s=1 level=single")
	l.SetWatermarks(id, 1, 1)
	if out, more := p.core.FillAcks(nil, s.now); len(out) == 0 || more {
		t.Errorf("%q, %v: an ack is due, and nothing else", out, more)
	}
	if p.asks != 1 {
		t.Errorf("the peers were asked %d times", p.asks)
	}
}

// If retention overtakes a subscription by vector, the subscription ends with its gap (G7).
func TestGap(t *testing.T) {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	x, c := s.publisher("x"), s.publisher("reader")
	for n := range uint64(3) {
		if err := x.publish("a", n+1, "m"); err != nil {
			t.Fatal(err)
		}
	}
	s.sync()
	if err := c.subscribe("1", "a", "0", "vector"); err != nil {
		t.Fatal(err)
	}
	l.Trim(2)
	c.want("processed success sub=1", fmt.Sprintf("processed failure sub=1 reason=%s gap=%d|1|2", wire.ReasonBookmarkNotFound, bookmark.IdentityOfLife("x").ID))
}
