package seglog_test

import (
	"bytes"
	"errors"
	"maps"
	"path"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/fileversion"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/testkit/newer"
)

// age rewrites the header at an offset of a file as if a later version had written it.
func age(d *memfs.FS, name string, at int, sum bool) {
	b, _ := d.ReadFile(name)
	b = newer.Header(b, at)
	if !sum {
		b[at+60]++
	}
	d.WriteFile(name, b)
}

// snapshot returns the contents of the log's files, by name.
func snapshot(t *testing.T, d *memfs.FS) map[string]string {
	t.Helper()
	files := make(map[string]string)
	for _, dir := range []string{"log", "log/aside"} {
		names, err := d.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if b, err := d.ReadFile(path.Join(dir, name)); err == nil {
				files[path.Join(dir, name)] = string(b)
			}
		}
	}
	return files
}

// battered returns a disk with a log that has a damaged record, a stage, an unfinished segment, and
// records set aside.
func battered(t *testing.T) *memfs.FS {
	t.Helper()
	d := memfs.New()
	for _, text := range []string{"first", "second"} {
		l, o := openAside(t, d)
		for _, s := range []string{text, "behind"} {
			o.append(t, l, s)
			if _, err := l.Sync(); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		breakText(t, d, text)
	}
	b, err := d.ReadFile("log/0000000000000000.log")
	if err != nil {
		t.Fatal(err)
	}
	d.WriteFile("log/0000000000ffff00.tmp", b[:4200])
	for name, magic := range map[string]string{"stage": "hfsstage", "cut": "hfsegcut"} {
		d.WriteFile("log/"+name, append([]byte(magic), make([]byte, 56)...))
	}
	return d
}

// breakText inverts a bit in a record of the first segment.
func breakText(t *testing.T, d *memfs.FS, text string) {
	t.Helper()
	b, err := d.ReadFile("log/0000000000000000.log")
	at := bytes.Index(b, []byte(text))
	if err != nil || at < 0 {
		t.Fatal(text, "is not in the log:", err)
	}
	d.Flip("log/0000000000000000.log", int64(at))
}

// A log that a later version has written is refused before anything is changed, however damaged it
// is otherwise.
func TestNewerVersion(t *testing.T) {
	const segment, copied = "log/0000000000000000.log", 4096
	for name, change := range map[string]func(d *memfs.FS) string{
		"segment": func(d *memfs.FS) string {
			age(d, segment, 0, true)
			age(d, segment, copied, true)
			return segment
		},
		"one header": func(d *memfs.FS) string { age(d, segment, copied, true); return segment },
		"another checksum": func(d *memfs.FS) string {
			age(d, segment, 0, false)
			age(d, segment, copied, false)
			return segment
		},
		"unfinished": func(d *memfs.FS) string {
			age(d, "log/0000000000ffff00.tmp", 0, true)
			return "log/0000000000ffff00.tmp"
		},
		"aside": func(d *memfs.FS) string {
			age(d, "log/aside/0000000000000000.log", 0, true)
			return "log/aside/0000000000000000.log"
		},
		"stage": func(d *memfs.FS) string { age(d, "log/stage", 0, true); return "log/stage" },
		"cut":   func(d *memfs.FS) string { age(d, "log/cut", 0, true); return "log/cut" },
	} {
		t.Run(name, func(t *testing.T) {
			d := battered(t)
			file := change(d)
			before := snapshot(t, d)
			opts := options(d, &owner{})
			opts.SetAside = true
			_, err := seglog.Open(opts)
			checkNewer(t, "Open", err, file)
			_, err = seglog.Inspect(d, "log", seglog.Visitor{})
			checkNewer(t, "Inspect", err, file)
			if after := snapshot(t, d); !maps.Equal(before, after) {
				t.Errorf("the files have changed")
			}
		})
	}
}

func checkNewer(t *testing.T, call string, err error, file string) {
	t.Helper()
	v, is := errors.AsType[*fileversion.VersionError](err)
	if !is || *v != (fileversion.VersionError{File: file, Found: 2, Known: 1}) {
		t.Errorf("%s: %v, want version 2 of %s", call, err, file)
	}
	if want := file + " has format version 2, but this program reads only versions up to 1"; is && !strings.Contains(err.Error(), want) {
		t.Errorf("%s: %v, want %q in it", call, err, want)
	}
}

// A version number that only damage can explain counts as damage.
func TestDamagedVersion(t *testing.T) {
	d := long(t, 1).disk
	age(d, "log/0000000000000000.log", 0, false)
	zero(d, "log/0000000000000000.log", 4096, 64)
	_, err := seglog.Open(options(d, &owner{}))
	if _, is := errors.AsType[*seglog.DamageError](err); !is {
		t.Errorf("Open: %v", err)
	}
}

// A segment with a header that is not ours is renamed, not removed, however often that happens.
func TestUnknownHeaderIsKept(t *testing.T) {
	d := memfs.New()
	want := make(map[string]string)
	for _, kept := range []string{"log/0000000000000000.unknown", "log/0000000000000000-2.unknown"} {
		l, o := openAside(t, d)
		o.append(t, l, "text of "+kept)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		copyBytes(d, "log/0000000000000000.log", 0, 4160, 64)
		copyBytes(d, "log/0000000000000000.log", 4096, 4160, 64)
		b, _ := d.ReadFile("log/0000000000000000.log")
		want[kept] = string(b)

		l, _ = openAside(t, d)
		if got := all(t, l); len(got) > 0 {
			t.Errorf("the log has %q", got)
		}
		if err := errors.Join(l.DropAside(), l.Close()); err != nil {
			t.Fatal(err)
		}
		if found, err := seglog.Inspect(d, "log", seglog.Visitor{}); err != nil || len(found.Unknown) != len(want) {
			t.Errorf("Inspect finds %v, %v", found.Unknown, err)
		}
		files := snapshot(t, d)
		for name, content := range want {
			if files[name] != content {
				t.Errorf("%s has %d bytes, want the %d of the segment", name, len(files[name]), len(content))
			}
		}
	}
}

// Files that the log has not made are never removed, whatever their names.
func TestStrangeFilesStay(t *testing.T) {
	d := battered(t)
	strange := map[string]string{"log/notes.tmp": "notes", "log/stage": "a play, no stage", "log/cut": "of a film"}
	for name, text := range strange {
		d.WriteFile(name, []byte(text))
	}
	l, _ := openAside(t, d)
	d.WriteFile("log/aside/mine", []byte("mine"))
	if err := errors.Join(l.DropAside(), l.Close()); err != nil {
		t.Fatal(err)
	}
	files := snapshot(t, d)
	for name, text := range map[string]string{
		"log/notes.tmp": "notes", "log/stage.unknown": "a play, no stage", "log/cut.unknown": "of a film", "log/aside/mine": "mine",
	} {
		if files[name] != text {
			t.Errorf("%s is %q, want %q", name, files[name], text)
		}
	}
}

// The owner is asked about heads before anything is changed.
func TestCheckHead(t *testing.T) {
	d := battered(t)
	before := snapshot(t, d)
	errForeign := errors.New("not mine")
	opts := options(d, &owner{})
	opts.SetAside = true
	opts.CheckHead = func(start []byte) error {
		if len(start) == 0 || len(start) > 64 {
			t.Errorf("asked about %d bytes", len(start))
		}
		return errForeign
	}
	if _, err := seglog.Open(opts); !errors.Is(err, errForeign) {
		t.Errorf("Open: %v", err)
	}
	if after := snapshot(t, d); !maps.Equal(before, after) {
		t.Errorf("the files have changed")
	}
}
