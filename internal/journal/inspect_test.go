package journal_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// Inspect finds the same faults as Verify. It continues after them and changes nothing.
func TestInspectFindsFaults(t *testing.T) {
	m := func(publisher, sequence uint64) *journal.Record { return message(publisher, sequence, "b") }
	for _, tt := range []struct {
		name   string
		times  []int64
		rs     []*journal.Record
		faults string
	}{
		{"nothing", []int64{5}, []*journal.Record{m(1, 1), m(2, 1), m(1, 2)}, ""},
		{"an identity twice", []int64{5}, []*journal.Record{m(1, 1), m(1, 2), m(1, 2), m(1, 3)}, "message 1|2 with predecessor 1 at "},
		{"a hole", []int64{5}, []*journal.Record{m(1, 1), m(1, 3), m(1, 4)}, "message 1|3 with predecessor 2 at "},
		{"time that goes back", []int64{5, 4}, []*journal.Record{m(1, 1), m(2, 1)}, "message 2|1 at "},
	} {
		disk := writeUnchecked(t, tt.times, tt.rs...)
		before := disk.String()
		n := 0
		found, err := journal.Inspect(disk, dir, func(*journal.Record) error { n++; return nil })
		if err != nil || n != len(tt.rs) || found.Records != n || found.Sound() != (tt.faults == "") {
			t.Errorf("%s: %+v, %v", tt.name, found, err)
		}
		if tt.faults != "" && (found.FaultCount != 1 || !strings.HasPrefix(found.Faults[0].Error(), tt.faults)) {
			t.Errorf("%s: %v", tt.name, found.Faults)
		}
		if disk.String() != before {
			t.Errorf("%s: the disk has changed", tt.name)
		}
	}
}

// Inspect reports damage once, with the missing sequences. It checks the segments after the
// damage as usual.
func TestInspectDamaged(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	fill(t, j, 1, 1, 200)
	fill(t, j, 2, 1, 10)
	verifyAndClose(t, j)
	name := disk.Names()[1]
	b, err := disk.ReadFile(name)
	at := bytes.Index(b, []byte("1|90"))
	if err != nil || at < 0 {
		t.Fatalf("%s has no record 1|90: %v", name, err)
	}
	disk.Flip(name, int64(at))
	found, err := journal.Inspect(disk, dir, nil)
	if err != nil || len(found.Log.Damage) != 1 || found.FaultCount != 1 || found.Records != 209 {
		t.Fatalf("%+v, %v", found, err)
	}
	if text := found.Faults[0].Error(); !strings.Contains(text, "missing at a damaged place") {
		t.Error(text)
	}
	if err := journals.Dump(disk, dir, func(*journal.Record) error { return nil }); err == nil {
		t.Error("Dump does not report the damage")
	}
}

// The floors show the messages that retention has removed.
func TestInspectFloors(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	fill(t, j, 1, 1, 200)
	mustSync(t, j)
	if n, err := j.Trim(journal.Retention{Bytes: 8 << 10}); err != nil || n == 0 {
		t.Fatal(n, err)
	}
	floor := state(j, 1).Floor
	verifyAndClose(t, j)
	found, err := journal.Inspect(disk, dir, nil)
	if err != nil || !found.Sound() || len(found.States) != 1 || found.States[0].Floor != floor || found.States[0].Have != 200 {
		t.Errorf("%+v, %v; floor %d", found, err, floor)
	}
}

// uncheckedIndex returns the index of a journal whose records were written without admission.
func uncheckedIndex(t *testing.T, rs ...*journal.Record) journal.Index {
	t.Helper()
	index, err := journal.ReadIndex(writeUnchecked(t, []int64{5}, rs...), dir)
	if err != nil {
		t.Fatal(err)
	}
	return index
}

