package journal

import (
	"cmp"
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// A Difference is the way in which two journals differ in one place.
type Difference uint8

const (
	// OnlyOne: one journal has the record, the other lacks it.
	OnlyOne Difference = iota + 1
	// Content: both have the identity, but different records of it.
	Content
	// Order: both have the record, but the publisher's records are in another order.
	Order
)

// An Entry is the excerpt of a record that a comparison needs. The zero Entry means no
// record.
type Entry struct {
	Position  Position
	Time      int64
	Kind      Kind
	Publisher uint64
	Sequence  uint64
	Prev      uint64
	Sum       uint32 // CRC-32C of the bytes that go over a link, without the check
}

// A Differing is a publisher whose records differ between two journals.
type Differing struct {
	Publisher uint64
	// The first difference. Entry is the record in that place of each journal, zero for a
	// journal that lacks the record.
	What  Difference
	Entry [2]Entry
	// The counts of all differences: records that only one journal has, and identities
	// whose records differ.
	Only    [2]int
	Content int
}

// when returns the time at which the first difference was written, 0 if it is not known.
func (d *Differing) when() int64 {
	return max(0, min(cmp.Or(d.Entry[0].Time, d.Entry[1].Time), cmp.Or(d.Entry[1].Time, d.Entry[0].Time)))
}

// A Comparison says how the journals of two instances differ.
type Comparison struct {
	Found     [2]Inspection
	Differing []Differing // the earliest difference first
	// Floors has the publishers that are compared in part only, because retention has
	// removed more of them in one journal. Each has the floor up to which nothing is
	// compared.
	Floors map[uint64]uint64
	// Elsewhere counts the records of one journal for which the other has a marker that its
	// link does not carry them (R3).
	Elsewhere int
}

// Same reports whether the journals are sound and hold the same records.
func (c *Comparison) Same() bool {
	return len(c.Differing) == 0 && c.Found[0].Sound() && c.Found[1].Sound()
}

// An Index is the excerpt of a journal that a comparison needs: 48 bytes of each record.
type Index struct {
	Inspection
	entries map[uint64][]Entry // of each publisher, in journal order
}

// ReadIndex inspects a journal that nobody has open and returns its index.
func ReadIndex(fsys seglog.FS, dir string) (Index, error) {
	entries := make(map[uint64][]Entry)
	found, err := Inspect(fsys, dir, func(r *Record) error {
		entries[r.Publisher] = append(entries[r.Publisher], entryOf(r))
		return nil
	})
	return Index{found, entries}, err
}

// Compare compares two journals (G5): the records of each publisher and their order. The
// publishers may interleave differently, and retention may have removed records from one
// journal: neither is a difference.
func Compare(a, b Index) Comparison {
	c := Comparison{Found: [2]Inspection{a.Inspection, b.Inspection}, Floors: make(map[uint64]uint64)}
	all := slices.AppendSeq(slices.Collect(maps.Keys(a.entries)), maps.Keys(b.entries))
	slices.Sort(all)
	for _, p := range slices.Compact(all) {
		c.publisher(p, [2][]Entry{a.entries[p], b.entries[p]})
	}
	slices.SortStableFunc(c.Differing, func(x, y Differing) int { return cmp.Compare(x.when(), y.when()) })
	return c
}

func entryOf(r *Record) Entry {
	return Entry{
		Position: Position(r.Position), Time: r.Time, Kind: r.Kind,
		Publisher: r.Publisher, Sequence: r.Sequence, Prev: r.Prev, Sum: record.SumOf(r.Raw),
	}
}

// publisher compares the records of one publisher.
func (c *Comparison) publisher(p uint64, sides [2][]Entry) {
	floor := max(c.floor(0, p, sides[0]), c.floor(1, p, sides[1]))
	kept := [2][]Entry{above(floor, sides[0]), above(floor, sides[1])}
	if len(kept[0]) < len(sides[0]) || len(kept[1]) < len(sides[1]) {
		c.Floors[p] = floor
	}
	c.Elsewhere += leaveOut(&kept)
	if d := compare(kept); d.What != 0 {
		d.Publisher = p
		c.Differing = append(c.Differing, d)
	}
}

// floor returns the sequence up to which a journal may lack the messages of a publisher.
func (c *Comparison) floor(side int, p uint64, entries []Entry) (floor uint64) {
	states := c.Found[side].States
	if at, found := slices.BinarySearchFunc(states, p, func(s State, p uint64) int { return cmp.Compare(s.Publisher, p) }); found {
		floor = states[at].Floor
	}
	for _, e := range entries {
		if e.Kind == Gone {
			floor = max(floor, e.Sequence)
		}
	}
	return floor
}

func above(floor uint64, entries []Entry) []Entry {
	return slices.DeleteFunc(slices.Clone(entries), func(e Entry) bool { return e.Sequence <= floor })
}

// leaveOut removes from both sides the records for which the other side has an elsewhere
// marker, and these markers. It returns the number of the records.
func leaveOut(sides *[2][]Entry) (n int) {
	var out [2]map[uint64]bool // sequences
	for i := range sides {
		out[i] = make(map[uint64]bool)
	}
	for i, side := range sides {
		other := slices.SortedFunc(slices.Values(sides[1-i]), ascending)
		for _, m := range side {
			if m.Kind != Elsewhere {
				continue
			}
			at, _ := slices.BinarySearchFunc(other, Entry{Sequence: m.Prev + 1}, ascending)
			for ; at < len(other) && other[at].Sequence <= m.Sequence; at++ {
				out[i][m.Sequence], out[1-i][other[at].Sequence] = true, true
			}
		}
	}
	for i := range sides {
		sides[i] = slices.DeleteFunc(sides[i], func(e Entry) bool {
			gone := out[i][e.Sequence]
			if gone && e.Kind != Elsewhere {
				n++
			}
			return gone
		})
	}
	return n
}

func ascending(a, b Entry) int { return cmp.Compare(a.Sequence, b.Sequence) }

// compare compares the remaining records of one publisher.
func compare(sides [2][]Entry) Differing {
	var d Differing
	at, end := 0, min(len(sides[0]), len(sides[1]))
	for at < end && same(sides[0][at], sides[1][at]) {
		at++
	}
	if at == len(sides[0]) && at == len(sides[1]) {
		return d
	}
	rest := [2][]Entry{sides[0][at:], sides[1][at:]}
	known := [2]map[uint64]Entry{bySequence(rest[0]), bySequence(rest[1])}
	d.first(rest, known)
	for i := range rest {
		for sequence, e := range known[i] {
			other, both := known[1-i][sequence]
			switch {
			case !both:
				d.Only[i]++
			case i == 0 && e.Sum != other.Sum:
				d.Content++
			}
		}
	}
	return d
}

// same reports whether two journals have the same record.
func same(a, b Entry) bool { return a.Sequence == b.Sequence && a.Sum == b.Sum }

func bySequence(entries []Entry) map[uint64]Entry {
	m := make(map[uint64]Entry, len(entries))
	for _, e := range entries {
		m[e.Sequence] = e
	}
	return m
}

// first finds the difference at the start of rest.
func (d *Differing) first(rest [2][]Entry, known [2]map[uint64]Entry) {
	var heads [2]Entry // zero where a journal has come to its end
	for i := range rest {
		if len(rest[i]) > 0 {
			heads[i] = rest[i][0]
		}
	}
	lacks := func(i int) bool { // the record at the start of this journal is nowhere in the other
		_, both := known[1-i][heads[i].Sequence]
		return len(rest[i]) > 0 && !both
	}
	switch {
	case heads[0].Sequence == heads[1].Sequence:
		d.What, d.Entry = Content, heads
	case lacks(0) && (!lacks(1) || heads[0].Sequence < heads[1].Sequence):
		d.What, d.Entry[0] = OnlyOne, heads[0]
	case lacks(1):
		d.What, d.Entry[1] = OnlyOne, heads[1]
	default:
		d.What, d.Entry = Order, heads
	}
}
