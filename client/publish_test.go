package client_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

func TestPublishAndFlush(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, m := srv.logon(0, 0)
		if string(m.ClientName) != "me" || string(m.MessageType) != "json" || !m.IsExt() || m.Counter != 1 || len(m.Store) == 0 || m.Acked != 0 {
			t.Errorf("logon %+v", m)
		}
		publish(t, c, 1, 2, 3)
		ss.expectPublishes(1, 2, 3)
		done := make(chan error, 1)
		go func() { done <- c.Flush(testContext(t)) }()
		ss.persisted(2)
		synctest.Wait()
		if len(done) > 0 {
			t.Fatal("flushed with message 3 outstanding")
		}
		ss.persisted(3)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if u := c.Stats().Publish.Outstanding; u.Messages != 0 {
			t.Errorf("the store keeps %d messages", u.Messages)
		}
	})
}

// No message is sent before the store has it (G1).
func TestNothingIsSentBeforeItIsStored(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		store := &gatedStore{Store: pubstore.NewMemory(pubstore.MemoryOptions{}), gate: make(chan struct{})}
		cfg := config(n, "a")
		cfg.PublishStore = store
		c := start(t, cfg)
		ss, _ := srv.logon(0, 0)
		synctest.Wait()
		go c.Publish(t.Context(), "orders", []byte("x"))
		ss.expectNothing(10 * time.Second)
		close(store.gate)
		ss.expectPublishes(1)
	})
}

// A gatedStore stores nothing until its gate opens.
type gatedStore struct {
	pubstore.Store
	gate chan struct{}
}

func (g *gatedStore) Append(ctx context.Context, m *pubstore.Message) (uint64, error) {
	<-g.gate
	return g.Store.Append(ctx, m)
}

// Messages that were sent before go first, in order. Messages that are published meanwhile follow
// them (R1, hard case 24).
func TestReplayBeforeNew(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		var replayed atomic.Int64
		cfg := config(n, "a", "b")
		cfg.Hooks.Replayed = func(n int) { replayed.Store(int64(n)) }
		c := start(t, cfg)
		sa, _ := a.logon(0, 0)
		publish(t, c, sequenceRange(1, 5)...)
		sa.expectPublishes(sequenceRange(1, 5)...)
		sa.persisted(1)
		synctest.Wait()
		sa.close()
		sb := b.accept()
		m := sb.expect(wire.Logon)
		publish(t, c, 6, 7)
		if m.Acked != 1 || m.Counter != 2 {
			t.Errorf("second logon with acked %d, n %d; want 1, 2", m.Acked, m.Counter)
		}
		sb.acceptLogon(2, 3)
		sb.expectPublishes(sequenceRange(3, 7)...)
		publish(t, c, 8)
		sb.expectPublishes(8)
		synctest.Wait()
		if got := replayed.Load(); got != 3 {
			t.Errorf("replayed %d messages, want 3", got)
		}
		if got := c.Stats().Publish.Resent; got != 3 {
			t.Errorf("stats: %d resent, want 3", got)
		}
	})
}

// Messages that are published before the first connection are delivered in order.
func TestPublishOffline(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		c := start(t, config(n, "a"))
		publish(t, c, sequenceRange(1, 50)...)
		time.Sleep(time.Minute)
		srv := listen(t, n, "a")
		ss, _ := srv.logon(0, 0)
		ss.expectPublishes(sequenceRange(1, 50)...)
		if got := c.Stats().Publish.Resent; got != 0 {
			t.Errorf("%d resent, want 0", got)
		}
	})
}

// The failed-write handler is called once, and the store lets the message go (R14). The next
// message leaves out the rejected number, which the logon states (R1).
func TestRejected(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		var reported []*client.RejectedError
		cfg := config(n, "a")
		cfg.Hooks.FailedWrite = func(e *client.RejectedError) { reported = append(reported, e) }
		c := start(t, cfg)
		ss, _ := srv.logon(0, 0)
		publish(t, c, sequenceRange(1, 5)...)
		ss.expectPublishes(sequenceRange(1, 5)...)
		ss.persisted(2)
		ss.reject(3, "not entitled")
		ss.reject(3, "not entitled")
		synctest.Wait()
		if len(reported) != 1 || reported[0].Message.Sequence != 3 || string(reported[0].Message.Body) != body(3) || reported[0].Reason != "not entitled" {
			t.Fatalf("reported %v", reported)
		}
		ss.close()

		ss = srv.accept()
		if m := ss.expect(wire.Logon); m.Acked != 2 || m.Last != 5 || string(m.Rejected) != "3-3" {
			t.Errorf("logged on with acked %d, last %d, rejected %q", m.Acked, m.Last, m.Rejected)
		}
		ss.reject(3, "not entitled") // repeated before the logon ack (R14)
		ss.acceptLogon(2, 2)
		ss.expectPublishes(4, 5)
		ss.persisted(5)
		if err := c.Flush(testContext(t)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(reported) != 1 || c.Stats().Publish.Rejected != 1 {
			t.Errorf("reported %d times, stats %d", len(reported), c.Stats().Publish.Rejected)
		}
	})
}

