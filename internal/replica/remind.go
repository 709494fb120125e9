package replica

import (
	"errors"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/logging"
)

// remindCheck is the time between two looks at the states that have reminders.
const remindCheck = 5 * time.Second

// steadyAfter is how long a link lasts that counts as steady.
const steadyAfter = 10 * time.Second

// maxShort is the number of links in a row that may be shorter than steadyAfter. After that the
// link counts as down until one is steady, so that a link that comes and goes does not fill the log.
const maxShort = 3

// states are the states of a peer that need attention, for the lines that say that they last. They
// are guarded by Links.mu.
type states struct {
	down     logging.Outage // since the start, or since the link went down
	planned  bool           // the peer had said that it stops
	crossed  bool           // the link went down because two connections crossed: one of them stays
	refusals []string       // reasons of refusals that this outage has told
	upAt     time.Duration  // when the last link came up
	downAt   time.Duration  // when the last one went down
	short    int            // the last links, in a row, that were shorter than steadyAfter

	downgraded logging.Reminder
	givenUp    logging.Reminder
	asymmetry  string // the last warning about how the two directions differ
}

// unsteady reports whether the link counts as down although it comes up now and then.
func (s *states) unsteady() bool { return s.short >= maxShort }

// crossing reports whether the link is down only for the moment between two connections: the one
// has ended because the other takes its place.
func (s *states) crossing(now time.Duration) bool {
	return s.crossed && now-s.downAt < time.Second
}

// linkUp notes that the link is up. tell reports whether that has a line, with the number of failed
// attempts before and the time without a link.
func (s *states) linkUp(now time.Duration) (attempts int, away time.Duration, tell bool) {
	s.upAt, s.givenUp = now, logging.Reminder{}
	quiet := s.crossing(now)
	s.crossed = false
	if s.unsteady() {
		return 0, 0, false
	}
	attempts, away = s.down.End(now)
	s.refusals = nil
	return attempts, away, !quiet
}

// linkDown notes that the link is down. tell reports whether that has a line.
func (s *states) linkDown(now time.Duration, cause error, planned bool) (tell bool) {
	s.planned, s.downAt = planned, now
	r, refusal := errors.AsType[*RefusedError](cause)
	if refusal {
		s.noteRefusal(cause.Error())
	}
	s.crossed = refusal && r.Code == refuseCrossed
	switch {
	case s.unsteady():
		s.down.CountAttempt()
		return false
	case s.crossed:
	case now-s.upAt < steadyAfter:
		s.short++
	default:
		s.short = 0
	}
	s.down.BeginOutage(now)
	return !s.crossed
}

// becameSteady notes that the link is steady. It reports the outage if the link was unsteady.
func (s *states) becameSteady(now time.Duration) (attempts int, away time.Duration, tell bool) {
	if !s.unsteady() || now-s.upAt < steadyAfter {
		return 0, 0, false
	}
	s.short = 0
	return s.linkUp(now)
}

// maxRefusals bounds the reasons that one outage tells.
const maxRefusals = 8

// attemptFailed counts an attempt to dial the peer. tell reports whether its reason, a refusal, has
// a line of its own: waiting does not end a refusal, so it is told at once, but only once.
func (s *states) attemptFailed(err error, refused bool) (tell bool) {
	s.down.CountAttempt()
	if !refused {
		return false
	}
	return s.noteRefusal(err.Error())
}

// noteRefusal notes a refusal. It reports whether this outage has not told its reason yet.
func (s *states) noteRefusal(reason string) (fresh bool) {
	if slices.Contains(s.refusals, reason) || len(s.refusals) == maxRefusals {
		return false
	}
	s.refusals = append(s.refusals, reason)
	return true
}

// remind logs the states that last.
func (l *Links) remind() {
	now := l.now()
	l.mu.Lock()
	if l.closed {
		l.mu.Unlock()
		return
	}
	for _, p := range l.peers {
		l.remindLocked(p, now)
	}
	l.unlockAndNotify()
}

