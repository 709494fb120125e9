package checker

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// Check returns the violations of the guarantees in a history.
func (h *History) Check() []Violation {
	c := &check{h: h, published: make(map[string]*Publication, len(h.Published)), content: make(map[bookmark.Bookmark]string)}
	c.indexPublished()
	for _, e := range h.Errors {
		c.report(Unexpected, "G7", "%s", e)
	}
	for _, l := range h.LetGo {
		c.checkLetGo(l)
	}
	for _, j := range h.Journals {
		c.checkJournal(j)
	}
	c.checkSame()
	for _, r := range h.Readers {
		c.checkReader(r)
	}
	return c.found
}

// A check is one Check.
type check struct {
	h             *History
	published     map[string]*Publication            // by body
	at            map[bookmark.Bookmark]*Publication // those whose identity is known
	lastPublished bookmark.Vector                    // the last of each publisher; nil: not known
	content       map[bookmark.Bookmark]string       // the content of an identity, from the place where it was seen first
	found         []Violation
}

// indexPublished indexes the published messages by body and, where it is known, by
// identity.
func (c *check) indexPublished() {
	c.at, c.lastPublished = make(map[bookmark.Bookmark]*Publication), make(bookmark.Vector)
	all := true
	for _, m := range c.h.Published {
		c.published[m.Body] = m
		if m.Publisher == 0 || m.Sequence == 0 {
			all = all && m.Fate == Refused
			continue
		}
		c.at[m.identity()] = m
		c.lastPublished[m.Publisher] = max(c.lastPublished[m.Publisher], m.Sequence)
	}
	if !all {
		c.lastPublished = nil
	}
}

func (m *Publication) identity() bookmark.Bookmark {
	return bookmark.Bookmark{Publisher: m.Publisher, Sequence: m.Sequence}
}

// kind is the kind of the records that stand for a message.
func (m *Publication) kind() journal.Kind { return cmp.Or(m.Kind, journal.Message) }

// isBeyondLast reports whether an identity is known to be after the last of its publisher.
func (c *check) isBeyondLast(b bookmark.Bookmark) bool {
	return c.lastPublished != nil && !c.lastPublished.Covers(b)
}

func (c *check) report(harm ViolationKind, rule, format string, args ...any) {
	c.found = append(c.found, Violation{harm, rule, fmt.Sprintf(format, args...)})
}

// checkLetGo checks that a store let go only of messages that are on both disks (G2).
func (c *check) checkLetGo(l LetGoEvent) {
	on := 0
	for _, d := range l.Durable {
		if d.Sequence >= l.Through.Sequence {
			on++
		}
	}
	if on < len(l.Durable) && !(l.Single && on > 0) {
		c.report(Unsafe, "G2", "the store of %s let go up to %v; durable on the disks: %v", l.App, l.Through, l.Durable)
	}
}

// An origin is an application under one publisher.
type origin struct {
	publisher uint64
	app       string
}

// A journalCheck is the check of one journal.
type journalCheck struct {
	*check
	j       Journal
	last    map[uint64]Record                  // by publisher
	n       map[origin]int                     // count of the last message
	present map[string]Record                  // messages by body
	kinds   map[bookmark.Bookmark]journal.Kind // of the records
	holes   map[uint64][]Record                // gone markers, by publisher
}

// checkJournal: each identity once (G3), each publisher's in order and without
// holes (G4), all that was taken, nothing that was not published (G1).
func (c *check) checkJournal(j Journal) {
	v := journalCheck{c, j, make(map[uint64]Record), make(map[origin]int), make(map[string]Record, len(j.Records)),
		make(map[bookmark.Bookmark]journal.Kind, len(j.Records)), make(map[uint64][]Record)}
	for _, r := range j.Records {
		switch {
		case !v.checkOrder(r):
		case r.Kind == journal.Message:
			v.checkMessage(r)
		default:
			v.checkMarker(r)
		}
	}
	for _, m := range c.h.Published {
		v.checkKept(m)
	}
	for _, p := range j.Have.Publishers() {
		if last := max(v.last[p].Sequence, j.Floor[p]); j.Have[p] != last {
			v.report(Disordered, "R1", "%s reports publisher %d up to %d but has it up to %d", j.Instance, p, j.Have[p], last)
		}
	}
}

