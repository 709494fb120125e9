// Package audit writes an audit log: records of events, which a goroutine of their own passes to
// files or to a handler. Whoever adds a record never waits for that goroutine. Records that cannot
// be written are dropped and counted, and so are records that repeat.
package audit

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/signal"
)

// Dropped is the message of a record that says how many records before it are missing, in the
// attribute lines.
const Dropped = "dropped"

const (
	maxQueueBytes = 4 << 20         // records that wait for the goroutine, approximately
	recordBytes   = 512             // memory of a record besides its texts, approximately
	closeTimeout  = time.Second     // for the last records
	sweepInterval = 5 * time.Second // between two looks at the records that were left out
)

// A Log passes records to a handler, in order. Its methods are safe for concurrent use, and none
// but Close blocks.
type Log struct {
	handler  slog.Handler
	log      *slog.Logger  // for the state of the handler
	dropped  atomic.Uint64 // records that are missing
	wake     signal.Signal
	repeated repeats
	ended    chan struct{} // closed when the goroutine has ended

	mu      sync.Mutex
	records []slog.Record // guarded by mu
	bytes   int           // guarded by mu; approximate size of records
	missing uint64        // guarded by mu; records that did not fit after these
	full    bool          // guarded by mu; records were dropped lately, and the log says so
	closed  bool          // guarded by mu
}

// Start starts a Log. Its goroutine calls handler, and release after the last record. log gets a
// line when the handler begins to fail, when it works again, and when the queue is full.
func Start(handler slog.Handler, log *slog.Logger, release func() error) *Log {
	l := &Log{handler: handler, log: log, wake: signal.New(), ended: make(chan struct{})}
	go l.run(release)
	return l
}

// Dropped returns the number of records that are missing because the queue was full or the handler
// failed.
func (l *Log) Dropped() uint64 { return l.dropped.Load() }

// Add adds a record.
func (l *Log) Add(r slog.Record) {
	if failpoint.On(failpoint.AuditBlocks) {
		_ = l.handler.Handle(context.Background(), r)
		return
	}
	size := sizeOf(r)
	l.mu.Lock()
	fits := !l.closed && l.bytes+size <= maxQueueBytes
	if fits {
		l.records, l.bytes = append(l.records, r), l.bytes+size
	} else {
		l.missing++
		l.dropped.Add(1)
	}
	begins := !fits && !l.closed && !l.full
	l.full = l.full || !fits
	l.mu.Unlock()
	if begins {
		l.log.Error("the audit log is written too slowly: lines are dropped")
	}
	l.wake.Set()
}

// AddOnce adds a record unless one with the same message, subject and object was added within the
// last minute. Subject is the source of the event, object its target. A record that is left out is
// counted, and reported within the next minute.
func (l *Log) AddOnce(subject, object string, r slog.Record) {
	if l.repeated.allow(repeatKey{r.Message, subject, object}, r) {
		l.Add(r)
	}
}

// Close writes the records that were added so far, for a second at most, and ends the Log.
func (l *Log) Close() {
	for _, r := range l.repeated.sweep(time.Now(), true) {
		l.Add(r)
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	l.wake.Set()
	select {
	case <-l.ended:
	case <-time.After(closeTimeout):
		l.log.Error("the audit log could not be written in time: its last lines are missing")
	}
}

// run writes records until the Log is closed and its queue is empty.
func (l *Log) run(release func() error) {
	defer close(l.ended)
	w := writer{Log: l}
	ticker := time.NewTicker(sweepInterval)
	defer ticker.Stop()
	for closed := false; !closed; {
		select {
		case <-l.wake:
		case now := <-ticker.C:
			for _, r := range l.repeated.sweep(now, false) {
				l.Add(r)
			}
		}
		var b batch
		b, closed = l.take()
		w.write(b)
	}
	if err := release(); err != nil {
		l.log.Error("cannot close the audit log cleanly", "error", err)
	}
}

// A batch is a part of the queue.
type batch struct {
	records []slog.Record
	missing uint64 // records after these that were dropped
}

// take returns the queue. If closed is true there will be no more.
func (l *Log) take() (b batch, closed bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	b = batch{l.records, l.missing}
	l.full = l.missing > 0
	l.records, l.bytes, l.missing = nil, 0, 0
	return b, l.closed
}

// A writer is the state of a Log's goroutine.
type writer struct {
	*Log
	failing bool   // the last record could not be written
	lost    uint64 // missing records of which no record tells yet
}

// write passes records to the handler, and one about missing records where they are missing.
func (w *writer) write(b batch) {
	for _, r := range b.records {
		if !w.reportLost() || !w.handle(r) {
			w.lost++
			w.dropped.Add(1)
		}
	}
	w.lost += b.missing
	w.reportLost()
}

// reportLost writes a record about missing ones. It returns false if that is not possible.
func (w *writer) reportLost() bool {
	if w.lost == 0 {
		return true
	}
	r := slog.NewRecord(time.Now(), slog.LevelInfo, Dropped, 0)
	r.AddAttrs(slog.Uint64("lines", w.lost))
	if !w.handle(r) {
		return false
	}
	w.lost = 0
	return true
}

// handle passes a record to the handler and logs a change of its state.
func (w *writer) handle(r slog.Record) (ok bool) {
	err := w.handler.Handle(context.Background(), r)
	switch {
	case err != nil && !w.failing:
		w.log.Error("the audit log cannot be written: lines are dropped", "error", err)
	case err == nil && w.failing:
		w.log.Info("the audit log is written again", "lines", w.lost)
	}
	w.failing = err != nil
	return err == nil
}

// sizeOf returns the approximate memory of a record, in bytes.
func sizeOf(r slog.Record) int {
	size := recordBytes + len(r.Message)
	r.Attrs(func(a slog.Attr) bool {
		if a.Value.Kind() == slog.KindString {
			size += len(a.Value.String())
		}
		return true
	})
	return size
}