func (l *Links) remindLocked(p *peer, now time.Duration) {
	s := &p.states
	if c := p.conn; c != nil {
		if attempts, away, tell := s.becameSteady(now); tell {
			l.emitLocked(EventPeerBack, p.name, "the link is up")
			l.deferLocked(func() { l.logUp(c, attempts, away) })
		}
	}
	if s.crossed && !s.crossing(now) { // the other connection has not come
		if s.crossed = false; !s.unsteady() {
			l.reportDownLocked(p, errors.New(p.reason), s.planned)
		}
	}
	if (p.conn == nil || s.unsteady()) && s.down.Remind(now) {
		reason, attempts, lasts := p.reason, s.down.Attempts(), s.down.Since(now)
		l.deferLocked(func() {
			l.o.Log.Warn("link is still down", "peer", p.name, "address", p.dest.Address, "duration", lasts, "attempts", attempts, "reason", reason)
		})
	}
	if s.downgraded.Remind(now) {
		lasts := s.downgraded.Since(now)
		l.deferLocked(func() {
			l.o.Log.Error("messages are still acknowledged by this disk alone", "peer", p.name, "duration", lasts)
		})
	}
	if s.givenUp.Remind(now) {
		lasts := s.givenUp.Since(now)
		l.deferLocked(func() { l.o.Log.Error("the peer is still given up", "peer", p.name, "duration", lasts) })
	}
}

// tellUpLocked notes that c is the connection of its peer, for the log and the events. second: it
// takes the place of one with the same process.
func (l *Links) tellUpLocked(c *conn, now time.Duration, second bool) {
	p := c.peer
	if warning := describeAsymmetry(c.ours, c.theirs); warning != p.states.asymmetry {
		p.states.asymmetry = warning
		if warning != "" {
			l.deferLocked(func() { l.o.Log.Warn("the two directions of the link differ", "peer", p.name, "reason", warning) })
		}
	}
	if attempts, away, tell := p.states.linkUp(now); tell && !second {
		l.emitLocked(EventPeerBack, p.name, "the link is up")
		l.deferLocked(func() { l.logUp(c, attempts, away) })
	}
}

// tellDownLocked notes that the link to p is down, for the log and the events.
func (l *Links) tellDownLocked(p *peer, now time.Duration, cause error) {
	if planned := p.phase != phaseRunning; p.states.linkDown(now, cause, planned) && !errors.Is(cause, ErrClosed) {
		l.reportDownLocked(p, cause, planned)
	}
}

func (l *Links) reportDownLocked(p *peer, cause error, planned bool) {
	l.emitLocked(EventPeerLost, p.name, "the link is down: "+cause.Error())
	l.deferLocked(func() { l.logDown(p, cause, planned) })
}

// logUp logs that a link is up. It names a direction only if nothing is replicated in it.
func (l *Links) logUp(c *conn, attempts int, away time.Duration) {
	missing := func(replicates bool) string {
		if replicates {
			return ""
		}
		return "false"
	}
	address, outbound, inbound := c.nc.RemoteAddr(), missing(c.ours.Outbound), missing(c.theirs.Outbound)
	if lacks := l.census().unacknowledged[c.peer]; lacks > 0 && c.ours.Outbound {
		l.o.Log.Info("link is up: the peer is catching up", "peer", c.peer.name, "address", address, "messages", lacks,
			"duration", away, "attempts", attempts, "outbound", outbound, "inbound", inbound)
		return
	}
	l.o.Log.Info("link is up", "peer", c.peer.name, "address", address, "duration", away, "attempts", attempts, "outbound", outbound, "inbound", inbound)
}

// logDown logs that a link is down.
func (l *Links) logDown(p *peer, cause error, planned bool) {
	if planned {
		l.o.Log.Info("link is down: the peer has stopped, as it had announced", "peer", p.name)
	} else {
		l.o.Log.Warn("link is down", "peer", p.name, "reason", cause)
	}
}