// A message whose rejection arrives before the logon ack is not sent again.
func TestRejectedBeforeTheLogonAck(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		var reported int
		cfg := config(n, "a")
		cfg.Hooks.FailedWrite = func(*client.RejectedError) { reported++ }
		c := start(t, cfg)
		ss, _ := srv.logon(0, 0)
		publish(t, c, 1, 2, 3)
		ss.expectPublishes(1, 2, 3)
		ss.close()
		ss = srv.accept()
		ss.expect(wire.Logon)
		ss.reject(2, "too large")
		ss.acceptLogon(1, 3)
		ss.expectPublishes(3)
		ss.persisted(3)
		err := c.FlushSafe(testContext(t))
		synctest.Wait()
		if err != nil || reported != 1 {
			t.Errorf("flush: %v, reported %d times", err, reported)
		}
	})
}

// If the last message is rejected, Flush does not wait for more.
func TestFlushWithTheLastRejected(t *testing.T) {
	for _, flush := range []func(*client.Client, context.Context) error{(*client.Client).Flush, (*client.Client).FlushSafe} {
		run(t, func(t *testing.T, n *memnet.Network) {
			srv := listen(t, n, "a")
			c := start(t, config(n, "a"))
			ss, _ := srv.logon(0, 0)
			publish(t, c, 1, 2)
			ss.expectPublishes(1, 2)
			done := make(chan error, 1)
			go func() { done <- flush(c, testContext(t)) }()
			ss.persisted(1)
			ss.reject(2, "not entitled")
			select {
			case err := <-done:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(testTimeout):
				t.Error("flush hangs")
			}
		})
	}
}

// The end of a context ends the wait, never the delivery (G1, hard case 19).
func TestCancelledFlush(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		c := start(t, config(n, "a", "b"))
		sa, _ := a.logon(0, 0)
		publish(t, c, 1, 2)
		sa.expectPublishes(1, 2)
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		err := c.Flush(ctx)
		var pending *client.PendingError
		if !errors.As(err, &pending) || pending.Messages != 2 || !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("flush: %v, want 2 messages pending", err)
		}
		sa.close()
		sb, _ := b.logon(0, 0)
		sb.expectPublishes(1, 2)
		sb.persisted(2)
		if err := c.Flush(testContext(t)); err != nil {
			t.Fatal(err)
		}
	})
}

// An ack of one server settles a message, and the store keeps it. The death of that server loses
// nothing (R5).
func TestSingleAckKeepsMessages(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		var downgrades []bool
		cfg := config(n, "a", "b")
		cfg.Hooks.Downgraded = func(d bool) { downgrades = append(downgrades, d) }
		c := start(t, cfg)
		sa, _ := a.logon(0, 0)
		publish(t, c, 1, 2, 3)
		sa.expectPublishes(1, 2, 3)
		sa.persisted(1)
		sa.single(3)
		if err := c.Flush(testContext(t)); err != nil {
			t.Fatal(err)
		}
		st := c.Stats().Publish
		if st.Outstanding.Messages != 2 || st.Outstanding.Single != 2 || st.InFlight != 0 || !st.Downgraded {
			t.Errorf("stats %+v", st)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var pending *client.PendingError
		if err := c.FlushSafe(ctx); !errors.As(err, &pending) || pending.Messages != 2 {
			t.Errorf("FlushSafe: %v, want 2 messages", err)
		}
		sa.close()
		sb, m := b.logon(1, 1)
		if m.Acked != 1 {
			t.Errorf("acked %d, want 1: single does not count", m.Acked)
		}
		sb.expectPublishes(2, 3)
		sb.persisted(3)
		if err := c.FlushSafe(testContext(t)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if !slices.Equal(downgrades, []bool{true, false}) {
			t.Errorf("downgrades %v", downgrades)
		}
	})
}

