package seglog_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/detector"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A history records the operations on a log, so that a later state of the log can be checked. The
// text of each record begins with its number.
type history struct {
	disk    *memfs.FS
	o       *owner
	l       *seglog.Log
	rand    *rand.Rand
	ends    []seglog.Position // end of each appended record
	written int               // number of records that survive a kill
	synced  int               // number of records that survive a power cut
	trimmed seglog.Position   // the highest position that Trim was called with
	stage   int               // size of the stage, bytes; 0: none
}

// newHistory returns an empty history. Its log has a stage if the seed is odd.
func newHistory(seed uint64) *history {
	return &history{disk: memfs.New(), rand: rand.New(rand.NewPCG(seed, 1)), stage: int(seed%2) * 900}
}

func options(disk *memfs.FS, o *owner) seglog.Options {
	return seglog.Options{FS: disk, Dir: "log", Owner: o, SegmentBytes: 400, TailBytes: 1}
}

func (h *history) open() (err error) {
	h.o = &owner{}
	o := options(h.disk, h.o)
	if h.stage > 0 {
		o.StageBytes, o.SegmentBytes = h.stage, 1200
	}
	h.l, err = seglog.Open(o)
	return err
}

// text differs between neighbouring records, so that a half-written record cannot equal an old one.
func text(i int) string {
	return fmt.Sprintf("%d %s", i, strings.Repeat(string(rune(0x61+i%26)), i*37%90))
}

// steps does n random operations, or fewer if the disk fails.
func (h *history) steps(n int) error {
	for range n {
		if err := h.step(h.rand.IntN(10)); err != nil {
			return err
		}
	}
	return nil
}

func (h *history) step(op int) error {
	switch {
	case op < 5:
		if err := h.append(); err != nil || h.stage == 0 || h.rand.IntN(4) == 0 {
			return err
		}
		return h.keep()
	case op < 6:
		n := len(h.ends)
		err := h.l.Write()
		if err == nil {
			h.written = n
		}
		return err
	case op < 8:
		n := len(h.ends)
		_, err := h.l.Sync()
		if err == nil {
			h.written, h.synced = n, n
		}
		return err
	case op < 9:
		return h.l.Note()
	default:
		if h.synced < 8 {
			return nil
		}
		h.trimmed = max(h.trimmed, h.ends[h.synced-8])
		return h.l.Trim(h.trimmed)
	}
}

// keep makes one of the last records, and all before it, survive a kill.
func (h *history) keep() error {
	n := len(h.ends) - h.rand.IntN(min(len(h.ends), 3)+1)
	if n == 0 {
		return nil
	}
	err := h.l.Keep(h.ends[n-1] - 1)
	if err == nil {
		h.written = max(h.written, n)
	}
	return err
}

func (h *history) append() error {
	t := text(len(h.ends))
	if h.rand.IntN(20) == 0 {
		t += strings.Repeat("y", 500) // longer than a segment
	}
	p, err := h.l.Append(0x10, []byte(t[:1]), []byte(t[1:]))
	if err != nil {
		return err
	}
	if n := len(h.ends); n > 0 && p < h.ends[n-1] {
		return fmt.Errorf("record %d at %d, the one before ends at %d", n, p, h.ends[n-1])
	}
	h.ends = append(h.ends, p+seglog.Position(16+len(t)+7)&^7)
	h.o.count++
	return nil
}

// check compares the records of the log with the history: at least the first atLeast must be there.
// It then shortens the history to the records that it found.
func (h *history) check(atLeast int) error {
	l := h.l
	if l.Durable() != l.End() {
		return fmt.Errorf("durable up to %d, end %d after Open", l.Durable(), l.End())
	}
	if h.o.count < atLeast || h.o.count > len(h.ends) {
		return fmt.Errorf("owner knows %d records, want %d to %d", h.o.count, atLeast, len(h.ends))
	}
	next, err := h.firstKept()
	if err != nil {
		return err
	}
	c := l.Cursor(0)
	defer c.Close()
	for {
		r, err := c.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return err
		}
		if !strings.HasPrefix(string(r.Payload), text(next)) {
			return fmt.Errorf("record %d reads %.20q", next, r.Payload)
		}
		if r.Next != h.ends[next] {
			return fmt.Errorf("record %d ends at %d, was %d", next, r.Next, h.ends[next])
		}
		next++
	}
	if next != h.o.count {
		return fmt.Errorf("log holds %d records, its owner knows %d", next, h.o.count)
	}
	h.ends = h.ends[:next]
	h.written, h.synced = next, next
	return h.checkSegments()
}

