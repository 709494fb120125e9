package client_test

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// Two clients of one process cannot use one store. The second is refused, so they do not push each
// other out (R11).
func TestStoreInUse(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		cfg := config(n, "a")
		cfg.PublishStore = pubstore.NewMemory(pubstore.MemoryOptions{})
		c := start(t, cfg)
		if _, err := client.Dial(t.Context(), cfg); !errors.Is(err, pubstore.ErrInUse) {
			t.Errorf("a second client: %v", err)
		}
		c.Close()
		start(t, cfg).Close() // the store is released

		cfg.StartOffline = false
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := client.Dial(ctx, cfg); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("no server: %v", err)
		}
		cfg.StartOffline = true
		start(t, cfg) // released also after a Dial that failed
	})
}

// A store that cannot be used fails Dial at once, also without a server.
func TestDialRefusesUnusableStore(t *testing.T) {
	closed := pubstore.NewMemory(pubstore.MemoryOptions{})
	closed.Close()
	for want, store := range map[string]pubstore.Store{
		"publish store is closed": closed,
		"MaxBytes is -1":          pubstore.NewMemory(pubstore.MemoryOptions{MaxBytes: -1}),
	} {
		c, err := client.Dial(t.Context(), client.Config{Servers: []string{"tcp://a:1/amps/json"}, PublishStore: store, StartOffline: true})
		if err == nil {
			c.Close()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got the error %v, want %q in it", err, want)
		}
	}
}

// If the context of a Dial ends, the error contains the attempt under way.
func TestDialNamesTheAttempt(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		listen(t, n, "a") // accepts connections and sends nothing
		cfg := config(n, "a")
		cfg.StartOffline = false
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := client.Dial(ctx, cfg)
		var connect *client.ConnectError
		if !errors.Is(err, context.DeadlineExceeded) || !errors.As(err, &connect) || connect.Server != "tcp://a:9007/amps/json" {
			t.Errorf("got %v", err)
		}
	})
}

// The peer that answers is not a server of the protocol.
func TestNotAServer(t *testing.T) {
	for name, answer := range map[string]string{
		"web server": "HTTP/1.1 400 Bad Request\r\n\r\n",
		"no header":  "\x00\x00\x00\x05hello",
	} {
		t.Run(name, func(t *testing.T) {
			run(t, func(t *testing.T, n *memnet.Network) {
				srv := listen(t, n, "a")
				var cause error
				cfg := config(n, "a")
				cfg.Hooks.Disconnected = func(_ string, err error) { cause = errors.Join(cause, err) }
				start(t, cfg)
				ss := srv.accept()
				ss.expect(wire.Logon)
				ss.send([]byte(answer))
				ss.expectClosed()
				synctest.Wait()
				if cause == nil || !strings.Contains(cause.Error(), "is it a client port?") {
					t.Errorf("got %v", cause)
				}
			})
		})
	}
}

// An error states each fact once.
func TestErrorsStateEachFactOnce(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		sub := subscribe(t, c)
		ss, _ := srv.logon(0, 0)
		m := ss.expect(wire.Subscribe)
		ss.ack(wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: "not entitled"})
		_, err := sub()
		if want := `subscribe "orders" refused by the server: not entitled`; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}

		refused := make(chan error, 1)
		go func() {
			var err error
			for _, err = range c.Execute(testContext(t), client.Command{Name: "subscribe", Topic: "orders", Bookmark: "1|x|"}) {
			}
			refused <- err
		}()
		ss.expect(wire.Unsubscribe)
		m = ss.expect(wire.Subscribe)
		ss.ack(wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: "invalid bookmark"})
		if err, want := <-refused, `subscribe "orders" with bookmark "1|x|" refused by the server: invalid bookmark`; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

func TestConnectErrorSaysDialOnce(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		cfg := config(n, "a")
		cfg.Dial = func(_ context.Context, network, _ string) (net.Conn, error) {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("connection refused")}
		}
		c := start(t, cfg)
		synctest.Wait()
		want := "connect to tcp://a:9007/amps/json: dial tcp: connection refused"
		if err := c.Stats().LastFailure; err == nil || err.Error() != want {
			t.Errorf("got %v, want %s", err, want)
		}
	})
}

// The error of FlushSafe distinguishes messages that no server has acknowledged from messages that
// lack the second disk.
func TestFlushSafeErrors(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		ss, _ := srv.logon(0, 0)
		publish(t, c, 1, 2)
		ss.expectPublishes(1, 2)
		flush := func(settled bool, words string) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			err := c.FlushSafe(ctx)
			var pending *client.PendingError
			if !errors.As(err, &pending) || pending.Settled != settled || pending.Messages != 2 {
				t.Errorf("got %+v", err)
			}
			if want := "flush safe: 2 messages " + words; err == nil || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("got %v, want %s", err, want)
			}
		}
		flush(false, "not acknowledged yet")
		ss.single(2)
		synctest.Wait()
		flush(true, "not on both disks yet")
	})
}

// The logger gets the same events as the hooks.
func TestLogger(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		var text strings.Builder
		cfg := config(n, "a")
		cfg.QueueMessages = 1
		cfg.Logger = slog.New(slog.NewTextHandler(&text, &slog.HandlerOptions{Level: slog.LevelDebug}))
		c := start(t, cfg)
		sub := subscribe(t, c, client.From(client.Epoch), client.FullyDurable())
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("0")
		s := must(t, sub)
		publish(t, c, 1)
		ss.expectPublishes(1)
		ss.single(1)
		ss.persisted(1)
		ss.ack(wire.AckMessage{Type: wire.AckPersisted, Success: true, SubID: string(m.SubID), Bookmark: "7|1|", Single: true})
		ss.ack(wire.AckMessage{Type: wire.AckPersisted, Success: true, SubID: string(m.SubID), Bookmark: "7|1|"})
		ss.deliver(m, 2, 3)
		ss.expect(wire.Unsubscribe)
		publish(t, c, 2)
		ss.expectPublishes(2)
		synctest.Wait()
		ss.close()
		ss, _ = srv.logon(1, 1)
		ss.expectPublishes(2)
		go func() {
			for range s.Messages(testContext(t)) {
			}
		}()
		m = ss.expect(wire.Subscribe)
		ss.ack(wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: "not entitled"})
		synctest.Wait()
		c.Close()
		if _, err := c.Subscribe(t.Context(), "orders.>"); !errors.Is(err, client.ErrClosed) {
			t.Error(err)
		}
		for _, want := range []string{
			`level=WARN msg="the topic of a subscription looks like another system's wildcard: here it is a regular expression" client=me topic=orders.> use_instead=^orders\.`,
			`level=WARN msg="acks come from one server only: the publish store keeps the messages until both have them" client=me server=tcp://a:9007/amps/json`,
			`level=INFO msg="acks come from both servers again" client=me server=tcp://a:9007/amps/json duration=`,
			`level=INFO msg="the server holds messages back until they are safe" client=me subscription=#1`,
			`level=INFO msg="the server delivers again: messages are safe" client=me`,
			`level=WARN msg="a subscription is paused until the application has caught up: its queue is full" client=me`,
			`level=INFO msg="messages are sent again" client=me server=tcp://a:9007/amps/json messages=1 first=2 last=2`,
			`level=WARN msg="a subscription has ended" client=me subscription=#1 topic=orders error=`,
			`level=DEBUG msg="the state of the client has changed" client=me state=recovering`,
		} {
			if !strings.Contains(text.String(), want) {
				t.Errorf("not logged: %s", want)
			}
		}
		if t.Failed() {
			io.WriteString(t.Output(), text.String())
		}
	})
}