// Acks arrive late, twice or beyond the sent messages (hard case 20).
func TestAckBeyondWhatWasSent(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.WindowMessages = 2
		c := start(t, cfg)
		ss, _ := srv.logon(0, 0)
		publish(t, c, sequenceRange(1, 5)...)
		ss.expectPublishes(1, 2)
		ss.expectNothing(time.Second)
		ss.persisted(1000)
		ss.expectPublishes(3, 4)
		ss.persisted(1)
		ss.expectNothing(time.Second)
		if got := c.Stats().Publish.Outstanding.Messages; got != 3 {
			t.Errorf("the store keeps %d messages, want 3", got)
		}
		ss.persisted(4)
		ss.expectPublishes(5)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Flush(ctx); err == nil {
			t.Error("flushed what no server has acknowledged")
		}
	})
}

// The client does not publish to a server that lacks messages the store has let go (R4).
func TestPublishGap(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		var gaps []string
		cfg := config(n, "a", "b")
		cfg.Hooks.PublishGap = func(server string) { gaps = append(gaps, server) }
		c := start(t, cfg)
		sa, _ := a.logon(0, 0)
		publish(t, c, 1, 2, 3)
		sa.expectPublishes(1, 2, 3)
		sa.persisted(2)
		synctest.Wait()
		sa.close()
		sb, _ := b.logon(0, 1) // lacks 2, which was acknowledged
		if m := sb.next(); m != nil {
			t.Fatalf("client sent %v to a server with a gap", m.Command)
		}
		sa = a.accept() // this server refuses by itself
		sa.expect(wire.Logon)
		sa.refuse("publish gap")
		sb, _ = b.logon(2, 2)
		sb.expectPublishes(3)
		sb.refuse("publish gap") // during a session
		sa, _ = a.logon(2, 3)
		sa.expectPublishes(3)
		sa.persisted(3)
		if err := c.FlushSafe(testContext(t)); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if len(gaps) != 3 {
			t.Errorf("gaps at %v, want 3", gaps)
		}
		if st := c.Stats(); !errors.Is(st.LastFailure, client.ErrPublishGap) || st.Publish.GapRefusals != 3 {
			t.Errorf("stats %+v", st)
		}
	})
}

// The kept messages of a former life go first, in a logon of their own (R10).
func TestFormerLifeFirst(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		store := pubstore.NewMemory(pubstore.MemoryOptions{})
		for range 2 {
			store.Append(t.Context(), &pubstore.Message{Topic: "orders", Body: []byte("old")})
		}
		former := store.Lives()[0].ID
		if err := store.Renew(); err != nil {
			t.Fatal(err)
		}
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.PublishStore = store
		c := start(t, cfg)
		publish(t, c, 1, 2, 3)
		ss, m := srv.logon(0, 0)
		if string(m.Store) != former {
			t.Fatalf("logged on with life %s, want the former one, %s", m.Store, former)
		}
		ss.expectPublishes(1, 2)
		ss.expectNothing(time.Second)
		ss.single(2) // settled is enough
		ss.expectClosed()
		ss, m = srv.logon(0, 0)
		if string(m.Store) == former || m.Counter != 2 {
			t.Errorf("second logon with life %s, counter %d", m.Store, m.Counter)
		}
		ss.expectPublishes(1, 2, 3)
		// Acks are safe again. The store still keeps the former life, so it is offered again.
		time.Sleep(11 * time.Second)
		ss.persisted(3)
		ss.expectClosed()
		if ss, m = srv.logon(2, 2); string(m.Store) != former {
			t.Errorf("third logon with life %s, want the former one", m.Store)
		}
		ss.expectClosed()
		_, m = srv.logon(3, 3)
		if string(m.Store) == former {
			t.Error("fourth logon with the former life, which is safe")
		}
		if err := c.FlushSafe(testContext(t)); err != nil {
			t.Error(err)
		}
		if err := c.Stats().LastFailure; err != nil {
			t.Errorf("a settled life counts as a failure: %v", err)
		}
	})
}

