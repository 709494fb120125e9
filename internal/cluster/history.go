package cluster

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// A History is what was seen of a whole system from outside: what applications
// published and were handed, what publish stores let go of and what was on the
// disks at that moment, and what stands in the journals at the end, when
// nothing has gone wrong for long enough. Check judges it by the guarantees.
type History struct {
	Published []*Published
	LetGo     []LetGo
	Journals  []Journal
	Readers   []*ReaderHistory
	Errors    []string // of applications and instances, although nothing entitles them to one (G7)
}

// A Fate is what must have become of a message.
type Fate int

// The fates of a message.
const (
	Unknown Fate = iota // its publisher died with it: it may be delivered, once
	Taken               // Publish returned nil, and its store has not been lost
	Refused             // Publish returned an error: it must not be delivered
)

// A Published is one message given to Publish. Bodies are unique.
type Published struct {
	App         string
	N           int // counts the messages of App
	Topic, Body string
	Sequence    uint64 // that Publish returned; 0 unless it returned nil
	Fate        Fate
	Begun       int64 // when Publish was called, by the clock that ReaderHistory.Since is of
	Based       bool  // on the wire sequences are counted from a base, as towards servers without our extensions
}

// A LetGo is a publish store letting go of messages.
type LetGo struct {
	App     string
	Through bookmark.Bookmark            // all of the publisher up to it
	Durable map[string]bookmark.Bookmark // of each synchronous instance: what its disk had up to at that moment
	Single  bool                         // one disk is enough: a client without our extensions, and a downgrade (R15)
}

// A Journal is what stands in an instance's journal.
type Journal struct {
	Instance string
	Records  []Stored
	OneWay   bool // it gives nothing to the others: it may have what died with them and with its publisher
}

// A Stored is a record of a journal.
type Stored struct {
	bookmark.Bookmark
	Prev        uint64
	Kind        journal.Kind
	Topic, Body string
}

// A ReaderHistory is what one bookmark subscription was handed.
type ReaderHistory struct {
	Name         string
	Topic        string // empty: all
	Since        int64  // when it was accepted from NOW; 0: from EPOCH
	FullyDurable bool
	Lives        [][]*Handed // of the processes that had it, one after the other
}

// A Handed is a message handed to an application.
type Handed struct {
	bookmark.Bookmark
	Body    string
	Discard Discarded
}

// Discarded says how far a discard has come.
type Discarded int

// How far a discard has come.
const (
	Undiscarded    Discarded = iota
	Discarding               // was called, may be on disk
	DiscardDurable           // a Sync behind it has returned
)

// Check returns what of a history the guarantees do not allow.
func (h *History) Check() []string {
	c := &check{h: h, published: make(map[string]*Published), content: make(map[bookmark.Bookmark]string)}
	for _, m := range h.Published {
		c.published[m.Body] = m
	}
	for _, e := range h.Errors {
		c.bad("G7: %s", e)
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
	found     []string
}

func (c *check) bad(format string, args ...any) {
	c.found = append(c.found, fmt.Sprintf(format, args...))
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
		c.bad("G2: the store of %s let go up to %v, the disks have up to %v", l.App, l.Through, l.Durable)
	}
}

// journal: each identity once (G3), each publisher's in order and without
// holes (G4), all that was taken, nothing that was not published (G1).
func (c *check) journal(j Journal) {
	last := make(map[uint64]Stored)
	n := make(map[string]int)        // count of the last message, by publisher and application
	there := make(map[string]Stored) // by body
	seen := make(map[bookmark.Bookmark]bool)
	for _, r := range j.Records {
		if seen[r.Bookmark] {
			c.bad("G3: %s has %v twice", j.Instance, r.Bookmark)
		}
		seen[r.Bookmark] = true
		if l := last[r.Publisher]; r.Sequence <= l.Sequence {
			c.bad("G4: %s has %v behind %v", j.Instance, r.Bookmark, l.Bookmark)
		} else if r.Prev > l.Sequence {
			c.bad("G4: %s lacks what is before %v, the last before is %v", j.Instance, r.Bookmark, l.Bookmark)
		}
		last[r.Publisher] = r
		if r.Kind != journal.Message {
			continue
		}
		c.stored(j.Instance, r, n)
		if other, twice := there[r.Body]; twice {
			c.bad("G3: %s has %s as %v and as %v", j.Instance, short(r.Body), other.Bookmark, r.Bookmark)
		}
		there[r.Body] = r
	}
	for _, m := range c.h.Published {
		c.kept(j.Instance, m, there)
	}
}

