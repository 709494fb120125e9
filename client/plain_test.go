package client_test

import (
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/testkit/plain"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A plainGroup has doubles of plain servers of one version, and a client configuration for them.
type plainGroup struct {
	*plain.Group
	t       *testing.T
	n       *memnet.Network
	servers []*plain.Server
	hosts   []string
}

// runPlain runs a test for each version, with servers on these hosts.
func runPlain(t *testing.T, rules plain.Rules, f func(t *testing.T, g *plainGroup, v plain.Version), hosts ...string) {
	t.Helper()
	for _, v := range plain.Versions {
		t.Run(v.Text, func(t *testing.T) {
			run(t, func(t *testing.T, n *memnet.Network) {
				g := &plainGroup{plain.NewGroup(), t, n, nil, hosts}
				t.Cleanup(g.Close)
				for _, host := range hosts {
					s, err := g.Add(v, func() (net.Listener, error) { return n.Listen(host + ":9007") }, rules)
					if err != nil {
						t.Fatal(err)
					}
					g.servers = append(g.servers, s)
				}
				f(t, g, v)
			})
		})
	}
}

// config returns the configuration of a client that prefers the servers in their order. failed
// receives the rejected messages.
func (g *plainGroup) config(name string, failed *[]*client.RejectedError) client.Config {
	cfg := config(g.n, g.hosts...)
	cfg.Name = name
	if failed != nil {
		cfg.Hooks.FailedWrite = func(e *client.RejectedError) { *failed = append(*failed, e) }
	}
	return cfg
}

// start starts a server again.
func (g *plainGroup) start(server int) {
	g.t.Helper()
	if err := g.servers[server].Start(); err != nil {
		g.t.Fatal(err)
	}
}

// bodies returns the messages that a server has, in order.
func (g *plainGroup) bodies(server int) (list []string) {
	for _, e := range g.servers[server].Log() {
		list = append(list, e.Body)
	}
	return list
}

// expectLog fails the test unless a server has exactly these messages and received none behind a
// hole.
func (g *plainGroup) expectLog(server int, want []string) {
	g.t.Helper()
	if got := g.bodies(server); !slices.Equal(got, want) {
		g.t.Errorf("the server has %d messages, want %d: %.300q", len(got), len(want), got)
	}
	if holes := g.Holes(); len(holes) > 0 {
		g.t.Errorf("published over %d holes: %.300q", len(holes), holes)
	}
}

func flush(t *testing.T, c *client.Client) {
	t.Helper()
	if err := c.Flush(testContext(t)); err != nil {
		t.Error(err)
	}
}

// mustSubscribe subscribes. The double answers at once.
func mustSubscribe(t *testing.T, c *client.Client, opts ...client.SubscribeOption) *client.Subscription {
	t.Helper()
	return must(t, subscribe(t, c, opts...))
}

// A subscription continues after its connection, its server and its process have died, whatever
// options the server knows. The option for unknown bookmarks is sent if the application sets it and
// the version has it.
func TestPlainResume(t *testing.T) {
	for _, opts := range [][]client.SubscribeOption{
		nil, {client.NotFound(client.NotFoundNow)}, {client.NotFound(client.NotFoundEpoch)}, {client.NotFound(client.NotFoundFail)},
	} {
		runPlain(t, plain.Rules{}, func(t *testing.T, g *plainGroup, _ plain.Version) {
			pub := start(t, g.config("pub", nil))
			s := mustSubscribe(t, start(t, g.config("sub", nil)), append(opts, client.From(client.Epoch), client.ID("orders"))...)
			for n := range uint64(4) {
				publish(t, pub, sequenceRange(10*n+1, 10*n+10)...)
				if got := read(t, s, 10); !slices.Equal(got, bodies(sequenceRange(10*n+1, 10*n+10)...)) {
					t.Fatalf("read %q", got)
				}
				if n%2 == 0 {
					g.servers[0].RefuseClients()
				} else {
					g.servers[0].Kill()
				}
				g.start(0)
			}
		}, "a")
	}
}

// A server may lack, for now, all messages that the subscriber has received. That does not end the
// subscription, because the messages will arrive there. With NotFoundFail it ends with an error.
func TestPlainBookmarkNotThereYet(t *testing.T) {
	for name, opts := range map[string][]client.SubscribeOption{"default": nil, "fail": {client.NotFound(client.NotFoundFail)}} {
		t.Run(name, func(t *testing.T) {
			runPlain(t, plain.Rules{}, func(t *testing.T, g *plainGroup, v plain.Version) {
				g.hosts = g.hosts[:1]
				pub := start(t, g.config("pub", nil))
				g.hosts = g.hosts[:2]
				s := mustSubscribe(t, start(t, g.config("sub", nil)), append(opts, client.From(client.Epoch))...)
				g.SetLinksCut(true)
				publish(t, pub, sequenceRange(1, 10)...)
				read(t, s, 10)
				g.servers[0].RefuseClients()
				time.Sleep(10 * time.Second) // the subscriber moves to b
				g.SetLinksCut(false)
				g.start(0)
				publish(t, pub, sequenceRange(11, 20)...)
				if opts != nil && v.NotFound {
					var gap *client.GapError
					for _, err := range s.Messages(testContext(t)) {
						if !errors.As(err, &gap) {
							t.Errorf("asked to fail: %v", err)
						}
						return
					}
				}
				if got := read(t, s, 10); !slices.Equal(got, bodies(sequenceRange(11, 20)...)) {
					t.Errorf("read %q", got)
				}
			}, "a", "b")
		})
	}
}

// A message that the server has already is settled, however the server reports it. A message that
// the publisher may not publish is rejected, whatever the status is.
func TestPlainAcksThatSettle(t *testing.T) {
	rules := plain.Rules{Entitled: func(topic string) bool { return topic != "secret" }}
	runPlain(t, rules, func(t *testing.T, g *plainGroup, _ plain.Version) {
		var failed []*client.RejectedError
		c := start(t, g.config("pub", &failed))
		publish(t, c, sequenceRange(1, 10)...)
		flush(t, c)
		g.SetLinksCut(true)
		publish(t, c, sequenceRange(11, 30)...)
		synctest.Wait()
		g.HealAtPublish()
		g.servers[0].RefuseClients()
		if _, err := c.Publish(t.Context(), "secret", []byte("x")); err != nil {
			t.Fatal(err)
		}
		publish(t, c, sequenceRange(32, 40)...)
		flush(t, c)
		g.expectLog(1, bodies(append(sequenceRange(1, 30), sequenceRange(32, 40)...)...))
		if len(failed) != 1 || failed[0].Message.Topic != "secret" {
			t.Errorf("rejected: %v", failed)
		}
	}, "a", "b")
}

// A message that the server cannot parse ends no session and is not sent for ever. It is reported
// to the application.
func TestPlainUnreadableMessage(t *testing.T) {
	for _, tt := range []struct {
		name   string
		beside int
		closes bool
	}{{"alone", 0, false}, {"alone, the last of its connection", 0, true}, {"among others", 50, false}, {"among others, the last", 50, true}} {
		beside := tt.beside
		rules := plain.Rules{Parses: func(body string) bool { return !strings.HasPrefix(body, "bad") }, ClosesAfter: tt.closes}
		t.Run(tt.name, func(t *testing.T) {
			runPlain(t, rules, func(t *testing.T, g *plainGroup, v plain.Version) {
				var failed []*client.RejectedError
				c := start(t, g.config("pub", &failed))
				var want []string
				for n := range 2*beside + 1 {
					data := fmt.Sprint("body ", n)
					if n == beside {
						data = "bad"
					} else {
						want = append(want, data)
					}
					if _, err := c.Publish(t.Context(), "orders", []byte(data)); err != nil {
						t.Fatal(err)
					}
				}
				flush(t, c)
				bad := 0
				for _, e := range failed {
					if string(e.Message.Body) == "bad" {
						bad++
					} else if !strings.HasPrefix(e.Reason, "outcome unknown") {
						t.Errorf("reported %q: %v", e.Message.Body, e)
					}
				}
				if bad != 1 {
					t.Errorf("the bad message was reported %d times, and %d messages in all", bad, len(failed))
				}
				if v.Text == plain.V535.Text && len(failed) > 1 {
					t.Errorf("the server named it, and %d were reported", len(failed))
				}
				if n := g.servers[0].Logons(); n > 6 {
					t.Errorf("%d logons", n)
				}
				g.expectLog(0, want)
				if n := c.Stats().Publish.Outstanding.Messages; n != 0 {
					t.Errorf("%d messages outstanding", n)
				}
			}, "a")
		})
	}
}

// The marks of a plain server raise the place only after the replay, because before that they may
// be ahead of it. So a subscriber of a quiet topic does not read the log again, and one that has
// received nothing since Now misses nothing.
func TestPlainMarks(t *testing.T) {
	runPlain(t, plain.Rules{ReplayWindow: 5}, func(t *testing.T, g *plainGroup, _ plain.Version) {
		pub := start(t, g.config("pub", nil))
		publish(t, pub, sequenceRange(1, 40)...)
		flush(t, pub)
		s := mustSubscribe(t, start(t, g.config("sub", nil)), client.From(client.Epoch))
		read(t, s, 12)
		g.servers[0].RefuseClients() // during the replay
		g.start(0)
		if got := read(t, s, 28); !slices.Equal(got, bodies(sequenceRange(13, 40)...)) {
			t.Errorf("read %q", got)
		}

		late := mustSubscribe(t, start(t, g.config("late", nil)), client.From(client.Now))
		for n := range 20 {
			if _, err := pub.Publish(t.Context(), "other", fmt.Append(nil, n)); err != nil {
				t.Fatal(err)
			}
		}
		flush(t, pub)
		time.Sleep(time.Second)
		g.servers[0].RefuseClients()
		g.start(0)
		cfg := g.config("pub2", nil)
		publish(t, start(t, cfg), sequenceRange(1, 3)...) // perhaps before late is back
		if got := read(t, late, 3); !slices.Equal(got, bodies(1, 2, 3)) {
			t.Errorf("read %q", got)
		}
	}, "a")
}

// A publisher with 100,000 outstanding messages fails over and back, while the servers exchange
// their messages. No message is reported as failed, each server has each message once, and none was
// published behind a hole.
func TestPlainFailoverOfManyOutstanding(t *testing.T) {
	runPlain(t, plain.Rules{}, func(t *testing.T, g *plainGroup, _ plain.Version) {
		const most = 100_000
		var failed []*client.RejectedError
		cfg := g.config("pub", &failed)
		cfg.PublishStore = pubstore.NewMemory(pubstore.MemoryOptions{MaxMessages: 2 * most})
		c := start(t, cfg)
		publish(t, c, 1)
		flush(t, c)
		g.SetLinksCut(true)
		publish(t, c, sequenceRange(2, most)...)
		synctest.Wait()
		if n := c.Stats().Publish.Outstanding.Messages; n != most-1 {
			t.Fatalf("%d messages outstanding", n)
		}
		g.HealAtPublish()
		g.servers[0].RefuseClients() // b has all messages before the client has sent them
		flush(t, c)
		g.servers[0].Kill()
		g.start(0)
		g.servers[1].Kill()
		publish(t, c, sequenceRange(most+1, most+1000)...)
		flush(t, c)
		g.start(1)
		for server := range g.servers {
			g.expectLog(server, bodies(sequenceRange(1, most+1000)...))
		}
		if len(failed) > 0 {
			t.Errorf("%d reported as failed, the first: %v", len(failed), failed[0])
		}
	}, "a", "b")
}

// A subscriber recovers by itself although its servers, and sometimes its own process, die a
// hundred times.
func TestPlainSubscriberMoves(t *testing.T) {
	runPlain(t, plain.Rules{ReplayWindow: 7}, func(t *testing.T, g *plainGroup, _ plain.Version) {
		var failed []*client.RejectedError
		pub := start(t, g.config("pub", &failed))
		cfg := g.config("sub", nil)
		cfg.BookmarkStore = bookmarkstore.NewMemory()
		open := func() (*client.Client, *client.Subscription) {
			sub := start(t, cfg)
			return sub, mustSubscribe(t, sub, client.From(client.MostRecentOr(client.Now)), client.ID("orders"))
		}
		sub, s := open()
		last := uint64(0)
		for n := range 100 {
			publish(t, pub, sequenceRange(last+1, last+20)...)
			down := n % 2
			if n%3 == 0 {
				read(t, s, 9)
			}
			g.servers[down].Kill()
			if n%3 == 0 {
				read(t, s, 11)
			} else if got := read(t, s, 20); !slices.Equal(got, bodies(sequenceRange(last+1, last+20)...)) {
				t.Fatalf("after %d kills: read %q", n+1, got)
			}
			g.start(down)
			last += 20
			if n%7 == 0 {
				sub.Close()
				sub, s = open()
			}
		}
		flush(t, pub)
		for server := range g.servers {
			g.expectLog(server, bodies(sequenceRange(1, last)...))
		}
		if len(failed) > 0 {
			t.Errorf("reported as failed: %v", failed)
		}
	}, "a", "b")
}
