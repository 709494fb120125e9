package seglog_test

import (
	"bytes"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// For a record whose owner has supplied the checksum of the rest, damage is found anywhere in the
// record, also after it was staged or rewritten to another segment.
func TestAppendSummed(t *testing.T) {
	head, rest := []byte("head "), bytes.Repeat([]byte("rest "), 100)
	sum := crc32.Checksum(rest, crc32.MakeTable(crc32.Castagnoli))
	for _, tt := range []struct {
		name string
		head int // length of the payload's head; -1: the record is not damaged
		at   int // offset in the payload
		sum  uint32
		good bool
	}{
		{"good", len(head), -1, sum, true},
		{"the first byte", len(head), 0, sum, false},
		{"the last byte of the head", len(head), len(head) - 1, sum, false},
		{"the first byte of the rest", len(head), len(head), sum, false},
		{"the last byte", len(head), len(head) + len(rest) - 1, sum, false},
		{"the sum", len(head), -1, sum + 1, false},
		{"a head that is too long for a sum", 1 << 16, -1, sum + 1, true},
	} {
		for _, stage := range []int{0, 64 << 10} {
			disk := memfs.New()
			o := seglog.Options{FS: disk, Dir: "log", Owner: &owner{}, StageBytes: stage}
			l, err := seglog.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			at, err := l.AppendSummed(0x10, tt.head, tt.sum, head, rest[:50], rest[50:])
			if err != nil {
				t.Fatal(err)
			}
			if stage == 0 {
				if _, err := l.Sync(); err != nil {
					t.Fatal(err)
				}
			}
			if err := l.Abandon(); err != nil {
				t.Fatal(err)
			}
			file, begins := first, int64(4160+at)
			if stage > 0 {
				file, begins = "log/stage", 64+24
			}
			if tt.at >= 0 {
				disk.Flip(file, begins+16+int64(tt.at))
			}
			o.Owner = &owner{}
			if l, err = seglog.Open(o); err != nil {
				t.Fatal(err)
			}
			r, err := l.Cursor(0).Next()
			if good := err == nil && bytes.Equal(r.Payload, append(bytes.Clone(head), rest...)); good != tt.good {
				t.Errorf("%s, stage of %d bytes: found %.20q, %v", tt.name, stage, r.Payload, err)
			}
			if errors.Join(l.Close()) != nil {
				t.Fatal(err)
			}
		}
	}
}
