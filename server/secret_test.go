package server_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A recording holds everything that servers and clients reveal outside of a client's own
// connection. It is safe for concurrent use.
type recording struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (o *recording) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *recording) record(v any) {
	fmt.Fprintf(o, "%+v\n", v)
	_ = json.NewEncoder(o).Encode(v)
}

// A recordedConn is a connection of a link whose bytes are recorded.
type recordedConn struct {
	net.Conn
	by *recording
}

func (c recordedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	_, _ = c.by.Write(b[:n])
	return n, err
}

func (c recordedConn) Write(b []byte) (int, error) {
	_, _ = c.by.Write(b)
	return c.Conn.Write(b)
}

// tap records the log and all links of an instance.
func (o *recording) tap(c *server.Config) {
	c.Logger = slog.New(slog.NewTextHandler(o, &slog.HandlerOptions{Level: slog.LevelDebug}))
	dial := c.Dial
	c.Dial = func(ctx context.Context, address string) (net.Conn, error) {
		nc, err := dial(ctx, address)
		if err != nil {
			return nil, err
		}
		return recordedConn{nc, o}, nil
	}
}

// hooks returns client hooks that record their arguments.
func (o *recording) hooks() client.Hooks {
	return client.Hooks{
		Connected:    func(i client.ServerInfo) { o.record(i) },
		Disconnected: func(server string, err error) { o.record(server); o.record(err) },
		FailedWrite:  func(e *client.RejectedError) { o.record(*e); o.record(e) },
		PublishGap:   func(server string) { o.record(server) },
		LifeRenewed:  func(err error) { o.record(err) },
		Moved:        func(m client.Move) { o.record(m) },
	}
}

// Only a publish store and the servers that it logs on to know the store's life. No log, status,
// hook, error, link or disk shows it, even after failures.
func TestLifeIsSecret(t *testing.T) {
	const secret = "SECRETLIFE"
	synctest.Test(t, func(t *testing.T) {
		var o recording
		pair := servertest.NewPair(t, servertest.Config(o.tap), logTopics("orders"))
		lives := 0
		store := func() pubstore.Store {
			return pubstore.NewMemory(pubstore.MemoryOptions{NewLife: func() string { lives++; return fmt.Sprint(secret, lives) }})
		}
		start := func(s pubstore.Store) *client.Client {
			cfg := pair.Client("app")
			cfg.PublishStore, cfg.Hooks = s, o.hooks()
			cfg.Logger = slog.New(slog.NewTextHandler(&o, &slog.HandlerOptions{Level: slog.LevelDebug}))
			c, err := client.Dial(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			return c
		}
		s := store()
		c := start(s)
		publish := func(topic string) {
			t.Helper()
			if _, err := c.Publish(t.Context(), topic, []byte("body")); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			o.record(c.Flush(ctx)) // fails while a server is away
		}
		publish("orders")
		publish("not logged")
		publish("orders")
		look := func() {
			for _, i := range []*servertest.Instance{pair.A, pair.B} {
				o.record(i.Server().Status())
				o.record(i.Server().Publishers(0, server.MaxPublishersPerPage))
			}
			o.record(c.Stats())
		}
		look()
		if err := c.RenewLife(); err != nil {
			t.Fatal(err)
		}
		publish("orders")
		pair.A.Kill()
		publish("orders")
		pair.A.Restart()
		pair.AwaitReady()
		other := start(store()) // takes over the name
		time.Sleep(time.Minute)
		look()
		other.Close()
		c.Close()
		for n, logon := range []string{
			`{"c":"logon","cid":"0","client_name":"x","a":"processed","ext":"1","store":"SECRETLIFE9","n":1,"acked":99}`,
			`{"c":"logon","cid":"0","client_name":"x","a":"processed","ext":"1","store":"SECRETLIFE\u0007","n":1}`,
			`{"c":"logon","cid":"0","client_name":"x","a":"processed","ext":"1","store":"SECRETLIFE9","n":"SECRETLIFE"}`,
			`{"c":"logon","cid":"0","client_name":"x","a":"processed","ext":"1","store":"SECRETLIFE9`,
		} {
			r := dial(t, pair.A)
			r.send(logon)
			if text, err := r.read(); strings.Contains(text, secret) {
				t.Errorf("logon %d is answered with %s, %v", n, text, err)
			}
			r.close()
		}
		pair.AwaitConverged()
		for _, i := range []*servertest.Instance{pair.A, pair.B} {
			for _, name := range diskOf(i).Names() {
				b, err := diskOf(i).ReadFile(name)
				if err != nil {
					t.Fatal(err)
				}
				_, _ = o.Write(b)
			}
		}
		o.mu.Lock()
		defer o.mu.Unlock()
		if all := o.buf.Bytes(); len(all) < 10_000 {
			t.Fatalf("no more than %d bytes were recording", len(all))
		} else if at := bytes.Index(all, []byte(secret)); at >= 0 {
			t.Errorf("the life was revealed: %q", all[max(0, at-200):min(len(all), at+100)])
		}
	})
}
