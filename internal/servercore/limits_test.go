package servercore_test

import (
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/testkit/memledger"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// limited returns a harness whose sessions may hold 1 MiB each and 4 MiB together.
func limited(t *testing.T) *harness {
	l := memledger.New()
	s := newHarness(t, l, l.Sync)
	s.inst.Limits = servercore.Limits{SessionMemory: 1 << 20, Memory: 4 << 20, Subscriptions: 100}
	return s
}

// longID is the longest id that the server accepts.
var longID = strings.Repeat("i", 256)

// One account bounds all memory that an instance holds for a client that does not read.
func TestMemoryOfSession(t *testing.T) {
	for name, step := range map[string]func(c *client, n int) error{
		"acks that are not read": func(c *client, n int) error {
			return c.send(&wire.FlushCommand{CommandID: longID, Acks: wire.AckProcessed})
		},
		"acks that wait": func(c *client, n int) error {
			return c.send(&wire.PublishCommand{Topic: "a", CommandID: longID, Acks: wire.AckPersisted, Body: []byte("x")})
		},
		"flushes that wait": func(c *client, n int) error {
			return c.send(&wire.FlushCommand{CommandID: longID, Acks: wire.AckPersisted})
		},
		"subscriptions that are made and ended": func(c *client, n int) error {
			id := fmt.Sprint(n)
			err := c.send(&wire.SubscribeCommand{Command: wire.Subscribe, CommandID: id, SubID: id, Topic: "a"})
			if err == nil {
				err = c.send(&wire.UnsubscribeCommand{CommandID: id, SubID: id})
			}
			return err
		},
		"messages that are not logged": func(c *client, n int) error {
			return c.send(&wire.PublishCommand{Topic: "gossip", Body: []byte(longID)})
		},
		"input": func(c *client, n int) error {
			if !c.core.ChargeInput(1 << 10) {
				return servercore.ErrEnding
			}
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := limited(t)
			c := s.publisher("x")
			if err := c.subscribe("live", "gossip", "", ""); err != nil {
				t.Fatal(err)
			}
			c.out()
			attempts := 8 << 10
			for n := range attempts {
				if err := step(c, n); err != nil || c.core.State() == servercore.StateDead {
					s.inst.Registry.Remove(c.core)
					return
				}
			}
			t.Errorf("%d of them were kept", attempts)
		})
	}
}

// Acks that were written and subscriptions that have ended no longer count.
func TestMemoryIsGivenBack(t *testing.T) {
	s := limited(t)
	c := s.publisher("x")
	for n := range 1 << 10 {
		id := fmt.Sprint(n) + longID[:200]
		for _, cmd := range []command{
			&wire.PublishCommand{Topic: "a", CommandID: id, Acks: wire.AckPersisted | wire.AckProcessed, Body: []byte("x")},
			&wire.FlushCommand{CommandID: id, Acks: wire.AckPersisted},
			&wire.SubscribeCommand{Command: wire.Subscribe, CommandID: id, SubID: id, Topic: "a", Bookmark: "0", Options: "vector"},
			&wire.UnsubscribeCommand{CommandID: id, SubID: id},
		} {
			if err := c.send(cmd); err != nil {
				t.Fatal(n, err)
			}
		}
		if !c.core.ChargeInput(1<<10) || !c.core.ChargeInput(-1<<10) {
			t.Fatal(n, "no input")
		}
		s.sync()
		c.out()
		if state := c.core.State(); state != servercore.StateOpen {
			t.Fatal(n, c.core.Reason())
		}
	}
}

// When all sessions together hold as much memory as they may, sessions end that hold much and want
// more. Sessions that hold little continue.
func TestMemoryOfAll(t *testing.T) {
	s := limited(t)
	var greedy []*client
	for n := range 8 {
		c := s.publisher(fmt.Sprint("greedy", n))
		for c.core.ChargeInput(64 << 10) {
		}
		greedy = append(greedy, c)
	}
	modest := s.publisher("modest")
	if !modest.core.ChargeInput(64 << 10) {
		t.Error("a session that holds little is ended")
	}
	late := s.publisher("late")
	if late.core.ChargeInput(512 << 10) {
		t.Error("a session may hold much memory although the instance's limit is reached")
	}
	greedy = append(greedy, late)
	for _, c := range greedy {
		s.inst.Registry.Remove(c.core)
	}
	if !modest.core.ChargeInput(512 << 10) {
		t.Error("the memory of ended sessions still counts")
	}
}

