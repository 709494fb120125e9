package server

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/logging"
)

// Bounds for log lines that clients or peers cause.
const (
	maxClientValue = 128 // longest value in a line that a client causes, bytes
	maxPeerValue   = 512
)

// A lineLimit is the number of lines that a budget allows for one key in a time, and the number of
// keys. Beyond it all new keys count as one.
type lineLimit struct {
	lines int
	per   time.Duration
	keys  int
}

var (
	sessionLimit  = lineLimit{1, time.Second, 16}     // one message and reason of one session
	instanceLimit = lineLimit{50, time.Second, 256}   // one message of all sessions, or of all links
	errorLimit    = lineLimit{1000, time.Second, 256} // instead of instanceLimit for errors, since somebody will look for each of them
	// One warning with its reason, about one client or one peer. So an attempt that is refused for
	// hours, by a client that tries again every few seconds, is one event. If lines were left out,
	// the next time is an hour.
	clientLimit      = lineLimit{1, 10 * time.Minute, 1024}
	clientErrorLimit = lineLimit{3, 10 * time.Minute, 1024}
	peerLimit        = lineLimit{10, 10 * time.Minute, 256}
)

// A lineBudget limits the number of lines for each key. It counts the lines that are left out.
type lineBudget struct {
	mu    sync.Mutex
	lines map[string]*lineCount // guarded by mu
	swept time.Time             // guarded by mu; when old keys were last removed
}

// A lineCount counts the lines of one key.
type lineCount struct {
	began   time.Time // of the time that the limit speaks of
	per     time.Duration
	lines   int // written in that time
	omitted int // left out since the last written line
}

// allow counts a line, and lines before it that another budget has left out. If ok is true the line
// may be written, and omitted lines were left out before it.
func (b *lineBudget) allow(key string, before int, limit lineLimit, now time.Time) (omitted int, ok bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c := b.countLocked(key, limit, now)
	if since := now.Sub(c.began); since < 0 || since >= max(c.per, limit.per) {
		c.began, c.lines, c.per = now, 0, limit.per
		if c.omitted > 0 && limit.per > time.Second {
			c.per = logging.RemindEvery
		}
	}
	if c.lines >= limit.lines && !failpoint.On(failpoint.LogUnbounded) {
		c.omitted += 1 + before
		return 0, false
	}
	omitted, c.omitted = c.omitted+before, 0
	c.lines++
	return omitted, true
}

// countLocked returns the count of a key. If there are too many keys, it removes those whose time
// is over, at most once a second.
func (b *lineBudget) countLocked(key string, limit lineLimit, now time.Time) *lineCount {
	c := b.lines[key]
	if c == nil && len(b.lines) >= limit.keys {
		if now.Sub(b.swept) >= time.Second {
			b.swept = now
			maps.DeleteFunc(b.lines, func(_ string, c *lineCount) bool { return now.Sub(c.began) >= max(c.per, limit.per) })
		}
		if len(b.lines) >= limit.keys {
			key = ""
			c = b.lines[key]
		}
	}
	if c == nil {
		c = new(lineCount)
		if b.lines == nil {
			b.lines = make(map[string]*lineCount)
		}
		b.lines[key] = c
	}
	return c
}

// omit counts lines that another budget has left out.
func (b *lineBudget) omit(lines int, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.countLocked("", sessionLimit, now).omitted += lines
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
	subjects *lineBudget // by client or peer
	subject  string      // name or address of the client, once it is known
}

func (h *boundedHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *boundedHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	with, short := *h, make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		short[i] = h.shorten(a)
		with.subject = subjectOf(short[i], with.subject)
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
		if a.Key == "left_out" {
			omitted += int(a.Value.Int64())
		} else {
			short.AddAttrs(h.shorten(a))
		}
		return true
	})
	if omitted > 0 {
		short.AddAttrs(slog.Int("left_out", omitted))
	}
	return h.next.Handle(ctx, short)
}

// subjectOf returns the client or peer that an attribute names, or before if it names none. An
// address counts without its port, and only as long as there is no name.
func subjectOf(a slog.Attr, before string) string {
	switch a.Key {
	case "client", "peer":
		return a.Value.String()
	case "address":
		if host, _, err := net.SplitHostPort(a.Value.String()); err == nil && before == "" {
			return host
		}
	}
	return before
}

// allow counts the line in all budgets.
func (h *boundedHandler) allow(r *slog.Record) (omitted int, ok bool) {
	reason, subject := "", h.subject
	r.Attrs(func(a slog.Attr) bool {
		a = h.shorten(a)
		if a.Key == "reason" || a.Key == "subscription" {
			reason += "\x00" + a.Value.String()
		}
		subject = subjectOf(a, subject)
		return true
	})
	key := r.Message + "\x00" + reason
	if h.session != nil {
		if omitted, ok = h.session.allow(key, 0, sessionLimit, r.Time); !ok {
			return 0, false
		}
	}
	if limit := h.subjectLimit(r.Level); limit.lines > 0 {
		before := omitted
		if omitted, ok = h.subjects.allow(key+"\x00"+subject, before, limit, r.Time); !ok {
			if h.session != nil {
				h.session.omit(1+before, r.Time) // for the last line of the session
			}
			return 0, false
		}
	}
	limit := instanceLimit
	if r.Level >= slog.LevelError {
		limit = errorLimit
	}
	return h.instance.allow(r.Message, omitted, limit, r.Time)
}

// subjectLimit returns the limit for lines about one client or peer. Zero: there is none.
func (h *boundedHandler) subjectLimit(level slog.Level) lineLimit {
	switch {
	case h.session != nil && level >= slog.LevelError:
		return clientErrorLimit
	case h.session != nil && level == slog.LevelWarn:
		return clientLimit
	case level == slog.LevelWarn:
		return peerLimit
	}
	return lineLimit{}
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

// logBudgets are the budgets of lines that clients cause, and of those that links or the admin port
// cause.
type logBudgets struct {
	clients, allClients lineBudget
	peers, links        lineBudget
}

// sessionLog returns a new log for one session, and the budget of that session.
func (s *Server) sessionLog() (*slog.Logger, *lineBudget) {
	b := new(lineBudget)
	return slog.New(&boundedHandler{
		next: s.log.Handler(), maxValue: maxClientValue, session: b, instance: &s.budgets.allClients, subjects: &s.budgets.clients,
	}), b
}

// linkLog returns a log for lines that links or the admin port cause.
func (s *Server) linkLog() *slog.Logger {
	return slog.New(&boundedHandler{next: s.log.Handler(), maxValue: maxPeerValue, instance: &s.budgets.links, subjects: &s.budgets.peers})
}
