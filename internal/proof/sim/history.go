package sim

import (
	"maps"
	"slices"
	"strconv"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
)

// A history is what is kept of a run for the checker of all engines, which
// judges it beside the oracle. The oracle looks while it happens; the checker
// knows nothing of how it came about.
type history struct {
	times  map[uint64]int64 // by body: when Publish was called
	lives  map[*subscriber][][]*checker.Handed
	begins map[*subscriber]int64 // when it was accepted from NOW
	gaps   map[*subscriber][]checker.Gap
}

func newHistory() *history {
	return &history{
		times: make(map[uint64]int64), lives: make(map[*subscriber][][]*checker.Handed),
		begins: make(map[*subscriber]int64), gaps: make(map[*subscriber][]checker.Gap),
	}
}

func (h *history) handed(s *subscriber, b bookmark.Bookmark, body uint64) {
	lives := h.lives[s]
	last := len(lives) - 1
	lives[last] = append(lives[last], &checker.Handed{Bookmark: b, Body: text(body)})
}

// discarded notes that a discard was called.
func (h *history) discarded(s *subscriber, b bookmark.Bookmark) {
	lives := h.lives[s]
	for _, m := range slices.Backward(lives[len(lives)-1]) {
		if m.Bookmark == b {
			m.Discard = checker.Discarding
			return
		}
	}
}

// died notes which discards are on the disk of a subscriber whose process has
// died: all of them, or, if its store forgets, those up to kept and none behind.
func (h *history) died(s *subscriber, forgets bool, kept bookmark.Vector) {
	lives := h.lives[s]
	for n, life := range lives {
		for _, m := range life {
			switch {
			case m.Discard == checker.Undiscarded:
			case forgets && !kept.Covers(m.Bookmark):
				m.Discard = checker.Discarding
			case n == len(lives)-1:
				m.Discard = checker.DiscardDurable
			}
		}
	}
}

func text(body uint64) string { return strconv.FormatUint(body, 10) }

// check has the checker judge the run.
func (o *oracle) check() {
	h := checker.History{}
	for _, l := range o.order {
		for n := range l.messages {
			h.Published = append(h.Published, o.published(l, n))
		}
	}
	for _, i := range o.w.instances {
		h.Journals = append(h.Journals, o.journal(i))
	}
	for _, s := range o.w.subscribers {
		h.Readers = append(h.Readers, o.reading(s))
	}
	for _, v := range h.Check() {
		o.violate("the checker says: %v", v)
	}
}

func (o *oracle) published(l *life, n int) *checker.Published {
	m := &l.messages[n]
	p := &checker.Published{
		App: l.owner.name, N: int(m.body), Topic: m.topic, Body: text(m.body),
		Publisher: l.publisher, Sequence: uint64(n) + 1, Fate: checker.Taken, Begun: o.history.times[m.body],
	}
	if m.excused || m.rejected || !m.kept() {
		p.Fate = checker.Unknown
	}
	return p
}

func (o *oracle) journal(i *instance) checker.Journal {
	c := o.read(i)
	j := checker.Journal{Instance: i.name, Floor: c.floor, OneWay: i.spare}
	for _, l := range o.order {
		c.floor[l.publisher] = c.goneTo(l.publisher)
		if l.forgettable(o.w, c.have[l.publisher]) {
			c.floor[l.publisher] = uint64(len(l.messages))
		}
	}
	for _, publisher := range slices.Sorted(maps.Keys(c.messages)) {
		l := o.lives[publisher]
		for _, s := range c.messages[publisher] {
			r := checker.Stored{Bookmark: bookmark.Bookmark{Publisher: publisher, Sequence: s.seq}, Prev: s.prev, Kind: s.kind, Body: text(s.body)}
			if l != nil && s.seq <= uint64(len(l.messages)) {
				r.Topic = l.messages[s.seq-1].topic
			}
			j.Records = append(j.Records, r)
		}
	}
	return j
}

func (o *oracle) reading(s *subscriber) *checker.Reader {
	r := &checker.Reader{Name: s.name, FullyDurable: s.durable, Since: o.history.begins[s], Gaps: o.history.gaps[s], Lives: o.history.lives[s]}
	if s.topic != topicAll {
		r.Topic = s.topic
	}
	for _, l := range o.order {
		none := max(o.readers[s].base[l.publisher], o.removed(l)) // is none of the subscription's, or not told
		if o.forgotten(l) {
			none = uint64(len(l.messages))
		}
		if none > 0 {
			r.Gaps = append(r.Gaps, checker.Gap{Publisher: l.publisher, From: 1, Through: none})
		}
	}
	return r
}
