package journal_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

func TestSmoke(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir()) + "/j"
	for round := range 3 {
		j, err := journal.Open(journal.Options{FS: seglog.OS, Dir: dir, SegmentBytes: 4096})
		if err != nil {
			t.Fatal(err)
		}
		for i := range 200 {
			r := journal.Record{Kind: journal.Message, Publisher: uint64(1 + i%3), Topic: []byte("t"), Body: fmt.Appendf(nil, "%d %d", round, i)}
			if v, err := j.Append(&r); v != journal.Take || err != nil {
				t.Fatal(v, err)
			}
		}
		rep, err := j.Verify()
		if err != nil {
			t.Fatal(err)
		}
		t.Log(rep)
		if round == 1 {
			err = j.Kill()
		} else {
			err = j.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	t.Log(journal.Verify(seglog.OS, dir))
}
