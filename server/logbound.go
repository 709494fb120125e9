package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// Bounds for log lines that clients or peers cause.
const (
	maxClientValue = 128 // longest value in a line that a client causes, bytes
	maxPeerValue   = 512
	sessionLines   = 1    // per second, for one message and reason of one session
	instanceLines  = 50   // per second, for one message of all sessions, or of all links
	instanceErrors = 1000 // instead of instanceLines for errors, since somebody will look for each of them
	sessionKeys    = 16   // messages with reasons that are counted separately in a session
	instanceKeys   = 256
)

// A lineBudget limits the number of lines per second and key. It counts the lines that are left
// out.
type lineBudget struct {
	mu    sync.Mutex
	lines map[string]*lineCount // guarded by mu
}

// A lineCount counts the lines of one key.
type lineCount struct {
	second  time.Time // start of the current second
	lines   int       // written in that second
	omitted int       // left out since the last written line
}

// allow counts a line. If ok is true the line may be written, and omitted lines were left out
// before it. limit is the number of lines per second. Beyond the given number of keys, all new ones
// count as one.
func (b *lineBudget) allow(key string, keys, limit int, now time.Time) (omitted int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.lines[key]
	if c == nil && len(b.lines) >= keys {
		key = ""
		c = b.lines[key]
	}
	if c == nil {
		c = new(lineCount)
		if b.lines == nil {
			b.lines = make(map[string]*lineCount)
		}
		b.lines[key] = c
	}
	if since := now.Sub(c.second); since < 0 || since >= time.Second {
		c.second, c.lines = now, 0
	}
	if c.lines >= limit && !failpoint.On(failpoint.LogUnbounded) {
		c.omitted++
		return 0, false
	}
	omitted, c.omitted = c.omitted, 0
	c.lines++
	return omitted, true
}

// unreported returns the number of lines that were left out and that no later line has reported.
func (b *lineBudget) unreported() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.lines {
		n += c.omitted
	}
	return n
}

// A boundedHandler protects the log against clients and peers. It shortens values, leaves out lines
// beyond the budget of the session or of the instance, and counts these.
type boundedHandler struct {
	next     slog.Handler
	maxValue int         // longest value, bytes
	session  *lineBudget // nil: the lines belong to no session
	instance *lineBudget
}

func (h *boundedHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *boundedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with, short := *h, make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		short[i] = h.shorten(a)
	}
	with.next = h.next.WithAttrs(short)
	return &with
}

func (h *boundedHandler) WithGroup(name string) slog.Handler {
	with := *h
	with.next = h.next.WithGroup(name)
	return &with
}

func (h *boundedHandler) Handle(ctx context.Context, r slog.Record) error {
	omitted, ok := h.allow(&r)
	if !ok {
		return nil
	}
	short := slog.NewRecord(r.Time, r.Level, truncate(r.Message, maxPeerValue), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		short.AddAttrs(h.shorten(a))
		return true
	})
	if omitted > 0 {
		short.AddAttrs(slog.Int("left_out", omitted))
	}
	return h.next.Handle(ctx, short)
}

// allow counts the line in both budgets.
func (h *boundedHandler) allow(r *slog.Record) (omitted int, ok bool) {
	if h.session != nil {
		key := r.Message
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "reason" {
				key += "\x00" + h.shorten(a).Value.String()
			}
			return true
		})
		if omitted, ok = h.session.allow(key, sessionKeys, sessionLines, r.Time); !ok {
			return 0, false
		}
	}
	limit := instanceLines
	if r.Level >= slog.LevelError {
		limit = instanceErrors
	}
	more, ok := h.instance.allow(r.Message, instanceKeys, limit, r.Time)
	return omitted + more, ok
}

// shorten shortens a value that is, or will be printed as, a text.
func (h *boundedHandler) shorten(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, truncate(v.String(), h.maxValue))
	case slog.KindAny:
		switch v.Any().(type) {
		case error, fmt.Stringer:
			return slog.String(a.Key, truncate(v.String(), h.maxValue))
		}
	}
	return a
}

// truncate shortens a text to limit bytes and appends its full length.
func truncate(text string, limit int) string {
	if len(text) <= limit || failpoint.On(failpoint.LogUnbounded) {
		return text
	}
	end := limit
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:end], len(text))
}

// sessionLog returns a new log for one session, and the budget of that session.
func (s *Server) sessionLog() (*slog.Logger, *lineBudget) {
	b := new(lineBudget)
	return slog.New(&boundedHandler{next: s.log.Handler(), maxValue: maxClientValue, session: b, instance: &s.logBudget}), b
}

// linkLog returns a new log, with its own budget, for lines that links or the admin port cause.
func (s *Server) linkLog() *slog.Logger {
	return slog.New(&boundedHandler{next: s.log.Handler(), maxValue: maxPeerValue, instance: new(lineBudget)})
}
