//go:build linux

package main

import (
	"os"
	"testing"
)

// The test's own binary is the children, too.
func TestMain(m *testing.M) {
	beChild()
	os.Exit(m.Run())
}

// The bare pipeline does all its works, with real processes, and leaves nothing.
func TestBarePipeline(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{self: self, dir: t.TempDir()}
	for _, w := range works(options{Only: []string{"B1", "B2", "B3"}, Peers: []string{pipeline}, Messages: 3000, Size: 256}) {
		r, err := b.work(t.Context(), w, 2)
		if err != nil {
			t.Errorf("%s: %v", w.id, err)
		}
		for _, row := range w.rows {
			if v, ok := r.value(row, pipeline); !ok || v <= 0 {
				t.Errorf("%s %s = %v, %v", w.id, row.measure, v, ok)
			}
		}
	}
	if left, err := os.ReadDir(b.dir); err != nil || len(left) > 0 {
		t.Errorf("%v is left, %v", left, err)
	}
}

// A child that fails is explained by its last words.
func TestAChildsLastWords(t *testing.T) {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{self: self}
	_, err = b.load(t.Context(), "bare-load", bareJob{Address: "nowhere"})
	const want = "bare-load: exit status 1; its last words: peerbench: dial tcp: address nowhere: missing port in address"
	if err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}
