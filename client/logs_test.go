package client_test

import (
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A logText collects the lines of a client, without their time.
type logText struct {
	mu   sync.Mutex
	text strings.Builder // guarded by mu
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

// with returns the lines with all texts.
func (l *logText) with(texts ...string) (found []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for line := range strings.Lines(l.text.String()) {
		has := true
		for _, text := range texts {
			has = has && strings.Contains(line, text)
		}
		if has {
			found = append(found, line)
		}
	}
	return found
}

// expect fails the test unless n lines have all texts.
func (l *logText) expect(t *testing.T, n int, texts ...string) {
	t.Helper()
	if got := l.with(texts...); len(got) != n {
		t.Errorf("%d lines have %q, want %d", len(got), texts, n)
	}
}

// logTo gives a client a logger, and prints its lines if the test fails.
func logTo(t *testing.T, cfg *client.Config) *logText {
	l := new(logText)
	cfg.Logger = slog.New(slog.NewTextHandler(l, &slog.HandlerOptions{Level: slog.LevelDebug}))
	t.Cleanup(func() {
		if t.Failed() {
			io.WriteString(t.Output(), strings.Join(l.with(), ""))
		}
	})
	return l
}

// refuseAll accepts each logon and then refuses publishes with a reason, until stop is closed.
func (s *script) refuseAll(reason string, stop <-chan struct{}, wg *sync.WaitGroup) {
	wg.Go(func() {
		for {
			select {
			case ss := <-s.sessions:
				ss.expect(wire.Logon)
				ss.acceptLogon(0, 0)
				time.Sleep(10 * time.Millisecond)
				ss.refuse(reason)
			case <-stop:
				return
			}
		}
	})
}

// A publisher whose servers accept each logon and no message has an ERROR after ten seconds,
// reminders, and a line at the end.
func TestPublishingStandsStill(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		cfg := config(n, "a", "b")
		l := logTo(t, &cfg)
		c := start(t, cfg)
		stop, wg := make(chan struct{}), new(sync.WaitGroup)
		a.refuseAll(wire.ReasonDiskFull, stop, wg)
		b.refuseAll(wire.ReasonDiskFull, stop, wg)
		publish(t, c, 1, 2, 3)
		time.Sleep(2 * time.Minute)
		const begin = "level=ERROR msg=\"publishing stands still: no server acknowledges messages, and they wait in the publish store\""
		l.expect(t, 2, begin)
		l.expect(t, 1, begin, "duration=10", `reason="server takes no publishes because its disk is nearly full"`, "tcp://a:9007", "tcp://b:9007", "messages=3", "first=1", "last=3")
		close(stop)
		wg.Wait()
		for synctest.Wait(); len(c.Stats().Servers) < 2; {
			t.Fatal("the client has not met both servers")
		}
		a.ln.Close()
		ss, _ := b.logon(0, 0)
		ss.expectPublishes(1, 2, 3)
		ss.persisted(3)
		time.Sleep(2 * time.Second)
		l.expect(t, 1, "level=INFO msg=\"publishing goes on after a standstill\"", "messages=3", "duration=2m")
	})
}

// Acks that do not come are a standstill, too; a client that publishes slowly has none.
func TestAcksDoNotCome(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		l := logTo(t, &cfg)
		c := start(t, cfg)
		ss, _ := srv.logon(0, 0)
		for s := range uint64(30) {
			publish(t, c, s+1)
			time.Sleep(3 * time.Second)
			ss.persisted(s + 1)
		}
		time.Sleep(time.Minute)
		l.expect(t, 0, "stands still")
		publish(t, c, 31)
		time.Sleep(12 * time.Second)
		l.expect(t, 1, "stands still", "the server is connected and does not acknowledge messages", "messages=1", "first=31")
	})
}

// A client that connects again and again says when it leaves out lines, and the line about the
// connection that stays is not left out.
func TestLinesLeftOut(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		cfg := config(n, "a")
		l := logTo(t, &cfg)
		start(t, cfg)
		const logons = 30
		for range logons {
			ss, _ := srv.logon(0, 0)
			time.Sleep(time.Second)
			ss.close()
		}
		const connected = "level=INFO msg=\"the client is connected\""
		l.expect(t, 6, connected)
		l.expect(t, 6, "level=INFO msg=\"the connection is lost\"")
		l.expect(t, 1, "level=WARN msg=\"the client connects again and again: further lines about it are left out until it stays connected\"", "lines=6", "limit=10m")
		srv.logon(0, 0)
		time.Sleep(10 * time.Second)
		l.expect(t, 7, connected)
		l.expect(t, 1, connected, "left_out=24")
	})
}

// A publish gap of one server is a warning, and an error once each server has it.
func TestPublishGapLines(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		cfg := config(n, "a", "b")
		l := logTo(t, &cfg)
		c := start(t, cfg)
		ss := a.logonAs("one", "sync", "two")
		publish(t, c, 1, 2, 3)
		ss.expectPublishes(1, 2, 3)
		ss.persisted(2)
		synctest.Wait()
		ss.close()
		const one = "level=WARN msg=\"publish gap: the server lacks acknowledged messages, and the client does not publish to it\""
		const all = "level=ERROR msg=\"publish gap: each server that was tried lacks acknowledged messages, and the client publishes to none\""
		for end := time.Now().Add(30 * time.Second); time.Now().Before(end); {
			for _, srv := range []*script{a, b} {
				select {
				case ss := <-srv.sessions:
					ss.expect(wire.Logon)
					ss.refuse(wire.ReasonPublishGap)
				case <-time.After(10 * time.Millisecond):
				}
			}
		}
		l.expect(t, 1, "the connection is lost", "server=tcp://a:9007/amps/json instance=one")
		l.expect(t, 1, one, "server=tcp://a:9007/amps/json instance=one", "last=2", "messages=1")
		l.expect(t, 1, one, "server=tcp://b:9007/amps/json", "last=2", "messages=1")
		l.expect(t, 1, all, "tcp://a:9007", "tcp://b:9007", "last=2", "messages=1")
		l.expect(t, 1, "publishing stands still", `reason="log on: server lacks messages that were acknowledged before"`, "first=3", "last=3")
	})
}
