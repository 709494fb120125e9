package journal

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// Closing is how far the instances of a group have come with forgetting publishers.
type Closing = ledger.Closing

const (
	// clockSteps is how often the group's clock rises in one retain.
	clockSteps = 4
	// silentSteps is for how many steps a publisher must not have been seen
	// before it may be closed: the first one may be short.
	silentSteps = 2*clockSteps + 1
	// leavingSteps is for how many steps a publisher is closed before places leave it
	// out. So a journal from a backup that is younger than retain has it as closed.
	leavingSteps = clockSteps + 1
	// forgetSteps is for how many steps it is closed before it is forgotten: a
	// subscription that is away for less than retain is told before that.
	forgetSteps = leavingSteps + clockSteps + 1
)

// Closing returns the group's clock, and what was forgotten, as far as is known here.
func (j *Journal) Closing() Closing { return locked(&j.mu, &j.table.closing) }

// HearClosing takes in what a peer knows. Records that are appended afterwards are
// not durable before it is: a publisher is never seen earlier by the log than by the
// clock that its client was told.
func (j *Journal) HearClosing(c Closing) error {
	j.mu.Lock()
	err := j.unusableLocked()
	if after := j.table.closing.Max(c); err == nil && after != j.table.closing {
		err = j.appendChangeLocked(change{kind: stateClosing, closing: after})
	}
	j.mu.Unlock()
	return annotate(j.judge(err), "group clock")
}

// advance raises the group's clock by one if it has stood still for a quarter of
// retain, as long as it matters to a publisher: an idle log does not grow.
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
	return t.closing.Clock >= p.seen+silentSteps || mut.On(mut.R2HaveForgotten)
}

// due reports whether the time is up for which a publisher must be closed before it
// is forgotten. One that can't be closed, since an instance is away, waits as long.
func (t *table) due(p *publisher) bool {
	since := p.closedAt
	if p.closed != p.have {
		since = p.seen + silentSteps
	}
	return t.closing.Clock >= since+forgetSteps || mut.On(mut.R2HaveForgotten)
}

// leaves reports whether places can do without a publisher, if all instances say so.
func (t *table) leaves(p *publisher) bool {
	return t.closes(p) && p.closed == p.have && (t.closing.Clock >= p.closedAt+leavingSteps || mut.On(mut.R10LeavesAtOnce))
}

// forget closes the publishers of whom no record remains and that were not seen for
// twice retain, and removes those that were closed for as long, if agree says so (R10).
// That one was forgotten is in the log before that.
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

// newlyClosedLocked returns those of a list that are closed from now on.
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

// closes reports whether nothing is left of a publisher that was not seen for twice
// retain. One that has diverged stays.
func (t *table) closes(p *publisher) bool {
	return (p.diverged == 0 || mut.On(mut.R11DivergedForgotten)) && p.floor == p.have && t.silent(p)
}

func inAny(segs []segment, publisher uint64) bool {
	return slices.ContainsFunc(segs, func(s segment) bool { return s.summary.of(publisher) > 0 })
}

// applyClosed takes in that publishers are closed.
func (t *table) applyClosed(closed []bookmark.Bookmark) {
	for _, b := range closed {
		if p := t.byID[b.Publisher]; p != nil {
			p.closed, p.closedAt = b.Sequence, t.closing.Clock
		}
	}
}

// applyClosing takes in the group's clock, at an age of the log.
func (t *table) applyClosing(c Closing, age int64) {
	if c.Clock > t.closing.Clock {
		t.clockAge = age
	}
	t.closing = t.closing.Max(c)
}

// closing goes over the group's clock, the newest of the forgotten, and the age of the
// log at which the clock has risen last.
func (c *coder) closing(of *Closing, age *int64) {
	c.uvarint(&of.Clock)
	c.uvarint(&of.Forgotten)
	number(c, age)
}
