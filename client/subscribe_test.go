package client_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// Through a failover nothing is missed and nothing repeated (G6).
func TestResumeByVector(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		c := start(t, config(n, "a", "b"))
		sub := subscribe(t, c, client.From(client.Epoch))
		sa, _ := a.logon(0, 0)
		m := sa.acceptSubscribe("0")
		if string(m.Bookmark) != "0" || !hasOption(m, "vector") || m.Acks != wire.AckProcessed|wire.AckPersisted {
			t.Errorf("subscribe %q %q %v", m.Bookmark, m.Options, m.Acks)
		}
		s := must(t, sub)
		sa.deliver(m, 1, 2, 3)
		sa.mark(m, "5|3|,9|44|")
		if got := read(t, s, 2); !slices.Equal(got, bodies(1, 2)) {
			t.Errorf("read %q", got)
		}
		sa.close()

		sb, _ := b.logon(0, 0)
		m = sb.acceptSubscribe("")
		if string(m.Bookmark) != "5|3|,9|44|" { // the received vector, which includes queued and undiscarded messages
			t.Errorf("resumed at %q", m.Bookmark)
		}
		sb.deliver(m, 2, 3, 4)
		if got := read(t, s, 2); !slices.Equal(got, bodies(3, 4)) {
			t.Errorf("read %q", got)
		}
		if st := s.Stats(); st.Duplicates != 2 || st.Delivered != 4 {
			t.Errorf("stats %+v", st)
		}
	})
}

// The connection of a subscription from NOW is lost before the first message (hard case 6).
func TestNowResumesAtItsBase(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		for _, tt := range []struct{ base, again string }{{"5|41|", "5|41|"}, {"0", "0|0|"}} {
			srv := listen(t, n, "a")
			c := start(t, config(n, "a"))
			sub := subscribe(t, c, client.From(client.Now))
			ss, _ := srv.logon(0, 0)
			if m := ss.acceptSubscribe(tt.base); string(m.Bookmark) != "0|1|" {
				t.Errorf("subscribed at %q", m.Bookmark)
			}
			s := must(t, sub)
			ss.close()
			ss, _ = srv.logon(0, 0)
			m := ss.acceptSubscribe("")
			if string(m.Bookmark) != tt.again {
				t.Errorf("resumed at %q, want the base %q", m.Bookmark, tt.again)
			}
			ss.deliver(m, 42)
			read(t, s, 1)
			c.Close()
			srv.close()
		}
	})
}

// The answer is lost with the connection. The subscription begins at the same point again.
func TestSubscribeAnswerLost(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		sub := subscribe(t, c, client.From(client.Now))
		ss, _ := srv.logon(0, 0)
		ss.expect(wire.Subscribe)
		ss.close()
		ss, _ = srv.logon(0, 0)
		if m := ss.acceptSubscribe("5|1|"); string(m.Bookmark) != "0|1|" {
			t.Errorf("subscribed at %q", m.Bookmark)
		}
		must(t, sub)
	})
}

// Another process resumes with another client. Exactly the undiscarded messages come again (hard
// case 8).
func TestRestartResumesFromDiscarded(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.BookmarkStore = bookmarkstore.NewMemory()
		opts := []client.SubscribeOption{client.From(client.MostRecent), client.ID("orders")}

		c := start(t, cfg)
		sub := subscribe(t, c, opts...)
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("5|10|")
		if string(m.Bookmark) != "0" {
			t.Errorf("the first time at %q, want EPOCH", m.Bookmark)
		}
		s := must(t, sub)
		ss.deliver(m, 11, 12, 13, 14)
		var refs []client.MessageRef
		for m, err := range s.Messages(testContext(t)) {
			if err != nil {
				t.Fatal(err)
			}
			refs = append(refs, m.Ref())
			if len(refs) == 3 {
				break
			}
		}
		if err := c.Discard(refs[0]); err != nil {
			t.Error(err)
		}
		if err := s.Discard(refs[2]); err != nil {
			t.Error(err)
		}
		if err := c.Discard(client.MessageRef{Subscription: "unknown"}); !errors.Is(err, client.ErrNoSubscription) {
			t.Errorf("discard in an unknown subscription: %v", err)
		}
		c.Close()

		c = start(t, cfg)
		sub = subscribe(t, c, opts...)
		ss, _ = srv.logon(0, 0)
		m = ss.acceptSubscribe("")
		if string(m.Bookmark) != "5|11|" {
			t.Errorf("resumed at %q, want behind the first discard", m.Bookmark)
		}
		s = must(t, sub)
		ss.deliver(m, 12, 13, 14)
		if got := read(t, s, 2); !slices.Equal(got, bodies(12, 14)) {
			t.Errorf("read %q", got)
		}
	})
}