func TestCompare(t *testing.T) {
	m := func(publisher, sequence uint64) *journal.Record {
		return message(publisher, sequence, fmt.Sprint(sequence))
	}
	other := message(1, 2, "something else")
	gone := &journal.Record{Kind: journal.Gone, Publisher: 1, Sequence: 2}
	elsewhere := &journal.Record{Kind: journal.Elsewhere, Publisher: 1, Sequence: 3, Prev: 1}
	for _, tt := range []struct {
		name string
		a, b []*journal.Record
		want string // kind of difference, sequences and counts
	}{
		{"the same", []*journal.Record{m(1, 1), m(1, 2)}, []*journal.Record{m(1, 1), m(1, 2)}, ""},
		{"interleaved otherwise", []*journal.Record{m(1, 1), m(2, 1), m(1, 2)}, []*journal.Record{m(2, 1), m(1, 1), m(1, 2)}, ""},
		{"one more", []*journal.Record{m(1, 1)}, []*journal.Record{m(1, 1), m(1, 2)}, "1: only 0/2, in all 0/1 and 0"},
		{"one less in the middle", []*journal.Record{m(1, 1), m(1, 2), m(1, 3)}, []*journal.Record{m(1, 1), m(1, 3)}, "1: only 2/0, in all 1/0 and 0"},
		{"another publisher", []*journal.Record{m(1, 1), m(3, 1)}, []*journal.Record{m(1, 1), m(2, 1)},
			"2: only 0/1, in all 0/1 and 0; 3: only 1/0, in all 1/0 and 0"},
		{"other content", []*journal.Record{m(1, 1), m(1, 2), m(1, 3)}, []*journal.Record{m(1, 1), other, m(1, 3)}, "1: content 2/2, in all 0/0 and 1"},
		{"another order", []*journal.Record{m(1, 1), m(1, 3), m(1, 2)}, []*journal.Record{m(1, 1), m(1, 2), m(1, 3)}, "1: order 3/2, in all 0/0 and 0"},
		{"each something of its own", []*journal.Record{m(1, 1), m(1, 3)}, []*journal.Record{m(1, 1), m(1, 2)}, "1: only 0/2, in all 1/1 and 0"},
		{"gone in one", []*journal.Record{gone, m(1, 3)}, []*journal.Record{m(1, 1), m(1, 2), m(1, 3)}, ""},
		{"gone, and different above", []*journal.Record{gone}, []*journal.Record{m(1, 1), m(1, 2), m(1, 3)}, "1: only 0/3, in all 0/1 and 0"},
		{"elsewhere in one", []*journal.Record{m(1, 1), elsewhere, m(1, 4)}, []*journal.Record{m(1, 1), m(1, 2), m(1, 3), m(1, 4)}, ""},
		{"elsewhere in both", []*journal.Record{m(1, 1), elsewhere}, []*journal.Record{m(1, 1), elsewhere}, ""},
		{"elsewhere, and not even that", []*journal.Record{m(1, 1), elsewhere}, []*journal.Record{m(1, 1)}, "1: only 3/0, in all 1/0 and 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := comparisonText(journal.Compare(uncheckedIndex(t, tt.a...), uncheckedIndex(t, tt.b...))); got != tt.want {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

// comparisonText formats a comparison.
func comparisonText(c journal.Comparison) string {
	kinds := map[journal.Difference]string{journal.DiffMissing: "only", journal.DiffContent: "content", journal.DiffOrder: "order"}
	var all []string
	for _, d := range c.Diffs {
		all = append(all, fmt.Sprintf("%d: %s %d/%d, in all %d/%d and %d", d.Publisher, kinds[d.First],
			d.Entries[0].Sequence, d.Entries[1].Sequence, d.OnlyIn[0], d.OnlyIn[1], d.ContentDiffers))
	}
	return strings.Join(all, "; ")
}

// Messages that retention has removed from one journal are not a difference. Floors has them.
func TestCompareFloors(t *testing.T) {
	var sides [2]journal.Index
	for i := range sides {
		disk := memfs.New()
		now := newManualClock()
		j := mustOpen(t, disk, func(o *journal.Options) { o.Now = now.Now })
		fill(t, j, 1, 1, 200)
		mustSync(t, j)
		if i == 0 {
			now.add(time.Hour)
			if n, err := j.Trim(journal.Retention{Bytes: 8 << 10}); err != nil || n == 0 {
				t.Fatal(n, err)
			}
		}
		verifyAndClose(t, j)
		var err error
		if sides[i], err = journal.ReadIndex(disk, dir); err != nil {
			t.Fatal(err)
		}
	}
	c := journal.Compare(sides[0], sides[1])
	if !c.Same() || c.Floors[1] == 0 || c.Floors[1] != sides[0].States[0].Floor {
		t.Errorf("%s, floors %v", comparisonText(c), c.Floors)
	}
}

// FuzzInspect inspects a segment of arbitrary bytes. Inspect does not panic.
func FuzzInspect(f *testing.F) {
	disk := memfs.New()
	j := mustOpen(f, disk)
	fill(f, j, 1, 1, 5)
	verifyAndClose(f, j)
	name := disk.Names()[0]
	b, err := disk.ReadFile(name)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(b[:4200])
	f.Add([]byte("hfseglog"))
	f.Fuzz(func(t *testing.T, b []byte) {
		disk := memfs.New()
		disk.WriteFile(name, b)
		if err := disk.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		journal.Inspect(disk, dir, nil)
		if _, err := seglog.Inspect(disk, dir, seglog.Visitor{}); err != nil {
			t.Fatal(err)
		}
	})
}