// A connection that has not logged on may hold very little.
func TestMemoryWithoutLogon(t *testing.T) {
	c := limited(t).connect()
	if !c.core.ChargeInput(64<<10) || c.core.ChargeInput(65<<10) {
		t.Error("a connection without a logon does not have the limit of 128 KiB")
	}
}

// Ids of commands and subscriptions have a bounded length, and the client is told if one is too
// long.
func TestLongIDs(t *testing.T) {
	for name, cmd := range map[string]command{
		"command":      &wire.FlushCommand{CommandID: longID + "i"},
		"subscription": &wire.SubscribeCommand{Command: wire.Subscribe, CommandID: "1", SubID: longID + "i", Topic: "a"},
		"logon":        &wire.LogonCommand{CommandID: longID + "i", ClientName: "y"},
	} {
		t.Run(name, func(t *testing.T) {
			s := limited(t)
			c := s.publisher("x")
			if name == "logon" {
				c = s.connect()
			}
			if c.send(cmd) == nil {
				t.Error("it was accepted")
			}
			c.want("processed failure reason=id too long: 257 bytes exceed the maximum of 256", "end")
		})
	}
}

// The number of a session's subscriptions and the cost of its patterns are bounded. Each pattern
// text is compiled once for all of them.
func TestSubscriptionsAreBounded(t *testing.T) {
	s := limited(t)
	s.inst.Limits.SessionMemory = 16 << 20
	c := s.publisher("x")
	for n := range 101 {
		if err := c.subscribe(fmt.Sprint(n), "a", "", ""); err != nil {
			t.Fatal(err)
		}
	}
	out := c.out()
	if got := out[len(out)-1]; len(out) != 101 || got != "processed failure sub=100 reason=too many subscriptions" {
		t.Errorf("%d answers, the last one %s", len(out), got)
	}

	c = s.publisher("y")
	costly := "(" + strings.Repeat("a?", 900) + "){2}x"
	for n := range 20 {
		if err := c.subscribe(fmt.Sprint(n), costly, "", ""); err != nil {
			t.Fatal(err)
		}
	}
	const refused = "reason=the patterns of this session would cost too much"
	out = c.out()
	if i := slices.IndexFunc(out, func(l string) bool { return strings.Contains(l, refused) }); i < 1 || i > 8 {
		t.Errorf("refused from the %d. on: %s", i, out)
	}
	if err := c.send(&wire.UnsubscribeCommand{SubID: "all"}); err != nil {
		t.Fatal(err)
	}
	if err := c.subscribe("again", costly, "", ""); err != nil {
		t.Fatal(err)
	}
	if out := c.out(); slices.ContainsFunc(out, func(l string) bool { return strings.Contains(l, refused) }) {
		t.Errorf("refused after all others have ended: %s", out)
	}
}

// A list of bookmarks has a bounded length, and a vector names no more publishers than fit into
// memory.
func TestListsAreBounded(t *testing.T) {
	s := limited(t)
	c := s.publisher("x")
	list := func(n int) string {
		var v []string
		for i := range n {
			v = append(v, bookmark.Bookmark{Publisher: uint64(i + 1), Sequence: 1}.String())
		}
		return strings.Join(v, ",")
	}
	for _, tt := range []struct {
		n             int
		options, want string
	}{
		{1000, "", "processed success sub=1"},
		{1001, "", "processed failure sub=1 reason=more than 1000 bookmarks"},
		{1001, "vector", "processed success sub=1"},
		{10_000, "vector", "processed failure sub=1 reason=" + wire.ReasonVectorTooLong},
	} {
		if err := c.subscribe("1", "a", list(tt.n), tt.options); err != nil {
			t.Fatal(err)
		}
		if out := c.out(); len(out) == 0 || out[0] != tt.want {
			t.Errorf("%d bookmarks, %q: %q, want %q", tt.n, tt.options, out, tt.want)
		}
		if err := c.send(&wire.UnsubscribeCommand{SubID: "all"}); err != nil {
			t.Fatal(err)
		}
	}
}

// A topic has a bounded length. A message on a longer one is refused with a tombstone (R14).
func TestTopicsAreBounded(t *testing.T) {
	s := limited(t)
	s.inst.Limits.Topic = 1
	c := s.publisher("x")
	for n, topic := range []string{"a", "/AMPS/devnull"} {
		if err := c.publish(topic, uint64(n+1), "x"); err != nil {
			t.Fatal(err)
		}
	}
	s.sync()
	c.want("persisted success s=1", "persisted failure s=2 reason=invalid topic", "persisted success s=2")
}