// An overrun subscription is paused, and the messages beyond the bound do not count as received
// (R12).
func TestOverrun(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		paused := 0
		cfg := config(n, "a")
		cfg.QueueMessages = 3
		cfg.Hooks.Paused = func(*client.Subscription) { paused++ }
		c := start(t, cfg)
		sub := subscribe(t, c, client.From(client.Epoch))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		ss.deliver(m, sequenceRange(1, 6)...)
		ss.mark(m, "5|6|,9|1|")
		if u := ss.expect(wire.Unsubscribe); string(u.SubID) != string(m.SubID) {
			t.Errorf("unsubscribed %q, want %q", u.SubID, m.SubID)
		}
		ss.expectNothing(time.Minute) // nothing until the application has caught up
		synctest.Wait()
		if st := s.Stats(); !st.Paused || st.Pauses != 1 || st.Queued != 3 || paused != 1 {
			t.Errorf("stats %+v, paused %d", st, paused)
		}
		got := make(chan []string)
		go func() { got <- read(t, s, 6) }()
		again := ss.acceptSubscribe("")
		if string(again.Bookmark) != "5|3|" || string(again.SubID) == string(m.SubID) {
			t.Errorf("resumed at %q as %q", again.Bookmark, again.SubID)
		}
		ss.deliver(m, 5, 6) // still in flight
		ss.deliver(again, 4, 5, 6)
		if got := <-got; !slices.Equal(got, bodies(sequenceRange(1, 6)...)) {
			t.Errorf("read %q", got)
		}
	})
}

// A paused subscription stays paused over a reconnect.
func TestOverrunAcrossReconnect(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.QueueMessages = 1
		c := start(t, cfg)
		sub := subscribe(t, c, client.From(client.Epoch))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		ss.deliver(m, 1, 2)
		ss.expect(wire.Unsubscribe)
		ss.close()
		ss, _ = srv.logon(0, 0)
		ss.expectNothing(time.Minute)
		done := make(chan []string)
		go func() { done <- read(t, s, 2) }()
		ss.deliver(ss.acceptSubscribe(""), 2)
		if got := <-done; !slices.Equal(got, bodies(1, 2)) {
			t.Errorf("read %q", got)
		}
	})
}

// A handler publishes and flushes while its queue is full (R12, hard case 13).
func TestHandlerPublishesAndFlushes(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.QueueMessages = 2
		c := start(t, cfg)
		sub := subscribe(t, c, client.From(client.Epoch))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		done := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
		defer cancel()
		go func() {
			for _, err := range s.Messages(ctx) {
				if err == nil {
					_, err = c.Publish(ctx, "answers", []byte("x"))
				}
				if err == nil {
					err = c.Flush(ctx)
				}
				done <- err
				return
			}
		}()
		ss.deliver(m, sequenceRange(1, 20)...)
		for { // the ack arrives behind the messages that overrun the queue
			if f := ss.next(); f == nil || f.Command == wire.Publish {
				break
			}
		}
		ss.persisted(1)
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// Leaving the loop pauses the subscription. The next loop continues where it stopped.
func TestLoops(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		sub := subscribe(t, c, client.From(client.Epoch))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		ss.deliver(m, sequenceRange(1, 5)...)
		if got := read(t, s, 2); !slices.Equal(got, bodies(1, 2)) {
			t.Errorf("read %q", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		for m, err := range s.Messages(ctx) {
			if err != nil {
				if !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
				continue // nothing may come after it
			}
			if string(m.Body) != body(3) {
				t.Errorf("read %q", m.Body)
			}
			for _, err := range s.Messages(testContext(t)) { // a second loop beside it
				if !errors.Is(err, client.ErrLoopRunning) {
					t.Error(err)
				}
			}
			cancel()
		}
		seen := 0
		boom := errors.New("boom")
		err := s.Handle(testContext(t), func(m *client.Message) error {
			if seen++; seen == 2 {
				return boom
			}
			return nil
		})
		if !errors.Is(err, boom) || seen != 2 {
			t.Errorf("handle: %v after %d", err, seen)
		}
		if st := s.Stats(); st.Outstanding != 2 { // 3 and 5
			t.Errorf("%d outstanding, want 2", st.Outstanding)
		}
	})
}

// A message is valid until the next turn. A clone stays valid.
func TestClone(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		sub := subscribe(t, c, client.From(client.Epoch), client.WithTime())
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		if !hasOption(m, "timestamp") {
			t.Errorf("options %q", m.Options)
		}
		s := must(t, sub)
		at := time.Date(2026, 3, 1, 12, 0, 0, 5000, time.UTC)
		d := wire.Delivery{
			Topic: []byte("orders/eu"), SubIDs: []byte("99, " + string(m.SubID)), Body: []byte("b"), SOWKey: []byte("k"),
			CorrelationID: []byte("x"), UserID: []byte("joe"), Timestamp: at.UnixMicro(),
		}
		d.Bookmark = client.Bookmark{Publisher: 5, Sequence: 1}
		ss.send(d.AppendTo(nil))
		var kept *client.Message
		for m, err := range s.Messages(testContext(t)) {
			if err != nil {
				t.Fatal(err)
			}
			kept = m.Clone()
			break
		}
		if kept.Topic != "orders/eu" || string(kept.Body) != "b" || kept.SOWKey != "k" || kept.CorrelationID != "x" ||
			kept.UserID != "joe" || !kept.Time.Equal(at) || kept.Bookmark != d.Bookmark {
			t.Errorf("%+v", kept)
		}
		if err := kept.Discard(); err != nil {
			t.Error(err)
		}
	})
}

