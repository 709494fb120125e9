package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/loglines"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// recorder returns a handler that compares each line with server/LOGS.md. The test fails if one
// does not fit.
func recorder(t *testing.T) *loglines.Recorder {
	t.Helper()
	r, err := loglines.NewRecorder("..", slog.DiscardHandler)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, fault := range r.Faults() {
			t.Error(fault)
		}
	})
	return r
}

// loggedPair starts a pair whose instances log to a handler. A peer is downgraded after 5 s.
func loggedPair(t *testing.T, h slog.Handler, configure func(*server.Config)) *servertest.Pair {
	t.Helper()
	return servertest.NewPair(t, servertest.Config(func(c *server.Config) {
		c.Logger = slog.New(h)
		c.Replication.Destinations[0].DowngradeAfter = server.Duration(5 * time.Second)
		if configure != nil {
			configure(c)
		}
	}))
}

// loggedClient starts a client of a pair that logs to a handler.
func loggedClient(t *testing.T, pair *servertest.Pair, h slog.Handler, name string) *client.Client {
	t.Helper()
	cfg := pair.Client(name)
	cfg.Logger = slog.New(h)
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// linesFrom returns the lines at or above a level as text, without those of debugging.
func linesFrom(r *loglines.Recorder, level slog.Level) (text []string) {
	for _, l := range r.Lines() {
		if l.Level < level {
			continue
		}
		var b strings.Builder
		fmt.Fprintf(&b, "%s %-5s %s", l.Time.UTC().Format("15:04:05.000"), l.Level, l.Message)
		for _, a := range l.Attrs {
			fmt.Fprintf(&b, "  %s=%v", a.Key, a.Value)
		}
		text = append(text, b.String())
	}
	return text
}

// An instance whose peer has gone for an hour, with traffic, writes a few lines.
func TestHourWithoutPeer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := recorder(t)
		pair := loggedPair(t, h, nil)
		c := loggedClient(t, pair, h, "app")
		sub, err := c.Subscribe(t.Context(), "orders", client.From(client.Epoch))
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for m, err := range sub.Messages(t.Context()) {
				if err != nil {
					return
				}
				m.Discard()
			}
		}()
		time.Sleep(time.Minute)
		before := len(linesFrom(h, slog.LevelInfo))
		pair.A.Kill()
		for n := range 3630 {
			if _, err := c.Publish(t.Context(), "orders", fmt.Append(nil, n)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		lines := linesFrom(h, slog.LevelInfo)[before:]
		if len(lines) < 5 || len(lines) >= 50 {
			t.Errorf("an hour has %d lines:\n%s", len(lines), strings.Join(lines, "\n"))
		}
		hasLine(t, lines, "link is still down", "duration=1h0m0s")
		hasLine(t, lines, "messages are still acknowledged by this disk alone", "duration=1h0m0s")
		pair.A.Restart()
		pair.AwaitConverged()
		time.Sleep(time.Minute)
		lines = linesFrom(h, slog.LevelInfo)
		hasLine(t, lines, "link is up", "peer=a", "duration=1h")
		hasLine(t, lines, "messages are acknowledged by the disk of the peer, too, from now on", "duration=")
	})
}

// hasLine fails the test if no line has all texts.
func hasLine(t *testing.T, lines []string, texts ...string) {
	t.Helper()
	for _, l := range lines {
		has := true
		for _, text := range texts {
			has = has && strings.Contains(l, text)
		}
		if has {
			return
		}
	}
	t.Errorf("no line has %q in\n%s", texts, strings.Join(lines, "\n"))
}

// hasNoLine fails the test if a line has the text.
func hasNoLine(t *testing.T, lines []string, text string) {
	t.Helper()
	for _, l := range lines {
		if strings.Contains(l, text) {
			t.Errorf("%q has %q", l, text)
		}
	}
}

// At a failover of a hundred clients no session has a warning, neither at a server nor in a client.
func TestFailoverWarnsOfNoSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := recorder(t)
		pair := loggedPair(t, h, nil)
		for n := range 100 {
			c := loggedClient(t, pair, h, fmt.Sprint("app-", n))
			if _, err := c.Publish(t.Context(), "orders", []byte("x")); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(time.Minute)
		pair.A.Kill()
		time.Sleep(time.Minute)
		pair.A.Restart()
		pair.AwaitConverged()
		if warnings := linesFrom(h, slog.LevelWarn); len(warnings) > 6 {
			t.Errorf("%d warnings:\n%s", len(warnings), strings.Join(warnings, "\n"))
		}
	})
}

