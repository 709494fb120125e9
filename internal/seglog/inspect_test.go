package seglog_test

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// inspect returns the records that Inspect visits.
func inspect(disk seglog.FS, dir string) (texts []string, found seglog.Inspection, err error) {
	found, err = seglog.Inspect(disk, dir, seglog.Visitor{Record: func(r seglog.Record) error {
		texts = append(texts, string(r.Payload))
		return nil
	}})
	return texts, found, err
}

// checkInspect checks that Inspect visits all readable records, including those after damage, that
// it reports damage if there is any, and that it changes nothing.
func checkInspect(t *testing.T, disk *memfs.FS, want string, damaged bool) {
	t.Helper()
	before := disk.String()
	ops := disk.Changes()
	texts, found, err := inspect(disk, "log")
	if err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(texts, " "); got != strings.TrimSpace(want) {
		t.Errorf("inspect sees %q, want %q", got, want)
	}
	if got := len(found.Damage) > 0; got != damaged {
		t.Errorf("inspect finds damage %v, want any: %v", found.Damage, damaged)
	}
	if disk.String() != before || disk.Changes() != ops {
		t.Errorf("inspect has changed the disk from %s to %s", before, disk)
	}
}

// checkAgainst checks that a log which was just opened holds the records that Inspect found before.
func checkAgainst(l *seglog.Log, texts []string, found seglog.Inspection) error {
	if len(found.Damage) > 0 {
		return fmt.Errorf("inspect found %v, the log opens", found.Damage)
	}
	c := l.Cursor(0)
	defer c.Close()
	for i, text := range texts {
		r, err := c.Next()
		if err != nil || string(r.Payload) != text {
			return fmt.Errorf("record %d was %.20q when it was inspected, is %.20q (%v)", i, text, r.Payload, err)
		}
	}
	if r, err := c.Next(); err == nil {
		return fmt.Errorf("record %.20q was not seen when the log was inspected", r.Payload)
	}
	return nil
}

func TestInspectTorn(t *testing.T) {
	h := newHistory(2)
	mustOpen(t, h)
	texts(t, h, true, "a", "b")
	disk := h.disk.Crash(memfs.KeepAll)
	disk.FlipBits(first, data+2*(note+record)+5, 0xff) // after b
	got, found, err := inspect(disk, "log")
	if err != nil || len(got) != 2 || found.Torn == nil {
		t.Fatalf("%q, %+v, %v", got, found, err)
	}
	if torn := *found.Torn; torn.File != first || torn.Offset != data+2*(note+record) || torn.Bytes != 6 {
		t.Errorf("torn: %+v", torn)
	}
	if found.Durable != note+record { // from the note of the second batch
		t.Errorf("durable up to %d", found.Durable)
	}
}

// Inspect finds damage in the middle of a sealed segment without a damage flag, and reads the records
// after it.
func TestInspectFindsDamageThatOpenDoesNotLookFor(t *testing.T) {
	h := long(t, 2).after(memfs.KeepAll)
	all, _, err := inspect(h.disk, "log")
	if err != nil {
		t.Fatal(err)
	}
	name := h.disk.Names()[2]
	breakRecord(h.disk, name)
	texts, found, err := inspect(h.disk, "log")
	if err != nil || len(found.Damage) == 0 || len(texts) != len(all)-1 {
		t.Fatalf("%d records of %d, %+v, %v", len(texts), len(all), found, err)
	}
	for _, d := range found.Damage {
		if d.File != name {
			t.Errorf("found %v", d)
		}
	}
}

func TestInspectLocked(t *testing.T) {
	h := newHistory(2)
	mustOpen(t, h)
	if _, _, err := inspect(h.disk, "log"); !errors.Is(err, seglog.ErrLocked) {
		t.Errorf("while it is open: %v", err)
	}
}

// Inspect with ReadOnly works in a directory that must not be changed.
func TestReadOnly(t *testing.T) {
	dir := t.TempDir()
	l, err := seglog.Open(seglog.Options{FS: seglog.OS, Dir: dir, Owner: &owner{}, SegmentBytes: 1 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := inspect(seglog.ReadOnly, dir); !errors.Is(err, seglog.ErrLocked) {
		t.Errorf("while it is open: %v", err)
	}
	if _, err := l.Append(0x10, []byte("a")); err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if texts, _, err := inspect(seglog.ReadOnly, dir); err != nil || len(texts) != 1 {
		t.Errorf("%q, %v", texts, err)
	}
	for _, err := range []error{
		seglog.ReadOnly.MkdirAll(dir + "/x"), seglog.ReadOnly.Remove(dir + "/x"),
		seglog.ReadOnly.Rename(dir+"/x", dir+"/y"), seglog.ReadOnly.SyncDir(dir),
		second(seglog.ReadOnly.OpenFile(dir+"/x", os.O_CREATE)),
	} {
		if !errors.Is(err, fs.ErrPermission) {
			t.Errorf("a change gets %v", err)
		}
	}
}

func second[T any](_ T, err error) error { return err }