func gapAck(m *wire.Message, ok bool) wire.AckMessage {
	a := wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Success: ok, Gap: "5|3|9"}
	if !ok {
		a.Reason = "bookmark not found"
	}
	return a
}

// Messages that retention has removed are reported as a gap, which by default ends the subscription
// (G7, R9).
func TestGapEndsTheSubscription(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		var hooked *client.GapError
		var endedBy error
		cfg := config(n, "a")
		cfg.Hooks.Gap = func(e *client.GapError) { hooked = e }
		cfg.Hooks.SubscriptionEnded = func(_ *client.Subscription, err error) { endedBy = err }
		c := start(t, cfg)
		sub := subscribe(t, c, client.From(client.Epoch))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		ss.deliver(m, 1, 2)
		synctest.Wait()
		ss.close()
		ss, _ = srv.logon(0, 0)
		m = ss.expect(wire.Subscribe)
		if hasOption(m, "bookmark_not_found=epoch") {
			t.Errorf("options %q", m.Options)
		}
		ss.ack(gapAck(m, false))
		if got := read(t, s, 2); !slices.Equal(got, bodies(1, 2)) { // queued messages come first
			t.Errorf("read %q", got)
		}
		var gap *client.GapError
		for _, err := range s.Messages(testContext(t)) {
			if !errors.As(err, &gap) {
				t.Fatalf("got %v", err)
			}
		}
		synctest.Wait()
		if want := []client.Gap{{Publisher: 5, From: 3, To: 9}}; gap == nil || !slices.Equal(gap.Gaps, want) || hooked == nil || endedBy == nil {
			t.Errorf("gap %v, hook %v, ended by %v", gap, hooked, endedBy)
		}
		if len(c.Stats().Subscriptions) != 0 {
			t.Error("the subscription is still there")
		}
	})
}

func TestGapAccepted(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		var got []string
		onGap := client.OnGap(func(e *client.GapError) { got = append(got, fmt.Sprint(e.Gaps)) })
		sub := subscribe(t, c, client.From(client.Epoch), onGap)
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		ss.deliver(m, 1, 2)
		synctest.Wait()
		ss.close()
		ss, _ = srv.logon(0, 0)
		m = ss.expect(wire.Subscribe)
		ss.ack(gapAck(m, false)) // the server has no peers to ask
		ss.expect(wire.Unsubscribe)
		m = ss.acceptSubscribe("")
		if string(m.Bookmark) != "5|9|" {
			t.Errorf("goes on at %q", m.Bookmark)
		}
		ss.deliver(m, 10)
		synctest.Wait()
		for m, err := range s.Messages(testContext(t)) {
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, string(m.Body))
			m.Discard()
			if len(got) == 4 {
				break
			}
		}
		if want := []string{body(1), body(2), "[{5 3 9}]", body(10)}; !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		ss.close()
		ss, _ = srv.logon(0, 0)
		if m := ss.acceptSubscribe(""); string(m.Bookmark) != "5|10|" {
			t.Errorf("resumed at %q", m.Bookmark)
		}
	})
}

