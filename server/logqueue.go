package server

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/logging"
	"github.com/holdfast-mq/holdfast/internal/signal"
)

const (
	maxQueuedLines  = 2048                   // while the handler of the log does not return
	logCloseTimeout = 500 * time.Millisecond // wait for the handler at the end of the instance
)

// A logQueue passes the lines of an instance to the handler of its log, in order, on a goroutine of
// its own. Whoever logs never waits for the handler: not a link, not a session, not the journal.
// Lines that do not fit into the queue are dropped and counted. It is safe for concurrent use.
type logQueue struct {
	next    slog.Handler
	level   slog.LevelVar // lines below it are left out
	dropped atomic.Uint64 // number of lines
	wake    signal.Signal
	ended   chan struct{} // closed when the goroutine has ended

	mu     sync.Mutex
	lines  []queuedLine // guarded by mu
	closed bool         // guarded by mu
}

// A queuedLine is a record and the handler that gets it.
type queuedLine struct {
	handler slog.Handler
	record  slog.Record
}

// startLogQueue starts the goroutine of a queue. It ends after close, unless a handler blocks it.
func startLogQueue(log *slog.Logger, level slog.Level) (*logQueue, *slog.Logger) {
	q := &logQueue{next: log.Handler(), wake: signal.New(), ended: make(chan struct{})}
	q.level.Set(level)
	go q.run()
	return q, slog.New(queueHandler{q, log.Handler()})
}

// run passes lines to their handlers until the queue is closed.
func (q *logQueue) run() {
	defer close(q.ended)
	reported := uint64(0) // number of dropped lines that were reported
	for {
		lines, closed := q.take()
		for _, line := range lines {
			_ = line.handler.Handle(context.Background(), line.record)
		}
		if n := q.dropped.Load(); n > reported && len(lines) > 0 {
			slog.New(q.next).Warn("log lines were dropped: the handler of the log is slow", "lines", n-reported)
			reported = n
		}
		switch {
		case len(lines) > 0:
		case closed:
			return
		default:
			<-q.wake
		}
	}
}

func (q *logQueue) take() (lines []queuedLine, closed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	lines, q.lines = q.lines, nil
	return lines, q.closed
}

// add adds a line or drops it.
func (q *logQueue) add(h slog.Handler, r slog.Record) {
	if failpoint.On(failpoint.LogBlocks) {
		_ = h.Handle(context.Background(), r)
		return
	}
	q.mu.Lock()
	fits := len(q.lines) < maxQueuedLines && !q.closed
	if fits {
		q.lines = append(q.lines, queuedLine{h, r})
	}
	q.mu.Unlock()
	if !fits {
		q.dropped.Add(1)
	}
	q.wake.Set()
}

// close passes the lines so far to their handlers, for logCloseTimeout at most, and ends the queue.
// Later lines are dropped.
func (q *logQueue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.wake.Set()
	select {
	case <-q.ended:
	case <-time.After(logCloseTimeout):
	}
}

// A queueHandler adds records to a queue, for the handler next. Values become plain when the line
// is added, since they may change afterwards.
type queueHandler struct {
	q    *logQueue
	next slog.Handler
}

func (h queueHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return level >= h.q.level.Level() && h.next.Enabled(ctx, level)
}

func (h queueHandler) Handle(_ context.Context, r slog.Record) error {
	h.q.add(h.next, logging.PlainRecord(r))
	return nil
}

func (h queueHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return queueHandler{h.q, h.next.WithAttrs(logging.PlainAttrs(attrs))}
}

func (h queueHandler) WithGroup(name string) slog.Handler {
	return queueHandler{h.q, h.next.WithGroup(name)}
}
