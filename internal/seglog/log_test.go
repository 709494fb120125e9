package seglog_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// An owner is the owner of a log in tests. It remembers its calls.
type owner struct {
	head      string
	count     int // number of all records, part of the head
	recovered []string
}

func (o *owner) Head() []byte    { return fmt.Appendf(nil, "head %d", o.count) }
func (o *owner) Summary() []byte { return fmt.Appendf(nil, "summary %d", o.count) }
func (o *owner) RecoverHead(p []byte) error {
	o.head = string(p)
	_, err := fmt.Sscanf(o.head, "head %d", &o.count)
	return err
}
func (o *owner) Recover(r seglog.Record) error {
	o.recovered = append(o.recovered, string(r.Payload))
	o.count++
	return nil
}

func (o *owner) append(t *testing.T, l *seglog.Log, text string) seglog.Position {
	t.Helper()
	p, err := l.Append(0x10, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	o.count++
	return p
}

// all reads the log from its beginning.
func all(t *testing.T, l *seglog.Log) []string {
	t.Helper()
	c := l.Cursor(l.First())
	defer c.Close()
	var texts []string
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

// On a real disk, a log survives rounds of opening, checking, using, and closing or abandoning it.
func TestRealDisk(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir()) + "/a/b"
	var want []string
	for round := range 6 {
		o := &owner{}
		l, err := seglog.Open(seglog.Options{FS: seglog.OS, Dir: dir, Owner: o, SegmentBytes: 1000, TailBytes: 1})
		if err != nil {
			t.Fatal(err)
		}
		if got := all(t, l); !slices.Equal(got, want[len(want)-len(got):]) || o.count != len(want) {
			t.Fatalf("round %d: got %q\nwant the last of %q; owner counts %d", round, got, want, o.count)
		}
		for i := range 100 {
			text := fmt.Sprintf("%d %d %0*d", round, i, i*3, 0)
			o.append(t, l, text)
			want = append(want, text)
			if i%7 == 0 {
				if _, err := l.Sync(); err != nil {
					t.Fatal(err)
				}
			}
		}
		end := l.Close
		if round%2 == 1 {
			end = func() error { return errors.Join(l.Write(), l.Trim(l.Durable()/2), l.Abandon()) }
		}
		if err := end(); err != nil {
			t.Fatal(err)
		}
	}
	if free, total, err := seglog.OS.Space(dir); free <= 0 || total < free || err != nil {
		t.Errorf("%d of %d bytes free, %v", free, total, err)
	}
}

// Only the user of the process can access the files of a log, if the system has users. A file in
// the place of the directory is an error.
func TestModes(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir()) + "/a/b"
	o := &owner{}
	l, err := seglog.Open(seglog.Options{FS: seglog.OS, Dir: dir, Owner: o})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if runtime.GOOS != "windows" {
		for name, want := range map[string]fs.FileMode{
			path.Dir(dir): 0o700, dir: 0o700, dir + "/0000000000000000.log": 0o600,
		} {
			st, err := os.Stat(name)
			if err != nil || st.Mode().Perm() != want {
				t.Errorf("%s: %v, %v; want mode %v", name, st.Mode().Perm(), err, want)
			}
		}
	}
	for _, dir := range []string{dir + "/0000000000000000.log", dir + "/0000000000000000.log/x"} {
		if _, err := seglog.Open(seglog.Options{FS: seglog.OS, Dir: dir, Owner: &owner{}}); !errors.Is(err, syscall.ENOTDIR) {
			t.Errorf("a log in %s: %v", dir, err)
		}
	}
}

// Free space and what the newest file has reserved shrink together by what is written, also when a
// new segment begins.
func TestUnused(t *testing.T) {
	disk := memfs.New()
	disk.SetCapacity(1 << 20)
	o := &owner{}
	l, err := seglog.Open(seglog.Options{FS: disk, Dir: "log", Owner: o, SegmentBytes: 64 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	left := func() int64 {
		free, _, err := disk.Space("log")
		if err != nil {
			t.Fatal(err)
		}
		return free + l.Unused()
	}
	before, segments := left(), 0
	for range 200 {
		o.append(t, l, strings.Repeat("x", 1000))
		if _, err := l.Sync(); err != nil {
			t.Fatal(err)
		}
		now := left()
		if shrunk := before - now; shrunk < 1000 || shrunk > 10_000 { // a new segment has a head of 4 KiB
			t.Fatalf("a record of 1000 bytes takes %d bytes", shrunk)
		}
		before, segments = now, len(l.Segments())
	}
	if segments < 3 {
		t.Errorf("%d segments: no switch was tested", segments)
	}
}
