package replica

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// maxBuckets bounds the number of buckets of a Progress, and thus its memory. Each bucket holds the
// publishers that wrote in its time.
const maxBuckets = 64

// Progress records which sequences wait for one destination, and since when (R5). Times count from
// the start of the process. A Progress is not safe for concurrent use.
type Progress struct {
	begun   bucket          // in the journal at the start
	written buckets         // written by this process
	awaited buckets         // something waits for it again, whichever process wrote it
	acked   bookmark.Vector // highest sequences acknowledged on any connection
}

// NewProgress returns a Progress. Its times are exact to width as long as at most maxBuckets of
// them wait.
func NewProgress(width time.Duration) *Progress {
	width = max(width, time.Millisecond)
	return &Progress{
		written: buckets{width: width, minWidth: width},
		awaited: buckets{width: width, minWidth: width},
		acked:   make(bookmark.Vector),
	}
}

// Begin adds the vector of the journal at the start. These records wait from since on.
func (p *Progress) Begin(since time.Duration, have bookmark.Vector) {
	p.begun = bucket{since: since, highest: have.Above(p.acked)}
}

// BeginLater moves since to a later time, never back.
func (p *Progress) BeginLater(since time.Duration) { p.begun.since = max(p.begun.since, since) }

// Appended adds a record that was appended here. It reports whether the destination had nothing
// else to acknowledge.
func (p *Progress) Appended(now time.Duration, b bookmark.Bookmark) (first bool) {
	if p.acked.Covers(b) {
		return false
	}
	first = !p.anyWaits()
	p.written.add(now, b)
	return first
}

// Awaited adds a sequence that something waits for from now on, even if an earlier connection
// acknowledged it. It reports the same as Appended.
func (p *Progress) Awaited(now time.Duration, b bookmark.Bookmark) (first bool) {
	first = !p.anyWaits()
	p.awaited.add(now, b)
	return first
}

// Acked records that the destination has everything up to b on its disk.
func (p *Progress) Acked(b bookmark.Bookmark) {
	p.acked.Raise(b)
	p.begun.highest.RemoveReached(b)
	p.written.remove(b)
	p.awaited.remove(b)
}

// Acknowledged returns the highest sequences acknowledged on any connection of this process. The
// vector is read only and valid until the next call.
func (p *Progress) Acknowledged() bookmark.Vector { return p.acked }

// Forget drops a publisher that no instance knows any more.
func (p *Progress) Forget(publisher uint64) { delete(p.acked, publisher) }

// Oldest returns when the oldest wait began, false if nothing waits.
func (p *Progress) Oldest() (since time.Duration, waiting bool) {
	for _, b := range []*bucket{&p.begun, p.written.oldest(), p.awaited.oldest()} {
		if b != nil && len(b.highest) > 0 && (!waiting || b.since < since) {
			since, waiting = b.since, true
		}
	}
	return since, waiting
}

// Since returns when the oldest wait of a publisher began, false if nothing of it waits. The time is
// that of its bucket, or earlier.
func (p *Progress) Since(publisher uint64) (since time.Duration, waiting bool) {
	for _, list := range [][]bucket{{p.begun}, p.written.list, p.awaited.list} {
		at := slices.IndexFunc(list, func(k bucket) bool { return k.highest[publisher] > 0 })
		if at >= 0 && (!waiting || list[at].since < since) {
			since, waiting = list[at].since, true
		}
	}
	return since, waiting
}

func (p *Progress) anyWaits() bool {
	return len(p.begun.highest)+len(p.written.list)+len(p.awaited.list) > 0
}

// Waiting returns all sequences that wait now.
func (p *Progress) Waiting() bookmark.Vector {
	all := p.begun.highest.Clone()
	for _, list := range [][]bucket{p.written.list, p.awaited.list} {
		for _, k := range list {
			all.Merge(k.highest)
		}
	}
	return all
}

// A bucket holds the sequences that began to wait at about the same time.
type bucket struct {
	since   time.Duration   // when the first of them began to wait
	highest bookmark.Vector // of each publisher
}

// buckets are ordered by time. None is empty.
type buckets struct {
	list            []bucket
	width, minWidth time.Duration
	spare           bookmark.Vector // an empty vector for reuse, or nil
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

// merge merges the buckets in pairs, each under the time of its older one. So no wait ever seems
// shorter than it is.
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
		if old.highest.RemoveReached(b); len(old.highest) > 0 {
			return false
		}
		k.spare = old.highest
		return true
	})
	if len(k.list) == 0 {
		k.width = k.minWidth
	}
}

func (k *buckets) oldest() *bucket {
	if len(k.list) == 0 {
		return nil
	}
	return &k.list[0]
}
