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

// segmentNames returns the names of the segments' files, oldest first.
func segmentNames(d *memfs.FS) []string {
	return slices.DeleteFunc(d.Names(), func(n string) bool { return !strings.HasSuffix(n, ".log") })
}

// heads returns head and summary of each segment, and how much is damaged. The
// last segment's summary is left out: it may be sealed or not.
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

// Of each segment in turn, and of each two, the head is damaged. What stood
// before says what it was: nothing is lost, and it is made again, whenever the
// process dies on the way.
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
			what := fmt.Sprintf("heads of segments %d and %d", j, i)
			broken := whole.Crash(memfs.KeepAll)
			breakHead(broken, names[i])
			if j < i {
				breakHead(broken, names[j])
			}
			if _, damaged := heads(t, broken); damaged == 0 {
				t.Fatalf("%s: not damaged", what)
			}
			for k := 1; ; k++ {
				d := broken.Crash(memfs.KeepAll)
				d.CrashAt(k)
				if l, err := seglog.Open(options(d, &owner{})); err == nil {
					l.Abandon()
				} else if !errors.Is(err, memfs.ErrCrashed) {
					t.Fatalf("%s: %v", what, err)
				}
				crashed := d.Crashed()
				for _, m := range memfs.Modes(uint64(k)) {
					checkRestored(t, d.Crash(m), texts, want, fmt.Sprintf("%s, crash %d, %s", what, k, m.Name))
				}
				if !crashed {
					break
				}
			}
		}
	}
}

// checkRestored opens twice and checks that all is there and sound.
func checkRestored(t *testing.T, d *memfs.FS, texts, want []string, what string) {
	t.Helper()
	for range 2 {
		o := &owner{}
		l, err := seglog.Open(options(d, o))
		if err != nil {
			t.Fatalf("%s: %v", what, err)
		}
		if got := all(t, l); !slices.Equal(got, texts) || o.count != len(texts) {
			t.Fatalf("%s: holds %d records, the owner counts %d, want %d", what, len(got), o.count, len(texts))
		}
		if err := l.Abandon(); err != nil {
			t.Fatal(err)
		}
		got, damaged := heads(t, d)
		if damaged > 0 || !slices.Equal(got, want) {
			t.Fatalf("%s: %d damaged, heads are %q, want %q", what, damaged, got, want)
		}
	}
}

// trimmed returns a log of which what was before its first segment is gone.
func trimmed(t *testing.T) (*memfs.FS, []string) {
	t.Helper()
	h := long(t, 5)
	mustOpen(t, h)
	if err := errors.Join(h.l.Trim(h.l.Segments()[2].First), h.l.Close()); err != nil {
		t.Fatal(err)
	}
	return h.disk, segmentNames(h.disk)
}

// Nothing says what the head of the first segment was when something was
// removed before it. Where another one is good, it does without, and nothing
// is lost; only where none is, all is aside.
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

// Open does not look at the heads of all of a long log. Who reads a bad one is
// told, and the next Open makes it again.
func TestHeadMetByReader(t *testing.T) {
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
	for _, met := range []bool{true, false} {
		if l, err = seglog.Open(opts); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Head(l.Segments()[1].First); errors.As(err, new(*seglog.DamageError)) != met {
			t.Errorf("read the head: %v, want damage: %v", err, met)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if got, damaged := heads(t, d); damaged > 0 || !slices.Equal(got, want) {
		t.Errorf("%d damaged, heads are %q, want %q", damaged, got, want)
	}
}