// A subscription whose topic is not replicated does not move to another server silently (R3).
func TestNotReplicated(t *testing.T) {
	for _, allowed := range []bool{false, true} {
		run(t, func(t *testing.T, n *memnet.Network) {
			a, b := listen(t, n, "a"), listen(t, n, "b")
			c := start(t, config(n, "a", "b"))
			opts := []client.SubscribeOption{client.From(client.Epoch)}
			if allowed {
				opts = append(opts, client.AllowUnreplicated())
			}
			sub := subscribe(t, c, opts...)
			ss, _ := a.logon(0, 0)
			m := ss.expect(wire.Subscribe)
			ss.ack(wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Success: true, Bookmark: "0", Reason: "not replicated"})
			s := must(t, sub)
			ss.close()
			ss, _ = b.logon(0, 0)
			if allowed {
				ss.deliver(ss.acceptSubscribe(""), 1)
				read(t, s, 1)
				return
			}
			for _, err := range s.Messages(testContext(t)) {
				if !errors.Is(err, client.ErrNotReplicated) {
					t.Errorf("got %v", err)
				}
			}
			ss.expectNothing(time.Second)
		})
	}
}

func TestRefusedSubscription(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		sub := subscribe(t, c, client.From(client.Epoch), client.ID("x"), client.Filter("/a = 1"))
		ss, _ := srv.logon(0, 0)
		m := ss.expect(wire.Subscribe)
		if string(m.Filter) != "/a = 1" {
			t.Errorf("filter %q", m.Filter)
		}
		ss.ack(wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: "not entitled"})
		_, err := sub()
		var refused *client.CommandError
		if !errors.As(err, &refused) || refused.Reason != "not entitled" || refused.Topic != "orders" {
			t.Errorf("got %v", err)
		}
		// The id may be used again.
		sub = subscribe(t, c, client.From(client.Epoch), client.ID("x"))
		ss.expect(wire.Unsubscribe)
		ss.acceptSubscribe("0")
		must(t, sub)
		if _, err := c.Subscribe(testContext(t), "orders", client.From(client.Epoch), client.ID("x")); !errors.Is(err, bookmarkstore.ErrInUse) {
			t.Errorf("the same id twice: %v", err)
		}
	})
}

// MostRecentOr says where to begin the first time. After that the stored place does.
func TestMostRecentOr(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.BookmarkStore = bookmarkstore.NewMemory()
		for i, want := range []string{"0|1|", "5|10|", "5|11|"} {
			c := start(t, cfg)
			sub := subscribe(t, c, client.From(client.MostRecentOr(client.Now)), client.ID("orders"))
			ss, _ := srv.logon(0, 0)
			m := ss.acceptSubscribe("5|10|")
			if string(m.Bookmark) != want {
				t.Errorf("life %d begins at %q, want %q", i, m.Bookmark, want)
			}
			s := must(t, sub)
			if i == 1 {
				ss.deliver(m, 11)
				for m, err := range s.Messages(testContext(t)) {
					if err := cmp.Or(err, m.Discard()); err != nil {
						t.Fatal(err)
					}
					break
				}
			}
			c.Close()
		}
	})
}

func TestContradictingOptions(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		c := start(t, config(n, "a"))
		for name, opts := range map[string][]client.SubscribeOption{
			"From(nil)":                 {client.From(nil)},
			"ID without From":           {client.ID("x")},
			"FullyDurable without From": {client.FullyDurable()},
			"AcceptGaps without From":   {client.AcceptGaps()},
			"AllowUnreplicated":         {client.AllowUnreplicated()},
			"WhenSlow with From":        {client.From(client.Now), client.WhenSlow(client.SlowFail())},
			"MostRecent without ID":     {client.From(client.MostRecent)},
			"MostRecentOr without ID":   {client.From(client.MostRecentOr(client.Now))},
			"MostRecentOr(nil)":         {client.From(client.MostRecentOr(nil)), client.ID("x")},
			"After()":                   {client.From(client.After())},
			"Retry without From":        {client.Retry(client.RetryPolicy{})},
			"Retry with negative tries": {client.From(client.Now), client.Retry(client.RetryPolicy{MaxTries: -1})},
		} {
			if _, err := c.Subscribe(testContext(t), "orders", opts...); err == nil {
				t.Errorf("%s: no error", name)
			}
		}
		if _, err := c.Subscribe(testContext(t), ""); err == nil {
			t.Error("no topic: no error")
		}
	})
}

