package seglog_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// breakHead inverts a bit in the head of a segment.
func breakHead(d *memfs.FS, name string) { d.Flip(name, 4161) }

// segmentNames returns the file names of the segments, oldest first.
func segmentNames(d *memfs.FS) []string {
	return slices.DeleteFunc(d.Names(), func(n string) bool { return !strings.HasSuffix(n, ".log") })
}

// heads returns head and summary of each segment, and the number of damaged heads. It leaves out
// the summary of the last segment, which may be sealed or not.
func heads(t *testing.T, disk *memfs.FS) (heads []string, damaged int) {
	t.Helper()
	last := len(segmentNames(disk)) - 1
	found, err := seglog.Inspect(disk, "log", seglog.Visitor{Segment: func(s seglog.Segment) error {
		if len(heads) == last {
			s.Summary = nil
		}
		heads = append(heads, fmt.Sprintf("%s, %s", s.Head, s.Summary))
		return nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	return heads, len(found.Damage)
}

// The head of each segment in turn, and of each two, is damaged. Open rebuilds it from earlier
// records and loses nothing, for a crash at any step.
func TestHeadRestored(t *testing.T) {
	whole := long(t, 4).disk
	texts, _, err := inspect(whole, "log")
	if err != nil {
		t.Fatal(err)
	}
	want, _ := heads(t, whole)
	names := segmentNames(whole)
	for i := range names {
		for j := range i + 1 {
			name := fmt.Sprintf("heads of segments %d and %d", j, i)
			broken := whole.Crash(memfs.KeepAll)
			breakHead(broken, names[i])
			if j < i {
				breakHead(broken, names[j])
			}
			if _, damaged := heads(t, broken); damaged == 0 {
				t.Fatalf("%s: not damaged", name)
			}
			for k := 1; ; k++ {
				d := broken.Crash(memfs.KeepAll)
				d.CrashAt(k)
				if l, err := seglog.Open(options(d, &owner{})); err == nil {
					l.Abandon()
				} else if !errors.Is(err, memfs.ErrCrashed) {
					t.Fatalf("%s: %v", name, err)
				}
				crashed := d.Crashed()
				for _, m := range memfs.Modes(uint64(k)) {
					checkRestored(t, d.Crash(m), texts, want, fmt.Sprintf("%s, crash %d, %s", name, k, m.Name))
				}
				if !crashed {
					break
				}
			}
		}
	}
}

// checkRestored opens the log twice and checks that all records and heads are there and good.
func checkRestored(t *testing.T, d *memfs.FS, texts, want []string, name string) {
	t.Helper()
	for range 2 {
		o := &owner{}
		l, err := seglog.Open(options(d, o))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := all(t, l); !slices.Equal(got, texts) || o.count != len(texts) {
			t.Fatalf("%s: holds %d records, the owner counts %d, want %d", name, len(got), o.count, len(texts))
		}
		if err := l.Abandon(); err != nil {
			t.Fatal(err)
		}
		got, damaged := heads(t, d)
		if damaged > 0 || !slices.Equal(got, want) {
			t.Fatalf("%s: %d damaged, heads are %q, want %q", name, damaged, got, want)
		}
	}
}

// trimmed returns a log whose oldest segments were removed.
func trimmed(t *testing.T) (*memfs.FS, []string) {
	t.Helper()
	h := long(t, 5)
	mustOpen(t, h)
	if err := errors.Join(h.l.Trim(h.l.Segments()[2].First), h.l.Close()); err != nil {
		t.Fatal(err)
	}
	return h.disk, segmentNames(h.disk)
}

// The head of the first segment cannot be rebuilt once records before it were removed. If another
// head is good, Open does without it and loses nothing. Otherwise all records are set aside.
func TestHeadOfTheFirst(t *testing.T) {
	d, names := trimmed(t)
	breakHead(d, names[0])
	texts, _, err := inspect(d, "log")
	if err != nil {
		t.Fatal(err)
	}
	l, _ := openAside(t, d)
	if got := all(t, l); !slices.Equal(got, texts) || l.Damage() != nil {
		t.Errorf("holds %d records, want %d, damage: %v", len(got), len(texts), l.Damage())
	}
	if _, err := l.Head(l.First()); !errors.As(err, new(*seglog.DamageError)) {
		t.Errorf("the head of the first: %v, want damage", err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range segmentNames(d)[1:] {
		breakHead(d, name)
	}
	l, o := openAside(t, d)
	if l.Damage() == nil || l.Damage().Reason != "bad head" || o.count != 0 {
		t.Errorf("with no head left the owner counts %d, damage: %v", o.count, l.Damage())
	}
	c, err := l.Aside()
	if err != nil {
		t.Fatal(err)
	}
	if got := read(t, c); !slices.Equal(got, texts) {
		t.Errorf("%d records are aside, want %d", len(got), len(texts))
	}
	if err := errors.Join(c.Close(), l.Close()); err != nil {
		t.Fatal(err)
	}
}

// In a long log Open does not check every head. A reader gets the error for a bad one, and the next
// Open rebuilds it.
func TestDamagedHeadFoundByReader(t *testing.T) {
	d, o := memfs.New(), &owner{}
	opts := options(d, o)
	opts.SegmentBytes = 8 << 20
	l, err := seglog.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	big := bytes.Repeat([]byte("x"), 5<<20)
	for len(l.Segments()) < 10 {
		if _, err := l.Append(0x10, big); err != nil {
			t.Fatal(err)
		}
		o.count++
		if _, err := l.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	want, _ := heads(t, d)
	breakHead(d, segmentNames(d)[1])
	for _, damaged := range []bool{true, false} {
		if l, err = seglog.Open(opts); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Head(l.Segments()[1].First); errors.As(err, new(*seglog.DamageError)) != damaged {
			t.Errorf("read the head: %v, want damage: %v", err, damaged)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got, damaged := heads(t, d); damaged > 0 || !slices.Equal(got, want) {
		t.Errorf("%d damaged, heads are %q, want %q", damaged, got, want)
	}
}