// manyRecords returns a harness whose log has a number of messages of one size on topic a.
func manyRecords(t *testing.T, n, size int) *harness {
	s := limited(t)
	p := s.publisher("p")
	for i := range n {
		if err := p.publish("a", uint64(i+1), strings.Repeat("x", size)); err != nil {
			t.Fatal(err)
		}
	}
	s.sync()
	p.out()
	return s
}

// The output of one Fill is about as long for many subscriptions that are behind as for one, and
// each of them gets everything.
func TestOutputIsBounded(t *testing.T) {
	s := manyRecords(t, 4, 100_000)
	s.inst.Limits.SessionMemory = 8 << 20
	c := s.publisher("x")
	const subs = 50
	for n := range subs {
		if err := c.subscribe(fmt.Sprint(n), "a", "0", ""); err != nil {
			t.Fatal(err)
		}
	}
	got := make(map[string]int)
	for more := true; more; {
		var b []byte
		b, more, _ = c.core.Fill(nil, s.now)
		if len(b) > 600_000 {
			t.Fatalf("%d bytes at once", len(b))
		}
		for _, f := range frames(t, b) {
			if f.Command == wire.Publish {
				for id := range strings.SplitSeq(string(f.SubIDs), ",") {
					got[id]++
				}
			}
		}
	}
	for n := range subs {
		if id := fmt.Sprint(n); got[id] != 4 {
			t.Errorf("subscription %s got %d of 4 messages", id, got[id])
		}
	}
}

// The output of one Fill is bounded for unlogged messages as well, and every message has all
// subscription ids.
func TestUnloggedOutputIsBounded(t *testing.T) {
	s := limited(t)
	c := s.publisher("x")
	for n := range 50 {
		if err := c.subscribe(fmt.Sprint(n)+longID[:200], "gossip", "", ""); err != nil {
			t.Fatal(err)
		}
	}
	c.out()
	p := s.publisher("p")
	for range 200 {
		if err := p.send(&wire.PublishCommand{Topic: "gossip", Body: []byte("x")}); err != nil {
			t.Fatal(err)
		}
	}
	got := 0
	for more := true; more; {
		var b []byte
		b, more, _ = c.core.Fill(nil, s.now)
		if len(b) > 300_000 {
			t.Fatalf("%d bytes at once", len(b))
		}
		got += len(frames(t, b))
	}
	if got != 200 {
		t.Errorf("%d of 200 messages", got)
	}
}

// An abortingLedger ends a session while the session reads.
type abortingLedger struct {
	ledger.Ledger
	abort func()
	after int // records read before that
	reads int
}

func (l *abortingLedger) Follow(from ledger.Position) ledger.Follower {
	return abortingFollower{l.Ledger.Follow(from), l}
}

type abortingFollower struct {
	ledger.Follower
	l *abortingLedger
}

func (f abortingFollower) Next(r *ledger.Record) (bool, error) {
	if f.l.reads++; f.l.reads == f.l.after {
		f.l.abort()
	}
	return f.Follower.Next(r)
}

// For a client that has left, nothing more is read or matched, whether the subscription is behind
// or live.
func TestReadingStopsWithTheSession(t *testing.T) {
	for _, at := range []string{"0", ""} {
		s := manyRecords(t, 1, 1)
		l := &abortingLedger{Ledger: s.inst.Ledger, after: 20}
		s.inst.Ledger = l
		c := s.publisher("y")
		l.abort = func() { c.core.Abort("gone") }
		if err := c.subscribe("1", "a", at, ""); err != nil {
			t.Fatal(err)
		}
		c.out()
		p := s.publisher("q")
		for n := range 300 {
			if err := p.publish("a", uint64(n+1), "x"); err != nil {
				t.Fatal(err)
			}
		}
		s.sync()
		c.out()
		if l.reads != l.after {
			t.Errorf("%d records were read, the client has left after %d", l.reads, l.after)
		}
	}
}

