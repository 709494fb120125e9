package seglog_test

import (
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// stateless is an owner without state.
type stateless struct{}

func (stateless) Head() []byte                { return nil }
func (stateless) Summary() []byte             { return nil }
func (stateless) RecoverHead([]byte) error    { return errors.New("there was no head") }
func (stateless) Recover(seglog.Record) error { return nil }

func openStateless(tb testing.TB, o seglog.Options) *seglog.Log {
	tb.Helper()
	if o.FS == nil {
		o.FS = memfs.New()
	}
	if o.Dir == "" {
		o.Dir = "log"
	}
	o.Owner = stateless{}
	l, err := seglog.Open(o)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := l.Close(); err != nil {
			tb.Error(err)
		}
	})
	return l
}

func appendAll(tb testing.TB, l *seglog.Log, texts ...string) {
	tb.Helper()
	for _, text := range texts {
		if _, err := l.Append(0x10, []byte(text)); err != nil {
			tb.Fatal(err)
		}
	}
}

// A cursor at the end reads a record that is appended later, written or not.
func TestCursorAtTheEnd(t *testing.T) {
	l := openStateless(t, seglog.Options{TailBytes: 1})
	c := l.Cursor(l.End())
	for i := range 5 {
		if r, err := c.Next(); err != io.EOF {
			t.Fatalf("at the end: %v, %v", r, err)
		}
		if c.Position() != l.End() {
			t.Errorf("is at %d, end is %d", c.Position(), l.End())
		}
		appendAll(t, l, fmt.Sprint(i))
		if i%2 == 0 {
			if err := l.Write(); err != nil {
				t.Fatal(err)
			}
		}
		r, err := c.Next()
		if err != nil || string(r.Payload) != fmt.Sprint(i) || r.Kind != 0x10 || r.Next != c.Position() {
			t.Fatalf("record %d: %+v, %v", i, r, err)
		}
		c.Seek(r.Position)
		if again, err := c.Next(); err != nil || again.Position != r.Position {
			t.Fatalf("record %d again: %+v, %v", i, again, err)
		}
	}
	if n := l.Unwritten(); n != 0 {
		t.Errorf("%d bytes unwritten", n)
	}
}

