package client

import (
	"crypto/tls"
	"errors"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/logging"
	"github.com/holdfast-mq/holdfast/pubstore"
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
	began     time.Time
	loggedOn  bool                                   // the client is logged on
	server    string                                 // of the last logon
	since     time.Duration                          // of the last logon
	instances map[string]string                      // names of the servers that have accepted a logon
	late      func(leftOut int, lasts time.Duration) // line about the last logon that was left out; nil: it was written
	outage    logging.Outage
	tried     []*ConnectError // last error of each server since the last logon
	refusals  []string        // that this outage has told
	repeats   map[string]*repeat
	single    logging.Reminder // acks come from one server only
	standstill
	publishGaps
}

// publishGaps are the publish gaps that the log has told of.
type publishGaps struct {
	gaps map[string]*logging.Reminder // servers that lack acknowledged messages
	all  logging.Reminder             // every server that was tried lacks them
}

// A repeat counts lines of one key.
type repeat struct {
	began          time.Duration
	lines, leftOut int
	capTold        bool // the log says that lines are left out
}

// connectedFor returns the server that the client is logged on to, and for how long it has been.
func (l *eventLog) connectedFor(now time.Duration) (server string, lasts time.Duration) {
	if !l.loggedOn {
		return "", 0
	}
	return l.server, now - l.since
}

func newEventLog() eventLog {
	return eventLog{
		began: time.Now(), instances: make(map[string]string), repeats: make(map[string]*repeat),
		publishGaps: publishGaps{gaps: make(map[string]*logging.Reminder)},
	}
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
		r.began, r.lines, r.capTold = now, 0, false
	}
	if r.lines >= lines {
		r.leftOut++
		return 0, false
	}
	leftOut, r.leftOut = r.leftOut, 0
	r.lines++
	return leftOut, true
}

// takeLeftOut returns the number of lines of a key that were left out since the last one.
func (l *eventLog) takeLeftOut(key string) (n int) {
	if r := l.repeats[key]; r != nil {
		n, r.leftOut = r.leftOut, 0
	}
	return n
}

// Keys of the lines about connections that came and went, and their number in repeatTime.
const (
	connectedKey    = "connected"
	disconnectedKey = "disconnected"
	connectedLines  = 6
)

// logConnected logs a logon. It ends the outage and the publish gap of the server.
func (c *Client) logConnected(info ServerInfo, publisher uint64, m Move, moved bool) {
	l := &c.log
	attempts, away := l.outage.End(l.now())
	l.loggedOn, l.refusals, l.tried, l.late = true, nil, nil, nil
	l.server, l.since = info.Server, l.now()
	if len(l.instances) >= maxRepeats {
		clear(l.instances)
	}
	l.instances[info.Server] = info.Instance
	delete(l.gaps, info.Server)
	l.all.End(l.now())
	from, reason := "", error(nil)
	if moved {
		from, reason = m.From, m.Err
	}
	line := func(leftOut int, lasts time.Duration) {
		c.cfg.Logger.Info("the client is connected", "server", info.Server, "instance", info.Instance, "version", info.Version, "sync", info.Sync, "publisher", publisher,
			"duration", away, "attempts", attempts, "from_server", from, "reason", reason, "left_out", orNil(leftOut), "connected_for", orNil(lasts))
	}
	if leftOut, ok := l.allow(connectedKey, connectedLines); ok {
		line(leftOut, 0)
	} else {
		l.late = line
		c.logCap(l.repeats[connectedKey], reason)
	}
}

// logCap logs once in repeatTime that lines about logons are left out.
func (c *Client) logCap(r *repeat, reason error) {
	if !r.capTold {
		r.capTold = true
		c.cfg.Logger.Warn("the client connects again and again: further lines about it are left out until it stays connected",
			"lines", connectedLines, "limit", repeatTime, "reason", reason)
	}
}

