package journal_test

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/fileversion"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/testkit/newer"
)

// fullDisk returns a disk on which a journal has failed because the disk was full.
func fullDisk(t *testing.T, reserve bool) *memfs.FS {
	t.Helper()
	disk := memfs.New()
	j := mustOpen(t, disk)
	if reserve {
		if err := j.KeepReserve(); err != nil {
			t.Fatal(err)
		}
	}
	fill(t, j, 1, 1, 300)
	mustSync(t, j)
	disk.SetCapacity(bytesUsed(t, disk) + 2<<10) // for a footer, not for a segment
	for n := uint64(301); j.Err() == nil; n++ {
		if _, err := j.Append(message(1, n, "more")); err == nil {
			j.Sync()
		}
	}
	if err := j.Err(); !errors.Is(err, syscall.ENOSPC) {
		t.Fatal(err)
	}
	j.Kill()
	disk = disk.Crash(memfs.Durable)
	disk.SetCapacity(bytesUsed(t, disk)) // other files use the rest
	return disk
}

// bytesUsed returns the total size of all files.
func bytesUsed(t *testing.T, disk *memfs.FS) (bytes int64) {
	t.Helper()
	for _, name := range disk.Names() {
		b, err := disk.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		bytes += int64(len(b))
	}
	return bytes
}

// A journal that has failed because of a full disk opens again with the space of its reserve
// file, trims, and makes the reserve again (R7).
func TestOpenOnAFullDisk(t *testing.T) {
	if j, err := journal.Open(journal.Options{FS: fullDisk(t, false), Dir: dir, SegmentBytes: 4 << 10}); !errors.Is(err, syscall.ENOSPC) {
		j.Kill()
		t.Fatalf("without a reserve: %v", err)
	}
	disk := fullDisk(t, true)
	j := mustOpen(t, disk)
	have := state(j, 1).Have
	if have < 300 {
		t.Errorf("have %d", have)
	}
	if n, err := j.Trim(journal.Retention{FreeBytes: 3 * j.ReserveBytes()}); n == 0 || err != nil {
		t.Fatal(n, err)
	}
	if err := j.KeepReserve(); err != nil {
		t.Fatal(err)
	}
	fill(t, j, 1, have+1, have+10)
	mustSync(t, j)
	verifyAndClose(t, j)
	j = mustOpen(t, disk)
	defer verifyAndClose(t, j)
	if s := state(j, 1); s.Have != have+10 || s.Floor == 0 {
		t.Errorf("%+v", s)
	}
}

// KeepReserve makes the reserve file once, and none on a disk without room for it.
func TestKeepReserve(t *testing.T) {
	disk := memfs.New()
	j := openForTest(t, disk)
	before := bytesUsed(t, disk)
	disk.SetCapacity(before + j.ReserveBytes() - 1)
	if err := j.KeepReserve(); !errors.Is(err, syscall.ENOSPC) || bytesUsed(t, disk) != before {
		t.Errorf("%v, %d bytes are used, %d before", err, bytesUsed(t, disk), before)
	}
	disk.SetCapacity(before + j.ReserveBytes())
	for range 2 {
		if err := j.KeepReserve(); err != nil || bytesUsed(t, disk) != before+j.ReserveBytes() {
			t.Errorf("%v, %d bytes are used", err, bytesUsed(t, disk))
		}
	}
}

// TrimClosed trims a journal that is not open, on a disk without a free byte. Afterwards its
// floors and have are the same as after Trim (R2).
func TestTrimClosed(t *testing.T) {
	disk := fullDisk(t, false)
	size := bytesUsed(t, disk)
	n, err := journal.TrimClosed(disk, dir, size/2, 0)
	if left := bytesUsed(t, disk); err != nil || n == 0 || left > size/2 || left < size/8 { // it removes whole segments
		t.Fatalf("%d segments were removed, %d of %d bytes are left, %v", n, left, size, err)
	}
	j := mustOpen(t, disk)
	f := j.Follow(j.First(), journal.Durable)
	defer f.Close()
	var r journal.Record
	if ok, err := f.Next(&r); !ok || err != nil {
		t.Fatal(ok, err)
	}
	s := state(j, 1)
	if s.Have < 300 || s.Floor+1 != r.Sequence || s.Removed != s.Floor {
		t.Errorf("%+v, the first record is %d", s, r.Sequence)
	}
	if _, err := journal.TrimClosed(disk, dir, 1, 0); !errors.Is(err, seglog.ErrLocked) {
		t.Errorf("TrimClosed of an open journal: %v", err)
	}
	verifyAndClose(t, j)
	if _, err := journal.TrimClosed(disk, dir, 1, 0); err != nil {
		t.Fatal(err)
	}
	j = mustOpen(t, disk)
	defer verifyAndClose(t, j)
	if s := state(j, 1); s.Have < 300 || s.Floor < 290 {
		t.Errorf("%+v", s)
	}
}

// TrimClosed does not change a journal to which a later version has written (R8).
func TestTrimClosedOfALaterVersion(t *testing.T) {
	for name, age := range map[string]func([]byte) []byte{
		"segment": newer.Segment,
		"head":    func(b []byte) []byte { return newer.Head(b, len("hfsjournal")) },
	} {
		disk := memfs.New()
		j := mustOpen(t, disk)
		fill(t, j, 1, 1, 300)
		verifyAndClose(t, j)
		logs := segments(disk)
		b, err := disk.ReadFile(logs[len(logs)-1])
		if err != nil {
			t.Fatal(err)
		}
		disk.WriteFile(logs[len(logs)-1], age(b))
		n, err := journal.TrimClosed(disk, dir, 1, 0)
		if _, is := errors.AsType[*fileversion.VersionError](err); !is || n != 0 || len(segments(disk)) != len(logs) {
			t.Errorf("%s: %d of %d segments were removed, %v", name, n, len(logs), err)
		}
	}
}

// segments returns the files of a journal's segments, oldest first.
func segments(disk *memfs.FS) (logs []string) {
	for _, name := range disk.Names() {
		if strings.HasSuffix(name, ".log") {
			logs = append(logs, name)
		}
	}
	return logs
}

// TrimClosed keeps the segments after an unreadable head, because only the head describes the
// records before it.
func TestTrimClosedStopsAtABadHead(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	fill(t, j, 1, 1, 300)
	verifyAndClose(t, j)
	disk.Flip(segments(disk)[2], 4160)
	if n, err := journal.TrimClosed(disk, dir, 1, 0); n != 1 || err == nil {
		t.Errorf("%d segments were removed, %v", n, err)
	}
}