// firstKept returns the number of the first record. It must not be one that Trim was not allowed to
// remove.
func (h *history) firstKept() (int, error) {
	first := h.l.First()
	if first > h.trimmed {
		return 0, fmt.Errorf("log begins at %d, was trimmed up to %d", first, h.trimmed)
	}
	for i, end := range h.ends {
		if end > first {
			return i, nil
		}
	}
	return len(h.ends), nil
}

// checkSegments compares heads and summaries with the records before them.
func (h *history) checkSegments() error {
	before := func(p seglog.Position) int {
		n := 0
		for n < len(h.ends) && h.ends[n] <= p {
			n++
		}
		return n
	}
	segs := h.l.Segments()
	for i, s := range segs {
		head, err := h.l.Head(s.First)
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("head %d", before(s.First)); string(head) != want {
			return fmt.Errorf("head of segment %d at %d: %q, want %q", i, s.First, head, want)
		}
		want := fmt.Sprintf("summary %d", before(s.End))
		if i == len(segs)-1 {
			want = ""
		} else if s.End != segs[i+1].First {
			return fmt.Errorf("segment %d ends at %d, the next begins at %d", i, s.End, segs[i+1].First)
		}
		if string(s.Summary) != want {
			return fmt.Errorf("summary of segment %d of %d: %q, want %q", i, len(segs), s.Summary, want)
		}
	}
	return nil
}

// after returns the history after a crash, with the disk as the crash has left it.
func (h *history) after(m memfs.Mode) *history {
	c := *h
	c.disk = h.disk.Crash(m)
	c.ends = append([]seglog.Position(nil), h.ends...)
	if m != memfs.KeepAll {
		c.written = c.synced
	}
	return &c
}

// reopen opens a log after a crash, checks it, and uses it. Some calls run Inspect first.
func (h *history) reopen(steps int) error {
	seen := func() error { return nil }
	if len(h.ends)%4 == 0 {
		seen = h.inspect()
	}
	if err := h.open(); err != nil {
		return fmt.Errorf("open: %w", err)
	}
	if err := seen(); err != nil {
		return err
	}
	if err := h.check(h.written); err != nil {
		return err
	}
	if err := h.steps(steps); err != nil {
		return fmt.Errorf("use: %w", err)
	}
	return nil
}

// inspect inspects the disk. It returns a function that checks that the opened log holds the records
// which Inspect found.
func (h *history) inspect() func() error {
	texts, found, err := inspect(h.disk.Image(memfs.KeepAll), "log")
	return func() error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil // the directory did not exist
		}
		return errors.Join(err, checkAgainst(h.l, texts, found))
	}
}

// workload uses a log and crashes before the nth change of the disk. If there are fewer changes,
// crashed is false.
func workload(t *testing.T, seed uint64, n int) (h *history, crashed bool) {
	t.Helper()
	h = newHistory(seed)
	h.disk.CrashAt(n)
	err := h.open()
	if err == nil {
		err = h.steps(60)
	}
	if err == nil {
		err = h.l.Close()
	}
	if err != nil && !errors.Is(err, memfs.ErrCrashed) {
		t.Fatalf("seed %d, crash before change %d: %v", seed, n, err)
	}
	return h, h.disk.Crashed()
}

// For a crash before each change and in each mode, the log is consistent afterwards, can be used,
// and is consistent again after a power cut.
func TestCrashAtEveryStep(t *testing.T) {
	seeds := uint64(12)
	if testing.Short() || detector.On {
		seeds = 1
	}
	images := 0
	for seed := range seeds {
		for n := 1; ; n++ {
			h, crashed := workload(t, seed, n)
			for _, m := range memfs.Modes(seed<<32 + uint64(n)) {
				first := h.after(m)
				err := first.reopen(15)
				for _, m := range []memfs.Mode{memfs.KeepAll, memfs.Hole(uint64(n)), memfs.Durable} {
					if err == nil {
						first = first.after(m)
						err = first.reopen(5)
					}
				}
				if err != nil {
					t.Fatalf("seed %d, crash before change %d, %s: %v\n%v", seed, n, m.Name, err, first.disk)
				}
				images += 4
			}
			if !crashed {
				break
			}
		}
	}
	t.Logf("%d images", images)
}

// A crash before any change that Open makes after another crash loses nothing.
func TestCrashInRecovery(t *testing.T) {
	for _, seed := range []uint64{6, 7} {
		crashInRecovery(t, seed)
	}
}

