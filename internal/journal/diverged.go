package journal

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// Diverge notes publishers that may have two contents for one number, each with
// the first number that is not proven equal (R11). A number that is not here is not
// proven either. From now on nothing is admitted of them. Once noted a number only
// falls. changed are those of which it has been noted or has fallen. When Diverge
// returns all of it is durable, and Diverged says so.
func (j *Journal) Diverge(found []bookmark.Bookmark) (changed []bookmark.Bookmark, err error) {
	for part := range slices.Chunk(found, floorsPerRecord) {
		news, err := j.noteDiverged(part)
		if err != nil {
			return nil, fmt.Errorf("journal: note diverged publishers: %w", err)
		}
		changed = append(changed, news...)
	}
	if len(changed) == 0 && !slices.ContainsFunc(found, func(b bookmark.Bookmark) bool { return j.Diverged(b.Publisher) == 0 }) {
		return nil, nil
	} // else somebody else has noted it, and it may not be durable yet
	if !mut.On(mut.R11DivergedNotDurable) {
		if err := j.Sync(); err != nil {
			return nil, err
		}
	}
	j.publishDiverged()
	return changed, nil
}

// noteDiverged appends those of found that are news.
func (j *Journal) noteDiverged(found []bookmark.Bookmark) (news []bookmark.Bookmark, err error) {
	err = j.appending(func() error {
		for _, b := range found {
			p := j.table.of(b.Publisher)
			b.Sequence = max(1, min(b.Sequence, p.have+1))
			if p.diverged == 0 || b.Sequence < p.diverged {
				news = append(news, b)
			}
		}
		if mut.On(mut.R11DivergedNotDurable) {
			j.table.applyDiverged(news)
			return nil
		}
		if len(news) == 0 {
			return nil
		}
		return j.appendChangeLocked(change{kind: stateDiverged, list: news})
	})
	return news, err
}

// publishDiverged makes what the table knows visible to Diverged.
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
// instances, 0 if it has not diverged as far as is durable.
func (j *Journal) Diverged(publisher uint64) (from uint64) {
	if all := j.diverged.Load(); all != nil {
		return (*all)[publisher]
	}
	return 0
}

// AllDiverged returns all publishers that have diverged, with the numbers of Diverged.
func (j *Journal) AllDiverged() bookmark.Vector {
	if all := j.diverged.Load(); all != nil {
		return maps.Clone(*all)
	}
	return nil
}

// divergedList returns the publishers that have diverged, ordered.
func (t *table) divergedList() (list []bookmark.Bookmark) {
	for _, p := range t.sorted() {
		if p.diverged > 0 {
			list = append(list, bookmark.Bookmark{Publisher: p.id, Sequence: p.diverged})
		}
	}
	return list
}

// applyDiverged notes publishers that have diverged. The numbers only fall.
func (t *table) applyDiverged(list []bookmark.Bookmark) {
	for _, b := range list {
		if p := t.publisher(b.Publisher); p.diverged == 0 || b.Sequence < p.diverged {
			p.diverged = b.Sequence
		}
	}
}

func (c *coder) diverged(list *[]bookmark.Bookmark) {
	c.bookmarks(list)
	c.check(!slices.ContainsFunc(*list, func(d bookmark.Bookmark) bool { return d.Sequence == 0 }))
}