// A settled former life becomes safe even if nothing is published any more. Then there are no acks
// that would show that acks are safe again (R10).
func TestFormerLifeOfAnIdlePublisher(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		store := pubstore.NewMemory(pubstore.MemoryOptions{})
		store.Append(t.Context(), &pubstore.Message{Topic: "orders", Body: []byte("old")})
		former := store.Lives()[0].ID
		if err := store.Renew(); err != nil {
			t.Fatal(err)
		}
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.PublishStore = store
		c := start(t, cfg)
		ss, _ := srv.logon(0, 0)
		ss.expectPublishes(1)
		ss.single(1)
		ss.expectClosed()
		ss, _ = srv.logon(0, 0)
		ss.expectNothing(20 * time.Second)
		ss.expectClosed()
		ss, m := srv.logon(1, 1) // the other server has caught up
		if string(m.Store) != former {
			t.Errorf("third logon with life %s, want the former one", m.Store)
		}
		ss.expectClosed()
		srv.logon(0, 0)
		if err := c.FlushSafe(testContext(t)); err != nil {
			t.Error(err)
		}
	})
}

// A former life that is refused as a gap does not hold up the new one (R10).
func TestFormerLifeWithAGap(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, m := srv.logon(0, 0)
		former := string(m.Store)
		publish(t, c, 1, 2)
		ss.expectPublishes(1, 2)
		ss.persisted(1)
		synctest.Wait()
		ss.close()
		ss = srv.accept()
		ss.expect(wire.Logon)
		if err := c.RenewLife(); err != nil {
			t.Fatal(err)
		}
		publish(t, c, 1)
		ss.refuse("publish gap")
		ss = srv.accept()
		if m = ss.expect(wire.Logon); string(m.Store) != former {
			t.Fatalf("logon with life %s, want the former one", m.Store)
		}
		ss.refuse("publish gap")
		ss, m = srv.logon(0, 0)
		if string(m.Store) == former {
			t.Fatal("logon with the former life again")
		}
		ss.expectPublishes(1)
		ss.persisted(1)
		ss.expectNothing(20 * time.Second) // the former life is not offered here again at once
		time.Sleep(15 * time.Second)
		ss.expectClosed()
		if _, m = srv.logon(1, 2); string(m.Store) != former {
			t.Errorf("logon with life %s, want the former one: its gap may be filled", m.Store)
		}
	})
}

// After RenewLife on a live connection the former life is finished first, on that connection.
func TestRenewWhileConnected(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		store := pubstore.NewMemory(pubstore.MemoryOptions{})
		cfg := config(n, "a")
		cfg.PublishStore = store
		c := start(t, cfg)
		ss, m := srv.logon(0, 0)
		former := string(m.Store)
		publish(t, c, 1, 2)
		ss.expectPublishes(1, 2)
		if err := store.Renew(); err != nil { // the application may renew the store without the client
			t.Fatal(err)
		}
		publish(t, c, 1)
		ss.expectNothing(time.Second)
		ss.persisted(2)
		ss.expectClosed()
		if ss, m = srv.logon(0, 0); string(m.Store) == former {
			t.Error("logon with the former life, which is settled")
		}
		ss.expectPublishes(1)
	})
}

// The server has more messages of the store than the store itself. The connection ends as a
// failure, and at the next one the store's messages are compared first (R10).
func TestStoreRolledBack(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		var reported error
		cfg := config(n, "a")
		cfg.Hooks.LifeRenewed = func(err error) { reported = err }
		c := start(t, cfg)
		publish(t, c, 1, 2)
		ss, m := srv.logon(7, 9)
		former := string(m.Store)
		ss.expectClosed()
		ss, m = srv.logon(7, 9)
		if string(m.Store) != former {
			t.Errorf("logon with life %s, want the former one", m.Store)
		}
		ss.expectPublishes(1) // one at a time: is it the message that the server has?
		ss.persisted(9)
		ss.expectPublishes(2)
		ss.persisted(9)
		ss.expectClosed()
		ss, m = srv.logon(0, 0)
		if string(m.Store) == former {
			t.Error("no new life")
		}
		publish(t, c, 1)
		ss.expectPublishes(1)
		synctest.Wait()
		if !errors.Is(reported, client.ErrStoreRolledBack) {
			t.Errorf("reported %v", reported)
		}
		if s := c.Stats(); s.Publish.Rollbacks != 1 || !errors.Is(s.LastFailure, client.ErrStoreRolledBack) {
			t.Errorf("%d times rolled back, failure %v", s.Publish.Rollbacks, s.LastFailure)
		}
	})
}

