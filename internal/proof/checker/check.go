package checker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// Check returns what of a history the guarantees do not allow.
func (h *History) Check() []Violation {
	c := &check{h: h, published: make(map[string]*Published, len(h.Published)), content: make(map[bookmark.Bookmark]string)}
	for _, m := range h.Published {
		c.published[m.Body] = m
	}
	for _, e := range h.Errors {
		c.bad(Unexpected, "G7", "%s", e)
	}
	for _, l := range h.LetGo {
		c.letGo(l)
	}
	for _, j := range h.Journals {
		c.journal(j)
	}
	c.same()
	for _, r := range h.Readers {
		c.reader(r)
	}
	return c.found
}

// A check is one Check.
type check struct {
	h         *History
	published map[string]*Published        // by body
	content   map[bookmark.Bookmark]string // what an identity stands for, wherever it was seen first
	found     []Violation
}

func (c *check) bad(harm Harm, rule, format string, args ...any) {
	c.found = append(c.found, Violation{harm, rule, fmt.Sprintf(format, args...)})
}

// letGo: a store lets go of what is on both disks (G2).
func (c *check) letGo(l LetGo) {
	on := 0
	for _, d := range l.Durable {
		if d.Sequence >= l.Through.Sequence {
			on++
		}
	}
	if on < len(l.Durable) && !(l.Single && on > 0) {
		c.bad(Unsafe, "G2", "the store of %s let go up to %v, the disks have up to %v", l.App, l.Through, l.Durable)
	}
}

// An origin is an application under one publisher.
type origin struct {
	publisher uint64
	app       string
}

// A volume is the check of one journal.
type volume struct {
	*check
	j     Journal
	last  map[uint64]Stored          // by publisher
	n     map[origin]int             // count of the last message
	there map[string]Stored          // messages by body
	seen  map[bookmark.Bookmark]bool // records
}

// journal: each identity once (G3), each publisher's in order and without
// holes (G4), all that was taken, nothing that was not published (G1).
func (c *check) journal(j Journal) {
	v := volume{c, j, make(map[uint64]Stored), make(map[origin]int), make(map[string]Stored, len(j.Records)),
		make(map[bookmark.Bookmark]bool, len(j.Records))}
	for _, r := range j.Records {
		if v.follows(r) && r.Kind == journal.Message {
			v.message(r)
		}
	}
	for _, m := range c.h.Published {
		v.kept(m)
	}
}

// follows: a record stands behind its predecessor, and once. It returns false for a second one.
func (v volume) follows(r Stored) bool {
	if v.seen[r.Bookmark] {
		v.bad(Duplicated, "G3", "%s has %v twice", v.j.Instance, r.Bookmark)
		return false
	}
	v.seen[r.Bookmark] = true
	if l := v.last[r.Publisher]; r.Sequence <= l.Sequence {
		v.bad(Disordered, "G4", "%s has %v behind %v", v.j.Instance, r.Bookmark, l.Bookmark)
	} else if r.Prev > max(l.Sequence, v.j.Floor[r.Publisher]) {
		v.bad(Disordered, "G4", "%s lacks what is before %v, the last before is %v", v.j.Instance, r.Bookmark, l.Bookmark)
	}
	v.last[r.Publisher] = r
	return true
}

// message: a record is a message that was published, once, in its place.
func (v volume) message(r Stored) {
	if other, twice := v.there[r.Body]; twice {
		v.bad(Duplicated, "G3", "%s has %s as %v and as %v", v.j.Instance, short(r.Body), other.Bookmark, r.Bookmark)
	}
	v.there[r.Body] = r
	m := v.published[r.Body]
	if m == nil {
		v.bad(Foreign, "G1", "%s has %v, which nobody published: %s", v.j.Instance, r.Bookmark, short(r.Body))
		return
	}
	if m.Fate == Refused {
		v.bad(Foreign, "G1", "%s has %s, whose Publish returned an error", v.j.Instance, short(m.Body))
	}
	if r.Topic != m.Topic {
		v.bad(Foreign, "G1", "%s has %s under %s, it was published to %s", v.j.Instance, short(m.Body), r.Topic, m.Topic)
	}
	of := origin{r.Publisher, m.App}
	if v.n[of] >= m.N {
		v.bad(Disordered, "G4", "%s has %s behind number %d of publisher %d", v.j.Instance, short(m.Body), v.n[of], r.Publisher)
	}
	v.n[of] = m.N
	v.means(v.j.Instance, r.Bookmark, r.Body)
}

// means: an identity stands for one content, wherever it is seen.
func (c *check) means(where string, b bookmark.Bookmark, body string) {
	if first, known := c.content[b]; known && first != body {
		c.bad(Duplicated, "G3", "%v is %s at %s, and elsewhere %s", b, short(body), where, short(first))
	}
	c.content[b] = body
}

// kept: what was taken is there, unless retention has removed it.
func (v volume) kept(m *Published) {
	r, ok := v.there[m.Body]
	trimmed := m.Publisher != 0 && m.Sequence <= v.j.Floor[m.Publisher]
	switch {
	case m.Fate != Taken:
	case !ok && !trimmed:
		v.bad(Lost, "G1", "%s lacks %s, which was taken as %d", v.j.Instance, short(m.Body), m.Sequence)
	case ok && (r.Sequence < m.Sequence || r.Sequence > m.Sequence && !m.Based):
		v.bad(Disordered, "G1", "%s has %s as %v, it was taken as %d", v.j.Instance, short(m.Body), r.Bookmark, m.Sequence)
	}
}

// same: all journals hold the same messages (G5).
func (c *check) same() {
	if len(c.h.Journals) == 0 {
		return
	}
	first := c.h.Journals[0]
	want := messages(first)
	for _, j := range c.h.Journals[1:] {
		got := messages(j)
		for _, b := range missing(want, got, j.Floor) {
			c.bad(Diverged, "G5", "%s has %v, %s has not", first.Instance, b, j.Instance)
		}
		for _, b := range missing(got, want, first.Floor) {
			if m := c.published[got[b].Body]; !(j.OneWay && m != nil && m.Fate == Unknown) {
				c.bad(Diverged, "G5", "%s has %v, %s has not", j.Instance, b, first.Instance)
			}
		}
		for _, r := range j.Records {
			if w, ok := want[r.Bookmark]; ok && r.Kind == journal.Message && w.Sum != r.Sum {
				c.bad(Diverged, "G5", "%v is not the same on %s as on %s", r.Bookmark, j.Instance, first.Instance)
			}
		}
	}
}

// messages returns a journal's messages.
func messages(j Journal) map[bookmark.Bookmark]Stored {
	all := make(map[bookmark.Bookmark]Stored, len(j.Records))
	for _, r := range j.Records {
		if r.Kind == journal.Message {
			all[r.Bookmark] = r
		}
	}
	return all
}

// missing returns what of want is neither in got nor below its floor, in order.
func missing(want, got map[bookmark.Bookmark]Stored, floor bookmark.Vector) (all []bookmark.Bookmark) {
	for b := range want {
		if _, ok := got[b]; !ok && !floor.Covers(b) {
			all = append(all, b)
		}
	}
	slices.SortFunc(all, func(a, b bookmark.Bookmark) int {
		return cmp.Or(cmp.Compare(a.Publisher, b.Publisher), cmp.Compare(a.Sequence, b.Sequence))
	})
	return all
}

// short returns the beginning of a body, which names it.
func short(body string) string {
	name, _, _ := strings.Cut(body, " ")
	if len(name) > 40 {
		name = name[:40]
	}
	return name
}
