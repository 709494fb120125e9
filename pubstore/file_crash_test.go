package pubstore_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A promise is what a store has said of one life before it crashed.
type promise struct {
	appended  uint64 // Append returned it
	tried     uint64 // Append was called for it
	discarded uint64 // Discard was called for it
	rejected  map[uint64]bool
	tryReject uint64 // Reject was called for it, and has not returned
}

// A witness drives a store through a script and remembers what it was promised.
type witness struct {
	t       *testing.T
	s       *pubstore.File
	lives   map[string]*promise
	current string
	counter uint64
	base    uint64
	opened  bool // OpenFile has returned
	closing bool // Close was called
	closed  bool // it has returned nil
	err     error
}

// do makes a step unless one before it failed: from then on all must fail.
func (w *witness) do(step func() error) {
	if w.err == nil {
		w.err = step()
	}
}

func (w *witness) open(o pubstore.FileOptions) {
	w.lives = map[string]*promise{}
	w.do(func() (err error) {
		if w.s, err = pubstore.OpenFile(dir, o); err == nil {
			w.opened = true
			w.lived()
		}
		return err
	})
}

func (w *witness) lived() {
	lives := w.s.Lives()
	w.current = lives[len(lives)-1].ID
	w.lives[w.current] = &promise{rejected: map[uint64]bool{}}
}

func (w *witness) append(n int) {
	for range n {
		w.do(func() error {
			p := w.lives[w.current]
			p.tried++
			seq, err := w.s.Append(context.Background(), crashMessage(w.current, p.tried))
			if err == nil && seq != p.tried {
				w.t.Errorf("Append = %d, want %d", seq, p.tried)
			}
			if err == nil {
				p.appended = seq
			}
			return err
		})
	}
}

// crashMessage is a message that says which it is.
func crashMessage(life string, seq uint64) *pubstore.Message {
	return &pubstore.Message{Topic: "orders", Body: fmt.Appendf(nil, "%s %d %s", life, seq, strings.Repeat(".", int(seq*37%200)))}
}

func (w *witness) discard(life string, n uint64) {
	w.do(func() error {
		w.lives[life].discarded = max(w.lives[life].discarded, n)
		return w.s.Discard(life, n)
	})
}

func (w *witness) reject(life string, n uint64) {
	w.do(func() error {
		w.lives[life].tryReject = n
		err := w.s.Reject(life, n)
		if err == nil {
			w.lives[life].rejected[n] = true
			w.lives[life].tryReject = 0
		}
		return err
	})
}

// settle gives the committer the time to write what it holds back.
func (w *witness) settle() {
	time.Sleep(50 * time.Millisecond)
	synctest.Wait()
}

// script does a bit of everything.
func (w *witness) script() {
	w.do(func() (err error) { w.counter, err = w.s.Logon("gateway"); return err })
	w.append(3)
	w.settle()
	w.append(4)
	first := w.current
	w.discard(first, 2)
	w.reject(first, 5)
	w.do(func() error {
		err := w.s.SetBase(first, 99)
		if err == nil {
			w.base = 99
		}
		return err
	})
	w.settle()
	w.append(4)
	w.reject(first, 3)
	w.discard(first, 8)
	w.settle()
	w.append(2)
	w.do(func() error {
		err := w.s.Renew()
		if err == nil {
			w.lived()
		}
		return err
	})
	w.append(3)
	w.discard(first, 12)
	w.settle()
	w.append(2)
	w.discard(first, 13)
	w.discard(w.current, 1)
	w.settle()
	w.append(1)
	w.do(func() (err error) {
		counter, err := w.s.Logon("gateway")
		if err == nil {
			w.counter = counter
		}
		return err
	})
	w.do(func() error {
		w.closing = true
		err := w.s.Close()
		w.closed = err == nil
		return err
	})
}

// end closes the store of a script that failed, after seeing that it stays so.
func (w *witness) end() {
	if w.s == nil || w.closed {
		return
	}
	w.s.Close()
}

// stillFailed checks that a store whose disk failed says so for good.
func (w *witness) stillFailed() {
	w.t.Helper()
	_, appendErr := w.s.Append(context.Background(), &pubstore.Message{Topic: "t"})
	_, logonErr := w.s.Logon("gateway")
	_, cursorErr := w.s.Cursor(w.current, 0)
	for what, err := range map[string]error{
		"Append": appendErr, "Logon": logonErr, "Cursor": cursorErr, "Discard": w.s.Discard(w.current, 1),
		"Reject": w.s.Reject(w.current, 1), "SetBase": w.s.SetBase(w.current, 1), "Renew": w.s.Renew(), "Close": w.s.Close(),
	} {
		var failed *pubstore.FailedError
		if !errors.As(err, &failed) {
			w.t.Errorf("%s after the disk failed with %v: %v", what, w.err, err)
		}
	}
}

