package memfs_test

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func create(t *testing.T, d *memfs.FS, name, text string) seglog.File {
	t.Helper()
	f, err := d.OpenFile(name, os.O_CREATE)
	must(t, err)
	write(t, f, text, 0)
	return f
}

func write(t *testing.T, f seglog.File, text string, at int64) {
	t.Helper()
	_, err := f.WriteAt([]byte(text), at)
	must(t, err)
}

// read returns a file's content, "-" if there is no such file.
func read(t *testing.T, d *memfs.FS, name string) string {
	t.Helper()
	b, err := d.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "-"
	}
	must(t, err)
	return string(b)
}

func TestWhatSurvivesAPowerCut(t *testing.T) {
	for _, tt := range []struct {
		name string
		do   func(d *memfs.FS)
		want string // of dir/f
	}{
		{"nothing synced", func(d *memfs.FS) { create(t, d, "dir/f", "abc") }, "-"},
		{"only the file", func(d *memfs.FS) { must(t, create(t, d, "dir/f", "abc").Sync()) }, "-"},
		{"only the name", func(d *memfs.FS) { create(t, d, "dir/f", "abc"); must(t, d.SyncDir("dir")) }, ""},
		{"both", func(d *memfs.FS) { must(t, create(t, d, "dir/f", "abc").Sync()); must(t, d.SyncDir("dir")) }, "abc"},
		{"written after the sync", func(d *memfs.FS) {
			f := create(t, d, "dir/f", "abc")
			must(t, f.Sync())
			must(t, d.SyncDir("dir"))
			write(t, f, "X", 1)
			must(t, f.Truncate(2))
		}, "abc"},
		{"removed, not synced", func(d *memfs.FS) {
			d.WriteFile("dir/f", []byte("old"))
			must(t, d.Remove("dir/f"))
		}, "old"},
		{"removed", func(d *memfs.FS) {
			d.WriteFile("dir/f", []byte("old"))
			must(t, d.Remove("dir/f"))
			must(t, d.SyncDir("dir"))
		}, "-"},
		{"renamed over, not synced", func(d *memfs.FS) {
			d.WriteFile("dir/f", []byte("old"))
			must(t, create(t, d, "dir/tmp", "new").Sync())
			must(t, d.Rename("dir/tmp", "dir/f"))
		}, "old"},
		{"renamed over", func(d *memfs.FS) {
			d.WriteFile("dir/f", []byte("old"))
			must(t, create(t, d, "dir/tmp", "new").Sync())
			must(t, d.Rename("dir/tmp", "dir/f"))
			must(t, d.SyncDir("dir"))
		}, "new"},
		{"sync failed, the next one succeeds", func(d *memfs.FS) {
			d.WriteFile("dir/f", []byte("old"))
			f := create(t, d, "dir/f", "new")
			d.FailSync(syscall.EIO)
			if err := f.Sync(); !errors.Is(err, syscall.EIO) {
				t.Errorf("sync: %v, want EIO", err)
			}
			must(t, f.Sync())
			if got := read(t, d, "dir/f"); got != "new" {
				t.Errorf("reads %q before the crash", got)
			}
		}, "old"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := memfs.New()
			must(t, d.MkdirAll("dir"))
			tt.do(d)
			now := read(t, d, "dir/f")
			killed := d.Crash(memfs.KeepAll)
			if got := read(t, killed, "dir/f"); got != now {
				t.Errorf("after a kill: %q, want %q", got, now)
			}
			for _, img := range []*memfs.FS{d.Crash(memfs.Durable), killed.Crash(memfs.Durable)} {
				if got := read(t, img, "dir/f"); got != tt.want {
					t.Errorf("after a power cut: %q, want %q", got, tt.want)
				}
			}
		})
	}
}

// A power cut leaves synced changes, in every mode, and all possible results of a mode
// come up among a few seeds.
func TestModes(t *testing.T) {
	const sectors = 3
	before, after := bytes.Repeat([]byte("a"), sectors*512), bytes.Repeat([]byte("b"), sectors*512)
	seen := make(map[string]bool)
	for seed := range uint64(50) {
		for _, m := range memfs.Modes(seed) {
			d := memfs.New()
			d.WriteFile("f", before)
			f, err := d.OpenFile("f", 0)
			must(t, err)
			_, err = f.WriteAt(after, 512)
			must(t, err)
			got := read(t, d.Crash(m), "f")
			if got != read(t, d.Crash(m), "f") {
				t.Fatalf("%s %d: two images differ", m.Name, seed)
			}
			if got[:512] != string(before[:512]) {
				t.Fatalf("%s %d: what was not written has changed", m.Name, seed)
			}
			switch {
			case len(got) == len(before) && got == string(before):
				seen[m.Name+" nothing"] = true
			case len(got) == 4*512 && got[512:] == string(after):
				seen[m.Name+" everything"] = true
			case len(got) == 4*512 && got[3*512:] == string(make([]byte, 512)):
				seen[m.Name+" zeros"] = true
			case len(got)%512 != 0:
				seen[m.Name+" torn"] = true
			case got[512] == 'a' && got[2*512] == 'b':
				seen[m.Name+" hole"] = true
			case got[512] != 'a' && got[512] != 'b':
				seen[m.Name+" garbage"] = true
			}
		}
	}
	for _, want := range []string{
		"keep all everything", "durable nothing", "torn everything", "torn torn", "hole nothing",
		"hole hole", "hole everything", "zero extended zeros", "garbage garbage",
	} {
		if !seen[want] {
			t.Errorf("never seen: %s (seen %v)", want, seen)
		}
	}
}

