package journal

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// NoteDiverged records publishers that may have two contents for one number. Each comes with
// the first number that is not proven equal (R11). A number above have(p) is not proven
// either. From now on the journal admits no record of these publishers. A recorded number can
// only fall. changed has the publishers that are new, or whose number has fallen. When
// NoteDiverged returns, all of this is durable and visible to Diverged.
func (j *Journal) NoteDiverged(found []bookmark.Bookmark) (changed []bookmark.Bookmark, err error) {
	for part := range slices.Chunk(found, maxStateEntries) {
		appended, err := j.appendDiverged(part)
		if err != nil {
			return nil, fmt.Errorf("journal: record diverged publishers: %w", err)
		}
		changed = append(changed, appended...)
	}
	if len(changed) == 0 && !slices.ContainsFunc(found, func(b bookmark.Bookmark) bool { return j.Diverged(b.Publisher) == 0 }) {
		return nil, nil
	} // otherwise another call has recorded it, and the record may not be durable yet
	if !failpoint.On(failpoint.R11DivergedNotDurable) {
		if err := j.Sync(); err != nil {
			return nil, err
		}
	}
	j.publishDiverged()
	return changed, nil
}

// appendDiverged appends the entries of found that are new or lower, and returns them.
func (j *Journal) appendDiverged(found []bookmark.Bookmark) (changed []bookmark.Bookmark, err error) {
	err = j.withRoom(func() error {
		for _, b := range found {
			p := j.table.lookup(b.Publisher)
			b.Sequence = max(1, min(b.Sequence, p.have+1))
			if p.diverged == 0 || b.Sequence < p.diverged {
				changed = append(changed, b)
			}
		}
		if failpoint.On(failpoint.R11DivergedNotDurable) {
			j.table.applyDiverged(changed)
			return nil
		}
		if len(changed) == 0 {
			return nil
		}
		return j.appendChangeLocked(change{kind: stateDiverged, list: changed})
	})
	return changed, err
}

// publishDiverged makes the diverged publishers of the table visible to Diverged.
func (j *Journal) publishDiverged() {
	j.mu.Lock()
	defer j.mu.Unlock()
	all := make(bookmark.Vector)
	for _, b := range j.table.divergedList() {
		all[b.Publisher] = b.Sequence
	}
	if len(all) > 0 {
		j.diverged.Store(&all)
	}
}

// Diverged returns the first number of a publisher that is not proven equal on all
// instances, 0 if the publisher has not diverged. It returns durable facts only.
func (j *Journal) Diverged(publisher uint64) (from uint64) {
	if all := j.diverged.Load(); all != nil {
		return (*all)[publisher]
	}
	return 0
}

// AllDiverged returns all diverged publishers, each with the result of Diverged.
func (j *Journal) AllDiverged() bookmark.Vector {
	if all := j.diverged.Load(); all != nil {
		return maps.Clone(*all)
	}
	return nil
}

// divergedList returns the diverged publishers, ordered by id.
func (t *table) divergedList() (list []bookmark.Bookmark) {
	for _, p := range t.sorted() {
		if p.diverged > 0 {
			list = append(list, bookmark.Bookmark{Publisher: p.id, Sequence: p.diverged})
		}
	}
	return list
}

// applyDiverged records diverged publishers. A recorded number can only fall.
func (t *table) applyDiverged(list []bookmark.Bookmark) {
	for _, b := range list {
		if p := t.ensure(b.Publisher); p.diverged == 0 || b.Sequence < p.diverged {
			p.diverged = b.Sequence
		}
	}
}

func (c *coder) diverged(list *[]bookmark.Bookmark) {
	c.bookmarks(list)
	c.require(!slices.ContainsFunc(*list, func(d bookmark.Bookmark) bool { return d.Sequence == 0 }))
}
