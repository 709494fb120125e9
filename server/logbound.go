package server

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// What a client or a peer can have logged.
const (
	clientText     = 128 // bytes of a value that a client's line has
	peerText       = 512
	sessionLines   = 1    // a second, of one message and reason of one session
	instanceLines  = 50   // a second, of one message of all sessions, or of all links
	instanceErrors = 1000 // as instanceLines, of errors, each of which somebody looks for
	sessionKeys    = 16   // messages with their reasons that are told apart in a session
	instanceKeys   = 256
)

// A lineBudget says how many lines there are in a second, by key. Those that are
// left out are counted.
type lineBudget struct {
	mu    sync.Mutex
	lines map[string]*lineCount // guarded by mu
}

// A lineCount is how often lines of a key came.
type lineCount struct {
	second time.Time // began then
	lines  int       // in it
	others int       // left out since the last one that was not
}

// take counts a line. If it is to be written, others were left out before it. When
// there are too many keys new ones count as one.
func (b *lineBudget) take(key string, keys, most int, now time.Time) (others int, ok bool) {
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
	if c.lines >= most && !mut.On(mut.LogUnbounded) {
		c.others++
		return 0, false
	}
	others, c.others = c.others, 0
	c.lines++
	return others, true
}

// left returns how many lines were left out that no line has told of.
func (b *lineBudget) left() (n int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, c := range b.lines {
		n += c.others
	}
	return n
}

// A boundedHandler is a log that others can write to: values are cut, and lines
// beyond what a session, and all of them, may have are left out and counted.
type boundedHandler struct {
	next    slog.Handler
	text    int         // bytes of a value
	session *lineBudget // nil: of no session
	all     *lineBudget
}

func (h *boundedHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *boundedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with, short := *h, make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		short[i] = h.short(a)
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
	others, ok := h.take(&r)
	if !ok {
		return nil
	}
	short := slog.NewRecord(r.Time, r.Level, cut(r.Message, peerText), r.PC)
	r.Attrs(func(a slog.Attr) bool {
		short.AddAttrs(h.short(a))
		return true
	})
	if others > 0 {
		short.AddAttrs(slog.Int("left_out", others))
	}
	return h.next.Handle(ctx, short)
}

// take asks the budgets.
func (h *boundedHandler) take(r *slog.Record) (others int, ok bool) {
	if h.session != nil {
		key := r.Message
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "reason" {
				key += "\x00" + h.short(a).Value.String()
			}
			return true
		})
		if others, ok = h.session.take(key, sessionKeys, sessionLines, r.Time); !ok {
			return 0, false
		}
	}
	most := instanceLines
	if r.Level >= slog.LevelError {
		most = instanceErrors
	}
	more, ok := h.all.take(r.Message, instanceKeys, most, r.Time)
	return others + more, ok
}

// short cuts what is, or becomes, a text.
func (h *boundedHandler) short(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, cut(v.String(), h.text))
	case slog.KindAny:
		switch v.Any().(type) {
		case error, fmt.Stringer:
			return slog.String(a.Key, cut(v.String(), h.text))
		}
	}
	return a
}

// cut shortens a text, and says so.
func cut(text string, most int) string {
	if len(text) <= most || mut.On(mut.LogUnbounded) {
		return text
	}
	end := most
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return fmt.Sprintf("%s… (%d bytes)", text[:end], len(text))
}

// sessionLog returns the log of one session, and its budget.
func (s *Server) sessionLog() (*slog.Logger, *lineBudget) {
	b := new(lineBudget)
	return slog.New(&boundedHandler{next: s.log.Handler(), text: clientText, session: b, all: &s.lines}), b
}

// linkLog returns a log of its own for what others than clients cause: the links, the admin port.
func (s *Server) linkLog() *slog.Logger {
	return slog.New(&boundedHandler{next: s.log.Handler(), text: peerText, all: new(lineBudget)})
}