// stored: a record is a message that was published, in its place.
func (c *check) stored(instance string, r Stored, n map[string]int) {
	m := c.published[r.Body]
	if m == nil {
		c.bad("G1: %s has %v, which nobody published: %s", instance, r.Bookmark, short(r.Body))
		return
	}
	if m.Fate == Refused {
		c.bad("G1: %s has %s, whose Publish returned an error", instance, short(m.Body))
	}
	if r.Topic != m.Topic {
		c.bad("G1: %s has %s under %s, it was published to %s", instance, short(m.Body), r.Topic, m.Topic)
	}
	of := fmt.Sprint(r.Publisher, m.App)
	if n[of] >= m.N {
		c.bad("G4: %s has %s behind number %d of publisher %d", instance, short(m.Body), n[of], r.Publisher)
	}
	n[of] = m.N
	c.same1(instance, r.Bookmark, r.Body)
}

// same1: an identity stands for one content, wherever it is seen.
func (c *check) same1(where string, b bookmark.Bookmark, body string) {
	if first, known := c.content[b]; known && first != body {
		c.bad("G3: %v is %s at %s, and elsewhere %s", b, short(body), where, short(first))
	}
	c.content[b] = body
}

// kept: what was taken is there.
func (c *check) kept(instance string, m *Published, there map[string]Stored) {
	r, ok := there[m.Body]
	switch {
	case m.Fate != Taken:
	case !ok:
		c.bad("G1: %s lacks %s, which was taken as %d", instance, short(m.Body), m.Sequence)
	case r.Sequence < m.Sequence || r.Sequence > m.Sequence && !m.Based:
		c.bad("G1: %s has %s as %v, it was taken as %d", instance, short(m.Body), r.Bookmark, m.Sequence)
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
		for _, b := range sorted(want) {
			if _, ok := got[b]; !ok {
				c.bad("G5: %s has %v, %s has not", first.Instance, b, j.Instance)
			}
		}
		for _, b := range sorted(got) {
			m := c.published[got[b].Body]
			if _, ok := want[b]; !ok && !(j.OneWay && m != nil && m.Fate == Unknown) {
				c.bad("G5: %s has %v, %s has not", j.Instance, b, first.Instance)
			}
		}
	}
}

// messages returns the messages of a journal.
func messages(j Journal) map[bookmark.Bookmark]Stored {
	all := make(map[bookmark.Bookmark]Stored)
	for _, r := range j.Records {
		if r.Kind == journal.Message {
			all[r.Bookmark] = r
		}
	}
	return all
}

func sorted(m map[bookmark.Bookmark]Stored) []bookmark.Bookmark {
	return slices.SortedFunc(maps.Keys(m), compareBookmarks)
}

func compareBookmarks(a, b bookmark.Bookmark) int {
	return cmp.Or(cmp.Compare(a.Publisher, b.Publisher), cmp.Compare(a.Sequence, b.Sequence))
}

// A reading is the check of one subscription (G6).
type reading struct {
	*check
	r     *ReaderHistory
	due   map[uint64][]uint64             // the sequences it must be handed, by publisher, ascending
	state map[bookmark.Bookmark]Discarded // of what earlier processes discarded
}