// Without an answer or a connection the wait ends, and nothing is left behind.
func TestSubscribeGivesUp(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		c := start(t, config(n, "a"))
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		if _, err := c.Subscribe(ctx, "orders"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without a server: %v", err)
		}
		srv := listen(t, n, "a")
		ss, _ := srv.logon(0, 0)
		began := time.Now()
		if _, err := c.Subscribe(testContext(t), "orders"); !errors.Is(err, client.ErrTimeout) {
			t.Errorf("without an answer: %v", err)
		}
		if d := time.Since(began); d != 10*time.Second {
			t.Errorf("gave up after %v, want 10s", d)
		}
		ss.expect(wire.Subscribe)
		ss.expect(wire.Unsubscribe)
		if len(c.Stats().Subscriptions) != 0 {
			t.Error("a subscription is left")
		}
	})
}

// Subscriptions without bookmark that are read too slowly follow their policy (R12).
func TestPolicies(t *testing.T) {
	setup := func(t *testing.T, n *memnet.Network, opts ...client.SubscribeOption) (*session, *wire.Message, *client.Subscription) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.QueueMessages = 3
		c := start(t, cfg)
		sub := subscribe(t, c, opts...)
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("")
		if m.Bookmark != nil || m.Acks != wire.AckProcessed {
			t.Errorf("subscribe with bookmark %q, acks %v", m.Bookmark, m.Acks)
		}
		return ss, m, must(t, sub)
	}
	ends := func(t *testing.T, s *client.Subscription, want []string) {
		t.Helper()
		var got []string
		var last error
		for m, err := range s.Messages(testContext(t)) {
			if last = err; err == nil {
				got = append(got, string(m.Body))
			}
		}
		if !errors.Is(last, client.ErrSlowConsumer) || !slices.Equal(got, want) {
			t.Errorf("read %q, then %v", got, last)
		}
	}
	t.Run("fail", func(t *testing.T) {
		run(t, func(t *testing.T, n *memnet.Network) {
			ss, m, s := setup(t, n, client.WhenSlow(client.SlowFail()))
			ss.deliver(m, 1, 2, 3, 4)
			ss.expect(wire.Unsubscribe)
			ends(t, s, bodies(1, 2, 3))
		})
	})
	t.Run("drop oldest", func(t *testing.T) {
		run(t, func(t *testing.T, n *memnet.Network) {
			ss, m, s := setup(t, n, client.WhenSlow(client.SlowDropOldest()))
			ss.deliver(m, 1, 2, 3, 4, 5)
			synctest.Wait()
			if got := read(t, s, 3); !slices.Equal(got, bodies(3, 4, 5)) || s.Stats().Dropped != 2 {
				t.Errorf("read %q, %d dropped", got, s.Stats().Dropped)
			}
		})
	})
	t.Run("block, in time", func(t *testing.T) {
		run(t, func(t *testing.T, n *memnet.Network) {
			ss, m, s := setup(t, n)
			ss.deliver(m, sequenceRange(1, 6)...)
			time.Sleep(4 * time.Second)
			if got := read(t, s, 6); !slices.Equal(got, bodies(sequenceRange(1, 6)...)) {
				t.Errorf("read %q", got)
			}
			ss.deliver(m, sequenceRange(7, 9)...)
			read(t, s, 3)
		})
	})
	t.Run("block, too late", func(t *testing.T) {
		run(t, func(t *testing.T, n *memnet.Network) {
			ss, m, s := setup(t, n)
			ss.deliver(m, sequenceRange(1, 4)...)
			time.Sleep(6 * time.Second)
			ss.deliver(m, 5)
			ss.expect(wire.Unsubscribe)
			ends(t, s, bodies(sequenceRange(1, 4)...))
		})
	})
	t.Run("block, too much", func(t *testing.T) {
		run(t, func(t *testing.T, n *memnet.Network) {
			ss, m, s := setup(t, n)
			ss.deliver(m, sequenceRange(1, 100)...)
			ss.expect(wire.Unsubscribe)
			ends(t, s, bodies(sequenceRange(1, 24)...))
		})
	})
}