func crashInRecovery(t *testing.T, seed uint64) {
	images, every := 0, 6
	if testing.Short() || detector.On {
		every = 20
	}
	for n := 1; ; n += every {
		h, crashed := workload(t, seed, n)
		for _, m := range memfs.Modes(uint64(n)) {
			for k := 1; ; k++ {
				again := h.after(m)
				again.disk.CrashAt(k)
				err := again.open()
				if err != nil && !errors.Is(err, memfs.ErrCrashed) {
					t.Fatalf("crash before change %d, %s: %v", n, m.Name, err)
				}
				done := err == nil
				for _, m2 := range memfs.Modes(uint64(k)) {
					last := again.after(m2)
					if err := last.reopen(5); err != nil {
						t.Fatalf("crash before change %d, %s, then before change %d of Open, %s: %v\n%v",
							n, m.Name, k, m2.Name, err, last.disk)
					}
					images++
				}
				if done {
					break
				}
			}
		}
		if !crashed {
			break
		}
	}
	t.Logf("%d images", images)
}

// The records that Open returns are durable, even if Open has read them from a page cache that a
// failed sync has left clean (R7).
func TestOpenDoesNotTrustThePageCache(t *testing.T) {
	for n := range 20 {
		h := newHistory(uint64(n))
		if err := h.open(); err != nil {
			t.Fatal(err)
		}
		if err := h.steps(n); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(h.append(), h.l.Write()); err != nil {
			t.Fatal(err)
		}
		h.written = len(h.ends)
		h.disk.FailSync(syscall.EIO)
		if _, err := h.l.Sync(); !errors.Is(err, syscall.EIO) {
			t.Fatalf("sync: %v", err)
		}
		killed := h.after(memfs.KeepAll)
		if err := killed.reopen(0); err != nil {
			t.Fatal(err)
		}
		found := killed.o.count
		cut := killed.after(memfs.Durable)
		if err := cut.reopen(5); err != nil {
			t.Fatalf("after %d steps, a failed sync, a kill, a start and a power cut: %v", n, err)
		}
		if found != h.o.count {
			t.Errorf("found %d records after the kill, want %d", found, h.o.count)
		}
	}
}

// Each change of the disk fails once, in every way that it can fail. From then on the log returns
// the error, and no synced record is lost.
func TestEveryChangeFails(t *testing.T) {
	short := errors.New("short write")
	for _, fault := range []error{syscall.EIO, syscall.ENOSPC, short} {
		for n := 1; ; n++ {
			h := newHistory(uint64(2 + n%2))
			if fault == short {
				h.disk.ShortWriteNth(n, nil)
			} else {
				h.disk.FailNth(n, fault)
			}
			err := h.open()
			if err == nil {
				err = h.steps(80)
			}
			if err == nil && h.disk.Changes() > n && fault != short {
				t.Fatalf("change %d failed with %v but no error was returned", n, fault)
			}
			if err == nil {
				break // there are no more changes
			}
			if h.l != nil {
				h.checkFailed(t, n)
			}
			for _, m := range memfs.Modes(uint64(n)) {
				next := h.after(m)
				if err := next.reopen(5); err != nil {
					t.Fatalf("change %d failed with %v, then %s: %v", n, fault, m.Name, err)
				}
			}
		}
	}
}

// checkFailed checks that the log keeps returning its error. Only a failed Remove is not final.
func (h *history) checkFailed(t *testing.T, n int) {
	t.Helper()
	first := h.l.Err()
	if first == nil {
		return
	}
	_, aerr := h.l.Append(0x10, []byte("more"))
	_, serr := h.l.Sync()
	for i, err := range []error{aerr, h.l.Write(), serr, h.l.Note(), h.l.Trim(0)} {
		if !errors.Is(err, first) {
			t.Errorf("change %d failed with %v, call %d after it: %v", n, first, i, err)
		}
	}
	if err := h.l.Close(); !errors.Is(err, first) {
		t.Errorf("change %d failed with %v, then Close: %v", n, first, err)
	}
}

// Each read of Open fails once: Open returns the error, and the next Open works.
func TestEveryReadFails(t *testing.T) {
	h := newHistory(5)
	if err := errors.Join(h.open(), h.steps(60)); err != nil {
		t.Fatal(err)
	}
	for n := 1; ; n++ {
		next := h.after(memfs.KeepAll)
		next.disk.FailReadNth(n, syscall.EIO)
		err := next.open()
		if err == nil {
			if next.disk.Reads() < n {
				break
			}
			t.Fatalf("read %d failed but no error was returned", n)
		}
		if !errors.Is(err, syscall.EIO) {
			t.Fatalf("read %d: %v", n, err)
		}
		if err := next.reopen(5); err != nil {
			t.Fatalf("after read %d failed: %v", n, err)
		}
	}
}
