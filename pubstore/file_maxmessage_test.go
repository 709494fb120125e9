package pubstore_test

import (
	"bytes"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// MaxMessage limits new messages only. A larger message that is in the store is copied by a
// compaction like any other, even after MaxMessage was lowered.
func TestFileLoweredMaxMessage(t *testing.T) {
	fs := memfs.New()
	o := testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), SyncAlways: true, MaxMessage: 32 << 20}, fs)
	s := openFile(t, o)
	life := s.Lives()[0].ID
	for _, body := range [][]byte{[]byte("damaged"), make([]byte, 17<<20)} {
		if _, err := s.Append(t.Context(), &pubstore.Message{Topic: "orders", Body: body}); err != nil {
			t.Fatal(err)
		}
	}
	closeStore(t, s)
	name := segmentNames(fs)[0]
	b, err := fs.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	fs.Flip(name, int64(bytes.Index(b, []byte("damaged"))))

	s = openFile(t, testdoor.OnDisk(pubstore.FileOptions{BootID: boot("first"), AcceptDamage: true}, fs))
	if kept := sequences(t, s, life); len(kept) != 1 || kept[0] != 2 || s.GivenUp() != 1 {
		t.Errorf("kept are %v, %d given up", kept, s.GivenUp())
	}
	closeStore(t, s)
}
