//go:build !race

package budget_test

import (
	"context"
	"errors"
	"net"
	"path/filepath"
	"runtime/debug"
	"sync"
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/perf/budget"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// burst is the number of messages whose allocations are counted together. Allocations
// for a batch, a sync or a Flush are far fewer than one per message.
const burst = 1000

// few is the limit of these allocations in a burst.
const few = 100

// alone is the number of messages that are counted when they are sent one at a time.
const alone = 40

// atMost fails the test if each of many calls of f, after a warm-up, allocates more
// than limit, in all goroutines together. One call within the limit is enough: on a
// busy machine a call takes longer, so that it contains more timed commits, heartbeats
// and collections that empty pools. An allocation per message would be in every call.
func atMost(t *testing.T, limit float64, f func()) {
	t.Helper()
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	for range 20 {
		f()
	}
	n := testing.AllocsPerRun(1, f)
	for tries := 1; n > limit && tries < 50; tries++ {
		n = min(n, testing.AllocsPerRun(1, f))
	}
	t.Logf("%v allocations, limit %v", n, limit)
	if n > limit {
		t.Errorf("at least %v allocations, want at most %v", n, limit)
	}
}

// dial starts a client of a StubServer, over a real connection.
func dial(t *testing.T, change func(*client.Config)) (*client.Client, *budget.StubServer) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := budget.NewStubServer(t, ln)
	cfg := client.Config{Name: "me", Servers: []string{"tcp://" + ln.Addr().String() + "/amps/json"}, QueueMessages: 4 * burst}
	change(&cfg)
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c, srv
}

