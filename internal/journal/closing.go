package journal

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// Closing is the progress of the group in forgetting publishers.
type Closing = ledger.Closing

const (
	// clockSteps is the number of steps of the group's clock in one retain.
	clockSteps = 4
	// silentSteps is the number of steps for which a publisher must be unseen before it may
	// be closed. It is one step more than twice retain, because the first step may be
	// short.
	silentSteps = 2*clockSteps + 1
	// leavingSteps is the number of steps for which a publisher is closed before places
	// leave it out. So a journal restored from a backup that is younger than retain has it
	// as closed.
	leavingSteps = clockSteps + 1
	// forgetSteps is the number of steps for which a publisher is closed before it is
	// forgotten. So a subscription that is away for less than retain is told before that.
	forgetSteps = leavingSteps + clockSteps + 1
)

// Closing returns the group's clock and the highest Forgotten, as far as they are known
// here.
func (j *Journal) Closing() Closing { return locked(&j.mu, &j.table.closing) }

// HearClosing takes over the numbers of a peer where they are higher. The change becomes
// durable before any record appended afterwards. So the log never says that a publisher was
// last seen at an earlier clock than the one that its client was told.
func (j *Journal) HearClosing(c Closing) error {
	j.mu.Lock()
	err := j.unusableLocked()
	if after := j.table.closing.Max(c); err == nil && after != j.table.closing {
		err = j.appendChangeLocked(change{kind: stateClosing, closing: after})
	}
	j.mu.Unlock()
	return annotate(j.judge(err), "group clock")
}

// advance raises the group's clock by one if it has stood still for a quarter of retain. It
// does so only while a publisher waits for the clock, so an idle log does not grow.
func (j *Journal) advance(retain time.Duration) error {
	matters := false
	j.each(func(p *publisher) { matters = matters || !j.table.due(p) })
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.unusableLocked()
	if due := j.agedLocked()-j.table.clockAge >= retain.Microseconds()/clockSteps; err != nil || !due || !matters {
		return err
	}
	next := j.table.closing
	next.Clock++
	return j.appendChangeLocked(change{kind: stateClosing, closing: next})
}

// silent reports whether a publisher was not seen for twice retain.
func (t *table) silent(p *publisher) bool {
	return t.closing.Clock >= p.seen+silentSteps || failpoint.On(failpoint.R2HaveForgotten)
}

// due reports whether a publisher was closed for long enough to be forgotten. A publisher
// that cannot be closed, because an instance is away, waits equally long.
func (t *table) due(p *publisher) bool {
	since := p.closedAt
	if p.closed != p.have {
		since = p.seen + silentSteps
	}
	return t.closing.Clock >= since+forgetSteps || failpoint.On(failpoint.R2HaveForgotten)
}

// leaves reports whether places may leave a publisher out, provided that all instances say
// so.
func (t *table) leaves(p *publisher) bool {
	return t.closes(p) && p.closed == p.have && (t.closing.Clock >= p.closedAt+leavingSteps || failpoint.On(failpoint.R10LeavesAtOnce))
}

// forget closes the publishers that have no record left and were not seen for twice retain.
// It removes those that have been closed for as long, if agree confirms it (R10). The log
// has the raised Forgotten clock before the publishers are removed.
func (j *Journal) forget(remaining []segment, agree func([]bookmark.Bookmark) (agreed, closed []bookmark.Bookmark)) error {
	list := j.forgettable(remaining)
	closed := list
	if agree != nil {
		list, closed = agree(list)
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	err := j.unusableLocked()
	for part := range slices.Chunk(j.newlyClosedLocked(closed, remaining), floorsPerRecord) {
		if err == nil {
			err = j.appendChangeLocked(change{kind: stateClosed, list: part})
		}
	}
	t, next := j.table, j.table.closing
	var gone []uint64
	for _, b := range list {
		p := t.byID[b.Publisher]
		if p == nil || p.have != b.Sequence || !t.due(p) || !t.forgettable(p, remaining) || len(gone) == floorsPerRecord {
			continue // it was seen meanwhile, or is not due
		}
		gone = append(gone, p.id)
		next.Forgotten = max(next.Forgotten, p.seen+1)
	}
	if err == nil && next != t.closing {
		err = j.appendChangeLocked(change{kind: stateClosing, closing: next})
	}
	if err == nil && len(gone) > 0 {
		err = j.appendChangeLocked(change{kind: stateForgotten, ids: gone})
	}
	return err
}

// newlyClosedLocked returns the publishers of a list that become closed now.
func (j *Journal) newlyClosedLocked(list []bookmark.Bookmark, remaining []segment) (closed []bookmark.Bookmark) {
	for _, b := range list {
		p := j.table.byID[b.Publisher]
		if p != nil && p.have == b.Sequence && p.closed != b.Sequence && j.table.forgettable(p, remaining) {
			closed = append(closed, b)
		}
	}
	return closed
}

// forgettable returns the publishers that are closing.
func (j *Journal) forgettable(remaining []segment) (list []bookmark.Bookmark) {
	j.each(func(p *publisher) {
		if j.table.forgettable(p, remaining) {
			list = append(list, bookmark.Bookmark{Publisher: p.id, Sequence: p.have})
		}
	})
	return list
}

func (t *table) forgettable(p *publisher, remaining []segment) bool {
	return t.closes(p) && p.durable == p.have && (p.closed == p.have || !inAny(remaining, p.id))
}

// closes reports whether all messages of a publisher are removed and it was not seen for
// twice retain. A diverged publisher never closes.
func (t *table) closes(p *publisher) bool {
	return (p.diverged == 0 || failpoint.On(failpoint.R11DivergedForgotten)) && p.floor == p.have && t.silent(p)
}

func inAny(segs []segment, publisher uint64) bool {
	return slices.ContainsFunc(segs, func(s segment) bool { return s.summary.of(publisher) > 0 })
}

// applyClosed notes that publishers are closed.
func (t *table) applyClosed(closed []bookmark.Bookmark) {
	for _, b := range closed {
		if p := t.byID[b.Publisher]; p != nil {
			p.closed, p.closedAt = b.Sequence, t.closing.Clock
		}
	}
}

// applyClosing takes over the group's clock; age is that of the log at that moment.
func (t *table) applyClosing(c Closing, age int64) {
	if c.Clock > t.closing.Clock {
		t.clockAge = age
	}
	t.closing = t.closing.Max(c)
}

// closing codes the group's clock, the Forgotten clock, and the age of the log when the
// group's clock rose last.
func (c *coder) closing(of *Closing, age *int64) {
	c.uvarint(&of.Clock)
	c.uvarint(&of.Forgotten)
	number(c, age)
}
