package bookmarkstore

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/boltfile/boltfiletest"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
)

// FuzzValues decodes any value under any key. The result is an error, or the value re-encodes to
// the same bytes.
func FuzzValues(f *testing.F) {
	key := discardedKey(7)
	f.Add("s", key, encodeDiscarded("s", key, 43))
	key = outOfOrderKey(Bookmark{Publisher: 7, Sequence: 45})
	f.Add("s", key, encodeOutOfOrder("s", key))
	f.Add("s", keyHead, encodeHead("s", head{generation: 3, hasBase: true, query: Query{Topic: "orders", Filter: "/a = 1"}}))
	f.Add("s", keyHead, encodeHead("s", head{}))
	f.Add("", []byte{}, []byte{})
	f.Fuzz(func(t *testing.T, id string, key, value []byte) {
		heap.Bounded(t, len(id)+len(key)+len(value), 16, 4<<10, func() {
			value = bytes.Clone(value)
			checkValue(t, id, key, value)
			if len(value) > checksumSize { // make its checksum valid
				checkValue(t, id, key, seal(id, key, value[:len(value)-checksumSize]))
			}
		})
	})
}

func checkValue(t *testing.T, id string, key, value []byte) {
	t.Helper()
	var again []byte
	if string(key) == string(keyHead) {
		h, err := decodeHead(id, value)
		if err != nil {
			return
		}
		again = encodeHead(id, h)
		// A number has several encodings; encodeHead writes the shortest.
		if g, err := decodeHead(id, again); err != nil || g != h {
			t.Errorf("head %+v is read again as %+v, %v", h, g, err)
		}
		return
	}
	err := loadValue(id, key, value, func(b Bookmark) { again = encodeDiscarded(id, key, b.Sequence) },
		func(Bookmark) { again = encodeOutOfOrder(id, key) })
	if err == nil && !bytes.Equal(again, value) {
		t.Errorf("%x under %x is encoded as %x", value, key, again)
	}
}

// FuzzOpenBolt opens a store with a damaged database file. Either an error says that it is
// damaged, or the store works and no place in it has advanced.
func FuzzOpenBolt(f *testing.F) {
	query := Query{Topic: "orders"}
	image := boltfiletest.Image(f, func(path string) {
		b, err := OpenBolt(path, BoltOptions{})
		if err != nil {
			f.Fatal(err)
		}
		for _, id := range []string{"s", "t", "u"} {
			s, err := b.OpenSubscription(id, query)
			if err != nil {
				f.Fatal(err)
			}
			for p := range uint64(20) {
				for q := range uint64(5) {
					s.Receive(Bookmark{Publisher: p, Sequence: q + 1})
					if q != 2 { // publisher has 1, 2, and out of order 4, 5
						err = errors.Join(err, s.Discard(Bookmark{Publisher: p, Sequence: q + 1}))
					}
				}
			}
			if err != nil {
				f.Fatal(err)
			}
		}
		if err := b.Close(); err != nil {
			f.Fatal(err)
		}
	})
	for _, recipe := range boltfiletest.Recipes(image) {
		f.Add(recipe, false)
		f.Add(recipe, true)
	}
	path := filepath.Join(f.TempDir(), "marks.db")
	f.Fuzz(func(t *testing.T, recipe []byte, fixChecksums bool) {
		b := boltfiletest.Damage(image, recipe, fixChecksums)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		heap.Bounded(t, len(b), 64, 1<<20, func() {
			err := useDamaged(t, path, query)
			d, damaged := errors.AsType[*DamagedError](err)
			failed, ok := errors.AsType[*FailedError](err)
			newer, later := errors.AsType[*VersionError](err) // the bytes may look like a later version
			if err != nil && (len(recipe) < 5 || !(damaged && d.Path == path || ok && failed.Path == path || later && newer.Path == path)) {
				t.Errorf("a damaged store: %v", err)
			}
		})
	})
}

func useDamaged(t *testing.T, path string, query Query) (err error) {
	b, err := OpenBolt(path, BoltOptions{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	for _, id := range []string{"s", "t", "u"} {
		s, err := b.OpenSubscription(id, query)
		if err != nil {
			return err
		}
		v, _ := s.Discarded()
		for p, sequence := range v {
			if p >= 20 || sequence > 2 {
				t.Errorf("%s has discarded up to %d|%d, want at most %d|2", id, p, sequence, p)
			}
		}
		b := Bookmark{Publisher: 3, Sequence: 3}
		s.Receive(b)
		if err := s.Discard(b); err != nil {
			return err
		}
	}
	return b.Sync(t.Context())
}