// A cursor whose segment was trimmed continues at First, with and without an open file.
func TestCursorAndTrim(t *testing.T) {
	l := openStateless(t, seglog.Options{TailBytes: 1, SegmentBytes: 100})
	for i := range 20 {
		appendAll(t, l, fmt.Sprintf("%060d", i))
	}
	if _, err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	behind, reading := l.Cursor(0), l.Cursor(0)
	if _, err := reading.Next(); err != nil {
		t.Fatal(err)
	}
	before := l.Size()
	segs := l.Segments()
	if err := l.Trim(segs[10].First); err != nil {
		t.Fatal(err)
	}
	if l.First() != segs[10].First || l.Size() >= before {
		t.Errorf("first is %d, want %d; size %d, was %d", l.First(), segs[10].First, l.Size(), before)
	}
	for _, c := range []*seglog.Cursor{behind, reading} {
		r, err := c.Next()
		if err != nil || r.Position != segs[10].First {
			t.Errorf("after a trim to %d: %d, %v", segs[10].First, r.Position, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := l.Trim(l.End()); err != nil || len(l.Segments()) != 1 {
		t.Errorf("trimmed all: %v, %d segments", err, len(l.Segments()))
	}
	if _, err := l.Head(0); err == nil {
		t.Error("head of a segment that was trimmed")
	}
}

func TestLimits(t *testing.T) {
	l := openStateless(t, seglog.Options{MaxRecord: 100, SegmentBytes: 50})
	if _, err := l.Append(0x10, make([]byte, 60), make([]byte, 41)); !errors.Is(err, seglog.ErrTooLarge) {
		t.Errorf("101 bytes: %v", err)
	}
	appendAll(t, l, strings.Repeat("x", 100), "", strings.Repeat("y", 100))
	if n := len(l.Segments()); n != 3 {
		t.Errorf("%d segments, want one for each", n)
	}
	if got := all(t, l); len(got) != 3 || len(got[0]) != 100 || got[1] != "" {
		t.Errorf("holds %q", got)
	}
	for _, o := range []seglog.Options{{}, {FS: memfs.New(), Dir: "x"}, {FS: memfs.New(), Dir: "x", Owner: stateless{}, SegmentBytes: -1}} {
		if _, err := seglog.Open(o); err == nil {
			t.Errorf("Open(%+v) accepts it", o)
		}
	}
}

func TestLock(t *testing.T) {
	for name, o := range map[string]seglog.Options{
		"memfs": {FS: memfs.New(), Dir: "log"},
		"disk":  {FS: seglog.OS, Dir: filepath.ToSlash(t.TempDir())},
	} {
		o.Owner = stateless{}
		l, err := seglog.Open(o)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := seglog.Open(o); !errors.Is(err, seglog.ErrLocked) {
			t.Errorf("%s: second open: %v", name, err)
		}
		if err := l.Abandon(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := l.Append(0x10); !errors.Is(err, seglog.ErrClosed) {
			t.Errorf("%s: append to a closed log: %v", name, err)
		}
		if _, err := l.Cursor(0).Next(); !errors.Is(err, seglog.ErrClosed) {
			t.Errorf("%s: read of a closed log: %v", name, err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("%s: closed again: %v", name, err)
		}
		if l, err = seglog.Open(o); err != nil {
			t.Fatalf("%s: open again: %v", name, err)
		}
		l.Close()
	}
}

// Opening and closing a log without using it does not make it longer.
func TestOpenAndCloseLeavesNoTrace(t *testing.T) {
	disk := memfs.New()
	h := &history{disk: disk}
	mustOpen(t, h)
	texts(t, h, true, "a", "b")
	var before string
	for i := range 5 {
		if err := h.l.Close(); err != nil {
			t.Fatal(err)
		}
		names := fmt.Sprint(disk.Names(), h.l.End())
		if i > 0 && names != before {
			t.Errorf("was %s, is %s", before, names)
		}
		mustOpen(t, h)
		before = fmt.Sprint(disk.Names(), h.l.End())
	}
}

// Append and readers do not wait for the disk. Records that are appended during a sync do not count
// as durable after it.
func TestAppendDuringSync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		disk := memfs.New()
		l := openStateless(t, seglog.Options{FS: disk})
		appendAll(t, l, "a")
		disk.SetSyncDelay(time.Second)
		var synced seglog.Position
		var wg sync.WaitGroup
		wg.Go(func() {
			var err error
			if synced, err = l.Sync(); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		before, begin := l.End(), time.Now()
		appendAll(t, l, "b", "c")
		if got := fmt.Sprint(all(t, l)); got != "[a b c]" {
			t.Errorf("reads %s during a sync", got)
		}
		if l.Durable() != 0 || time.Since(begin) != 0 {
			t.Errorf("durable up to %d after %v", l.Durable(), time.Since(begin))
		}
		wg.Wait()
		if synced != before || l.Durable() != before {
			t.Errorf("synced up to %d, durable %d, want %d", synced, l.Durable(), before)
		}
		if to, err := l.Sync(); err != nil || to != l.End() {
			t.Errorf("synced up to %d of %d: %v", to, l.End(), err)
		}
	})
}

// One goroutine appends, one syncs, one trims, and several read, concurrently.
func TestConcurrentUse(t *testing.T) {
	const records = 5000
	l := openStateless(t, seglog.Options{TailBytes: 4 << 10, SegmentBytes: 8 << 10})
	var wg sync.WaitGroup
	appended := make(chan struct{})
	wg.Go(func() {
		defer close(appended)
		for i := range records {
			appendAll(t, l, fmt.Sprintf("%d %s", i, strings.Repeat("z", i%200)))
		}
	})
	for _, work := range []func() error{
		func() error { _, err := l.Sync(); return err },
		func() error { return errors.Join(l.Write(), l.Note()) },
	} {
		wg.Go(func() {
			for {
				if err := work(); err != nil {
					t.Error(err)
				}
				select {
				case <-appended:
					return
				default:
				}
			}
		})
	}
	for slow := range 3 {
		wg.Go(func() { readInOrder(t, l, records, slow == 0) })
	}
	wg.Wait()
}

// readInOrder reads up to the last record. If trims is set it removes the records that it has read.
func readInOrder(t *testing.T, l *seglog.Log, records int, trims bool) {
	c := l.Cursor(0)
	defer c.Close()
	for last := -1; last < records-1; {
		r, err := c.Next()
		if err == io.EOF {
			continue
		}
		var i int
		if _, serr := fmt.Sscan(string(r.Payload), &i); err != nil || serr != nil || i <= last {
			t.Errorf("record %.20q behind %d: %v, %v", r.Payload, last, err, serr)
			return
		}
		last = i
		if trims && i%500 == 0 {
			if err := l.Trim(r.Position); err != nil {
				t.Error(err)
			}
		}
	}
}

func TestAllocations(t *testing.T) {
	l := openStateless(t, seglog.Options{FS: seglog.OS, Dir: filepath.ToSlash(t.TempDir()), TailBytes: 64 << 10})
	head, body := []byte("head"), make([]byte, 200)
	c := l.Cursor(l.End())
	defer c.Close()
	step := func() {
		for range 50 {
			if _, err := l.Append(0x10, head, body); err != nil {
				t.Fatal(err)
			}
		}
		for range 50 {
			if _, err := c.Next(); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	for range 20 {
		step()
	}
	if n := testing.AllocsPerRun(50, step); n > 0 {
		t.Errorf("50 appends, a sync, 50 reads: %v allocations", n)
	}
	old := l.Cursor(0)
	defer old.Close()
	next := func() {
		if _, err := old.Next(); err != nil {
			t.Fatal(err)
		}
	}
	next()
	if n := testing.AllocsPerRun(1000, next); n > 0 {
		t.Errorf("reading from a file: %v allocations", n)
	}
}

func BenchmarkAppend(b *testing.B) {
	l := openStateless(b, seglog.Options{FS: seglog.OS, Dir: filepath.ToSlash(b.TempDir())})
	body := make([]byte, 256)
	b.SetBytes(256)
	for b.Loop() {
		if _, err := l.Append(0x10, body); err != nil {
			b.Fatal(err)
		}
		if l.Unwritten() > 1<<20 {
			if err := l.Write(); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkSync(b *testing.B) {
	for _, batch := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprint(batch), func(b *testing.B) {
			l := openStateless(b, seglog.Options{FS: seglog.OS, Dir: filepath.ToSlash(b.TempDir())})
			body := make([]byte, 256)
			b.SetBytes(int64(batch) * 256)
			for b.Loop() {
				for range batch {
					if _, err := l.Append(0x10, body); err != nil {
						b.Fatal(err)
					}
				}
				if _, err := l.Sync(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkOpen opens a log with a full segment of the default size.
func BenchmarkOpen(b *testing.B) {
	o := seglog.Options{FS: seglog.OS, Dir: filepath.ToSlash(b.TempDir()), Owner: stateless{}}
	l, err := seglog.Open(o)
	if err != nil {
		b.Fatal(err)
	}
	for l.End() < 60<<20 {
		if _, err := l.Append(0x10, make([]byte, 256)); err != nil {
			b.Fatal(err)
		}
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		l, err := seglog.Open(o)
		if err != nil {
			b.Fatal(err)
		}
		l.Close()
	}
}

func BenchmarkCursor(b *testing.B) {
	for name, tail := range map[string]int{"file": 1, "memory": 64 << 20} {
		b.Run(name, func(b *testing.B) {
			l := openStateless(b, seglog.Options{FS: seglog.OS, Dir: filepath.ToSlash(b.TempDir()), TailBytes: tail})
			for range 100_000 {
				if _, err := l.Append(0x10, make([]byte, 256)); err != nil {
					b.Fatal(err)
				}
			}
			if err := l.Write(); err != nil {
				b.Fatal(err)
			}
			c := l.Cursor(0)
			defer c.Close()
			b.SetBytes(256)
			for b.Loop() {
				if _, err := c.Next(); err == io.EOF {
					c.Seek(0)
				} else if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A summary that the owner needs no more takes no memory once it is on disk, and is on disk as
// before. It makes no difference whether the segment was on disk when it was released.
func TestReleaseSummary(t *testing.T) {
	fs := memfs.New()
	o := seglog.Options{FS: fs, Dir: "log", Owner: anyOwner{}, SegmentBytes: 100}
	l, err := seglog.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	release := func() {
		for _, s := range l.Segments() {
			l.ReleaseSummary(s.First)
		}
	}
	appendAll(t, l, strings.Repeat("x", 60), strings.Repeat("x", 60))
	release() // before the first segment is on disk
	if _, err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	appendAll(t, l, strings.Repeat("x", 60))
	if _, err := l.Sync(); err != nil {
		t.Fatal(err)
	}
	release()
	segs := l.Segments()
	for _, s := range segs {
		if len(s.Summary) > 0 {
			t.Errorf("the summary of segment %d is still in memory", s.First)
		}
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if l, err = seglog.Open(o); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	again := l.Segments()
	for i, s := range again[:len(again)-1] {
		if string(s.Summary) != "summary" {
			t.Errorf("segment %d has the summary %q after Open", i, s.Summary)
		}
	}
	if len(again) != len(segs) || len(again) < 3 {
		t.Errorf("%d segments, %d after Open", len(segs), len(again))
	}
}
