package replica

import (
	"time"

	"cmp"
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// spareLocked reports whether p may be left out because enough others count (MinSync).
func (l *Links) spareLocked(p *peer) bool {
	others := 0
	for _, o := range l.dests {
		if o != p && o.dest.Sync && !o.ack.Downgraded() {
			others++
		}
	}
	return others >= l.o.MinSync || failpoint.On(failpoint.R5MinSyncIgnored)
}

// checkLocked downgrades p, or lets it count again, if that is due. It schedules the consequences
// that need no lock.
func (l *Links) checkLocked(p *peer, now time.Duration) {
	if !p.dest.Sync {
		return
	}
	wait := l.oldestWaitLocked(p, now)
	switch p.ack.Check(wait, p.conn != nil, l.spareLocked(p)) {
	case BecameDowngraded:
		l.marks.LeaveOut(p.index, true)
		p.single = degraded{begin: l.began.Add(now).Round(0), ranges: make(map[uint64]journal.Range), dirty: true}
		l.after = append(l.after, func() { l.becameDowngraded(p, wait) })
	case BecameCounting:
		l.marks.LeaveOut(p.index, false)
		p.behind = p.progress.Waiting()
		interval := p.interval(l.began.Add(now).Round(0))
		p.single = degraded{}
		l.after = append(l.after, func() { l.becameCounting(p, interval) })
	}
}

func (l *Links) becameDowngraded(p *peer, wait time.Duration) {
	l.o.Log.Error("link is downgraded: acks are of one disk until it is back", "peer", p.name, "waited", wait)
	states := l.o.Journal.States()
	l.mu.Lock()
	for _, s := range states {
		l.noteSingleLocked(s.Publisher, s.Durable)
	}
	l.mu.Unlock()
	l.recordInterval(p)
	l.watermark(nil)
	l.look() // the downgrade of another destination may be forbidden now
}

func (l *Links) becameCounting(p *peer, interval journal.Interval) {
	l.o.Log.Warn("link counts again", "peer", p.name, "left out since", interval.Begin)
	l.degraded(interval)
	l.watermark(nil)
	l.look()
}

// noteSingle notes how far publishers are settled without the destinations that are left out.
func (l *Links) noteSingle(publishers []uint64) {
	for _, publisher := range publishers {
		local := l.durable(publisher)
		l.mu.Lock()
		l.noteSingleLocked(publisher, local)
		l.mu.Unlock()
	}
}

// noteSingleLocked does so for one publisher; local is durable(p) here.
func (l *Links) noteSingleLocked(publisher, local uint64) {
	for _, p := range l.dests {
		if !p.ack.Downgraded() || p.single.ranges == nil {
			continue
		}
		settled, acked := l.marks.Settled(publisher, local), p.progress.Acknowledged()[publisher]
		if settled <= acked {
			continue
		}
		r, ok := p.single.ranges[publisher]
		if !ok {
			r = journal.Range{Publisher: publisher, From: acked + 1}
		}
		if r.To < settled {
			r.To = settled
			p.single.ranges[publisher] = r
			p.single.dirty = true
		}
	}
}

// interval returns the interval during which p is left out. A zero end means that it still is.
func (p *peer) interval(end time.Time) journal.Interval {
	ranges := slices.SortedFunc(maps.Values(p.single.ranges), func(a, b journal.Range) int {
		return cmp.Compare(a.Publisher, b.Publisher)
	})
	return journal.Interval{Destination: p.name, Begin: p.single.begin, End: end, Ranges: ranges}
}

// recordInterval journals the extent of p's interval if that has changed.
func (l *Links) recordInterval(p *peer) {
	l.mu.Lock()
	dirty := p.ack != nil && p.ack.Downgraded() && p.single.dirty
	p.single.dirty = false
	interval := p.interval(time.Time{})
	l.mu.Unlock()
	if dirty {
		l.degraded(interval)
	}
}

func (l *Links) degraded(i journal.Interval) {
	if err := l.o.Journal.Degraded(i); err != nil {
		l.o.Log.Error("recording a degraded interval", "peer", i.Destination, "error", err)
	}
}

// closeIntervals ends the intervals that a dead process left open. This process begins with all
// destinations counting.
func (l *Links) closeIntervals() {
	for _, i := range l.o.Journal.Intervals() {
		if i.End.IsZero() {
			i.End = l.began.Round(0)
			l.degraded(i)
		}
	}
}

// endIntervals ends the open intervals when the links close.
func (l *Links) endIntervals() {
	var open []journal.Interval
	l.mu.Lock()
	for _, p := range l.dests {
		if p.ack.Downgraded() {
			open = append(open, p.interval(l.o.Now().Round(0)))
		}
	}
	l.mu.Unlock()
	for _, i := range open {
		l.degraded(i)
	}
}