func TestUnsubscribe(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		sub := subscribe(t, c, client.From(client.Epoch))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		ss.deliver(m, 1, 2, 3)
		turns := 0
		for m, err := range s.Messages(testContext(t)) {
			if err != nil {
				t.Fatal(err)
			}
			turns++
			if err := s.Unsubscribe(); err != nil {
				t.Error(err)
			}
			if err := m.Discard(); err != nil { // this discard still counts
				t.Error(err)
			}
		}
		if turns != 1 {
			t.Errorf("%d turns, want 1", turns)
		}
		ss.expect(wire.Unsubscribe)
		if err := s.Unsubscribe(); err != nil {
			t.Error(err)
		}
		ss.expectNothing(time.Second)
		ss.close()
		ss, _ = srv.logon(0, 0)
		ss.expectNothing(time.Second)
	})
}

// A bookmark store whose disk fails ends the subscription with its error.
func TestFailedBookmarkStore(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.BookmarkStore = failingBookmarks{bookmarkstore.NewMemory()}
		c := start(t, cfg)
		sub := subscribe(t, c, client.From(client.Epoch), client.ID("x"))
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		ss.mark(m, "5|1|")
		var failed *bookmarkstore.FailedError
		for _, err := range s.Messages(testContext(t)) {
			if !errors.As(err, &failed) {
				t.Errorf("got %v", err)
			}
		}
		publish(t, c, 1) // publishing goes on
	})
}

type failingBookmarks struct{ bookmarkstore.Store }

func (s failingBookmarks) OpenSubscription(id string, q bookmarkstore.Query) (bookmarkstore.Subscription, error) {
	sub, err := s.Store.OpenSubscription(id, q)
	return failingPlace{sub}, err
}

type failingPlace struct{ bookmarkstore.Subscription }

func (failingPlace) ReceiveMark(bookmarkstore.Vector) error {
	return &bookmarkstore.FailedError{Path: "bookmarks", Err: errors.New("input/output error")}
}

// At a server without our extensions a subscription sends the list of its bookmarks and drops
// repeated messages.
func TestPlainSubscription(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss := srv.plainLogon(0)
		sub := subscribe(t, c, client.From(client.Epoch))
		m := ss.acceptSubscribe("")
		if len(m.Options) > 0 || m.Acks != wire.AckProcessed|wire.AckPersisted|wire.AckCompleted {
			t.Errorf("options %q, acks %v", m.Options, m.Acks)
		}
		s := must(t, sub)
		ss.deliver(m, 1, 2)
		ss.mark(m, "5|9|") // a mark of the log that may be ahead of the replay
		if got := read(t, s, 2); !slices.Equal(got, bodies(1, 2)) {
			t.Errorf("read %q", got)
		}
		ss.close()
		ss = srv.plainLogon(0)
		m = ss.acceptSubscribe("")
		if string(m.Bookmark) != "5|2|" || len(m.Options) > 0 {
			t.Errorf("resumed at %q with %q", m.Bookmark, m.Options)
		}
		ss.deliver(m, 1, 2, 3)
		if got := read(t, s, 1); !slices.Equal(got, bodies(3)) {
			t.Errorf("read %q", got)
		}
	})
}

// Many subscriptions on one connection share one frame.
func TestSharedFrames(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, _ := srv.logon(0, 0)
		var subs []*client.Subscription
		var ids []byte
		for i := range 3 {
			sub := subscribe(t, c, client.From(client.Epoch), client.ID(fmt.Sprint(i)))
			m := ss.acceptSubscribe("0")
			ids = append(append(ids, m.SubID...), ',')
			subs = append(subs, must(t, sub))
		}
		d := wire.Delivery{Topic: []byte("orders"), SubIDs: ids, Body: []byte("x")}
		d.Bookmark = client.Bookmark{Publisher: 5, Sequence: 1}
		ss.send(d.AppendTo(nil))
		var wg sync.WaitGroup
		for _, s := range subs {
			wg.Go(func() { read(t, s, 1) })
		}
		wg.Wait()
	})
}

