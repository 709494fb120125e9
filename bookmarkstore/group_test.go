package bookmarkstore_test

import (
	"path/filepath"
	"testing"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
)

// A reopened store still has the group that SetGroup stored last.
func TestGroup(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marks.db")
	for n := range uint64(3) {
		s, err := bookmarkstore.OpenBolt(path, bookmarkstore.BoltOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if cluster, incarnation := s.Group(); incarnation != n || n > 0 && cluster != "c1" {
			t.Errorf("Group after %d closes = %q, %d", n, cluster, incarnation)
		}
		if err := s.SetGroup("c1", n+1); err != nil {
			t.Fatal(err)
		}
		if cluster, incarnation := s.Group(); cluster != "c1" || incarnation != n+1 {
			t.Errorf("Group = %q, %d", cluster, incarnation)
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	m := bookmarkstore.NewMemory()
	if err := m.SetGroup("c1", 2); err != nil {
		t.Fatal(err)
	}
	if cluster, incarnation := m.Group(); cluster != "c1" || incarnation != 2 {
		t.Errorf("Group = %q, %d", cluster, incarnation)
	}
}
