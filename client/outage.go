package client

import (
	"crypto/tls"
	"errors"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/logging"
)

// Bounds for log lines about events that may repeat.
const (
	repeatTime = 10 * time.Minute
	maxRepeats = 256 // keys that are counted separately
	maxTold    = 8   // reasons of refusals that one outage tells
)

// eventLog is what the log has told so far, so that a lasting state has a few lines and not one for
// each attempt. Only the session goroutine uses it.
type eventLog struct {
	began    time.Time
	loggedOn bool          // the client is logged on
	server   string        // of the last logon
	instance string        // of the last logon
	since    time.Duration // of the last logon
	outage   logging.Outage
	refusals []string                     // that this outage has told
	gaps     map[string]*logging.Reminder // servers that lack acknowledged messages
	repeats  map[string]*repeat

	standstill standstill
}

// connectedFor returns the server that the client is logged on to, and for how long it has been.
func (l *eventLog) connectedFor(now time.Duration) (server string, lasts time.Duration) {
	if !l.loggedOn {
		return "", 0
	}
	return l.server, now - l.since
}

// A repeat counts lines of one key.
type repeat struct {
	began          time.Duration
	lines, leftOut int
}

func newEventLog() eventLog {
	return eventLog{began: time.Now(), gaps: make(map[string]*logging.Reminder), repeats: make(map[string]*repeat)}
}

func (l *eventLog) now() time.Duration { return time.Since(l.began) }

// allow reports whether a line may be written: each key has a number of lines in repeatTime. leftOut
// is the number of lines before this one that were left out.
func (l *eventLog) allow(key string, lines int) (leftOut int, ok bool) {
	now, r := l.now(), l.repeats[key]
	if r == nil && len(l.repeats) >= maxRepeats {
		clear(l.repeats)
	}
	if r == nil {
		r = &repeat{began: now}
		l.repeats[key] = r
	}
	if now-r.began >= repeatTime {
		r.began, r.lines = now, 0
	}
	if r.lines >= lines {
		r.leftOut++
		return 0, false
	}
	leftOut, r.leftOut = r.leftOut, 0
	r.lines++
	return leftOut, true
}

// logConnected logs a logon. It ends the outage and the publish gap of the server.
func (c *Client) logConnected(info ServerInfo, publisher uint64, m Move, moved bool) {
	l := &c.log
	attempts, away := l.outage.End(l.now())
	l.loggedOn, l.refusals = true, nil
	l.server, l.instance, l.since = info.Server, info.Instance, l.now()
	delete(l.gaps, info.Server)
	from, reason := "", error(nil)
	if moved {
		from, reason = m.From, m.Err
	}
	if leftOut, ok := l.allow("connected", connectedLines); ok {
		c.cfg.Logger.Info("the client is connected", "server", info.Server, "instance", info.Instance, "version", info.Version, "publisher", publisher,
			"duration", away, "attempts", attempts, "from_server", from, "reason", reason, "left_out", orNil(leftOut))
	}
}

// connectedLines are the lines about connections that came and went in repeatTime.
const connectedLines = 20

// logEnded logs the end of a connection, or an attempt that has failed before the logon.
func (c *Client) logEnded(e *ConnectError) {
	l, loggedOn := &c.log, c.log.loggedOn
	l.loggedOn = false
	l.standstill.failed(e)
	switch {
	case loggedOn:
		l.outage.BeginOutage(l.now())
		leftOut, ok := l.allow("disconnected", connectedLines)
		switch {
		case !ok:
		case errors.Is(e.Err, ErrServerStopping):
			c.cfg.Logger.Info("the connection has ended: the server stops", "server", e.Server, "left_out", orNil(leftOut))
		default:
			c.cfg.Logger.Info("the connection is lost", "server", e.Server, "error", e.Err, "left_out", orNil(leftOut))
		}
	case isRefusal(e.Err) && l.tellRefusal(e):
		c.cfg.Logger.Warn("a server refuses the client", "server", e.Server, "reason", e.Err)
	}
	if !loggedOn && l.outage.Fail(l.now()) {
		c.cfg.Logger.Warn("the client is not connected", "duration", l.outage.Since(l.now()), "attempts", l.outage.Attempts(), "server", e.Server, "error", e.Err)
	}
}

// tellRefusal reports whether a refusal is news in this outage: it does not end by waiting, so it is
// told at once, but only once.
func (l *eventLog) tellRefusal(e *ConnectError) bool {
	text := e.Error()
	if slices.Contains(l.refusals, text) || len(l.refusals) == maxTold {
		return false
	}
	l.refusals = append(l.refusals, text)
	return true
}

// isRefusal reports whether an attempt has failed because of what client or server want, and not
// because the server cannot be reached.
func isRefusal(err error) bool {
	if _, refused := errors.AsType[*CommandError](err); refused {
		return true
	}
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted {
		return true
	}
	return slices.ContainsFunc([]error{ErrNameInUse, ErrNotAuthenticated, ErrNotEntitled, ErrTLSRequired}, func(e error) bool { return errors.Is(err, e) })
}

// logPublishGap logs that a server lacks acknowledged messages: once, and then as a reminder, until
// the client logs on there.
func (c *Client) logPublishGap(server string) {
	l, now := &c.log, c.log.now()
	g := l.gaps[server]
	if g == nil {
		g = new(logging.Reminder)
		l.gaps[server] = g
	}
	if news := !g.Lasts(); news || g.Remind(now) {
		g.Begin(now)
		c.cfg.Logger.Warn("publish gap: the server lacks acknowledged messages, and the client does not publish to it",
			"server", server, "duration", g.Since(now))
	}
}

// orNil returns nil instead of 0, so that the line does not have the value.
func orNil(n int) any {
	if n == 0 {
		return nil
	}
	return n
}
