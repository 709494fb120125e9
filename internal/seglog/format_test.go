package seglog_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"flag"
	"hash/crc32"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

var update = flag.Bool("update", false, "write testdata/v1 again")

// golden returns the records in testdata/v1: a sealed segment, and one that was in use when its
// process died.
func golden() []string {
	return []string{"first", "", strings.Repeat("long ", 50), "behind the seal", "last"}
}

func writeGolden(t *testing.T) {
	h := newHistory(2)
	mustOpen(t, h)
	texts(t, h, true, golden()[:3]...)
	texts(t, h, true, strings.Repeat("x", 250))
	texts(t, h, true, golden()[3])
	texts(t, h, false, golden()[4])
	for _, name := range h.disk.Names() {
		b, err := h.disk.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join("testdata/v1", filepath.Base(name)), b, 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// Format 1 stays readable.
func TestGolden(t *testing.T) {
	if *update {
		writeGolden(t)
	}
	disk := memfs.New()
	names, err := filepath.Glob("testdata/v1/*.log")
	if err != nil || len(names) != 2 {
		t.Fatal(names, err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		disk.WriteFile("log/"+filepath.Base(name), b)
	}
	h := &history{disk: disk}
	mustOpen(t, h)
	want := append(golden()[:3:3], strings.Repeat("x", 250))
	want = append(want, golden()[3:]...)
	if got := all(t, h.l); strings.Join(got, "|") != strings.Join(want, "|") {
		t.Errorf("holds %q, want %q", got, want)
	}
	if h.o.head == "" || h.o.count != len(want) {
		t.Errorf("head %q, %d records", h.o.head, h.o.count)
	}
	if s := h.l.Segments()[0]; string(s.Summary) == "" {
		t.Error("the first segment has no summary")
	}
}

// FuzzOpen opens a log with arbitrary bytes in one file. It must not panic or take more memory than
// the files justify, and a log that it returns must be usable.
func FuzzOpen(f *testing.F) {
	names, err := filepath.Glob("testdata/v1/*.log")
	if err != nil {
		f.Fatal(err)
	}
	for _, name := range names {
		b, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(filepath.Base(name), bytes.TrimRight(b, "\x00"), true, true)
		f.Add("0000000000000000.log", b, false, false)
	}
	f.Add("cut", []byte("hfsegcut"), true, false)
	f.Add("0000000000000000.bad", []byte{}, true, false)
	f.Add("ffffffffffffffff.log", []byte("x"), true, false)
	f.Add("stage", stageEntry(f), false, false)
	f.Fuzz(func(t *testing.T, name string, b []byte, aside, mend bool) {
		if strings.ContainsAny(name, "/\x00") || name == "" || len(name) > 100 {
			return
		}
		if mend {
			b = fixChecksums(b)
		}
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		disk := memfs.New()
		if name == "stage" {
			writeLog(t, disk) // a stage without segments is ignored
		}
		disk.WriteFile("log/"+name, b)
		disk.WriteFile("log/aside/"+name, b)
		openAnything(t, disk, aside)
		openAnything(t, disk.Crash(memfs.Durable), aside)
		runtime.ReadMemStats(&after)
		if used := after.TotalAlloc - before.TotalAlloc; used > 64<<20+200*uint64(len(b)) {
			t.Errorf("%d bytes of input took %d bytes of memory", len(b), used)
		}
	})
}

// writeLog makes a log of one record.
func writeLog(t testing.TB, disk *memfs.FS) {
	l, err := seglog.Open(seglog.Options{FS: disk, Dir: "log", Owner: &owner{}, StageBytes: 4096})
	if err == nil {
		_, err = l.Append(0x10, []byte("staged"))
	}
	if err == nil {
		err = l.Abandon()
	}
	if err != nil {
		t.Fatal(err)
	}
}

// stageEntry returns a stage with one record.
func stageEntry(t testing.TB) []byte {
	disk := memfs.New()
	writeLog(t, disk)
	f, err := disk.OpenFile("log/stage", 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	b := make([]byte, 200)
	if _, err := f.ReadAt(b, 0); err != nil {
		t.Fatal(err)
	}
	return b
}

// fixChecksums returns b with correct checksums in header, footer and first frame, so that Open accepts
// their contents.
func fixChecksums(b []byte) []byte {
	b = bytes.Clone(b)
	table := crc32.MakeTable(crc32.Castagnoli)
	for _, at := range []int{0, len(b) - 64} {
		if at >= 0 && at+64 <= len(b) {
			binary.LittleEndian.PutUint32(b[at+60:], crc32.Checksum(b[at:at+60], table))
		}
	}
	if len(b) < data+note {
		return b
	}
	frame := b[data:]
	n, head := uint64(binary.LittleEndian.Uint32(frame[4:])), uint64(binary.LittleEndian.Uint16(frame[10:]))
	if n+16 > uint64(len(frame)) || head > n {
		return b
	}
	binary.LittleEndian.PutUint32(frame[12:], crc32.Checksum(frame[16+head:16+n], table))
	binary.LittleEndian.PutUint32(frame, crc32.Update(binary.LittleEndian.Uint32(b[12:]), table, frame[4:16+head])) // for position 0
	return b
}

// frameAt returns a frame for a position, with correct checksums. It states the given length, and
// its checksums are those of body.
func frameAt(salt uint32, at uint64, length uint32, kind byte, body []byte) []byte {
	table := crc32.MakeTable(crc32.Castagnoli)
	b := binary.LittleEndian.AppendUint32(make([]byte, 4), length)
	b = append(b, kind, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(body, table))
	binary.LittleEndian.PutUint32(b, crc32.Update(salt^uint32(at*0x9e3779b97f4a7c15>>32), table, b[4:]))
	return append(b, body...)
}

func openAnything(t *testing.T, disk *memfs.FS, aside bool) {
	l, err := seglog.Open(seglog.Options{
		FS: disk, Dir: "log", Owner: anyOwner{}, SegmentBytes: 1 << 10, SetAside: aside,
	})
	if err != nil {
		return
	}
	defer l.Close()
	if c, err := l.Aside(); err == nil && c != nil {
		drain(c)
	}
	drain(l.Cursor(0))
	p, err := l.Append(0x20, []byte("more"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	r, err := l.Cursor(p).Next()
	if err != nil || string(r.Payload) != "more" {
		t.Fatalf("appended to the found records: %+v, %v", r, err)
	}
}

func drain(c *seglog.Cursor) {
	defer c.Close()
	for {
		if _, err := c.Next(); err != nil {
			return
		}
	}
}

// anyOwner accepts any state.
type anyOwner struct{}

func (anyOwner) Head() []byte                { return []byte("state") }
func (anyOwner) Summary() []byte             { return []byte("summary") }
func (anyOwner) RecoverHead([]byte) error    { return nil }
func (anyOwner) Recover(seglog.Record) error { return nil }

// An error of the owner ends Open.
func TestOwnerRefuses(t *testing.T) {
	disk := memfs.New()
	h := &history{disk: disk}
	mustOpen(t, h)
	texts(t, h, true, "a")
	if err := h.l.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := seglog.Open(seglog.Options{FS: disk, Dir: "log", Owner: refusingOwner{}})
	if !errors.Is(err, io.ErrNoProgress) {
		t.Errorf("open: %v", err)
	}
	mustOpen(t, h) // the lock is free again
}

type refusingOwner struct{ stateless }

func (refusingOwner) RecoverHead([]byte) error { return io.ErrNoProgress }