func TestFaults(t *testing.T) {
	d := memfs.New()
	f := create(t, d, "f", "0123")
	d.FailNth(2, syscall.EIO)
	write(t, f, "a", 0)
	if _, err := f.WriteAt([]byte("b"), 1); !errors.Is(err, syscall.EIO) {
		t.Errorf("second write: %v", err)
	}
	write(t, f, "c", 2)

	d.ShortWriteNth(1, syscall.ENOSPC)
	if n, err := f.WriteAt([]byte("xyzw"), 4); n != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("short write: %d, %v", n, err)
	}
	if got := read(t, d, "f"); got != "a1c3xy" {
		t.Errorf("file holds %q", got)
	}
	d.Flip("f", 0)
	if got := read(t, d, "f"); got != "`1c3xy" {
		t.Errorf("after a flip %q", got)
	}

	d.FailReadNth(1, syscall.EIO)
	if _, err := d.OpenFile("f", 0); !errors.Is(err, syscall.EIO) {
		t.Errorf("open: %v", err)
	}

	d.SetCapacity(8)
	if n, err := f.WriteAt([]byte("12345"), 6); n != 2 || !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("write to a full disk: %d, %v", n, err)
	}
	if err := f.Preallocate(100); !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("preallocate on a full disk: %v", err)
	}
	if free, total, _ := d.Space("."); free != 0 || total != 8 {
		t.Errorf("%d of %d bytes free", free, total)
	}

	d.CrashAt(2)
	write(t, f, "1", 0)
	if d.Crashed() {
		t.Error("crashed too early")
	}
	if _, err := f.WriteAt([]byte("2"), 0); !errors.Is(err, memfs.ErrCrashed) {
		t.Errorf("write after the crash: %v", err)
	}
	if got := read(t, d.Crash(memfs.KeepAll), "f"); got[0] != '1' {
		t.Errorf("after the crash %q", got)
	}
	d.Wipe()
	if got := read(t, d, "f"); got != "-" {
		t.Errorf("after a wipe %q", got)
	}
}

func TestLockEndsWithTheProcess(t *testing.T) {
	d := memfs.New()
	held, err := d.Lock("lock")
	must(t, err)
	if _, err := d.Lock("lock"); !errors.Is(err, seglog.ErrLocked) {
		t.Errorf("second lock: %v", err)
	}
	if _, err := d.Crash(memfs.KeepAll).Lock("lock"); err != nil {
		t.Errorf("after a crash: %v", err)
	}
	must(t, held.Close())
}

// A write during a sync isn't covered by it.
func TestSyncDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := memfs.New()
		d.WriteFile("f", []byte("----"))
		f := create(t, d, "f", "1")
		d.SetSyncDelay(time.Second)
		done := make(chan error)
		begin := time.Now()
		go func() { done <- f.Sync() }()
		synctest.Wait()
		write(t, f, "2", 1)
		must(t, <-done)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("sync took %v", took)
		}
		if got := read(t, d.Crash(memfs.Durable), "f"); got != "1---" {
			t.Errorf("durable is %q", got)
		}
	})
}

func TestReadAt(t *testing.T) {
	d := memfs.New()
	f := create(t, d, "f", "abc")
	must(t, f.Preallocate(10))
	b := make([]byte, 8)
	if n, err := f.ReadAt(b, 1); n != 8 || err != nil || string(b) != "bc\x00\x00\x00\x00\x00\x00" {
		t.Errorf("read %d, %v, %q", n, err, b)
	}
	if n, err := f.ReadAt(b, 5); n != 5 || err != io.EOF {
		t.Errorf("read %d, %v", n, err)
	}
	must(t, d.Remove("f"))
	if n, err := f.ReadAt(b[:3], 0); n != 3 || err != nil {
		t.Errorf("read of a removed file: %d, %v", n, err)
	}
}

// An image shows the result of a crash; the disk itself is unchanged.
func TestImage(t *testing.T) {
	d := memfs.New()
	d.WriteFile("f", []byte("durable"))
	f := create(t, d, "f", "written")
	if got := read(t, d.Image(memfs.Durable), "f"); got != "durable" {
		t.Errorf("durable is %q", got)
	}
	if got := read(t, d.Image(memfs.KeepAll), "f"); got != "written" {
		t.Errorf("written is %q", got)
	}
	write(t, f, "more", 7)
	if got := read(t, d, "f"); got != "writtenmore" {
		t.Errorf("the disk has %q", got)
	}
}
