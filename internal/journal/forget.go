package journal

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// GroupClock is the clock by which the group forgets publishers.
type GroupClock = ledger.GroupClock

const (
	// groupClockTicks is the number of ticks of the group's clock in one retain.
	groupClockTicks = 4
	// unseenTicks is the number of ticks for which a publisher must be unseen before it may
	// be closed. It is one tick more than twice retain, because the first tick may be
	// short.
	unseenTicks = 2*groupClockTicks + 1
	// leavingTicks is the number of ticks for which a publisher is closed before places
	// leave it out. So a journal that is restored from a backup younger than retain knows
	// that the publisher is closed.
	leavingTicks = groupClockTicks + 1
	// forgetTicks is the number of ticks for which a publisher is closed before it is
	// forgotten. So a subscription that is away for less than retain learns of the closing
	// first.
	forgetTicks = leavingTicks + groupClockTicks + 1
)

// GroupClock returns the group's clock as far as it is known here.
func (j *Journal) GroupClock() GroupClock { return readLocked(&j.mu, &j.table.groupClock) }

// MergeGroupClock takes over the numbers of a peer where they are higher. The change becomes
// durable before any record appended afterwards. So the log never says that a publisher was
// last seen at an earlier tick than its client has heard.
func (j *Journal) MergeGroupClock(c GroupClock) error {
	j.mu.Lock()
	err := j.unusableLocked()
	if after := j.table.groupClock.Max(c); err == nil && after != j.table.groupClock {
		err = j.appendChangeLocked(change{kind: stateGroupClock, groupClock: after})
	}
	j.mu.Unlock()
	return annotate(j.failIfDisk(err), "group clock")
}

// advanceGroupClock raises the group's clock by one if its last tick is a quarter of retain
// old. It does so only while a publisher waits for the clock, so an idle log does not grow.
func (j *Journal) advanceGroupClock(retain time.Duration) error {
	matters := false
	j.eachPublisher(func(p *publisher) { matters = matters || !j.table.mayForget(p) })
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.unusableLocked()
	if due := j.updateAgeLocked()-j.table.groupClockAge >= retain.Microseconds()/groupClockTicks; err != nil || !due || !matters {
		return err
	}
	next := j.table.groupClock
	next.Now++
	return j.appendChangeLocked(change{kind: stateGroupClock, groupClock: next})
}

// unseenLong reports whether a publisher was not seen for twice retain.
func (t *table) unseenLong(p *publisher) bool {
	return t.groupClock.Now >= p.seen+unseenTicks || failpoint.On(failpoint.R2HaveForgotten)
}

// mayForget reports whether a publisher was closed for long enough to be forgotten. A
// publisher that cannot be closed, because an instance is away, waits equally long.
func (t *table) mayForget(p *publisher) bool {
	since := p.closedAt
	if p.closedUpTo != p.have {
		since = p.seen + unseenTicks
	}
	return t.groupClock.Now >= since+forgetTicks || failpoint.On(failpoint.R2HaveForgotten)
}

// mayLeave reports whether places may leave a publisher out, as far as this instance is
// concerned. All instances must agree.
func (t *table) mayLeave(p *publisher) bool {
	return t.mayClose(p) && p.closedUpTo == p.have && (t.groupClock.Now >= p.closedAt+leavingTicks || failpoint.On(failpoint.R10LeftOutAtOnce))
}

// forgetPublishers closes the publishers that have no record left and were not seen for twice
// retain. It forgets those that were closed for long enough, if agree confirms it (R10). The
// log has the raised Forgotten clock before the publishers are forgotten.
func (j *Journal) forgetPublishers(remaining []segment, agree func([]bookmark.Bookmark) (agreed, closed []bookmark.Bookmark)) error {
	list := j.closingPublishers(remaining)
	closed := list
	if agree != nil {
		list, closed = agree(list)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.unusableLocked()
	for part := range slices.Chunk(j.newlyClosedLocked(closed, remaining), maxStateEntries) {
		if err == nil {
			err = j.appendChangeLocked(change{kind: stateClosed, list: part})
		}
	}
	t, next := j.table, j.table.groupClock
	var forgotten []uint64
	for _, b := range list {
		p := t.byID[b.Publisher]
		if p == nil || p.have != b.Sequence || !t.mayForget(p) || !t.forgettable(p, remaining) || len(forgotten) == maxStateEntries {
			continue // it was seen meanwhile, or was not closed for long enough
		}
		forgotten = append(forgotten, p.id)
		next.Forgotten = max(next.Forgotten, p.seen+1)
	}
	if err == nil && next != t.groupClock {
		err = j.appendChangeLocked(change{kind: stateGroupClock, groupClock: next})
	}
	if err == nil && len(forgotten) > 0 {
		err = j.appendChangeLocked(change{kind: stateForgotten, ids: forgotten})
	}
	return err
}

// newlyClosedLocked returns the publishers of a list that are to be closed now.
func (j *Journal) newlyClosedLocked(list []bookmark.Bookmark, remaining []segment) (closed []bookmark.Bookmark) {
	for _, b := range list {
		p := j.table.byID[b.Publisher]
		if p != nil && p.have == b.Sequence && p.closedUpTo != b.Sequence && j.table.forgettable(p, remaining) {
			closed = append(closed, b)
		}
	}
	return closed
}

// closingPublishers returns the publishers that may be closed or forgotten.
func (j *Journal) closingPublishers(remaining []segment) (list []bookmark.Bookmark) {
	j.eachPublisher(func(p *publisher) {
		if j.table.forgettable(p, remaining) {
			list = append(list, bookmark.Bookmark{Publisher: p.id, Sequence: p.have})
		}
	})
	return list
}

func (t *table) forgettable(p *publisher, remaining []segment) bool {
	return t.mayClose(p) && p.durable == p.have && (p.closedUpTo == p.have || !inAnySegment(remaining, p.id))
}

// mayClose reports whether all messages of a publisher are removed and it was not seen for
// twice retain. A diverged publisher never closes.
func (t *table) mayClose(p *publisher) bool {
	return (p.diverged == 0 || failpoint.On(failpoint.R11DivergedForgotten)) && p.floor == p.have && t.unseenLong(p)
}

func inAnySegment(segs []segment, publisher uint64) bool {
	return slices.ContainsFunc(segs, func(s segment) bool { return s.summary.highestOf(publisher) > 0 })
}

// applyClosed makes publishers closed.
func (t *table) applyClosed(closed []bookmark.Bookmark) {
	for _, b := range closed {
		if p := t.byID[b.Publisher]; p != nil {
			p.closedUpTo, p.closedAt = b.Sequence, t.groupClock.Now
		}
	}
}

// applyGroupClock takes over the group's clock; age is that of the log at that moment.
func (t *table) applyGroupClock(c GroupClock, age int64) {
	if c.Now > t.groupClock.Now {
		t.groupClockAge = age
	}
	t.groupClock = t.groupClock.Max(c)
}

// groupClock codes the group's clock, the Forgotten clock, and the age of the log when the
// group's clock rose last.
func (c *coder) groupClock(v *GroupClock, age *int64) {
	c.uvarint(&v.Now)
	c.uvarint(&v.Forgotten)
	number(c, age)
}