// A finding is what a new process finds of a life.
type finding struct {
	pubstore.Life
	kept []uint64
	prev []uint64
}

func (w *witness) find(s *pubstore.File) (lives []finding) {
	w.t.Helper()
	for _, l := range s.Lives() {
		f := finding{Life: l}
		c, err := s.Cursor(l.ID, 0)
		if err != nil {
			w.t.Fatal(err)
		}
		for {
			var m pubstore.Message
			ok, err := c.Next(&m)
			if err != nil {
				w.t.Fatal(err)
			}
			if !ok {
				break
			}
			if w.lives[l.ID] != nil && string(m.Body) != string(crashMessage(l.ID, m.Sequence).Body) {
				w.t.Errorf("message %d of %s is %q", m.Sequence, l.ID, m.Body)
			}
			f.kept, f.prev = append(f.kept, m.Sequence), append(f.prev, m.Prev)
		}
		c.Close()
		lives = append(lives, f)
	}
	return lives
}

// check compares what was found with what was promised, all of it or (after a
// power cut without sync-always) a prefix of it.
func (w *witness) check(found []finding, all, rebooted bool) {
	w.t.Helper()
	current := found[len(found)-1]
	for _, f := range found {
		p := w.lives[f.ID]
		if p == nil { // a new life, or one whose Renew (or OpenFile) had not returned
			if f.Last != 0 || f.ID != current.ID {
				w.t.Errorf("a life that nobody used: %+v", f)
			}
			continue
		}
		w.checkLife(f, p, all || f.ID == current.ID, rebooted)
	}
	for id, p := range w.lives {
		if all && !slices.ContainsFunc(found, func(f finding) bool { return f.ID == id }) && !p.gone() {
			w.t.Errorf("life %s has left with %+v", id, p)
		}
	}
}

// gone reports whether a life may have left: nothing of it need be kept.
func (p *promise) gone() bool {
	for n := p.discarded + 1; n <= p.appended; n++ {
		if !p.rejected[n] && p.tryReject != n {
			return false
		}
	}
	return true
}

// checkLife checks one life. If all, nothing that was returned may be missing.
func (w *witness) checkLife(f finding, p *promise, all, rebooted bool) {
	w.t.Helper()
	if f.Acked > p.discarded || f.Last > p.tried || all && f.Last < p.appended {
		w.t.Errorf("life is %+v, promised %+v", f.Life, p)
	}
	prev := f.Acked
	i := 0
	for n := f.Acked + 1; n <= f.Last; n++ {
		kept := i < len(f.kept) && f.kept[i] == n
		switch {
		case kept && f.prev[i] != prev:
			w.t.Errorf("message %d names %d before it, want %d: %+v", n, f.prev[i], prev, f)
		case kept && !rebooted && p.rejected[n]:
			w.t.Errorf("message %d was rejected and is kept: %+v", n, f)
		case !kept && !p.rejected[n] && p.tryReject != n:
			w.t.Errorf("message %d is missing: %+v, promised %+v", n, f, p)
		}
		if kept {
			prev = n
			i++
		}
	}
	if i != len(f.kept) || f.Kept != len(f.kept) {
		w.t.Errorf("life is %+v, %d above its acked were kept", f, i)
	}
}

// crashed runs the script on a disk that dies before the nth change, and
// returns the disk, or ok false if the script came to its end.
func crashed(t *testing.T, n int, o pubstore.FileOptions) (w *witness, fs *memfs.FS, ok bool) {
	fs = memfs.New()
	fs.CrashAt(n)
	w = &witness{t: t}
	o.FS, o.BootID = fs, boot("first")
	w.open(o)
	w.script()
	w.end()
	return w, fs, fs.Crashed()
}

