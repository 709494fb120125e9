package journal_test

import (
	"errors"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// fuzzedDisk returns a disk with a journal of several segments: two publishers, refused
// messages, a marker.
func fuzzedDisk(t testing.TB) *memfs.FS {
	disk := memfs.New()
	j := mustOpen(t, disk)
	fill(t, j, 1, 1, 60)
	mustAppend(t, j, &journal.Record{Kind: journal.Tombstone, Publisher: 1, Sequence: 61, Prev: 60, Reason: []byte("no")}, journal.Accepted)
	mustAppend(t, j, &journal.Record{Kind: journal.Gone, Publisher: 2, Sequence: 7}, journal.Accepted)
	mustSync(t, j)
	fill(t, j, 2, 8, 60)
	mustSync(t, j)
	verifyAndClose(t, j)
	return disk
}

// FuzzOpen opens a journal after some bytes of a file were changed, cut off, or replaced.
// Either Open reports the damage, or the journal keeps G3 and G4 and accepts records. It has
// no record that was not written, and Open takes memory in proportion to the files only.
func FuzzOpen(f *testing.F) {
	disk := fuzzedDisk(f)
	names := disk.Names()
	for file := range len(names) {
		for _, at := range []uint16{0, 7, 60, 64, 75, 100, 300, 2000, 4000} {
			f.Add(byte(file), at, []byte{0xff}, false, false)
			f.Add(byte(file), at, []byte{}, true, true)
			f.Add(byte(file), at, []byte("\xff\xff\xff\x7f\xff\xff\xff\xff\xff"), false, true)
		}
	}
	f.Fuzz(func(t *testing.T, file byte, at uint16, with []byte, cut, aside bool) {
		if len(with) > 1<<12 {
			return
		}
		d := disk.Image(memfs.KeepAll)
		name := names[int(file)%len(names)]
		b, err := d.ReadFile(name)
		if err != nil {
			return // the file does not exist
		}
		from := min(int(at), len(b))
		damaged := append(b[:from:from], with...)
		if !cut && len(damaged) < len(b) {
			damaged = append(damaged, b[len(damaged):]...)
		}
		d.WriteFile(name, damaged)
		heap.Bounded(t, len(damaged), 64, 32<<20, func() { openDamaged(t, d, aside) })
	})
}

func openDamaged(t *testing.T, disk *memfs.FS, aside bool) {
	j, err := journal.Open(journal.Options{FS: disk, Dir: dir, SegmentBytes: 4 << 10, SetAside: aside})
	if err != nil {
		if _, damage := errors.AsType[*seglog.DamageError](err); !damage || aside {
			t.Errorf("open: %v", err)
		}
		return
	}
	defer func() {
		// Damage in a sealed segment is found only when the segment is read.
		_, err := journals.VerifyOpen(j, disk, dir)
		if _, damage := errors.AsType[*seglog.DamageError](err); err != nil && !damage {
			t.Errorf("verify: %v", err)
		}
		if err := j.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}()
	for _, s := range j.States() {
		if s.Publisher > 2 || s.Have > 61 || s.Floor > 60 {
			t.Errorf("the journal never had this state: %+v", s)
		}
		// A set-aside record is merged as soon as its predecessor is there.
		fill(t, j, s.Publisher, s.Have+1, s.Have+1)
	}
	mustSync(t, j)
}
