package replica

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// mayDowngradeLocked reports whether p may be downgraded because enough other destinations count
// (MinSync).
func (l *Links) mayDowngradeLocked(p *peer) bool {
	others := 0
	for _, o := range l.dests {
		if o != p && o.dest.Sync && !o.ack.Downgraded() {
			others++
		}
	}
	return others >= l.o.MinSync || failpoint.On(failpoint.R5MinSyncIgnored)
}

// updateAckStateLocked downgrades p, or lets it count again, if that is due. It defers the work
// that must be done without the lock.
func (l *Links) updateAckStateLocked(p *peer, now time.Duration) {
	if !p.dest.Sync {
		return
	}
	wait := l.oldestWaitLocked(p, now)
	switch p.ack.Update(wait, p.conn != nil, l.mayDowngradeLocked(p)) {
	case BecameDowngraded:
		l.watermarks.LeaveOut(p.index, true)
		p.tellStateLocked()
		p.degraded = degradedInterval{begin: l.began.Add(now).Round(0), ranges: make(map[uint64]journal.PublisherRange), dirty: true, alone: p.ackedAlone}
		p.states.downgraded.Begin(now)
		why := p.downgradeReason()
		l.emitLocked(EventSingleBegan, p.name, fmt.Sprintf("acks do not wait for %s any more: they are single", p.name))
		l.deferLocked(func() { l.becameDowngraded(p, wait, why) })
	case BecameCounting:
		l.watermarks.LeaveOut(p.index, false)
		p.backlog = p.progress.Waiting()
		p.tellStateLocked()
		alone := p.ackedAlone - p.degraded.alone
		interval := p.interval(l.began.Add(now).Round(0))
		p.singleFor += l.degradedForLocked(p, now)
		p.degraded = degradedInterval{}
		lasted := p.states.downgraded.End(now)
		l.emitLocked(EventSingleEnded, p.name, fmt.Sprintf("acks wait for %s again", p.name))
		l.deferLocked(func() { l.becameCounting(p, interval, lasted, alone) })
	}
}

// A downgradeReason is why a destination is downgraded, for the log.
type downgradeReason uint8

const (
	peerAway    downgradeReason = iota
	peerStopped                 // as it had announced
	peerSlow                    // its link is up
	peerLeftOut                 // by an operator
)

func (p *peer) downgradeReason() downgradeReason {
	switch {
	case p.conn == nil && p.states.planned:
		return peerStopped
	case p.conn == nil:
		return peerAway
	case p.ack.Held():
		return peerLeftOut
	}
	return peerSlow
}

// logDowngrade logs that a destination was downgraded. waited is how long its oldest message has
// waited.
func (l *Links) logDowngrade(p *peer, why downgradeReason, waited time.Duration) {
	messages := l.census().unacknowledged[p]
	switch why {
	case peerStopped:
		l.o.Log.Warn("messages are acknowledged by this disk alone: the peer has stopped, as it had announced",
			"peer", p.name, "waited", waited, "messages", messages)
	case peerLeftOut:
		l.o.Log.Warn("messages are acknowledged by this disk alone: an operator has left the peer out",
			"peer", p.name, "waited", waited, "messages", messages)
	case peerSlow:
		l.o.Log.Error("messages are acknowledged by this disk alone: the link is up, but the peer acknowledges too slowly",
			"peer", p.name, "waited", waited, "messages", messages)
	default:
		l.o.Log.Error("messages are acknowledged by this disk alone: the link to the peer is down",
			"peer", p.name, "waited", waited, "messages", messages)
	}
}

func (l *Links) becameDowngraded(p *peer, wait time.Duration, why downgradeReason) {
	l.logDowngrade(p, why, wait)
	states := l.o.Journal.States()
	l.mu.Lock()
	for _, s := range states {
		l.extendIntervalsLocked(s.Publisher, s.Durable)
	}
	l.mu.Unlock()
	l.recordOpenInterval(p)
	l.notifyWatermarks(nil)
	l.wakeWatch() // the downgrade of another destination may be forbidden now
}

func (l *Links) becameCounting(p *peer, interval journal.DegradedInterval, lasted time.Duration, alone uint64) {
	l.o.Log.Info("messages are acknowledged by the disk of the peer, too, from now on", "peer", p.name, "duration", lasted, "messages", alone)
	l.noteDegraded(interval)
	l.notifyWatermarks(nil)
	l.wakeWatch()
}

// extendIntervals extends the degraded intervals to the present settled(p) of publishers.
func (l *Links) extendIntervals(publishers []uint64) {
	for _, publisher := range publishers {
		local := l.durable(publisher)
		l.mu.Lock()
		l.extendIntervalsLocked(publisher, local)
		l.mu.Unlock()
	}
}

// extendIntervalsLocked does so for one publisher. local is durable(p) here.
func (l *Links) extendIntervalsLocked(publisher, local uint64) {
	for _, p := range l.dests {
		if !p.ack.Downgraded() || p.degraded.ranges == nil {
			continue
		}
		settled, acked := l.watermarks.Settled(publisher, local), p.progress.Acknowledged()[publisher]
		if settled <= acked {
			continue
		}
		r, ok := p.degraded.ranges[publisher]
		if !ok {
			r = journal.PublisherRange{Publisher: publisher, From: acked + 1}
		}
		if r.To < settled {
			counted := max(r.To, acked, p.progress.begun.highest[publisher])
			p.ackedAlone += settled - min(settled, counted)
			r.To = settled
			p.degraded.ranges[publisher] = r
			p.degraded.dirty = true
		}
	}
}

// interval returns the degraded interval of p. A zero end means that it has not ended.
func (p *peer) interval(end time.Time) journal.DegradedInterval {
	ranges := slices.SortedFunc(maps.Values(p.degraded.ranges), func(a, b journal.PublisherRange) int {
		return cmp.Compare(a.Publisher, b.Publisher)
	})
	return journal.DegradedInterval{Destination: p.name, Begin: p.degraded.begin, End: end, Ranges: ranges}
}

// recordOpenInterval journals p's open interval if its ranges have changed.
func (l *Links) recordOpenInterval(p *peer) {
	l.mu.Lock()
	dirty := p.ack != nil && p.ack.Downgraded() && p.degraded.dirty
	p.degraded.dirty = false
	interval := p.interval(time.Time{})
	l.mu.Unlock()
	if dirty {
		l.noteDegraded(interval)
	}
}

func (l *Links) noteDegraded(i journal.DegradedInterval) {
	if err := l.o.Journal.NoteDegraded(i); err != nil {
		l.o.Log.Error("cannot record the time in which messages were acknowledged by this disk alone", "peer", i.Destination, "error", err)
	}
}

// closeStaleIntervals ends the intervals that a dead process left open. In this process all
// destinations count at first.
func (l *Links) closeStaleIntervals() {
	for _, i := range l.o.Journal.DegradedIntervals() {
		if i.End.IsZero() {
			i.End = l.began.Round(0)
			l.noteDegraded(i)
		}
	}
}

// closeOpenIntervals ends the open intervals when the links close.
func (l *Links) closeOpenIntervals() {
	var open []journal.DegradedInterval
	l.mu.Lock()
	for _, p := range l.dests {
		if p.ack.Downgraded() {
			open = append(open, p.interval(l.o.Now().Round(0)))
		}
	}
	l.mu.Unlock()
	for _, i := range open {
		l.noteDegraded(i)
	}
}