// A planned stop of the peer is told as such: it causes no warning by itself.
func TestPlannedStopIsNoWarning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := recorder(t)
		pair := loggedPair(t, h, nil)
		time.Sleep(time.Minute)
		if err := pair.B.Server().Shutdown(context.Background()); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		pair.B.Restart()
		pair.AwaitConverged()
		hasLine(t, linesFrom(h, slog.LevelInfo), "link is down: the peer has stopped, as it had announced", "instance=a", "peer=b")
		hasLine(t, linesFrom(h, slog.LevelInfo), "the instance has stopped: every ack was sent", "instance=b")
		if warnings := linesFrom(h, slog.LevelWarn); len(warnings) > 0 {
			t.Errorf("warnings of a planned stop:\n%s", strings.Join(warnings, "\n"))
		}
	})
}

// A client that logs on with a wrong name again and again has few lines.
func TestRefusedLogonsAreOneEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := recorder(t)
		i := servertest.New(t, servertest.Config(func(c *server.Config) {
			c.Logger = slog.New(h)
			c.Authenticator = refuseAll{}
		}))
		cfg := i.Client("app")
		cfg.Logger, cfg.StartOffline = slog.New(h), true
		c, err := client.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		c.Close()
		lines := linesFrom(h, slog.LevelWarn)
		if len(lines) < 3 || len(lines) > 15 {
			t.Errorf("an hour of refused logons has %d lines:\n%s", len(lines), strings.Join(lines, "\n"))
		}
		hasLine(t, lines, "logon refused: the client has not proven its user", "instance=a", "left_out=")
		hasLine(t, lines, "a server refuses the client", "client=app")
	})
}

// refuseAll is an Authenticator that refuses every logon.
type refuseAll struct{}

func (refuseAll) Authenticate(context.Context, *server.Logon) (string, error) {
	return "", fmt.Errorf("no such user")
}

// A handler that blocks holds up nothing: a pair links, serves, loses its peer, is downgraded,
// catches up and stops as without it.
func TestBlockedLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &gate{Handler: slog.NewTextHandler(io.Discard, nil), open: make(chan struct{})}
		defer close(h.open)
		pair := loggedPair(t, h, nil)
		c := loggedClient(t, pair, slog.DiscardHandler, "app")
		publish := func(limit time.Duration) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			defer cancel()
			if _, err := c.Publish(ctx, "orders", []byte("x")); err != nil {
				t.Fatal(err)
			}
			if err := c.Flush(ctx); err != nil {
				t.Fatal(err)
			}
		}
		publish(5 * time.Second)
		pair.A.Kill()
		publish(time.Minute) // at b, once that is downgraded
		pair.A.Restart()
		pair.AwaitConverged()
		publish(5 * time.Second)
		began := time.Now()
		if err := pair.B.Server().Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the stop took %v", took)
		}
	})
}

// Lines beyond the buffer are dropped and counted, and the log says so.
func TestSlowLogDropsLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log := new(recording)
		h := &gate{Handler: slog.NewTextHandler(log, nil), open: make(chan struct{})}
		i := servertest.New(t, servertest.Config(func(c *server.Config) { c.Logger = slog.New(h) }))
		synctest.Wait() // the first lines are with the handler
		for n := range 3000 {
			i.Server().SetLogLevel(slog.Level(-4 * (n % 2)))
		}
		if dropped := i.Server().Status().LogDropped; dropped < 900 {
			t.Errorf("%d lines are dropped", dropped)
		}
		close(h.open)
		time.Sleep(time.Second)
		if len(log.lines("log lines were dropped: the handler of the log is slow")) == 0 {
			t.Error("the log does not say that lines were dropped")
		}
	})
}

// A gate holds lines back until it is open.
type gate struct {
	slog.Handler
	open chan struct{}
}

func (g *gate) Handle(ctx context.Context, r slog.Record) error {
	<-g.open
	return g.Handler.Handle(ctx, r)
}

func (g *gate) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &gate{g.Handler.WithAttrs(attrs), g.open}
}

// The level of a running instance changes.
func TestSetLogLevel(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := recorder(t)
		i := servertest.New(t, servertest.Config(func(c *server.Config) { c.Logger = slog.New(h) }))
		probe := func() {
			nc, err := i.Dial(t.Context(), "tcp", i.Addr())
			if err != nil {
				t.Fatal(err)
			}
			nc.Close()
			time.Sleep(5 * time.Second)
		}
		probe()
		hasNoLine(t, linesFrom(h, slog.LevelDebug), "a connection without a logon has ended")
		i.Server().SetLogLevel(slog.LevelDebug)
		if got := i.Server().LogLevel(); got != slog.LevelDebug {
			t.Errorf("the level is %v", got)
		}
		probe()
		hasLine(t, linesFrom(h, slog.LevelDebug), "a connection without a logon has ended", "instance=a")
		i.Server().SetLogLevel(slog.LevelError)
		hasLine(t, linesFrom(h, slog.LevelInfo), "the log level has changed", "log_level=DEBUG")
	})
}
