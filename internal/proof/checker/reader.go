package checker

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// A reading is the check of one subscription (G6).
type reading struct {
	*check
	r     *Reader
	due   map[uint64][]uint64                // the sequences it must be handed, by publisher, ascending
	state map[bookmark.Bookmark]DiscardState // of what earlier processes discarded

	// Of the present process:
	who  string // it, and which of its processes
	last bookmark.Vector
	seen map[bookmark.Bookmark]bool
}

// reader: each message once in a process, each publisher's in order, all of
// them, and in later processes those not discarded.
func (c *check) reader(r *Reader) {
	rd := reading{check: c, r: r, due: c.due(r), state: make(map[bookmark.Bookmark]DiscardState)}
	for _, g := range r.Gaps {
		if last := (bookmark.Bookmark{Publisher: g.Publisher, Sequence: g.Through}); c.beyond(last) {
			c.bad(Foreign, "R9", "%s was told of a gap up to %v, the last that was published is %d", r.Name, last, c.ends[g.Publisher])
		}
	}
	for life, handed := range r.Processes {
		rd.who = fmt.Sprintf("%s, process %d", r.Name, life+1)
		rd.last, rd.seen = make(bookmark.Vector), make(map[bookmark.Bookmark]bool, len(handed))
		for _, m := range handed {
			rd.handed(m)
		}
		for _, p := range slices.Sorted(maps.Keys(rd.due)) {
			rd.complete(p, life == len(r.Processes)-1)
		}
		for _, m := range handed {
			rd.state[m.Bookmark] = max(rd.state[m.Bookmark], m.State)
		}
	}
}

// due returns what a subscription must be handed at least: from EPOCH all that
// matches; from NOW what was published behind its beginning, and what is
// behind the first it was handed.
func (c *check) due(r *Reader) map[uint64][]uint64 {
	first := make(map[uint64]uint64)
	for _, life := range r.Processes {
		for _, m := range life {
			if f, ok := first[m.Publisher]; !ok || m.Sequence < f {
				first[m.Publisher] = m.Sequence
			}
		}
	}
	due := make(map[uint64][]uint64)
	if len(c.h.Journals) == 0 {
		return due
	}
	for _, s := range c.h.Journals[0].Records {
		if s.Kind != journal.Message || r.Topic != "" && s.Topic != r.Topic {
			continue
		}
		f, some := first[s.Publisher]
		m := c.published[s.Body]
		if r.Since == 0 || some && s.Sequence >= f || m != nil && m.PublishedAt > r.Since {
			due[s.Publisher] = append(due[s.Publisher], s.Sequence)
		}
	}
	return due
}

// handed checks one message against those before it.
func (rd *reading) handed(m *Delivery) {
	switch at := rd.last[m.Publisher]; {
	case rd.seen[m.Bookmark]:
		rd.bad(Duplicated, "G6", "%s was handed %v twice", rd.who, m.Bookmark)
	case m.Sequence < at:
		rd.bad(Disordered, "G6", "%s was handed %v behind %d", rd.who, m.Bookmark, at)
	default:
		rd.last[m.Publisher] = m.Sequence
	}
	rd.seen[m.Bookmark] = true
	if rd.state[m.Bookmark] == DiscardDurable {
		rd.bad(Duplicated, "G6", "%s was handed %v again, whose discard was on disk", rd.who, m.Bookmark)
	}
	if p := rd.genuine("G6", rd.who, "was handed", m.Bookmark, m.Body); p != nil && rd.r.Topic != "" && p.Topic != rd.r.Topic {
		rd.bad(Foreign, "G6", "%s was handed %v of topic %s", rd.who, m.Bookmark, p.Topic)
	}
	if _, stored := rd.content[m.Bookmark]; !stored && rd.r.FullyDurable && !rd.trimmed(m.Bookmark) {
		rd.bad(Lost, "R13", "%s was handed %v, and the disks have lost it", rd.who, m.Bookmark)
	}
	rd.means(rd.who, m.Bookmark, m.Body)
}

// trimmed reports whether retention has removed a message somewhere.
func (c *check) trimmed(b bookmark.Bookmark) bool {
	return slices.ContainsFunc(c.h.Journals, func(j Journal) bool { return j.Floor.Covers(b) })
}

// complete: nothing of a publisher that is due was left out before the last
// that a process was handed; behind it neither, if the process lived to the end.
func (rd *reading) complete(publisher uint64, toEnd bool) {
	due, done := rd.due[publisher], 0
	for _, s := range due {
		b, when := bookmark.Bookmark{Publisher: publisher, Sequence: s}, ""
		if s > rd.last[publisher] {
			if when = ", at the end"; !toEnd {
				break
			}
		}
		if !rd.seen[b] && rd.state[b] == NotDiscarded && !rd.r.HasGap(b) {
			rd.bad(Lost, "G6", "%s%s was not handed %v", rd.who, when, b)
		}
	}
	for done < len(due) && rd.state[bookmark.Bookmark{Publisher: publisher, Sequence: due[done]}] == DiscardDurable {
		done++ // for good
	}
	rd.due[publisher] = due[done:]
}

// HasGap reports whether the subscription was told that it can't have a message.
func (r *Reader) HasGap(b bookmark.Bookmark) bool {
	return slices.ContainsFunc(r.Gaps, func(g Gap) bool {
		return g.Publisher == b.Publisher && g.From <= b.Sequence && b.Sequence <= g.Through
	})
}