// checkOrder checks that a record follows its predecessor, and occurs once. It returns
// false for a second one.
func (v journalCheck) checkOrder(r Record) bool {
	if v.kinds[r.Bookmark] != 0 {
		v.report(Duplicated, "G3", "%s has %v twice", v.j.Instance, r.Bookmark)
		return false
	}
	v.kinds[r.Bookmark] = r.Kind
	if r.Kind == journal.Gone {
		v.holes[r.Publisher] = append(v.holes[r.Publisher], r)
	}
	l, some := v.last[r.Publisher]
	before := l.Sequence
	if !some {
		before = v.j.Floor[r.Publisher]
	}
	switch {
	case r.Sequence <= l.Sequence:
		v.report(Disordered, "G4", "%s has %v behind %v", v.j.Instance, r.Bookmark, l.Bookmark)
	case r.Prev > before:
		v.report(Disordered, "G4", "%s lacks the message before %v: the last one before is %v", v.j.Instance, r.Bookmark, l.Bookmark)
	case v.isBeyondLast(r.Bookmark):
		v.report(Foreign, "G1", "%s has %v but the last published message is %d", v.j.Instance, r.Bookmark, v.lastPublished[r.Publisher])
	}
	v.last[r.Publisher] = r
	return true
}

// checkMessage: a record is a message that was published, once, in its place.
func (v journalCheck) checkMessage(r Record) {
	if other, twice := v.present[r.Body]; twice {
		v.report(Duplicated, "G3", "%s has %s as %v and as %v", v.j.Instance, short(r.Body), other.Bookmark, r.Bookmark)
	}
	v.present[r.Body] = r
	m := v.publishedAs("G1", v.j.Instance, "has", r.Bookmark, r.Body)
	if m == nil {
		return
	}
	if r.Topic != m.Topic {
		v.report(Foreign, "G1", "%s has %s under topic %s: it was published to %s", v.j.Instance, short(m.Body), r.Topic, m.Topic)
	}
	if s := m.Sequence; s > 0 && (r.Sequence < s || r.Sequence > s && !m.HasBase || m.Publisher != 0 && r.Publisher != m.Publisher) {
		v.report(Disordered, "G1", "%s has %s as %v: it was accepted as %d", v.j.Instance, short(m.Body), r.Bookmark, s)
	}
	of := origin{r.Publisher, m.App}
	if v.n[of] >= m.N {
		v.report(Disordered, "G4", "%s has %s behind number %d of publisher %d", v.j.Instance, short(m.Body), v.n[of], r.Publisher)
	}
	v.n[of] = m.N
	v.checkContent(v.j.Instance, r.Bookmark, r.Body)
}

// checkMarker checks that a record without a message belongs to a publication that leaves
// such a record.
func (v journalCheck) checkMarker(r Record) {
	if m := v.at[r.Bookmark]; m != nil && r.Kind != m.kind() && (r.Kind == journal.Tombstone || r.Kind == journal.Empty) {
		v.report(Foreign, "G1", "%s has %v as %v: it must be a %v", v.j.Instance, r.Bookmark, r.Kind, m.kind())
	}
}

// publishedAs returns the message that was published with a body, nil for none,
// and finds fault with one that must not be there.
func (c *check) publishedAs(rule, where, verb string, b bookmark.Bookmark, body string) *Publication {
	m := c.published[body]
	switch {
	case m == nil:
		c.report(Foreign, rule, "%s %s %v, which nobody published: %s", where, verb, b, short(body))
	case m.Fate == Refused:
		c.report(Foreign, rule, "%s %s %s, whose Publish returned an error", where, verb, short(body))
	case m.kind() != journal.Message:
		c.report(Foreign, rule, "%s %s %v: it must be a %v", where, verb, b, m.kind())
	}
	return m
}