// logLate writes the line about a logon that was left out, if the client has stayed connected: no
// state ends without a line.
func (c *Client) logLate() {
	l := &c.log
	if _, lasts := l.connectedFor(l.now()); l.late != nil && lasts >= clientcore.StableAfter {
		l.late(l.takeLeftOut(connectedKey)-1, lasts)
		l.late = nil
	}
}

// logEnded logs the end of a connection, or an attempt that has failed before the logon.
func (c *Client) logEnded(e *ConnectError) {
	l, loggedOn := &c.log, c.log.loggedOn
	l.loggedOn, l.late = false, nil
	l.failed(e)
	instance := l.instances[e.Server]
	switch {
	case loggedOn:
		l.outage.BeginOutage(l.now())
		leftOut, ok := l.allow(disconnectedKey, connectedLines)
		switch {
		case !ok:
		case errors.Is(e.Err, ErrServerStopping):
			c.cfg.Logger.Info("the connection has ended: the server stops", "server", e.Server, "instance", instance, "left_out", orNil(leftOut))
		case errors.Is(e.Err, ErrDiskFull):
			c.cfg.Logger.Info("the connection has ended: the server takes no publishes now, since its disk is nearly full", "server", e.Server, "instance", instance, "left_out", orNil(leftOut))
		default:
			c.cfg.Logger.Info("the connection is lost", "server", e.Server, "instance", instance, "error", e.Err, "left_out", orNil(leftOut))
		}
	case isRefusal(e.Err) && l.tellRefusal(e):
		c.cfg.Logger.Warn("a server refuses the client", "server", e.Server, "instance", instance, "reason", e.Err)
	}
	if !loggedOn && l.outage.Fail(l.now()) {
		c.cfg.Logger.Warn("the client is not connected", "duration", l.outage.Since(l.now()), "attempts", l.outage.Attempts(),
			"server", e.Server, "instance", instance, "error", e.Err, "left_out", orNil(l.takeLeftOut(disconnectedKey)))
	}
	if errors.Is(e.Err, ErrPublishGap) {
		c.logPublishGap(e.Server)
	}
	if e.in(l.tried) || len(l.tried) < maxTold {
		l.tried = replaceLast(l.tried, e)
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
	life := c.findLife(withCore(c.core, (*clientcore.Session).LifeID))
	publisher := pubstore.PublisherOf(life.ID)
	g := l.gaps[server]
	if g != nil && g.Since(now) >= gapEverywhereAfter && l.gapEverywhere(server) {
		if news := !l.all.Lasts(); news || l.all.Remind(now) {
			l.all.Begin(now)
			c.cfg.Logger.Error("publish gap: each server that was tried lacks acknowledged messages, and the client publishes to none",
				"servers", serversOf(l.tried), "publisher", publisher, "last", life.Acked, "messages", life.Kept, "duration", l.all.Since(now))
		}
		return
	}
	if g == nil {
		g = new(logging.Reminder)
		l.gaps[server] = g
	}
	if news := !g.Lasts(); news || g.Remind(now) {
		g.Begin(now)
		c.cfg.Logger.Warn("publish gap: the server lacks acknowledged messages, and the client does not publish to it",
			"server", server, "instance", l.instances[server], "publisher", publisher, "last", life.Acked, "messages", life.Kept, "duration", g.Since(now))
	}
}

// gapEverywhereAfter is the time for which servers that are starting may all lack messages.
const gapEverywhereAfter = 2 * time.Second

// gapEverywhere reports whether the client has tried its servers in turn since its last logon, and
// is back at this one, and each of them lacks acknowledged messages.
func (l *eventLog) gapEverywhere(server string) bool {
	for _, e := range l.tried {
		if !errors.Is(e.Err, ErrPublishGap) {
			return false
		}
	}
	return (&ConnectError{Server: server}).in(l.tried)
}

func serversOf(errs []*ConnectError) (servers []string) {
	for _, e := range errs {
		servers = append(servers, e.Server)
	}
	return servers
}

// orNil returns nil instead of 0, so that the line does not have the value.
func orNil[T int | time.Duration](n T) any {
	if n == 0 {
		return nil
	}
	return n
}
