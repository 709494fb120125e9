package loglines

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// A Recorder is a handler that keeps the lines of running instances and clients, and compares each
// with the page. It is safe for concurrent use.
type Recorder struct {
	page  Page
	next  slog.Handler
	extra []string    // keys that the test adds
	attrs []slog.Attr // of the logger
	state *recorded
}

// To returns a Recorder with the same lines that passes later ones to another handler.
func (r *Recorder) To(next slog.Handler) *Recorder {
	return &Recorder{r.page, next, r.extra, r.attrs, r.state}
}

// maxKept bounds the lines that a Recorder keeps: those of a long random run would fill the memory.
const maxKept = 10_000

type recorded struct {
	mu     sync.Mutex
	lines  []Record // guarded by mu
	faults []string // guarded by mu
}

// A Record is a line that was written.
type Record struct {
	Time    time.Time
	Level   slog.Level
	Message string
	Attrs   []slog.Attr
}

// NewRecorder returns a Recorder. root is the directory of the module, next also gets the lines, and
// extra are keys that the test adds to them.
func NewRecorder(root string, next slog.Handler, extra ...string) (*Recorder, error) {
	page, err := ReadPage(root)
	return &Recorder{page: page, next: next, extra: extra, state: new(recorded)}, err
}

// Lines returns the lines so far, the first ten thousand.
func (r *Recorder) Lines() []Record {
	r.state.mu.Lock()
	defer r.state.mu.Unlock()
	return slices.Clone(r.state.lines)
}

// Faults returns what is wrong with the lines: a message, a level or a key that is not on the page,
// a key twice, or no name of an instance or client.
func (r *Recorder) Faults() []string {
	r.state.mu.Lock()
	defer r.state.mu.Unlock()
	return slices.Clone(r.state.faults)
}

// Enabled implements slog.Handler.
func (r *Recorder) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (r *Recorder) Handle(ctx context.Context, line slog.Record) error {
	if r.next.Enabled(ctx, line.Level) {
		_ = r.next.Handle(ctx, line)
	}
	rec := Record{Time: line.Time, Level: line.Level, Message: line.Message, Attrs: slices.Clone(r.attrs)}
	line.Attrs(func(a slog.Attr) bool {
		rec.Attrs = append(rec.Attrs, a)
		return true
	})
	r.state.mu.Lock()
	defer r.state.mu.Unlock()
	if len(r.state.lines) < maxKept {
		r.state.lines = append(r.state.lines, rec)
	}
	if len(r.state.faults) < maxKept {
		r.state.faults = append(r.state.faults, r.check(&rec)...)
	}
	return nil
}

func (r *Recorder) check(rec *Record) (faults []string) {
	fault := func(text string) { faults = append(faults, rec.Message+": "+text) }
	listed, is := r.page.Lines[rec.Message]
	if !is || listed.Level != rec.Level.String() {
		fault("is not on the page with the level " + rec.Level.String())
	}
	allowed := append([]string{"instance", "client", "address", "left_out"}, slices.Concat(listed.Keys, r.extra)...)
	var keys []string
	for _, a := range rec.Attrs {
		if slices.Contains(keys, a.Key) {
			fault("has the key " + a.Key + " twice")
		}
		keys = append(keys, a.Key)
		if !slices.Contains(allowed, a.Key) {
			fault("has the key " + a.Key + ", which is not on the page")
		}
		if a.Value.Kind() == slog.KindDuration {
			fault(a.Key + " is a duration, which JSON would show in nanoseconds")
		}
	}
	if !slices.Contains(keys, "instance") && !slices.Contains(keys, "client") {
		fault("names no instance or client")
	}
	return faults
}

// WithAttrs implements slog.Handler.
func (r *Recorder) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &Recorder{r.page, r.next.WithAttrs(attrs), r.extra, slices.Concat(r.attrs, attrs), r.state}
}

// WithGroup implements slog.Handler. No line of the product has a group.
func (r *Recorder) WithGroup(string) slog.Handler { return r }
