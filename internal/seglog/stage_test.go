package seglog_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// Staged records survive the death of the process, on a real disk too, and staging does not write
// to the segment.
func TestStage(t *testing.T) {
	disk := memfs.New()
	for _, o := range []seglog.Options{
		{FS: disk, Dir: "log", StageBytes: 1 << 16},
		{FS: seglog.OS, Dir: filepath.ToSlash(t.TempDir()), StageBytes: 1 << 16},
	} {
		var want []string
		for life := range 4 {
			h := &owner{}
			o.Owner = h
			l, err := seglog.Open(o)
			if err != nil {
				t.Fatal(err)
			}
			if got := all(t, l); strings.Join(got, "|") != strings.Join(want, "|") {
				t.Fatalf("life %d holds %q, want %q", life, got, want)
			}
			for i := range 50 {
				text := fmt.Sprintf("%d in life %d", i, life)
				p := h.append(t, l, text)
				if err := l.Keep(p); err != nil {
					t.Fatal(err)
				}
				want = append(want, text)
				if life == 2 && i == 20 {
					if err := l.Write(); err != nil {
						t.Fatal(err)
					}
				}
			}
			if life != 2 && l.Unwritten() == 0 {
				t.Error("all is written, nothing was staged")
			}
			if err := l.Abandon(); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// A log that is opened without a stage recovers the staged records and removes the stage file.
func TestStageGivenUp(t *testing.T) {
	disk := memfs.New()
	h := &owner{}
	o := seglog.Options{FS: disk, Dir: "log", Owner: h, StageBytes: 1 << 16}
	l, err := seglog.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	h.append(t, l, "staged")
	if err := l.Abandon(); err != nil {
		t.Fatal(err)
	}
	o.StageBytes, o.Owner = 0, &owner{}
	if l, err = seglog.Open(o); err != nil {
		t.Fatal(err)
	}
	if got := all(t, l); len(got) != 1 || got[0] != "staged" {
		t.Errorf("holds %q", got)
	}
	for _, name := range disk.Names() {
		if strings.HasSuffix(name, "stage") {
			t.Error("the stage is still there")
		}
	}
}