// Expensive patterns are matched for a bounded time per turn, then other sessions have their turn.
// No message is skipped.
func TestCostlyPatternsAreThrottled(t *testing.T) {
	for _, at := range []string{"0", ""} {
		s := limited(t)
		logged, err := topic.NewSet([]string{"^a"})
		if err != nil {
			t.Fatal(err)
		}
		s.inst.Logged = logged
		c := s.publisher("x")
		if err := c.subscribe("1", "(("+strings.Repeat("a?", 900)+"){2}x|^a)", at, ""); err != nil {
			t.Fatal(err)
		}
		c.out()
		p := s.publisher("p")
		for n := range 10 {
			if err := p.publish(fmt.Sprint("a", n, strings.Repeat("a", 200)), uint64(n+1), "x"); err != nil {
				t.Fatal(err)
			}
		}
		s.sync()
		got, turns := 0, 0
		for ; got < 10 && turns < 100; turns++ {
			more := len(c.out())
			if more > 2 {
				t.Errorf("%d messages were matched in one turn", more)
			}
			got += more
			if len(c.out()) > 0 {
				t.Error("there is no rest between two turns")
			}
			next := c.core.Next(s.now)
			if got < 10 && (next <= 0 || next > time.Second) {
				t.Errorf("goes on after %v", next)
			}
			s.now = s.now.Add(min(next, time.Second))
		}
		if got != 10 {
			t.Errorf("%d of 10 messages in %d turns", got, turns)
		}
	}
}

// Of many subscriptions that are behind, some read at once. The others read after the session has
// written its other output.
func TestReadingIsBounded(t *testing.T) {
	s := manyRecords(t, 2000, 1)
	s.inst.Limits.SessionMemory = 8 << 20
	l := &abortingLedger{Ledger: s.inst.Ledger}
	s.inst.Ledger = l
	c := s.publisher("x")
	for n := range 50 {
		if err := c.subscribe(fmt.Sprint(n), "b", "0", ""); err != nil {
			t.Fatal(err)
		}
	}
	for more := true; more; {
		had := l.reads
		_, more, _ = c.core.Fill(nil, s.now)
		if n := l.reads - had; n > 5000 {
			t.Fatalf("%d records were read at once", n)
		}
	}
	if l.reads < 50*2000 {
		t.Errorf("%d records were read of 50 times 2000", l.reads)
	}
}

// Connections without a logon from the busiest address are taken at a bounded rate with a bounded
// burst. Connections from other addresses are not delayed.
func TestCrowdIsPaced(t *testing.T) {
	s := limited(t)
	s.inst.Limits.Unauthenticated = 8
	taken := func(from string, count int) (n int) {
		for range count {
			if !s.inst.Admits(from, s.now) {
				continue
			}
			c := &client{s: s}
			c.core = servercore.NewSession(s.inst, c, slog.New(slog.DiscardHandler), s.now)
			if s.inst.Registry.Add(c.core, from) {
				n++
			}
		}
		return n
	}
	if n := taken("hostile", 2000); n < 400 || n > 600 {
		t.Errorf("%d connections of 2000 were taken at once", n)
	}
	if n := taken("other", 3); n != 3 {
		t.Errorf("%d of 3 connections from another address were taken", n)
	}
	s.now = s.now.Add(100 * time.Millisecond)
	if n := taken("hostile", 2000); n != 50 {
		t.Errorf("%d connections were taken a tenth of a second later", n)
	}
}

// If there are too many connections without a logon, one from the busiest address makes room.
func TestUnauthenticatedAreEvicted(t *testing.T) {
	s := limited(t)
	s.inst.Limits.Unauthenticated, s.inst.Limits.PerAddress = 8, 6
	add := func(from string) (c *client, ok bool) {
		c = &client{s: s}
		c.core = servercore.NewSession(s.inst, c, slog.New(slog.DiscardHandler), s.now)
		return c, s.inst.Registry.Add(c.core, from)
	}
	var hostile, honest []*client
	for n := range 20 {
		c, ok := add("hostile")
		if ok != (n < 6) {
			t.Errorf("took connection %d from one address: %v", n, ok)
		} else if ok {
			hostile = append(hostile, c)
		}
	}
	for n := range 4 {
		c, ok := add(fmt.Sprint("honest", n))
		if !ok {
			t.Errorf("took no connection %d from another address", n)
		}
		honest = append(honest, c)
	}
	dead := func(list []*client) (n int) {
		for _, c := range list {
			if c.core.State() == servercore.StateDead {
				n++
			}
		}
		return n
	}
	if h, o := dead(hostile), dead(honest); h != 2 || o != 0 {
		t.Errorf("%d of the busiest address and %d others made room", h, o)
	}
	for _, c := range hostile {
		s.inst.Registry.Remove(c.core)
	}
	if _, ok := add("hostile"); !ok {
		t.Error("an address is kept out although its connections have ended")
	}
}