// reader: each message once in a process, each publisher's in order, all of
// them, and in later processes those not discarded.
func (c *check) reader(r *ReaderHistory) {
	rd := reading{check: c, r: r, due: c.due(r), state: make(map[bookmark.Bookmark]Discarded)}
	for life, handed := range r.Lives {
		last := make(bookmark.Vector)
		for _, m := range handed {
			rd.handed(life, m, last)
		}
		if life == len(r.Lives)-1 {
			rd.complete(life, last)
		}
		for _, m := range handed {
			rd.state[m.Bookmark] = max(rd.state[m.Bookmark], m.Discard)
		}
	}
}

// due returns what a subscription must be handed at least: from EPOCH all that
// matches; from NOW what was published behind its beginning, and what is
// behind the first it was handed.
func (c *check) due(r *ReaderHistory) map[uint64][]uint64 {
	first := make(map[uint64]uint64)
	for _, life := range r.Lives {
		for _, m := range life {
			if f, ok := first[m.Publisher]; !ok || m.Sequence < f {
				first[m.Publisher] = m.Sequence
			}
		}
	}
	due := make(map[uint64][]uint64)
	for _, s := range c.h.Journals[0].Records {
		if s.Kind != journal.Message || r.Topic != "" && s.Topic != r.Topic {
			continue
		}
		f, some := first[s.Publisher]
		m := c.published[s.Body]
		if r.Since == 0 || some && s.Sequence >= f || m != nil && m.Begun > r.Since {
			due[s.Publisher] = append(due[s.Publisher], s.Sequence)
		}
	}
	return due
}

// handed checks one message against those before it.
func (rd *reading) handed(life int, m *Handed, last bookmark.Vector) {
	who := fmt.Sprintf("%s, process %d", rd.r.Name, life+1)
	switch at := last[m.Publisher]; {
	case m.Sequence == at:
		rd.bad("G6: %s was handed %v twice", who, m.Bookmark)
	case m.Sequence < at:
		rd.bad("G6: %s was handed %v behind %d", who, m.Bookmark, at)
	default:
		rd.skipped(who, m.Publisher, at, m.Sequence)
		last[m.Publisher] = m.Sequence
	}
	if rd.state[m.Bookmark] == DiscardDurable {
		rd.bad("G6: %s was handed %v again, whose discard was on disk", who, m.Bookmark)
	}
	if p := rd.published[m.Body]; p == nil {
		rd.bad("G6: %s was handed %v, which nobody published: %s", who, m.Bookmark, short(m.Body))
	} else if rd.r.Topic != "" && p.Topic != rd.r.Topic {
		rd.bad("G6: %s was handed %v of topic %s", who, m.Bookmark, p.Topic)
	}
	if _, stored := rd.content[m.Bookmark]; !stored && rd.r.FullyDurable {
		rd.bad("R13: %s was handed %v, and the disks have lost it", who, m.Bookmark)
	}
	rd.same1(who, m.Bookmark, m.Body)
}

// skipped: nothing that is due was left out between two messages of a publisher.
func (rd *reading) skipped(who string, publisher, after, before uint64) {
	due := rd.due[publisher]
	from, _ := slices.BinarySearch(due, after+1)
	for _, s := range due[from:] {
		if s >= before {
			return
		}
		b := bookmark.Bookmark{Publisher: publisher, Sequence: s}
		if rd.state[b] == Undiscarded {
			rd.bad("G6: %s was not handed %v", who, b)
		}
	}
}

// complete: nothing that is due was left out at the end.
func (rd *reading) complete(life int, last bookmark.Vector) {
	for _, p := range slices.Sorted(maps.Keys(rd.due)) {
		rd.skipped(fmt.Sprintf("%s, process %d, at the end", rd.r.Name, life+1), p, last[p], 1<<63)
	}
}

// short returns the beginning of a body, which names it.
func short(body string) string {
	name, _, _ := strings.Cut(body, " ")
	if len(name) > 40 {
		name = name[:40]
	}
	return name
}
