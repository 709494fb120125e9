//go:build unix

package seglog_test

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
)

// If every file but the segments is removed from the directory of an open log, the log stays
// locked.
func TestLockOutlivesACleaner(t *testing.T) {
	dir := t.TempDir()
	o := seglog.Options{FS: seglog.OS, Dir: dir, Owner: stateless{}}
	l, err := seglog.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	names, err := seglog.OS.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if !strings.HasSuffix(name, ".log") {
			if err := os.Remove(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if second, err := seglog.Open(o); !errors.Is(err, seglog.ErrLocked) {
		t.Errorf("a second open: %v", err)
		second.Close()
	}
	if _, _, err := inspect(seglog.ReadOnly, dir); !errors.Is(err, seglog.ErrLocked) {
		t.Errorf("inspect: %v", err)
	}
}

// If there is a link or a pipe in the directory of a log, Open does not block, and it creates or
// changes no file elsewhere.
func TestLinksAreNotFollowed(t *testing.T) {
	for _, name := range []string{"lock", "stage", "cut", "0000000000000000.tmp", "0000000000000000.log", "0000000000000000.bad", "reserve"} {
		for kind, make := range map[string]func(victim, name string) error{
			"a link to a file":  os.Symlink,
			"a link to nothing": func(victim, name string) error { return os.Symlink(victim+"-new", name) },
			"a pipe":            func(_, name string) error { return syscall.Mkfifo(name, 0o600) },
		} {
			outside, dir := t.TempDir(), t.TempDir()
			victim := filepath.Join(outside, "victim")
			text := strings.Repeat("\x00", 8) + "another owner's" // begins with zeros, so that it is not renamed as foreign
			if err := os.WriteFile(victim, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := make(victim, filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
			l, err := seglog.Open(seglog.Options{FS: seglog.OS, Dir: dir, Owner: stateless{}, StageBytes: 4096})
			if err == nil {
				_ = seglog.KeepReserve(seglog.OS, dir, 4096)
				err = l.Close()
			}
			if b, readErr := os.ReadFile(victim); string(b) != text {
				t.Errorf("%s is %s: the file elsewhere holds %q (%v); open: %v", name, kind, b, readErr, err)
			}
			if made, _ := os.ReadDir(outside); len(made) != 1 {
				t.Errorf("%s is %s: %v were made elsewhere; open: %v", name, kind, made, err)
			}
		}
	}
}

// A file that states absurd lengths with correct checksums, or that is long and sparse, takes no
// memory for that.
func TestAbsurdLengths(t *testing.T) {
	table := crc32.MakeTable(crc32.Castagnoli)
	sealed := func(b []byte) []byte { return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, table)) }
	put := func(dir, name string, at int64, b []byte) {
		f, err := os.OpenFile(filepath.Join(dir, name), os.O_WRONLY|os.O_CREATE, 0o600)
		if err == nil {
			_, err = f.WriteAt(b, at)
		}
		if err = errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
	}
	long := func(dir, name string) {
		if err := os.Truncate(filepath.Join(dir, name), 1<<29); err != nil {
			t.Fatal(err)
		}
	}
	const first = "0000000000000000.log"
	salt := func(dir, name string) uint32 {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return binary.LittleEndian.Uint32(b[12:])
	}
	frame := func(length uint32) []byte {
		return frameAt(0, 0, length, 0x10, nil)
	}
	for name, spoil := range map[string]func(dir string){
		"a frame": func(dir string) {
			put(dir, first, data+note, frame(1<<28))
			long(dir, first)
		},
		"a frame far behind the end": func(dir string) {
			put(dir, first, 1<<28, frame(1<<27))
			long(dir, first)
		},
		"a byte at the end": func(dir string) { put(dir, first, 1<<29-1, []byte{1}) },
		"a head": func(dir string) {
			b, err := os.ReadFile(filepath.Join(dir, first))
			if err != nil {
				t.Fatal(err)
			}
			binary.LittleEndian.PutUint32(b[32:], 1<<28)
			b = sealed(b[:60])
			put(dir, first, 0, b)
			put(dir, first, 4096, b)
			long(dir, first)
		},
		"a summary": func(dir string) {
			b := append([]byte("hfsegend"), make([]byte, 52)...)
			b[8] = 1
			binary.LittleEndian.PutUint32(b[12:], 1<<29-data-64)
			put(dir, first, 1<<29-64, sealed(b))
		},
		"a stage": func(dir string) {
			if err := os.Truncate(filepath.Join(dir, "stage"), 1<<30); err != nil {
				t.Fatal(err)
			}
		},
		"a staged frame":                    func(dir string) { putStaged(t, dir, salt(dir, first), 0, 0, 1<<28) },
		"notes before a staged frame":       func(dir string) { putStaged(t, dir, salt(dir, first), 0, 24*5_000_000, 1) },
		"a staged frame far behind the end": func(dir string) { putStaged(t, dir, salt(dir, first), 1<<50, 1<<50, 1) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			o := seglog.Options{FS: seglog.OS, Dir: dir, Owner: &owner{}, StageBytes: 4096, SegmentBytes: 1 << 16}
			l, err := seglog.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if err := l.Abandon(); err != nil {
				t.Fatal(err)
			}
			spoil(dir)
			heap.Bounded(t, 0, 1, 8<<20, func() {
				_, _, err := inspect(seglog.ReadOnly, dir)
				t.Logf("inspect: %v", err)
			})
			heap.Bounded(t, 0, 1, 8<<20, func() {
				o.Owner = &owner{}
				l, err := seglog.Open(o)
				t.Logf("open: %v", err)
				if err == nil {
					l.Close()
				}
			})
		})
	}
}

// putStaged puts one entry into the stage of a log. Its checksums are correct, except the one of a
// frame with a long stated length.
func putStaged(t *testing.T, dir string, segment uint32, previousEnd, at uint64, length uint32) {
	name := filepath.Join(dir, "stage")
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	table := crc32.MakeTable(crc32.Castagnoli)
	e := binary.LittleEndian.AppendUint32(make([]byte, 4), segment)
	e = binary.LittleEndian.AppendUint64(e, previousEnd)
	e = binary.LittleEndian.AppendUint64(e, at)
	frame := frameAt(segment, at, length, 0x10, make([]byte, min(length, 1<<10)))
	e = append(e, frame[:8]...)
	binary.LittleEndian.PutUint32(e, crc32.Update(binary.LittleEndian.Uint32(b[12:]), table, e[4:]))
	b = append(append(b[:64], e...), frame[8:]...)
	b = append(b, make([]byte, 64)...)
	if err := os.WriteFile(name, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 1<<30); err != nil {
		t.Fatal(err)
	}
}
