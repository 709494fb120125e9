package replica

import (
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// absentCheckInterval is the interval at which absent destinations are checked and open intervals
// are journaled.
const absentCheckInterval = 5 * time.Second

// watch does everything that depends on time: downgrades, the end of rejoining, giving up a
// destination, reminders. It sleeps until the next of these is due.
func (l *Links) watch() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	remindAt := l.now() + remindCheck
	for {
		select {
		case <-timer.C:
		case <-l.wake:
		case <-l.ctx.Done():
			return
		}
		next, now := l.step(), l.now()
		if now >= remindAt {
			l.remind()
			remindAt = now + remindCheck
		}
		if untilReminder := remindAt - now; next < 0 || untilReminder < next {
			next = untilReminder
		}
		timer.Reset(next)
	}
}

// step does everything that is due and returns the delay until its next call. A negative delay
// means that only an event makes the next call necessary.
func (l *Links) step() time.Duration {
	now := l.now()
	member := l.readMembership()
	l.mu.Lock()
	member.nextLog, member.logged = l.member.nextLog, l.member.logged
	l.member = member
	l.checkAbsentLocked(now)
	for _, p := range l.dests {
		l.updateAckStateLocked(p, now)
	}
	l.updateRejoinLocked(now)
	next := l.nextDueLocked(now)
	if l.nextStepAt = now + next; next < 0 {
		l.nextStepAt = -1
	}
	l.unlockAndNotify()
	return next
}

// nextDueLocked returns the time until something is due, negative if nothing is.
func (l *Links) nextDueLocked(now time.Duration) time.Duration {
	next := time.Duration(-1)
	at := func(t time.Duration, ok bool) {
		if t = max(0, t-now); ok && (next < 0 || t < next) {
			next = t
		}
	}
	for _, p := range l.dests {
		if since, waiting := l.oldestSinceLocked(p); p.dest.Sync {
			at(p.ack.Due(since, waiting, l.mayDowngradeLocked(p)))
		}
		at(l.lastAbsentCheck+absentCheckInterval, p.conn == nil && !p.givenUp || p.ack.Downgraded())
	}
	if l.rejoining.Load() {
		at(l.rejoin.Due(now))
		at(l.nextGroupLogLocked(), !l.serving && l.groupUnknownLocked())
	}
	return next
}

// checkAbsentLocked gives up absent destinations that hold back too much, and has open intervals
// journaled.
func (l *Links) checkAbsentLocked(now time.Duration) {
	if now < l.lastAbsentCheck+absentCheckInterval {
		return
	}
	l.lastAbsentCheck = now
	for _, p := range l.dests {
		if p.ack.Downgraded() {
			l.deferLocked(func() { l.recordOpenInterval(p) })
		}
		if p.conn == nil && !p.givenUp {
			l.deferLocked(func() { l.giveUp(p) })
		}
	}
}

// giveUp gives up an absent destination if it holds back too much (R5).
func (l *Links) giveUp(p *peer) {
	end := l.o.Journal.End()
	l.mu.Lock()
	defer l.unlockAndNotify()
	if p.conn != nil || p.givenUp || !ExceedsHold(end, p.neededFrom, l.o.HoldBytes) || failpoint.On(failpoint.R5NeverGiveUp) {
		return
	}
	l.giveUpLocked(p)
	l.emitLocked(EventGivenUp, p.name, fmt.Sprintf("no more is kept for %s: it is behind by more than hold", p.name))
	l.deferLocked(func() {
		l.o.Log.Error("the peer is given up: the journal kept for it is larger than hold; it will lack the messages that retention removes",
			"peer", p.name, "bytes", l.o.HoldBytes)
	})
}

// GiveUpAbsent gives up the destinations that have been away for RejoinTimeout, because the disk
// is nearly full and retention must remove the records that are kept for them (R5). It reports
// whether there was one.
func (l *Links) GiveUpAbsent() (any bool) {
	now := l.now()
	l.mu.Lock()
	defer l.unlockAndNotify()
	for _, p := range l.dests {
		if p.conn != nil || p.givenUp || !l.serving || now-p.awaySince < l.o.RejoinTimeout || failpoint.On(failpoint.R5TrimsLater) {
			continue
		}
		any = true
		l.giveUpLocked(p)
		l.emitLocked(EventGivenUp, p.name, fmt.Sprintf("no more is kept for %s: it is away and the disk is nearly full", p.name))
		l.deferLocked(func() {
			l.o.Log.Error("the peer is given up: it is away and the disk is nearly full; it will lack the messages that retention removes", "peer", p.name)
		})
	}
	return any
}

// giveUpLocked gives up a destination.
func (l *Links) giveUpLocked(p *peer) {
	p.givenUp = true
	p.states.givenUp.Begin(l.now())
}

// updateRejoinLocked updates the outcome of rejoining and defers its consequences.
func (l *Links) updateRejoinLocked(now time.Duration) {
	if !l.rejoining.Load() {
		return
	}
	was := l.outcome
	l.outcome = l.rejoin.Outcome(now)
	if !l.serving && l.groupUnknownLocked() {
		l.outcome = Waiting
		l.logGroupUnknownLocked(now)
		return
	}
	switch whole := l.member.intact || l.rejoin.Complete(); {
	case whole && !l.member.intact:
		l.deferLocked(l.becomeIntact)
	case whole && l.outcome == CaughtUp:
		l.rejoining.Store(false)
	}
	switch {
	case l.outcome == Waiting:
	case !l.serving:
		l.serving = true
		for _, p := range l.dests {
			p.progress.BeginLater(now)
		}
		outcome, missing := l.outcome, l.rejoin.Awaited()
		l.deferLocked(func() { l.becomeReady(outcome, missing) })
	case l.outcome == CaughtUp && was != CaughtUp:
		l.emitLocked(EventCatchUpDone, "", "this instance has caught up with all peers")
		l.deferLocked(func() { l.o.Log.Info("this instance has caught up with all peers") })
	}
}

// becomeReady closes ready, after it has repaired a damaged journal.
func (l *Links) becomeReady(outcome Outcome, missing []string) {
	if l.o.Journal.Damage() != nil && !failpoint.On(failpoint.R6ServeAtOnce) {
		if err := l.o.Journal.FinishMerge(); err != nil {
			l.o.Log.Error("cannot repair the journal: no clients are served", "error", err)
			return
		}
		l.o.Log.Info("the damaged journal is repaired with records of the peers")
		l.announceIntact()
	}
	if outcome == TimedOut {
		l.o.Log.Error("clients are served although this instance may lack messages of its peers: it has waited for them for rejoin_timeout", "peers", missing, "duration", l.o.RejoinTimeout)
	}
	close(l.ready)
}
