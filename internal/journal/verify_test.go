package journal_test

import (
	"encoding/binary"
	"errors"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A bareOwner is the Owner of a log without heads and summaries.
type bareOwner struct{}

func (bareOwner) Head() []byte                { return nil }
func (bareOwner) Summary() []byte             { return nil }
func (bareOwner) RecoverHead([]byte) error    { return nil }
func (bareOwner) Recover(seglog.Record) error { return nil }

// writeUnchecked writes a journal without admission.
func writeUnchecked(t *testing.T, times []int64, rs ...*journal.Record) *memfs.FS {
	t.Helper()
	disk := memfs.New()
	l, err := seglog.Open(seglog.Options{FS: disk, Dir: dir, Owner: bareOwner{}, SegmentBytes: 200})
	if err != nil {
		t.Fatal(err)
	}
	for i, r := range rs {
		at := binary.LittleEndian.AppendUint64(nil, uint64(times[i%len(times)]))
		if _, err := l.Append(uint8(r.Kind), at, encode(t, *r)); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	return disk
}

func TestVerifyFindsFaults(t *testing.T) {
	m := func(publisher, sequence uint64) *journal.Record { return message(publisher, sequence, "b") }
	for _, tt := range []struct {
		name  string
		times []int64
		rs    []*journal.Record
		ok    bool
	}{
		{"nothing", []int64{5}, []*journal.Record{m(1, 1), m(2, 1), m(1, 2), m(2, 2), m(2, 3), m(1, 3)}, true},
		{"an identity twice", []int64{5}, []*journal.Record{m(1, 1), m(1, 2), m(2, 1), m(1, 2)}, false},
		{"a hole", []int64{5}, []*journal.Record{m(1, 1), m(2, 1), m(1, 3)}, false},
		{"the wrong order", []int64{5}, []*journal.Record{m(1, 2), m(1, 1)}, false},
		{"time that goes back", []int64{5, 4}, []*journal.Record{m(1, 1), m(2, 1)}, false},
	} {
		report, err := journals.Verify(writeUnchecked(t, tt.times, tt.rs...), dir)
		if ok := err == nil; ok != tt.ok || ok && report.Records != len(tt.rs) {
			t.Errorf("%s: %+v, %v", tt.name, report, err)
		}
	}
}

func TestDump(t *testing.T) {
	disk := memfs.New()
	j := mustOpen(t, disk)
	fill(t, j, 1, 1, 100)
	verifyAndClose(t, j)
	next := uint64(1)
	err := journals.Dump(disk, dir, func(r *journal.Record) error {
		if r.Sequence != next {
			t.Errorf("%d, want %d", r.Sequence, next)
		}
		next++
		return nil
	})
	if err != nil || next != 101 {
		t.Error(next, err)
	}
}

// Open refuses the log of another owner, whatever its records.
func TestNotJournal(t *testing.T) {
	disk := memfs.New()
	l, err := seglog.Open(seglog.Options{FS: disk, Dir: dir, Owner: otherOwner{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for _, aside := range []bool{false, true} {
		j, err := journal.Open(journal.Options{FS: disk, Dir: dir, SetAside: aside})
		if !errors.Is(err, journal.ErrNotJournal) {
			t.Fatalf("SetAside %t: %v, %v", aside, j, err)
		}
	}
}

// An otherOwner is the Owner of another kind of log.
type otherOwner struct{ bareOwner }

func (otherOwner) Head() []byte { return []byte("somebody's") }
