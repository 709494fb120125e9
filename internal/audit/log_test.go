package audit_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/audit"
)

// A target is a handler that keeps the lines. It can block and fail.
type target struct {
	slog.Handler
	out   *recorder
	fails atomic.Bool
	block chan struct{} // nil: it does not block
}

// A recorder keeps text. It is safe for concurrent use.
type recorder struct {
	mu  sync.Mutex
	buf bytes.Buffer // guarded by mu
}

func (o *recorder) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

// take waits until the goroutine is idle, and returns the text since the last call.
func (o *recorder) take() string {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.buf.Reset()
	return o.buf.String()
}

func newTarget() *target {
	g := &target{out: new(recorder)}
	g.Handler = slog.NewTextHandler(g.out, &slog.HandlerOptions{ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}})
	return g
}

func (g *target) Handle(ctx context.Context, r slog.Record) error {
	if g.block != nil {
		<-g.block
	}
	if g.fails.Load() {
		return errors.New("the target fails")
	}
	return g.Handler.Handle(ctx, r)
}

// expect compares the lines since the last call.
func (g *target) expect(t *testing.T, want ...string) {
	t.Helper()
	if got := strings.TrimSpace(g.out.take()); got != strings.Join(want, "\n") {
		t.Errorf("the lines are\n%s\ninstead of\n%s", got, strings.Join(want, "\n"))
	}
}

func start(g *target) (l *audit.Log, log *recorder) {
	log = new(recorder)
	return audit.Start(g, slog.New(slog.NewTextHandler(log, nil)), func() error { return nil }), log
}

func record(event string, attrs ...slog.Attr) slog.Record {
	r := slog.NewRecord(time.Now(), slog.LevelInfo, event, 0)
	r.AddAttrs(attrs...)
	return r
}

// While the handler blocks, Add does not wait. Records beyond the bound are dropped and counted, and
// a record says how many.
func TestBlockedHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTarget()
		g.block = make(chan struct{})
		l, log := start(g)
		const bytes, records = 1 << 10, 10_000
		for range records {
			l.Add(record("e", slog.String("k", strings.Repeat("x", bytes))))
		}
		n := l.Dropped()
		if queued := records - n; queued < 1000 || queued > 8192 {
			t.Errorf("%d records of %d wait", queued, records)
		}
		if text := log.take(); strings.Count(text, "\n") != 1 {
			t.Errorf("the log is %s", text)
		}
		close(g.block)
		if lines := g.out.take(); !strings.HasSuffix(lines, fmt.Sprintf("\nmsg=dropped lines=%d\n", n)) {
			t.Errorf("after %d were dropped the last lines are %s", n, lines[max(0, len(lines)-100):])
		}
		l.Add(record("next"))
		g.expect(t, "msg=next")
		l.Close()
	})
}

// While the handler fails, records are dropped and counted. The log says so once, and once when the
// handler works again.
func TestFailingHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTarget()
		l, log := start(g)
		for range 2 {
			g.fails.Store(true)
			for range 5 {
				l.Add(record("lost"))
				synctest.Wait()
			}
			g.fails.Store(false)
			l.Add(record("kept"))
			g.expect(t, "msg=dropped lines=5", "msg=kept")
			if text := log.take(); strings.Count(text, "\n") != 2 || !strings.Contains(text, "lines=5") {
				t.Errorf("the log is %s", text)
			}
		}
		if n := l.Dropped(); n != 10 {
			t.Errorf("%d records are dropped", n)
		}
		g.fails.Store(true)
		l.Add(record("lost"))
		synctest.Wait()
		g.fails.Store(false)
		time.Sleep(time.Minute) // without another record
		g.expect(t, "msg=dropped lines=1")
		l.Close()
	})
}

// Close writes everything that was added, and waits for a blocked handler for a second only.
func TestClose(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTarget()
		l, _ := start(g)
		for range 3 {
			l.Add(record("last"))
			l.AddOnce("s", "o", record("once"))
		}
		l.Close()
		l.Add(record("late"))
		g.expect(t, "msg=last", "msg=once", "msg=last", "msg=last", "msg=once left_out=2")

		g = newTarget()
		g.block = make(chan struct{})
		l, log := start(g)
		l.Add(record("last"))
		began := time.Now()
		l.Close()
		if took, text := time.Since(began), log.take(); took > time.Second || !strings.Contains(text, "in time") {
			t.Errorf("the end took %v, and the log is %s", took, text)
		}
		close(g.block)
		synctest.Wait()
	})
}

// A record that repeats is written once a minute, with the number of those that were left out.
func TestRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTarget()
		l, _ := start(g)
		repeat := func(n int) {
			for range n {
				l.AddOnce("joe", "topic", record("refused", slog.String("user", "joe")))
			}
		}
		repeat(100)
		l.AddOnce("joe", "other", record("refused"))
		l.AddOnce("jim", "topic", record("refused"))
		l.AddOnce("joe", "topic", record("other"))
		g.expect(t, "msg=refused user=joe", "msg=refused", "msg=refused", "msg=other")
		time.Sleep(50 * time.Second)
		repeat(1)
		g.expect(t)
		time.Sleep(16 * time.Second)
		g.expect(t, "msg=refused user=joe left_out=100")
		repeat(5)
		g.expect(t)
		time.Sleep(66 * time.Second)
		g.expect(t, "msg=refused user=joe left_out=5")
		time.Sleep(66 * time.Second)
		repeat(1)
		g.expect(t, "msg=refused user=joe")
		l.Close()
	})
}

// Neither a subject with many objects nor many subjects cause more than a bounded number of records
// per minute. One subject does not suppress the records of others.
func TestRepeatsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := newTarget()
		l, _ := start(g)
		lines := func() int { return strings.Count(g.out.take(), "\n") }
		for n := range 1000 {
			l.AddOnce("joe", fmt.Sprint(n), record("refused"))
		}
		if n := lines(); n < 10 || n > 100 {
			t.Errorf("one subject has caused %d records", n)
		}
		l.AddOnce("jim", "1", record("refused"))
		g.expect(t, "msg=refused")
		for n := range 10_000 {
			l.AddOnce(fmt.Sprint(n), "1", record("refused"))
		}
		if n := lines(); n < 100 || n > 1024 {
			t.Errorf("many subjects have caused %d records", n)
		}
		time.Sleep(66 * time.Second)
		if got := g.out.take(); strings.Count(got, "\n") != 1 || !strings.HasPrefix(got, "msg=refused left_out=") {
			t.Errorf("the report is %s", got)
		}
		time.Sleep(2 * time.Minute)
		l.AddOnce("joe", "1000", record("refused"))
		g.expect(t, "msg=refused")
		l.Close()
	})
}
