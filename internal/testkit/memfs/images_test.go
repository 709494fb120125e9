package memfs_test

import (
	"bytes"
	"slices"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// Two writes over durable bytes, the second beyond the end: every legal outcome comes up,
// and bytes that no write has touched never change.
func TestImagesOfAFile(t *testing.T) {
	d := memfs.New()
	d.WriteFile("f", []byte("----"))
	f, err := d.OpenFile("f", 0)
	must(t, err)
	write(t, f, "ab", 1)
	write(t, f, "cd", 4)
	seen := make(map[string][]string) // kinds by content
	for i := range d.Images() {
		got := read(t, i.FS(), "f")
		if got[0] != '-' || got[3] != '-' {
			t.Errorf("%v: %q", i, got)
		}
		seen[got] = append(seen[got], i.Kind)
	}
	for want, kind := range map[string]string{
		"----":         memfs.Prefix,
		"-ab-":         memfs.Prefix,
		"-ab-cd":       memfs.Kill,
		"-a--":         memfs.TornAt,
		"-a--cd":       memfs.TornWithin,
		"-ab-c":        memfs.TornAt,
		"----cd":       memfs.AllButOne,
		"-ab-\x00\x00": memfs.Zeroed,
		"-\x00\x00-cd": memfs.Zeroed,
		"-ab-c\x00":    memfs.ZeroTail,
		"-a--\x00\x00": memfs.ZeroTail,
		"----\x00\x00": memfs.ZeroTail,
		"-\x00\x00-":   memfs.Zeroed,
	} {
		if !slices.Contains(seen[want], kind) {
			t.Errorf("never seen as %s: %q; seen %q", kind, want, seen)
		}
	}
	if !slices.Contains(seen["-ab-cd"], memfs.Prefix) {
		t.Error("a power cut never leaves everything")
	}
}

// Names that aren't durable are there in every combination, each with any legal content
// of its file; synced changes are always there.
func TestImagesOfNames(t *testing.T) {
	d := memfs.New()
	d.WriteFile("kept", []byte("k"))
	create(t, d, "a", "x")
	f := create(t, d, "b.tmp", "y")
	must(t, f.Sync())
	must(t, d.Rename("b.tmp", "b"))
	seen := make(map[string]bool)
	for i := range d.Images() {
		img := i.FS()
		if read(t, img, "kept") != "k" {
			t.Fatalf("%v: lost what was durable", i)
		}
		if b := read(t, img, "b"); b != "-" && b != "y" {
			t.Fatalf("%v: b holds %q", i, b)
		}
		seen[read(t, img, "a")+" "+read(t, img, "b.tmp")+" "+read(t, img, "b")] = true
	}
	for _, want := range []string{"- - -", "- y -", "- - y", " - -", "x - -", "x y -", " - y", "\x00 - y"} {
		if !seen[want] {
			t.Errorf("never seen: %q, seen %v", want, seen)
		}
	}
}

// A long write is torn near its ends, where its content changes, and loses sectors.
func TestImagesOfALongWrite(t *testing.T) {
	d := memfs.New()
	d.WriteFile("f", nil)
	f, err := d.OpenFile("f", 0)
	must(t, err)
	data := append(bytes.Repeat([]byte("a"), 700), make([]byte, 1000)...)
	write(t, f, string(append(data, 'z')), 0)
	kinds, torn := make(map[string]int), make(map[int]bool)
	for i := range d.Images() {
		kinds[i.Kind]++
		if i.Kind == memfs.TornAt {
			torn[len(read(t, i.FS(), "f"))] = true
		}
	}
	if kinds[memfs.LostSector] != 4 || !torn[1] || !torn[700] || !torn[512] || !torn[1700] || torn[1300] {
		t.Errorf("%v, torn at %d places", kinds, len(torn))
	}
}
