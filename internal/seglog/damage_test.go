package seglog_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

const (
	first  = "log/0000000000000000.log"
	data   = 4160 + 8 // offset of the first record after the head "head 0"
	note   = 24
	record = 24 // size of a frame with up to 8 bytes
)

// texts appends records to a log. If sync is set it syncs after each.
func texts(t *testing.T, h *history, sync bool, texts ...string) {
	t.Helper()
	for _, text := range texts {
		if _, err := h.l.Append(0x10, []byte(text)); err != nil {
			t.Fatal(err)
		}
		h.o.count++
		if sync {
			if _, err := h.l.Sync(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := h.l.Write(); err != nil {
		t.Fatal(err)
	}
}

func mustOpen(t *testing.T, h *history) {
	t.Helper()
	if err := h.open(); err != nil {
		t.Fatal(err)
	}
}

// read reads all records of a cursor.
func read(t *testing.T, c *seglog.Cursor) []string {
	t.Helper()
	texts := []string{}
	for {
		r, err := c.Next()
		if errors.Is(err, io.EOF) {
			return texts
		}
		if err != nil {
			t.Fatal(err)
		}
		texts = append(texts, string(r.Payload))
	}
}

// One segment holds note, a, note, b, note, c. The note before c says that b is durable. Each
// case damages something, and Open must tell a torn tail from damage.
func TestTornOrDamaged(t *testing.T) {
	at := func(i int) int64 { return data + int64(i)*(note+record) } // offset of the i-th note
	for _, tt := range []struct {
		name    string
		note    bool // an idle log has written a note that c is durable
		harm    func(d *memfs.FS)
		want    string // records in the log
		damaged bool
		aside   string // records set aside
	}{
		{"nothing", false, func(d *memfs.FS) {}, "a b c", false, ""},
		{"last record", false, func(d *memfs.FS) { d.Flip(first, at(2)+note+16) }, "a b", false, ""},
		{"last record, noted as durable", true, func(d *memfs.FS) { d.Flip(first, at(2)+note+16) }, "a b", true, ""},
		{"a middle record", false, func(d *memfs.FS) { d.Flip(first, at(1)+note+16) }, "a", true, "c"},
		{"a middle record, and the note that says so", false, func(d *memfs.FS) {
			d.Flip(first, at(1)+note+16)
			d.Flip(first, at(2)+10)
		}, "a", false, ""},
		{"a length", false, func(d *memfs.FS) { d.FlipBits(first, at(1)+note+3, 0x80) }, "a", true, "c"},
		{"the first record", true, func(d *memfs.FS) { d.Flip(first, at(0)+note+16) }, "", true, "b c"},
		{"the first note", false, func(d *memfs.FS) { d.Flip(first, at(0)+10) }, "", true, "a b c"},
		{"the header", false, func(d *memfs.FS) { d.Flip(first, 3) }, "a b c", false, ""},
		{"the second header", false, func(d *memfs.FS) { d.Flip(first, 4096+3) }, "a b c", false, ""},
		{"both headers", false, func(d *memfs.FS) { d.Flip(first, 3); d.Flip(first, 4096+3) }, "", true, ""},
		{"a sector of zeros", true, func(d *memfs.FS) { zero(d, first, at(1), record+note) }, "a", true, "c"},
		{"a stale sector", true, func(d *memfs.FS) { copyBytes(d, first, at(1), at(0), record+note) }, "a", true, "c"},
		{"garbage at the end", false, func(d *memfs.FS) { d.FlipBits(first, at(3)+5, 0xff) }, "a b c", false, ""},
		{"garbage at the end, noted as durable", true, func(d *memfs.FS) { d.FlipBits(first, at(3)+100, 0xff) }, "a b c", false, ""},
		{"cut short", true, func(d *memfs.FS) { truncate(d, first, at(1)+note+5) }, "a", false, ""},
		{"one file's bytes under another name", true, func(d *memfs.FS) {
			b, _ := d.ReadFile(first)
			d.WriteFile("log/0000000000001000.log", b)
		}, "a b c", true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHistory(2)
			mustOpen(t, h)
			texts(t, h, true, "a", "b", "c")
			if tt.note {
				if err := h.l.Note(); err != nil {
					t.Fatal(err)
				}
			}
			disk := h.disk.Crash(memfs.KeepAll)
			tt.harm(disk)
			checkInspect(t, disk, tt.want+" "+tt.aside, tt.damaged)
			strict := &history{disk: disk.Crash(memfs.KeepAll)}
			h.disk = disk.Crash(memfs.KeepAll)
			err := strict.open()
			var d *seglog.DamageError
			if errors.As(err, &d) != tt.damaged || err != nil && !tt.damaged {
				t.Fatalf("open: %v, want damage: %v", err, tt.damaged)
			}

			l, o := openAside(t, h.disk)
			if got := strings.Join(all(t, l), " "); got != tt.want {
				t.Errorf("holds %q, want %q", got, tt.want)
			}
			if got := strings.Join(o.recovered, " "); got != tt.want {
				t.Errorf("recovered %q, want %q", got, tt.want)
			}
			checkAside(t, l, d, tt.aside)
			if err := l.Close(); err != nil {
				t.Fatal(err)
			}
			// After another Open the log is in order, and the same records are set aside.
			l, _ = openAside(t, h.disk)
			if got := strings.Join(all(t, l), " "); got != tt.want {
				t.Errorf("holds %q when opened again, want %q", got, tt.want)
			}
			checkAside(t, l, d, tt.aside)
			if err := l.DropAside(); err != nil {
				t.Fatal(err)
			}
			checkAside(t, l, nil, "")
		})
	}
}

func openAside(t *testing.T, d *memfs.FS) (*seglog.Log, *owner) {
	t.Helper()
	o := &owner{}
	opts := options(d, o)
	opts.SetAside = true
	l, err := seglog.Open(opts)
	if err != nil {
		t.Fatal(err)
	}
	return l, o
}

// checkAside checks the results of Damage and Aside.
func checkAside(t *testing.T, l *seglog.Log, d *seglog.DamageError, want string) {
	t.Helper()
	got := l.Damage()
	if (got == nil) != (d == nil) || d != nil && *got != *d {
		t.Errorf("Damage() = %v, want %v", got, d)
	}
	c, err := l.Aside()
	if err != nil || (c == nil) != (d == nil) {
		t.Fatalf("Aside() = %v, %v with damage %v", c, err, d)
	}
	if c == nil {
		return
	}
	defer c.Close()
	if got := strings.Join(read(t, c), " "); got != want {
		t.Errorf("aside is %q, want %q", got, want)
	}
}

func zero(d *memfs.FS, name string, at int64, n int) {
	b, _ := d.ReadFile(name)
	clear(b[at:][:n])
	d.WriteFile(name, b)
}

func copyBytes(d *memfs.FS, name string, to, from int64, n int) {
	b, _ := d.ReadFile(name)
	copy(b[to:][:n], b[from:])
	d.WriteFile(name, b)
}

func truncate(d *memfs.FS, name string, size int64) {
	b, _ := d.ReadFile(name)
	d.WriteFile(name, b[:size])
}

// long makes a log of several sealed segments on a new disk.
func long(t *testing.T, seed uint64) *history {
	t.Helper()
	h := newHistory(seed)
	mustOpen(t, h)
	for len(h.l.Segments()) < 6 {
		if err := errors.Join(h.append(), h.step(h.rand.IntN(9))); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.l.Close(); err != nil {
		t.Fatal(err)
	}
	return h
}

// A cursor reports a damaged record in a sealed segment, and so does every Open afterwards.
func TestDamageFoundByCursor(t *testing.T) {
	h := long(t, 2).after(memfs.KeepAll)
	name := h.disk.Names()[2]
	breakRecord(h.disk, name)
	mustOpen(t, h)
	var reported *seglog.DamageError
	c := h.l.Cursor(0)
	for {
		if _, err := c.Next(); err != nil {
			if !errors.As(err, &reported) {
				t.Fatalf("cursor: %v, want damage", err)
			}
			break
		}
	}
	if reported.File != name {
		t.Errorf("damage in %s, want %s", reported.File, name)
	}
	if _, err := c.Next(); !errors.As(err, new(*seglog.DamageError)) {
		t.Errorf("cursor again: %v", err)
	}
	c.Close()
	if err := h.l.Close(); err != nil {
		t.Fatal(err)
	}

	next := h.after(memfs.KeepAll)
	var found *seglog.DamageError
	if err := next.open(); !errors.As(err, &found) || *found != *reported {
		t.Fatalf("open: %v, want %v", err, reported)
	}

	// If the record can be read again, the damage flag is removed.
	h.disk = h.disk.Crash(memfs.KeepAll)
	breakRecord(h.disk, name)
	mustOpen(t, h)
	if slices.ContainsFunc(h.disk.Names(), func(n string) bool { return strings.HasSuffix(n, ".bad") }) {
		t.Errorf("the damage flag is still there: %v", h.disk)
	}
}

// Each segment in turn is lost, or is flagged and has a damaged record. With SetAside the log ends
// before the damage, and the records after it are set aside. The same holds for a crash before each
// change that Open makes.
func TestSetAsideCrash(t *testing.T) {
	every := 1
	if testing.Short() {
		every = 3
	}
	for i := range 7 {
		for _, lost := range []bool{false, true} {
			broken, all := damaged(t, i, lost)
			if broken == nil {
				continue
			}
			for k := 1; ; k += every {
				crashed := false
				for _, m := range memfs.Modes(uint64(k)) {
					d := broken.Crash(memfs.KeepAll)
					d.CrashAt(k)
					opts := options(d, &owner{})
					opts.SetAside = true
					if l, err := seglog.Open(opts); err == nil {
						l.Abandon()
					} else if !errors.Is(err, memfs.ErrCrashed) {
						t.Fatal(err)
					}
					crashed = d.Crashed()
					checkSetAside(t, d.Crash(m), all, fmt.Sprintf("segment %d lost %v, crash %d, %s", i, lost, k, m.Name))
				}
				if !crashed {
					break
				}
			}
		}
	}
}

// The head of the oldest segment is the only record of the trimmed history. It stays even if the
// first record after it is damaged.
func TestSetAsideKeepsOldestHead(t *testing.T) {
	d, o := memfs.New(), &owner{}
	l, err := seglog.Open(options(d, o))
	if err != nil {
		t.Fatal(err)
	}
	o.append(t, l, strings.Repeat("removed", 40))
	first := o.append(t, l, strings.Repeat("damaged", 20)) // in the same batch, so no note is before it
	o.append(t, l, "behind")
	if _, err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(l.Trim(first), l.Close()); err != nil {
		t.Fatal(err)
	}
	name := fmt.Sprintf("log/%016x.log", uint64(first))
	b, err := d.ReadFile(name)
	if err != nil {
		t.Fatal(err, l.Segments())
	}
	d.Flip(name, int64(bytes.Index(b, []byte("damaged"))))
	for range 2 {
		l, o = openAside(t, d)
		if o.count != 1 || len(o.recovered) > 0 || l.First() != first {
			t.Errorf("begins at %d with head %q and records %q, want %d and \"head 1\"", l.First(), o.head, o.recovered, first)
		}
		if err := l.Abandon(); err != nil {
			t.Fatal(err)
		}
	}
	l, o = openAside(t, d)
	o.append(t, l, "after")
	if _, err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	c, err := l.Aside()
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(read(t, c), " "); got != "behind" {
		t.Errorf("aside is %q", got)
	}
	if err := errors.Join(c.Close(), l.DropAside(), l.Close()); err != nil {
		t.Fatal(err)
	}
	l, o = openAside(t, d)
	if got := strings.Join(all(t, l), " "); got != "after" || o.count != 2 {
		t.Errorf("in the end the log has %q, and counts %d", got, o.count)
	}
	l.Abandon()
}

// breakRecord inverts a bit in the first record, with or without a note before it. A second call
// restores the record.
func breakRecord(d *memfs.FS, name string) {
	d.Flip(name, data+8)
	d.Flip(name, data+note+8)
}

// damaged returns a disk whose segment i is lost or has a bad first record, and all records of the
// undamaged log. The last segment of the log was written by Open. The disk is nil if segment i does
// not exist, or if losing it would not be noticed.
func damaged(t *testing.T, i int, lost bool) (*memfs.FS, []string) {
	t.Helper()
	h := long(t, 4).after(memfs.KeepAll)
	mustOpen(t, h)
	texts(t, h, false, "a", "b", "c")
	h = h.after(memfs.KeepAll)
	mustOpen(t, h)
	texts := all(t, h.l)
	segs := h.l.Segments()
	if i >= len(segs) || lost && i == len(segs)-1 {
		return nil, nil
	}
	d := h.disk.Crash(memfs.KeepAll)
	name := fmt.Sprintf("log/%016x", uint64(segs[i].First))
	if !lost {
		breakRecord(d, name+".log")
		d.WriteFile(name+".bad", nil)
		return d, texts
	}
	if i == 0 {
		i, name = 1, fmt.Sprintf("log/%016x", uint64(segs[1].First)) // a log without its first segment looks like a trimmed one
	}
	if err := errors.Join(d.Remove(name+".log"), d.SyncDir("log")); err != nil {
		t.Fatal(err)
	}
	return d, texts
}

// checkSetAside opens the log twice. It checks that the records in the log and the ones set aside
// are, in order, the wanted ones without the damaged.
func checkSetAside(t *testing.T, d *memfs.FS, want []string, name string) {
	t.Helper()
	for range 2 {
		l, o := openAside(t, d)
		if l.Damage() == nil {
			t.Fatalf("%s: damage is forgotten\n%v", name, d)
		}
		kept := all(t, l)
		if !slices.Equal(kept, want[:len(kept)]) || o.count != len(kept) {
			t.Fatalf("%s: kept %.100q, owner counts %d", name, kept, o.count)
		}
		c, err := l.Aside()
		if err != nil {
			t.Fatal(err)
		}
		aside := read(t, c)
		rest := want[len(want)-len(aside):]
		if i := slices.IndexFunc(want, func(s string) bool { return len(aside) > 0 && s == aside[0] }); i >= 0 {
			rest = want[i:]
		}
		if !isSubsequence(aside, rest) || len(kept)+len(aside) < len(want)-12 || len(kept)+len(aside) >= len(want) {
			t.Fatalf("%s: kept %d, aside %d of %d\naside %.300q", name, len(kept), len(aside), len(want), aside)
		}
		c.Close()
		if _, err := l.Append(0x10, []byte("more")); err != nil {
			t.Fatal(err)
		}
		o.count++
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		want = append(slices.Concat(kept, []string{"more"}, aside), "damaged", "damaged")
		d = d.Crash(memfs.KeepAll)
	}
}

func isSubsequence(a, b []string) bool {
	for _, s := range b {
		if len(a) > 0 && a[0] == s {
			a = a[1:]
		}
	}
	return len(a) == 0
}

// With any single bit of a small log inverted, Open finds a prefix of the records and nothing else.
// If the prefix is shorter than the highest note says, Open reports damage.
func TestEveryBitFlipped(t *testing.T) {
	for name, prepare := range map[string]func(h *history) error{
		"noted by an idle log": func(h *history) error { return h.l.Note() },
		"closed":               func(h *history) error { return h.l.Close() },
		"opened after a kill": func(h *history) error {
			*h = *h.after(memfs.KeepAll)
			return h.open()
		},
		"and opened again": func(h *history) error {
			*h = *h.after(memfs.KeepAll)
			err := errors.Join(h.open(), h.append(), h.append(), h.l.Write())
			*h = *h.after(memfs.KeepAll)
			return errors.Join(err, h.open())
		},
	} {
		h := newHistory(2)
		mustOpen(t, h)
		for range 12 {
			if err := errors.Join(h.append(), h.step(6)); err != nil {
				t.Fatal(err)
			}
		}
		if err := prepare(h); err != nil {
			t.Fatal(err)
		}
		disk := h.disk.Crash(memfs.KeepAll)
		h = &history{disk: disk.Crash(memfs.KeepAll)}
		mustOpen(t, h)
		t.Run(name, func(t *testing.T) { flipEach(t, disk, all(t, h.l)) })
	}
}

func flipEach(t *testing.T, disk *memfs.FS, want []string) {
	t.Helper()
	flips, every := 0, 1
	if testing.Short() {
		every = 5
	}
	for _, name := range disk.Names() {
		b, err := disk.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for at := 0; at < len(b); at += every {
			if at >= 64 && at < 4096 {
				continue // no record is there
			}
			checkFlip(t, disk.Crash(memfs.KeepAll), name, int64(at), want)
			flips++
		}
	}
	t.Logf("%d bytes", flips)
}

func checkFlip(t *testing.T, d *memfs.FS, name string, at int64, want []string) {
	t.Helper()
	d.FlipBits(name, at, 1<<(at%8))
	l, err := seglog.Open(options(d, &owner{}))
	if err == nil {
		c := l.Cursor(0)
		var r seglog.Record
		n := 0
		for ; ; n++ {
			if r, err = c.Next(); err != nil {
				break
			}
			if n == len(want) || string(r.Payload) != want[n] {
				t.Fatalf("flip in %s at %d: record %d is %q", name, at, n, r.Payload)
			}
		}
		c.Close()
		if errors.Is(err, io.EOF) {
			if n != len(want) {
				t.Fatalf("flip in %s at %d: %d records of %d, but no damage reported", name, at, n, len(want))
			}
			return
		}
		l.Abandon()
	}
	var damage *seglog.DamageError
	if !errors.As(err, &damage) {
		t.Fatalf("flip in %s at %d: %v", name, at, err)
	}
	l, o := openAside(t, d)
	got := all(t, l)
	if !slices.Equal(got, want[:len(got)]) || !slices.Equal(o.recovered, got[len(got)-len(o.recovered):]) {
		t.Fatalf("flip in %s at %d: set aside, holds %q", name, at, got)
	}
	c, err := l.Aside()
	if err != nil {
		t.Fatal(err)
	}
	if aside := read(t, c); !isSubsequence(aside, want[len(got):]) || len(got)+len(aside) < len(want)-1 {
		t.Fatalf("flip in %s at %d: kept %d, aside %d of %d", name, at, len(got), len(aside), len(want))
	}
}

// A disk loses a long range, and a sparse range is in its place. A note after it proves that the
// lost records were durable.
func TestDamageBeforeAHole(t *testing.T) {
	for name, o := range map[string]seglog.Options{
		"disk":  {FS: seglog.OS, Dir: filepath.ToSlash(t.TempDir())},
		"memfs": {FS: memfs.New(), Dir: "log"},
	} {
		o.Owner, o.SegmentBytes = &owner{}, 8<<20
		l, err := seglog.Open(o)
		if err != nil {
			t.Fatal(err)
		}
		for range 2000 {
			o.Owner.(*owner).append(t, l, strings.Repeat("x", 1000))
			if _, err := l.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Abandon(); err != nil {
			t.Fatal(err)
		}
		const from = data + 100*(note+1016) // start of a batch
		lose(t, o, from, 1900<<10)
		o.Owner = &owner{}
		_, err = seglog.Open(o)
		d, damaged := errors.AsType[*seglog.DamageError](err)
		if !damaged || d.Offset != from {
			t.Errorf("%s: %v, want damage at offset %d", name, err, from)
		}
	}
}

// lose replaces the bytes of the first segment between two offsets by a sparse range.
func lose(t *testing.T, o seglog.Options, from, to int64) {
	t.Helper()
	f, err := o.FS.OpenFile(o.Dir+"/0000000000000000.log", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	behind := make([]byte, size-to)
	if err == nil {
		_, err = f.ReadAt(behind, to)
	}
	if err == nil {
		err = f.Truncate(from)
	}
	if err == nil {
		_, err = f.WriteAt(bytes.TrimRight(behind, "\x00"), to)
	}
	if err == nil {
		err = f.Preallocate(size)
	}
	if err != nil {
		t.Fatal(err)
	}
}
