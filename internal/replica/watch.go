package replica

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// patrolInterval is how often absent destinations are checked and open intervals are journaled.
const patrolInterval = 5 * time.Second

// watch does everything that time causes: downgrades, the end of rejoining, giving up a
// destination. It sleeps until the next of these is due.
func (l *Links) watch() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-timer.C:
		case <-l.wake:
		case <-l.ctx.Done():
			return
		}
		next := l.step()
		timer.Stop()
		if next >= 0 {
			timer.Reset(next)
		}
	}
}

// step does all that is due and returns the delay until its next call. A negative delay means that
// only an event makes the next call necessary.
func (l *Links) step() time.Duration {
	now := l.now()
	member := l.lookAtCluster()
	l.mu.Lock()
	member.says = l.member.says
	l.member = member
	l.patrolLocked(now)
	for _, p := range l.dests {
		l.checkLocked(p, now)
	}
	l.rejoinLocked(now)
	next := l.nextLocked(now)
	if l.looksAt = now + next; next < 0 {
		l.looksAt = -1
	}
	l.unlock()
	return next
}

// nextLocked returns the time until something is due, negative if nothing is.
func (l *Links) nextLocked(now time.Duration) time.Duration {
	next := time.Duration(-1)
	at := func(t time.Duration, ok bool) {
		if t = max(0, t-now); ok && (next < 0 || t < next) {
			next = t
		}
	}
	for _, p := range l.dests {
		if since, waits := l.oldestLocked(p); p.dest.Sync {
			at(p.ack.Due(since, waits, l.spareLocked(p)))
		}
		at(l.lastPatrol+patrolInterval, p.conn == nil && !p.givenUp || p.ack.Downgraded())
	}
	if l.rejoining.Load() {
		at(l.rejoin.Due(now))
		at(l.saysAtLocked(), !l.opened && l.homelessLocked())
	}
	return next
}

// patrolLocked gives up absent destinations that hold back too much, and has open intervals
// journaled.
func (l *Links) patrolLocked(now time.Duration) {
	if now < l.lastPatrol+patrolInterval {
		return
	}
	l.lastPatrol = now
	for _, p := range l.dests {
		if p.ack.Downgraded() {
			l.after = append(l.after, func() { l.recordInterval(p) })
		}
		if p.conn == nil && !p.givenUp {
			l.after = append(l.after, func() { l.giveUp(p) })
		}
	}
}

// giveUp gives up an absent destination if it holds back too much (R5).
func (l *Links) giveUp(p *peer) {
	end := l.o.Journal.End()
	l.mu.Lock()
	up := p.conn == nil && !p.givenUp && Beyond(end, p.heldFrom, l.o.Hold) && !failpoint.On(failpoint.R5NeverGiveUp)
	p.givenUp = p.givenUp || up
	l.mu.Unlock()
	if up {
		l.o.Log.Error("destination is given up: it holds back more than hold; it will lack what retention removes",
			"peer", p.name, "hold", l.o.Hold)
	}
}

// GiveUpAbsent gives up the destinations that have been away for RejoinTimeout, because the disk
// is nearly full and retention must remove the records that are kept for them (R5). It reports
// whether there was one.
func (l *Links) GiveUpAbsent() (any bool) {
	now := l.now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, p := range l.dests {
		if p.conn != nil || p.givenUp || !l.opened || now-p.awaySince < l.o.RejoinTimeout || failpoint.On(failpoint.R5TrimsLater) {
			continue
		}
		p.givenUp, any = true, true
		l.o.Log.Error("destination is given up: it is away and the disk is nearly full; it will lack what retention removes", "peer", p.name)
	}
	return any
}

// rejoinLocked updates the outcome of rejoining and schedules its consequences.
func (l *Links) rejoinLocked(now time.Duration) {
	if !l.rejoining.Load() {
		return
	}
	was := l.outcome
	l.outcome = l.rejoin.Outcome(now)
	if !l.opened && l.homelessLocked() {
		l.outcome = Waiting
		l.sayHomelessLocked(now)
		return
	}
	switch whole := l.member.intact || l.rejoin.Whole(); {
	case whole && !l.member.intact:
		l.after = append(l.after, l.becomeIntact)
	case whole && l.outcome == CaughtUp:
		l.rejoining.Store(false)
	}
	switch {
	case l.outcome == Waiting:
	case !l.opened:
		l.opened = true
		for _, p := range l.dests {
			p.progress.BeginLater(now)
		}
		outcome, missing := l.outcome, l.rejoin.Missing()
		l.after = append(l.after, func() { l.open(outcome, missing) })
	case l.outcome == CaughtUp && was != CaughtUp:
		l.after = append(l.after, func() { l.o.Log.Info("caught up with all peers") })
	}
}

// open closes ready, after it has healed a damaged journal.
func (l *Links) open(outcome Outcome, missing []string) {
	if l.o.Journal.Damage() != nil && !failpoint.On(failpoint.R6ServeAtOnce) {
		if err := l.o.Journal.Healed(); err != nil {
			l.o.Log.Error("healing the journal; clients are not served", "error", err)
			return
		}
		l.o.Log.Warn("damaged journal is healed with what the peers had")
		l.sayIntact()
	}
	if outcome == TimedOut {
		l.o.Log.Error("serving without having caught up", "peers", missing, "waited", l.o.RejoinTimeout)
	}
	close(l.ready)
}
