package replica

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// maxBuckets bounds what Progress remembers: so many moments, and for each of
// them the publishers that wrote then.
const maxBuckets = 64

// Progress knows what waits for one destination and since when (R5). Times
// are counted from the start of the process. It isn't safe for concurrent use.
type Progress struct {
	begun   bucket          // was in the journal at the start
	written buckets         // written by this process
	asked   buckets         // waited for again, whoever wrote it when
	acked   bookmark.Vector // highest acknowledged on any connection
}

// NewProgress returns a Progress whose times are exact to width for as long
// as no more than maxBuckets of them wait.
func NewProgress(width time.Duration) *Progress {
	width = max(width, time.Millisecond)
	return &Progress{
		written: buckets{width: width, least: width},
		asked:   buckets{width: width, least: width},
		acked:   make(bookmark.Vector),
	}
}

// Begin says what the journal held at the start. It counts from since.
func (p *Progress) Begin(since time.Duration, have bookmark.Vector) {
	p.begun = bucket{since: since, highest: have.Above(p.acked)}
}

// BeginLater moves the time from which Begin's vector counts, never back.
func (p *Progress) BeginLater(since time.Duration) { p.begun.since = max(p.begun.since, since) }

// Appended says that a record was appended here. It reports whether nothing
// waited before and something does now.
func (p *Progress) Appended(now time.Duration, b bookmark.Bookmark) (first bool) {
	if p.acked.Covers(b) {
		return false
	}
	first = !p.waits()
	p.written.add(now, b)
	return first
}

// Asked says that something is waited for from now on, whether or not an
// earlier connection acknowledged it. It reports the same as Appended.
func (p *Progress) Asked(now time.Duration, b bookmark.Bookmark) (first bool) {
	first = !p.waits()
	p.asked.add(now, b)
	return first
}

// Acked says that the destination has everything up to b on its disk.
func (p *Progress) Acked(b bookmark.Bookmark) {
	p.acked.Raise(b)
	p.begun.highest.Reach(b)
	p.written.remove(b)
	p.asked.remove(b)
}

// Acknowledged returns the highest acknowledged on any connection of this
// process. It is read only, and valid until the next call.
func (p *Progress) Acknowledged() bookmark.Vector { return p.acked }

// Forget drops a publisher that nobody knows any more.
func (p *Progress) Forget(publisher uint64) { delete(p.acked, publisher) }

// Oldest returns since when the oldest thing waits, false if nothing does.
func (p *Progress) Oldest() (since time.Duration, waits bool) {
	for _, b := range []*bucket{&p.begun, p.written.oldest(), p.asked.oldest()} {
		if b != nil && len(b.highest) > 0 && (!waits || b.since < since) {
			since, waits = b.since, true
		}
	}
	return since, waits
}

func (p *Progress) waits() bool {
	return len(p.begun.highest)+len(p.written.list)+len(p.asked.list) > 0
}

// Waiting returns all that waits now.
func (p *Progress) Waiting() bookmark.Vector {
	all := p.begun.highest.Clone()
	for _, list := range [][]bucket{p.written.list, p.asked.list} {
		for _, k := range list {
			all.Merge(k.highest)
		}
	}
	return all
}

// A bucket is what began to wait at about one time.
type bucket struct {
	since   time.Duration   // of the first thing in it
	highest bookmark.Vector // per publisher
}

// buckets are ordered by time; none is empty.
type buckets struct {
	list         []bucket
	width, least time.Duration
	spare        bookmark.Vector // empty, or nil
}

func (k *buckets) add(now time.Duration, b bookmark.Bookmark) {
	last := len(k.list) - 1
	if last < 0 || now-k.list[last].since >= k.width {
		k.push(now)
		last = len(k.list) - 1
	}
	k.list[last].highest.Raise(b)
}

func (k *buckets) push(now time.Duration) {
	if len(k.list) >= maxBuckets {
		k.merge()
	}
	if k.spare == nil {
		k.spare = make(bookmark.Vector)
	}
	k.list = append(k.list, bucket{since: now, highest: k.spare})
	k.spare = nil
}

// merge makes one of every two. What waits keeps the older time: it never
// seems to have waited for less than it has.
func (k *buckets) merge() {
	for i := 0; i+1 < len(k.list); i += 2 {
		k.list[i].highest.Merge(k.list[i+1].highest)
		k.list[i/2] = k.list[i]
	}
	clear(k.list[len(k.list)/2:])
	k.list = k.list[:len(k.list)/2]
	k.width *= 2
}

func (k *buckets) remove(b bookmark.Bookmark) {
	k.list = slices.DeleteFunc(k.list, func(old bucket) bool {
		if old.highest.Reach(b); len(old.highest) > 0 {
			return false
		}
		k.spare = old.highest
		return true
	})
	if len(k.list) == 0 {
		k.width = k.least
	}
}

func (k *buckets) oldest() *bucket {
	if len(k.list) == 0 {
		return nil
	}
	return &k.list[0]
}