// A server always claims to have more messages of the store. This does not take the other server's
// turn, and does not cost the store a life each time (R10).
func TestServerClaimsTooMuch(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		evil, good := listen(t, n, "evil"), listen(t, n, "good")
		c := start(t, config(n, "evil", "good"))
		publish(t, c, 1)
		for round := range 3 {
			began := time.Now()
			evil.logon(0, 1<<62)
			has := uint64(round)
			ss, m := good.logon(has, has)
			if took := time.Since(began); took > time.Second {
				t.Errorf("the next server had its turn after %v", took)
			}
			if round == 0 { // the earlier messages, in their life
				ss.expectPublishes(1)
				ss.persisted(1)
				ss.expectClosed()
				ss, m = good.logon(0, 0)
			}
			publish(t, c, has+1)
			ss.expectPublishes(has + 1)
			ss.persisted(has + 1)
			synctest.Wait()
			if s := c.Stats(); s.Publish.Rollbacks != 1 {
				t.Fatalf("round %d: the store was renewed %d times, now %s", round, s.Publish.Rollbacks, m.Store)
			}
			time.Sleep(6 * time.Second)
			ss.close()
		}
	})
}

// If it is the client's only server, the client tries it with growing delays and renews the store
// once a minute at most.
func TestOnlyServerClaimsTooMuch(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		evil := listen(t, n, "evil")
		c := start(t, config(n, "evil"))
		began, logons := time.Now(), 0
		for time.Since(began) < 5*time.Minute {
			evil.logon(0, 1<<62)
			logons++
		}
		// Delays of up to 5s, 2.5s on average.
		if s := c.Stats(); logons > 300 || s.Publish.Rollbacks > 6 {
			t.Errorf("%d logons and %d renewals in 5 minutes", logons, s.Publish.Rollbacks)
		}
	})
}

// Publishing to a server without our extensions (R10, R15).
func TestPlainServer(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss := srv.accept()
		if m := ss.expect(wire.Logon); string(m.Options) != "ack_conflation=10ms" {
			t.Errorf("options %q", m.Options)
		}
		base := uint64(time.Now().UnixMicro())
		ss.acceptPlainLogon(0)
		publish(t, c, 1, 2)
		m := ss.expect(wire.Publish)
		if m.Sequence != base+1 || m.Acks != wire.AckPersisted {
			t.Errorf("sequence %d, want %d; acks %v", m.Sequence, base+1, m.Acks)
		}
		ss.expectPublishes(base + 2)
		ss.reject(base+1, "not entitled")
		synctest.Wait()
		ss.close()
		ss = srv.accept()
		ss.expect(wire.Logon)
		ss.acceptPlainLogon(0)
		if m := ss.expect(wire.Publish); m.Sequence != base+2 {
			t.Errorf("sequence %d", m.Sequence)
		}
		ss.persisted(base + 2)
		if err := c.FlushSafe(testContext(t)); err != nil {
			t.Error(err)
		}
	})
}

func TestTooLarge(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		big := make([]byte, limit)
		var large *client.TooLargeError
		if _, err := c.Publish(t.Context(), "orders", make([]byte, 16<<20)); !errors.As(err, &large) {
			t.Errorf("16 MiB before the first logon: %v", err)
		}
		srv.logon(0, 0)
		synctest.Wait()
		if _, err := c.Publish(t.Context(), "orders", big); !errors.As(err, &large) || large.Max != limit {
			t.Errorf("as large as the limit without its header: %v", err)
		}
		if _, err := c.Publish(t.Context(), strings.Repeat("\x01", pubstore.MaxHeader/6+1), nil); !errors.As(err, &large) || !large.Header {
			t.Errorf("a topic that is too large as it stands on the wire: %v", err)
		}
		if _, err := c.Publish(t.Context(), "", nil); err == nil {
			t.Error("no topic, and no error")
		}
		if err := c.CheckMessage(&pubstore.Message{Topic: "orders", Body: big}); !errors.As(err, &large) || large.Max != limit {
			t.Errorf("Check: %v", err)
		}
		if err := c.CheckMessage(&pubstore.Message{Topic: "orders"}); err != nil {
			t.Errorf("Check: %v", err)
		}
		publish(t, c, 1)
	})
}