// Hooks that take longer than RecoveryTimeout do not use it up. A server that does not answer a
// subscription still gets the whole time, and then the client leaves it.
func TestSlowHooksLeaveTimeToRecover(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.RecoveryTimeout = 3 * time.Second
		slow := false
		cfg.Hooks.Connected = func(client.ServerInfo) {
			if slow {
				time.Sleep(4 * time.Second)
			}
		}
		c := start(t, cfg)
		sub := subscribe(t, c, client.From(client.Epoch))
		sa, _ := a.logon(0, 0)
		sa.acceptSubscribe("0")
		must(t, sub)
		slow = true
		sa.close()
		sa, _ = a.logon(0, 0)
		sa.expect(wire.Subscribe) // never answered
		began := time.Now()
		sa.expectClosed()
		if took := time.Since(began); took != cfg.RecoveryTimeout {
			t.Errorf("left after %v", took)
		}
	})
}

// An accepted gap is reported in its place, also if the subscription ends there.
func TestGapAcceptedAndNotReplicated(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		c := start(t, config(n, "a", "b"))
		var gaps []client.Gap
		sub := subscribe(t, c, client.From(client.Epoch), client.OnGap(func(g *client.GapError) { gaps = append(gaps, g.Gaps...) }))
		sa, _ := a.logon(0, 0)
		m := sa.acceptSubscribe("")
		s := must(t, sub)
		sa.deliver(m, 1)
		read(t, s, 1)
		sa.close()
		sb, _ := b.logon(0, 0)
		m = sb.expect(wire.Subscribe)
		sb.ack(wire.AckMessage{
			CommandID: string(m.CommandID), Type: wire.AckProcessed, Success: true, SubID: string(m.SubID),
			Gap: "5|2|4", Reason: "not replicated",
		})
		var end error
		for _, end = range s.Messages(testContext(t)) {
		}
		if want := []client.Gap{{Publisher: 5, From: 2, To: 4}}; !errors.Is(end, client.ErrNotReplicated) || !slices.Equal(gaps, want) {
			t.Errorf("gaps %v, then %v", gaps, end)
		}
	})
}

// A server that names too many publishers ends the subscription with a TooManyPublishersError. The
// place stays unchanged, and the next server accepts it (R9).
func TestTooManyPublishers(t *testing.T) {
	crowd := func(from, n uint64) string {
		var list []string
		for p := from; p < from+n; p++ {
			list = append(list, strconv.FormatUint(p, 10)+"|1|")
		}
		return strings.Join(list, ",")
	}
	for name, flood := range map[string]func(ss *session, sub *wire.Message){
		"one mark":   func(ss *session, sub *wire.Message) { ss.mark(sub, crowd(1000, 101)) },
		"many marks": func(ss *session, sub *wire.Message) { ss.mark(sub, crowd(1000, 90)); ss.mark(sub, crowd(2000, 10)) },
		"messages": func(ss *session, sub *wire.Message) {
			for p := range uint64(100) {
				d := wire.Delivery{Topic: sub.Topic, SubIDs: sub.SubID}
				d.Bookmark.Publisher, d.Bookmark.Sequence = 1000+p, 1
				ss.send(d.AppendTo(nil))
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, n *memnet.Network) {
				srv := listen(t, n, "a")
				cfg := config(n, "a")
				cfg.MaxPublishers = 100
				c := start(t, cfg)
				subscribed := subscribe(t, c, client.From(client.MostRecent), client.ID("s"))
				ss, _ := srv.logon(0, 0)
				sub := ss.acceptSubscribe("0")
				s := must(t, subscribed)
				ss.deliver(sub, 1)
				read(t, s, 1)
				flood(ss, sub)
				ss.expect(wire.Unsubscribe)
				var end error
				for m, err := range s.Messages(testContext(t)) {
					if end = err; m != nil {
						m.Discard()
					}
				}
				var e *client.TooManyPublishersError
				if !errors.As(end, &e) || e.Limit != 100 || e.Subscription != "s" {
					t.Fatalf("the subscription ended with %v", end)
				}
				subscribed = subscribe(t, c, client.From(client.MostRecent), client.ID("s"))
				sub = ss.acceptSubscribe("")
				must(t, subscribed)
				if v, err := bookmark.ParseVector(sub.Bookmark); err != nil || v[5] != 1 || len(v) > 100 {
					t.Errorf("resumed from %d publishers, %v", len(v), err)
				}
			})
		})
	}
}
