package pubstore_test

import (
	"path/filepath"
	"testing"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// A reopened store still has the group that SetGroup stored last.
func TestGroup(t *testing.T) {
	type store interface {
		pubstore.Store
		Group() (string, uint64)
		SetGroup(string, uint64) error
	}
	dir := t.TempDir()
	for name, open := range map[string]func() (store, error){
		"file": func() (store, error) { return pubstore.OpenFile(filepath.Join(dir, "f"), pubstore.FileOptions{}) },
		"bolt": func() (store, error) { return pubstore.OpenBolt(filepath.Join(dir, "b.db"), pubstore.BoltOptions{}) },
		"memory": func() (store, error) {
			s := pubstore.NewMemory(pubstore.MemoryOptions{})
			return s, s.SetGroup("c1", 2)
		},
	} {
		t.Run(name, func(t *testing.T) {
			for n := range uint64(3) {
				s, err := open()
				if err != nil {
					t.Fatal(err)
				}
				cluster, incarnation := s.Group()
				switch {
				case name == "memory" && incarnation == 2, n == 0 && cluster == "" && incarnation == 0:
				case cluster != "c1" || incarnation != n+1:
					t.Errorf("Group after %d closes = %q, %d", n, cluster, incarnation)
				}
				if err := s.SetGroup("c1", n+2); err != nil {
					t.Fatal(err)
				}
				if err := s.Close(); err != nil {
					t.Fatal(err)
				}
				if s.SetGroup("c1", 9) == nil {
					t.Error("SetGroup on a closed store: no error")
				}
			}
		})
	}
}