// Everything a message can carry arrives.
func TestPublishMessage(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, _ := srv.logon(0, 0)
		_, err := c.PublishMessage(t.Context(), &pubstore.Message{
			Topic: "orders", Body: []byte("b"), Delta: true, SOWKey: "a2V5", CorrelationID: "eA==", Expiration: 90 * time.Second,
		})
		if err != nil {
			t.Fatal(err)
		}
		m := ss.expect(wire.DeltaPublish)
		if string(m.Topic) != "orders" || string(m.Body) != "b" || string(m.SOWKey) != "a2V5" ||
			string(m.CorrelationID) != "eA==" || m.Expiration != 90 {
			t.Errorf("%+v", m)
		}
	})
}

// Publish waits for a full store until there is room. Close ends the wait.
func TestPublishAtTheBound(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.PublishStore = pubstore.NewMemory(pubstore.MemoryOptions{MaxMessages: 2})
		c := start(t, cfg)
		ss, _ := srv.logon(0, 0)
		publish(t, c, 1, 2)
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := c.Publish(ctx, "orders", nil); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("at the bound: %v", err)
		}
		done := make(chan error, 2)
		put := func(ctx context.Context) {
			_, err := c.Publish(ctx, "orders", nil)
			done <- err
		}
		go put(t.Context())
		ss.expectPublishes(1, 2)
		ss.persisted(1)
		if err := <-done; err != nil {
			t.Errorf("after an ack: %v", err)
		}
		go put(t.Context())
		go put(context.Background())
		synctest.Wait()
		c.Close()
		for range 2 {
			if err := <-done; !errors.Is(err, client.ErrClosed) {
				t.Errorf("after Close: %v", err)
			}
		}
	})
}

// One ack wakes all waiting calls.
func TestFlushesAreAllWoken(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, _ := srv.logon(0, 0)
		publish(t, c, 1)
		done := make(chan error)
		for range 100 {
			go func() { done <- c.Flush(testContext(t)) }()
		}
		synctest.Wait()
		ss.persisted(1)
		for range 100 {
			if err := <-done; err != nil {
				t.Fatal(err)
			}
		}
	})
}

// A store whose disk fails ends the client with an error (R7).
func TestFailedStore(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		store := &failingStore{Store: pubstore.NewMemory(pubstore.MemoryOptions{})}
		cfg := config(n, "a")
		cfg.PublishStore = store
		c := start(t, cfg)
		ss, _ := srv.logon(0, 0)
		publish(t, c, 1, 2)
		ss.expectPublishes(1, 2)
		store.failed.Store(true)
		ss.persisted(1)
		ss.expectClosed()
		err := c.Flush(testContext(t))
		var failed *pubstore.FailedError
		if !errors.As(err, &failed) || !errors.Is(err, client.ErrClosed) {
			t.Errorf("flush: %v", err)
		}
		if _, err := c.Publish(t.Context(), "orders", nil); !errors.As(err, &failed) {
			t.Errorf("publish: %v", err)
		}
	})
}

type failingStore struct {
	pubstore.Store
	failed atomic.Bool
}

func (s *failingStore) Discard(life string, through uint64) error {
	if s.failed.Load() {
		return &pubstore.FailedError{Path: "store", Err: errors.New("input/output error")}
	}
	return s.Store.Discard(life, through)
}

// lookUpRejected returns the configuration of a client whose failed-write handler looks up the
// message in the store, and the results of these lookups.
func lookUpRejected(n *memnet.Network) (cfg client.Config, store pubstore.Store, reported chan error) {
	cfg = config(n, "a")
	store, reported = pubstore.NewMemory(pubstore.MemoryOptions{}), make(chan error, 1)
	cfg.PublishStore = store
	cfg.Hooks.FailedWrite = func(e *client.RejectedError) {
		_, err := store.Get(store.Lives()[0].ID, e.Message.Sequence)
		reported <- err
	}
	return cfg, store, reported
}

// A rejected message stays in the store until the failed-write handler was called, even if later
// messages are safe by then (G1).
func TestRejectedStaysUntilReported(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a := listen(t, n, "a")
		cfg, store, reported := lookUpRejected(n)
		slow := make(chan struct{})
		cfg.Hooks.Downgraded = func(bool) { <-slow }
		c := start(t, cfg)
		ss, _ := a.logon(0, 0)
		publish(t, c, 1, 2, 3, 4)
		ss.expectPublishes(1, 2, 3, 4)
		ss.single(1)
		ss.reject(2, "no permission")
		ss.persisted(3)
		synctest.Wait()
		if got := store.Usage().Messages; got != 3 {
			t.Errorf("the store keeps %d, want 2 and what is behind it", got)
		}
		close(slow)
		if err := <-reported; err != nil {
			t.Errorf("in the handler: %v", err)
		}
		synctest.Wait()
		if got := store.Usage().Messages; got != 1 {
			t.Errorf("then the store keeps %d, want 4 alone", got)
		}
	})
}

