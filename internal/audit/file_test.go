package audit_test

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/audit"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// content returns the text of a file, empty if there is none.
func content(t *testing.T, disk seglog.FS, name string) string {
	t.Helper()
	f, err := disk.OpenFile(name, 0)
	if os.IsNotExist(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		t.Fatal(err)
	}
	b, err := io.ReadAll(io.NewSectionReader(f, 0, size))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// put writes a line to the file "log".
func put(f *audit.File, line string) error {
	_, err := f.Write([]byte(line + "\n"))
	return err
}

func open(t *testing.T, disk seglog.FS) *audit.File {
	t.Helper()
	f, err := audit.OpenFile(disk, "log", 10, 2)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// A line that does not fit begins another file. The number of files is bounded. A file that exists
// is continued.
func TestFilesTurn(t *testing.T) {
	disk := memfs.New()
	for n := range 9 {
		f := open(t, disk)
		if err := put(f, fmt.Sprint("abc", n)); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
	f := open(t, disk)
	if err := put(f, strings.Repeat("x", 50)); err != nil { // longer than a file may be
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"log": strings.Repeat("x", 50) + "\n", "log.1": "abc8\n", "log.2": "abc6\nabc7\n", "log.3": "",
	} {
		if got := content(t, disk, name); got != want {
			t.Errorf("%s is %q instead of %q", name, got, want)
		}
	}
}

// A line that the death of the process has cut is ended, so that the next one is whole.
func TestCutLine(t *testing.T) {
	disk := memfs.New()
	f := open(t, disk)
	if _, err := f.Write([]byte("cu")); err != nil {
		t.Fatal(err)
	}
	if err := put(open(t, disk), "next"); err != nil {
		t.Fatal(err)
	}
	if got := content(t, disk, "log"); got != "cu\nnext\n" {
		t.Errorf("the file is %q", got)
	}
}

// Whichever change of the disk fails, only the line is lost: the next one is written, and every line
// is whole.
func TestFailingDisk(t *testing.T) {
	for n := 1; ; n++ {
		disk := memfs.New()
		f := open(t, disk)
		before := disk.Changes()
		disk.FailNth(n, syscall.EIO)
		lost := 0
		for i := range 12 {
			if put(f, fmt.Sprint("abc", i%10)) != nil {
				lost++
			}
		}
		if disk.Changes()-before < n {
			if n < 20 {
				t.Fatalf("only %d changes", n)
			}
			return
		}
		if lost != 1 {
			t.Errorf("change %d: %d lines are lost", n, lost)
		}
		if err := put(f, "abcx"); err != nil {
			t.Errorf("change %d: %v", n, err)
		}
		if got := content(t, disk, "log"); !strings.HasSuffix(got, "abcx\n") {
			t.Errorf("change %d: the file is %q", n, got)
		}
		for _, name := range []string{"log", "log.1", "log.2"} {
			for line := range strings.Lines(content(t, disk, name)) {
				if len(line) != 5 || !strings.HasPrefix(line, "abc") {
					t.Errorf("change %d: %s has the line %q", n, name, line)
				}
			}
		}
	}
}

// A full disk loses lines, and leaves no part of a line. Once there is space, lines are written
// again.
func TestFullDisk(t *testing.T) {
	disk := memfs.New()
	f := open(t, disk)
	disk.SetCapacity(12)
	for i := range 9 {
		_ = put(f, fmt.Sprint("abc", i))
	}
	disk.SetCapacity(0)
	if err := put(f, "again"); err != nil {
		t.Fatal(err)
	}
	all := content(t, disk, "log.2") + content(t, disk, "log.1") + content(t, disk, "log")
	if all != "abc0\nabc1\nagain\n" {
		t.Errorf("the files are %q", all)
	}
}

// A line is JSON whatever texts it has, and contains no control character.
func TestLinesAreJSON(t *testing.T) {
	disk := memfs.New()
	f, err := audit.OpenFile(disk, "log", 1<<20, 1)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.FixedZone("", 3600))
	r := slog.NewRecord(at, slog.LevelInfo, "logon", 0)
	r.AddAttrs(slog.String("user", "a\"\n\x1b\u009b\xff"), slog.Int("n", 1))
	if err := f.Handler().Handle(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	text := content(t, disk, "log")
	if i := strings.IndexFunc(strings.TrimSuffix(text, "\n"), func(r rune) bool { return r < ' ' || 0x7f <= r && r <= 0x9f }); i >= 0 {
		t.Errorf("a control character at %d of %q", i, text)
	}
	var line map[string]any
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatal(err)
	}
	if want := map[string]any{"time": "2026-01-02T02:04:05Z", "event": "logon", "user": "a\"\n\x1b\u009b\ufffd", "n": 1.0}; fmt.Sprint(line) != fmt.Sprint(want) {
		t.Errorf("the line is %q", text)
	}
}

// New files can be accessed by their owner only. A link is not followed, and a pipe not opened.
func TestFileOnDisk(t *testing.T) {
	t.Chdir(t.TempDir())
	f := open(t, seglog.OS)
	for range 4 {
		if err := put(f, "abcd"); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"log", "log.1"} {
		info, err := os.Stat(name)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode(); mode != 0o600 {
			t.Errorf("%s has mode %v", name, mode)
		}
	}
	if err := os.Symlink("log", "link"); err != nil {
		t.Skip(err)
	}
	if _, err := audit.OpenFile(seglog.OS, "link", 10, 2); err == nil {
		t.Error("a link is followed")
	}
}
