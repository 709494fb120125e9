package checker

import (
	"fmt"
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// A readerCheck is the check of one subscription (G6).
type readerCheck struct {
	*check
	r           *Reader
	mustReceive map[uint64][]uint64                // the sequences it must be handed, by publisher, ascending
	discarded   map[bookmark.Bookmark]DiscardState // messages that earlier processes discarded

	// Of the present process:
	label string // it, and which of its processes
	last  bookmark.Vector
	seen  map[bookmark.Bookmark]bool
}

// checkReader: each message once in a process, each publisher's in order, all of
// them, and in later processes those not discarded.
func (c *check) checkReader(r *Reader) {
	rd := readerCheck{check: c, r: r, mustReceive: c.mustReceive(r), discarded: make(map[bookmark.Bookmark]DiscardState)}
	for _, g := range r.Gaps {
		if last := (bookmark.Bookmark{Publisher: g.Publisher, Sequence: g.Through}); c.isBeyondLast(last) {
			c.report(Foreign, "R9", "%s was told of a gap up to %v but the last published message is %d", r.Name, last, c.lastPublished[g.Publisher])
		}
	}
	for life, handed := range r.Processes {
		rd.label = fmt.Sprintf("%s, process %d", r.Name, life+1)
		rd.last, rd.seen = make(bookmark.Vector), make(map[bookmark.Bookmark]bool, len(handed))
		for _, m := range handed {
			rd.checkDelivery(m)
		}
		for _, p := range slices.Sorted(maps.Keys(rd.mustReceive)) {
			rd.checkComplete(p, life == len(r.Processes)-1)
		}
		for _, m := range handed {
			rd.discarded[m.Bookmark] = max(rd.discarded[m.Bookmark], m.State)
		}
	}
}

// mustReceive returns the messages that a subscription must be handed at least: from
// EPOCH all that match; from NOW those that were published after its beginning, and those
// after the first that it was handed.
func (c *check) mustReceive(r *Reader) map[uint64][]uint64 {
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

// checkDelivery checks one message against those before it.
func (rd *readerCheck) checkDelivery(m *Delivery) {
	switch at := rd.last[m.Publisher]; {
	case rd.seen[m.Bookmark]:
		rd.report(Duplicated, "G6", "%s was handed %v twice", rd.label, m.Bookmark)
	case m.Sequence < at:
		rd.report(Disordered, "G6", "%s was handed %v behind %d", rd.label, m.Bookmark, at)
	default:
		rd.last[m.Publisher] = m.Sequence
	}
	rd.seen[m.Bookmark] = true
	if rd.discarded[m.Bookmark] == DiscardDurable {
		rd.report(Duplicated, "G6", "%s was handed %v again although its discard was on disk", rd.label, m.Bookmark)
	}
	if p := rd.publishedAs("G6", rd.label, "was handed", m.Bookmark, m.Body); p != nil && rd.r.Topic != "" && p.Topic != rd.r.Topic {
		rd.report(Foreign, "G6", "%s was handed %v of topic %s", rd.label, m.Bookmark, p.Topic)
	}
	if _, stored := rd.content[m.Bookmark]; !stored && rd.r.FullyDurable && !rd.trimmed(m.Bookmark) {
		rd.report(Lost, "R13", "%s was handed %v, which the disks have lost", rd.label, m.Bookmark)
	}
	rd.checkContent(rd.label, m.Bookmark, m.Body)
}

// trimmed reports whether retention has removed a message somewhere.
func (c *check) trimmed(b bookmark.Bookmark) bool {
	return slices.ContainsFunc(c.h.Journals, func(j Journal) bool { return j.Floor.Covers(b) })
}

// checkComplete: nothing of a publisher that is due was left out before the last
// that a process was handed; after it neither, if the process lived to the end.
func (rd *readerCheck) checkComplete(publisher uint64, toEnd bool) {
	due, done := rd.mustReceive[publisher], 0
	for _, s := range due {
		b, when := bookmark.Bookmark{Publisher: publisher, Sequence: s}, ""
		if s > rd.last[publisher] {
			if when = ", at the end"; !toEnd {
				break
			}
		}
		if !rd.seen[b] && rd.discarded[b] == NotDiscarded && !rd.r.HasGap(b) {
			rd.report(Lost, "G6", "%s%s was not handed %v", rd.label, when, b)
		}
	}
	for done < len(due) && rd.discarded[bookmark.Bookmark{Publisher: publisher, Sequence: due[done]}] == DiscardDurable {
		done++ // for good
	}
	rd.mustReceive[publisher] = due[done:]
}

// HasGap reports whether a message is in a gap that was reported to the subscription.
func (r *Reader) HasGap(b bookmark.Bookmark) bool {
	return slices.ContainsFunc(r.Gaps, func(g Gap) bool {
		return g.Publisher == b.Publisher && g.From <= b.Sequence && b.Sequence <= g.Through
	})
}