// The same if rejection and ack arrive with a logon.
func TestRejectedAtTheLogonStaysUntilReported(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a := listen(t, n, "a")
		cfg, store, reported := lookUpRejected(n)
		c := start(t, cfg)
		ss, _ := a.logon(0, 0)
		publish(t, c, 1, 2, 3)
		ss.expectPublishes(1, 2, 3)
		ss.close()
		ss = a.accept()
		ss.expect(wire.Logon)
		ss.reject(2, "no permission")
		ss.acceptLogon(3, 3)
		if err := <-reported; err != nil {
			t.Errorf("in the handler: %v", err)
		}
		synctest.Wait()
		if got := store.Usage().Messages; got != 0 {
			t.Errorf("then the store keeps %d", got)
		}
		publish(t, c, 4)
		ss.expectPublishes(4) // and none of the earlier messages
	})
}

// The application renews the store by itself. A message that is appended to the new life waits for
// nothing.
func TestStoreRenewedByApplication(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a := listen(t, n, "a")
		cfg := config(n, "a")
		cfg.HeartbeatInterval = 20 * time.Second
		store := pubstore.NewMemory(pubstore.MemoryOptions{})
		cfg.PublishStore = store
		c := start(t, cfg)
		ss, _ := a.logon(0, 0)
		publish(t, c, 1)
		ss.expectPublishes(1)
		ss.persisted(1)
		time.Sleep(2 * time.Second)
		if err := store.Renew(); err != nil {
			t.Fatal(err)
		}
		publish(t, c, 1)
		began := time.Now()
		ss.expectClosed()
		ss, _ = a.logon(0, 0)
		ss.expectPublishes(1)
		if took := time.Since(began); took > 0 {
			t.Errorf("sent after %v", took)
		}
	})
}

// A former life that was settled before is replayed to a lone server. The connection ends once that
// server has all of it.
func TestFormerLifeSettledBefore(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		cfg := config(n, "a", "b")
		cfg.HeartbeatInterval = 20 * time.Second
		c := start(t, cfg)
		sa, _ := a.logon(0, 0)
		publish(t, c, 1, 2, 3)
		sa.expectPublishes(1, 2, 3)
		sa.single(3)
		synctest.Wait()
		if err := c.RenewLife(); err != nil {
			t.Fatal(err)
		}
		sa.expectClosed()
		sa, _ = a.logon(0, 0)
		publish(t, c, 1)
		sa.expectPublishes(1)
		sa.close()
		sb, _ := b.logon(0, 0)
		sb.expectPublishes(1, 2, 3)
		began := time.Now()
		sb.single(3)
		sb.expectClosed()
		sb, _ = b.logon(0, 0)
		sb.expectPublishes(1)
		if took := time.Since(began); took > 0 {
			t.Errorf("the new life goes on after %v", took)
		}
	})
}

// A server has another publisher under the id of the store's life. One new life begins, and the
// next server receives the kept messages of the former one (R10).
func TestPublisherIDTaken(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		taken, good := listen(t, n, "taken"), listen(t, n, "good")
		var reported []error
		cfg := config(n, "taken", "good")
		cfg.Hooks.LifeRenewed = func(err error) { reported = append(reported, err) }
		c := start(t, cfg)
		publish(t, c, 1, 2)
		ss := taken.accept()
		former := string(ss.expect(wire.Logon).Store)
		ss.refuse(wire.ReasonPublisherIDTaken)
		ss, m := good.logon(0, 0)
		if string(m.Store) != former {
			t.Error("what the store keeps is not offered first, as what it is")
		}
		ss.expectPublishes(1, 2)
		ss.persisted(2)
		ss.expectClosed()
		ss, m = good.logon(0, 0)
		if string(m.Store) == former {
			t.Error("no new life")
		}
		publish(t, c, 1)
		ss.expectPublishes(1)
		ss.persisted(1)
		if err := c.Flush(testContext(t)); err != nil {
			t.Error(err)
		}
		if len(reported) != 1 || !errors.Is(reported[0], client.ErrPublisherIDTaken) {
			t.Errorf("reported %v", reported)
		}
	})
}