func reopenAfter(t *testing.T, w *witness, fs *memfs.FS, o pubstore.FileOptions, bootID string) {
	t.Helper()
	o.FS, o.BootID = fs, boot(bootID)
	messages := 0
	seen, unseen := pubstore.InspectFile(dir, o, func(string, *pubstore.Message) error { messages++; return nil })
	s, err := pubstore.OpenFile(dir, o)
	if err != nil {
		t.Errorf("opening after the crash: %v", err)
		return
	}
	defer s.Close()
	if unseen == nil {
		agree(t, s, seen, messages)
	} else if !errors.Is(unseen, pubstore.ErrNotStore) && !errors.Is(unseen, os.ErrNotExist) {
		t.Errorf("inspecting after the crash: %v", unseen)
	}
	rebooted := bootID != "first"
	found := w.find(s)
	w.check(found, !rebooted || o.SyncAlways, rebooted)
	current := found[len(found)-1]
	if _, old := w.lives[current.ID]; w.opened && old == rebooted && !w.closing {
		t.Errorf("rebooted %v, goes on with %s, before were %v", rebooted, current.ID, slices.Collect(maps.Keys(w.lives)))
	}
	if counter, err := s.Logon("gateway"); err != nil || !rebooted && counter <= w.counter {
		t.Errorf("Logon = %d, %v after %d", counter, err, w.counter)
	}
	seq, err := s.Append(context.Background(), &pubstore.Message{Topic: "orders"})
	if err != nil || seq != current.Last+1 {
		t.Errorf("Append = %d, %v after %d", seq, err, current.Last)
	}
}

// agree checks that a store just opened is what an inspection said it would be.
func agree(t *testing.T, s *pubstore.File, seen pubstore.Inspection, messages int) {
	t.Helper()
	lives := s.Lives()
	if seen.Renews {
		lives = lives[:len(lives)-1] // of those before, one that keeps nothing has left
		seen.Lives = slices.DeleteFunc(seen.Lives, func(l pubstore.InspectedLife) bool { return l.Kept == 0 })
	}
	if len(seen.Lives) != len(lives) || len(seen.Damage) > 0 || messages != s.Usage().Messages {
		t.Errorf("inspected: %+v, %d messages; opened: %+v, %+v", seen, messages, lives, s.Usage())
		return
	}
	for i, l := range lives {
		if seen.Lives[i].Life != l {
			t.Errorf("inspected: %+v, opened: %+v", seen.Lives[i], l)
		}
	}
}

// TestFileCrash lets the machine die before every single change to the disk,
// by a kill of the process and by every kind of power cut.
func TestFileCrash(t *testing.T) {
	for _, o := range []pubstore.FileOptions{
		{SegmentBytes: 700}, {SegmentBytes: 700, SyncAlways: true}, {SegmentBytes: 32 << 10},
	} {
		t.Run(fmt.Sprintf("segment=%d,always=%v", o.SegmentBytes, o.SyncAlways), func(t *testing.T) {
			n := 1
			for more := true; more && !t.Failed(); n++ {
				synctest.Test(t, func(t *testing.T) {
					var w *witness
					var fs *memfs.FS
					w, fs, more = crashed(t, n, o)
					for _, mode := range memfs.Modes(uint64(n)) {
						bootID := "second"
						if mode == memfs.KeepAll {
							bootID = "first"
						}
						reopenAfter(t, w, fs.Crash(mode), o, bootID)
						if t.Failed() {
							t.Fatalf("crash before change %d, %s", n, mode.Name)
						}
					}
				})
			}
			t.Logf("%d steps", n)
		})
	}
}

// TestFileFaults fails every change to the disk once: the store is failed from
// then on, and a new process finds what was promised.
func TestFileFaults(t *testing.T) {
	faults := map[string]func(*memfs.FS, int){
		"EIO":         func(fs *memfs.FS, n int) { fs.FailNth(n, syscall.EIO) },
		"ENOSPC":      func(fs *memfs.FS, n int) { fs.FailFrom(n, syscall.ENOSPC) },
		"short write": func(fs *memfs.FS, n int) { fs.ShortWriteNth(n, io.ErrShortWrite) },
	}
	for name, fault := range faults {
		for _, o := range []pubstore.FileOptions{{SegmentBytes: 700}, {SegmentBytes: 32 << 10, SyncAlways: true}} {
			n := 1
			for more := true; more && !t.Failed(); n++ {
				synctest.Test(t, func(t *testing.T) {
					fs := memfs.New()
					fault(fs, n)
					w := &witness{t: t}
					o.FS, o.BootID = fs, boot("first")
					w.open(o)
					w.script()
					if more = w.err != nil; more && w.s != nil {
						w.stillFailed()
					}
					w.end()
					reopenAfter(t, w, fs.Crash(memfs.KeepAll), o, "first")
					if t.Failed() {
						t.Logf("%s at change %d: %v", name, n, w.err)
					}
				})
			}
			t.Logf("%s: %d steps", name, n)
		}
	}
}