// checkContent checks that an identity has one content, wherever it is seen.
func (c *check) checkContent(where string, b bookmark.Bookmark, body string) {
	if first, known := c.content[b]; known && first != body {
		c.report(Duplicated, "G3", "%v is %s at %s but %s elsewhere", b, short(body), where, short(first))
	}
	c.content[b] = body
}

// checkKept checks that an accepted message is there, unless retention has removed it.
func (v journalCheck) checkKept(m *Publication) {
	if m.Fate != Accepted || m.Publisher != 0 && (m.Sequence <= v.j.Floor[m.Publisher] || v.inHole(m)) {
		return
	}
	_, ok := v.present[m.Body]
	if m.kind() != journal.Message {
		ok = v.kinds[m.identity()] == m.Kind
	}
	if !ok {
		v.report(Lost, "G1", "%s lacks %s, which was accepted as %d", v.j.Instance, short(m.Body), m.Sequence)
	}
}

// inHole reports whether the journal says that a message is gone.
func (v journalCheck) inHole(m *Publication) bool {
	return slices.ContainsFunc(v.holes[m.Publisher], func(r Record) bool { return r.Prev < m.Sequence && m.Sequence <= r.Sequence })
}

// checkSame: all journals hold the same messages (G5).
func (c *check) checkSame() {
	if len(c.h.Journals) == 0 {
		return
	}
	first := c.h.Journals[0]
	want, gone := sharedRecords(first)
	for _, j := range c.h.Journals[1:] {
		got, goneHere := sharedRecords(j)
		for _, b := range missing(want, got, goneHere) {
			c.report(Diverged, "G5", "%s has %v but %s does not", first.Instance, b, j.Instance)
		}
		for _, b := range missing(got, want, gone) {
			if m := c.messageOf(got[b]); !(j.OneWay && m != nil && m.Fate == Unknown) {
				c.report(Diverged, "G5", "%s has %v but %s does not", j.Instance, b, first.Instance)
			}
		}
		for _, r := range j.Records {
			if w, ok := want[r.Bookmark]; ok && sameEverywhere(r.Kind) && (w.Sum != r.Sum || w.Kind != r.Kind) {
				c.report(Diverged, "G5", "%v is not the same on %s as on %s", r.Bookmark, j.Instance, first.Instance)
			}
		}
	}
}

// messageOf returns the message of a record, nil if that is not known.
func (c *check) messageOf(r Record) *Publication {
	if r.Kind == journal.Message {
		return c.published[r.Body]
	}
	return c.at[r.Bookmark]
}

// sameEverywhere reports whether records of a kind are the same in every journal. A
// refusal that only one instance knows of is in no other journal (R14).
func sameEverywhere(k journal.Kind) bool { return k == journal.Message || k == journal.Empty }

// sharedRecords returns the records of a journal that are alike in every other, and
// up to where they are gone.
func sharedRecords(j Journal) (all map[bookmark.Bookmark]Record, gone bookmark.Vector) {
	all, gone = make(map[bookmark.Bookmark]Record, len(j.Records)), make(bookmark.Vector)
	gone.Merge(j.Floor)
	for _, r := range j.Records {
		switch {
		case sameEverywhere(r.Kind):
			all[r.Bookmark] = r
		case r.Kind == journal.Gone:
			gone[r.Publisher] = max(gone[r.Publisher], r.Sequence)
		}
	}
	return all, gone
}

// missing returns the records of want that are neither in got nor gone, in order.
func missing(want, got map[bookmark.Bookmark]Record, gone bookmark.Vector) (all []bookmark.Bookmark) {
	for b := range want {
		if _, ok := got[b]; !ok && !gone.Covers(b) {
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