func openFile(t *testing.T) *pubstore.File {
	t.Helper()
	s, err := pubstore.OpenFile(filepath.Join(t.TempDir(), "store"), pubstore.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func openMarks(t *testing.T) *bookmarkstore.Bolt {
	t.Helper()
	s, err := bookmarkstore.OpenBolt(filepath.Join(t.TempDir(), "marks.db"), bookmarkstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// headers are the headers of a traced message.
func headers() (h pubstore.Headers) {
	h.Set("traceparent", "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01")
	h.Set("tenant", "eu")
	return h
}

func TestAllocsOfPublish(t *testing.T) {
	for _, tt := range []struct {
		name  string
		store func(*testing.T) pubstore.Store
	}{
		{"Memory", func(*testing.T) pubstore.Store { return pubstore.NewMemory(pubstore.MemoryOptions{}) }},
		{"File", func(t *testing.T) pubstore.Store { return openFile(t) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := dial(t, func(cfg *client.Config) { cfg.PublishStore = tt.store(t) })
			body := make([]byte, 256)
			ctx, cancel := context.WithCancel(t.Context()) // cancellable, as in applications
			defer cancel()
			atMost(t, few, func() {
				for range burst {
					if _, err := c.Publish(ctx, "orders", body); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.Flush(ctx); err != nil {
					t.Fatal(err)
				}
			})
			m := pubstore.Message{Topic: "orders", Body: body, Headers: headers()}
			atMost(t, few, func() {
				for range burst {
					if _, err := c.PublishMessage(ctx, &m); err != nil {
						t.Fatal(err)
					}
				}
				if err := c.Flush(ctx); err != nil {
					t.Fatal(err)
				}
			})
		})
	}
}

// A ticket is one allocation, whether the caller waits for it at once or later.
func TestAllocsOfTickets(t *testing.T) {
	c, _ := dial(t, func(*client.Config) {})
	body := make([]byte, 256)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	publish := func() *client.Ticket {
		k, err := c.PublishTicket(ctx, "orders", body)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	await := func(k *client.Ticket) {
		if err := errors.Join(k.AwaitSettled(ctx), k.AwaitSafe(ctx)); err != nil {
			t.Fatal(err)
		}
	}
	tickets := make([]*client.Ticket, burst)
	atMost(t, burst+few, func() {
		for i := range tickets {
			tickets[i] = publish()
		}
		for _, k := range tickets {
			await(k)
		}
	})
	atMost(t, 2*alone+alone/2, func() { // the other one is the sender's, which reads the lives each time it has sent all messages
		for range alone {
			await(publish())
		}
	})
}

func TestAllocsOfReceive(t *testing.T) {
	for _, tt := range []struct {
		name  string
		store func(*testing.T) bookmarkstore.Store
		most  float64
	}{
		{"Memory", func(*testing.T) bookmarkstore.Store { return bookmarkstore.NewMemory() }, few},
		{"Bolt", func(t *testing.T) bookmarkstore.Store { return openMarks(t) }, 2 * few},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, srv := dial(t, func(cfg *client.Config) { cfg.BookmarkStore = tt.store(t) })
			sub, err := c.Subscribe(t.Context(), "^orders", client.WithTime(), client.From(client.Epoch), client.ID("s"))
			if err != nil {
				t.Fatal(err)
			}
			srv.AwaitSubscribed()
			body := make([]byte, 256)
			deliver := srv.Deliver
			receive := func(n, together int) {
				deliver(together, "orders.eu", body)
				for m, err := range sub.Messages(t.Context()) {
					if err == nil {
						err = m.Discard()
					}
					if err != nil {
						t.Fatal(err)
					}
					if n--; n == 0 {
						break
					}
					if n%together == 0 {
						deliver(together, "orders.eu", body)
					}
				}
			}
			atMost(t, tt.most, func() { receive(burst, burst) })
			atMost(t, tt.most, func() { receive(burst, 1) })
			deliver = srv.DeliverPlain
			atMost(t, tt.most, func() { receive(burst, burst) })
			srv.Headers = headers().Encoded()
			atMost(t, tt.most, func() { receive(burst, burst) })
			deliver = srv.Deliver
			atMost(t, tt.most, func() { receive(burst, burst) })
		})
	}
}

// systems are a lone instance and one with a peer to wait for.
var systems = map[string]func(testing.TB) *servertest.Instance{
	"alone": func(t testing.TB) *servertest.Instance { return servertest.New(t, servertest.Real()) },
	"pair":  func(t testing.TB) *servertest.Instance { return servertest.NewPair(t, servertest.Real()).A },
}

// newCaller logs on a StubClient.
func newCaller(t *testing.T, i *servertest.Instance, name string) *budget.StubClient {
	t.Helper()
	conn, err := i.Dial(t.Context(), "tcp", i.Addr())
	if err != nil {
		t.Fatal(err)
	}
	return budget.NewStubClient(t, conn, name)
}

func TestAllocsOfAServer(t *testing.T) {
	body := make([]byte, 256)
	for name, start := range systems {
		t.Run(name, func(t *testing.T) {
			i := start(t)
			p := newCaller(t, i, "publisher")
			check := func(name, topic string, subscribers ...*budget.StubClient) {
				t.Helper()
				pass := func(n int) {
					p.Publish(n, topic, body)
					p.AwaitPersisted()
					for _, s := range subscribers {
						s.Receive(n)
					}
				}
				t.Run(name, func(t *testing.T) { atMost(t, few, func() { pass(burst) }) })
				t.Run(name+" one at a time", func(t *testing.T) {
					atMost(t, alone/2, func() {
						for range alone {
							pass(1)
						}
					})
				})
			}
			check("publish", "orders")
			s, safe := newCaller(t, i, "subscriber"), newCaller(t, i, "careful subscriber")
			s.Subscribe("trades", "vector,timestamp")
			check("deliver", "trades", s)
			safe.Subscribe("quotes", "vector,fully_durable")
			check("deliver safe messages", "quotes", safe)
			p.Headers = headers().Encoded()
			check("deliver headers", "trades", s)
		})
	}
}

// The allocations of a replay do not depend on its length.
func TestAllocsOfAReplay(t *testing.T) {
	const messages = 10 * burst
	i := servertest.New(t, servertest.Real())
	p := newCaller(t, i, "publisher")
	p.Publish(messages, "orders", make([]byte, 256))
	p.AwaitPersisted()
	atMost(t, 2000, func() {
		s := newCaller(t, i, "subscriber")
		s.Subscribe("orders", "vector")
		s.Receive(messages)
		s.Close()
	})
}

// A Bolt store allocates for each commit, not for each message of a commit.
func TestAllocsOfBoltCommits(t *testing.T) {
	s, err := pubstore.OpenBolt(filepath.Join(t.TempDir(), "store.db"), pubstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	body := make([]byte, 256)
	life := s.Lives()[0].ID
	for together, most := range map[int]float64{1: 150, 64: 2000} {
		atMost(t, most, func() {
			var all sync.WaitGroup
			for range together {
				all.Go(func() {
					if _, err := s.Append(t.Context(), &pubstore.Message{Topic: "orders", Body: body}); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			if err := s.Discard(life, s.Lives()[0].Last); err != nil {
				t.Error(err)
			}
		})
	}
}
