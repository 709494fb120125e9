package pubstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/boltfile/boltfiletest"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

const (
	fuzzedMessages = 30
	fuzzedSafe     = 5 // discarded up to it
	fuzzedReject   = 8 // rejected by the server
)

// fillFuzzed fills a store for the fuzz targets and closes it.
func fillFuzzed(t testing.TB, s pubstore.Store) {
	t.Helper()
	if _, err := s.Logon("gw"); err != nil {
		t.Fatal(err)
	}
	life := s.Lives()[0].ID
	for n := range fuzzedMessages {
		m := &pubstore.Message{Topic: "orders", Body: fmt.Appendf(nil, "body %d", n+1), SOWKey: "k"}
		if _, err := s.Append(t.Context(), m); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(s.Discard(life, fuzzedSafe), s.Reject(life, fuzzedReject), s.Close()); err != nil {
		t.Fatal(err)
	}
}

// useFuzzed reads all messages of a store, appends to it, and closes it. Every message read must
// be one that was appended, in order and only once.
func useFuzzed(t *testing.T, s pubstore.Store) (err error) {
	defer func() { err = errors.Join(err, s.Close()) }()
	for _, life := range s.Lives() {
		c, err := s.Cursor(life.ID, 0)
		if err != nil {
			return err
		}
		defer c.Close()
		var m pubstore.Message
		last := uint64(0)
		for {
			ok, err := c.Next(&m)
			if err != nil {
				return err
			}
			if !ok {
				break
			}
			if m.Sequence <= last {
				t.Errorf("message %d follows %d", m.Sequence, last)
			}
			last = m.Sequence
		}
	}
	_, err = s.Append(t.Context(), &pubstore.Message{Topic: "orders", Body: []byte("more")})
	return err
}

// isDamageOf reports whether an error names the store and says that it is damaged. The damaged
// bytes may also look like a later version.
func isDamageOf(err error, path string) bool {
	if v, ok := errors.AsType[*pubstore.VersionError](err); ok {
		return v.Path == path
	}
	if d, ok := errors.AsType[*pubstore.DamagedError](err); ok {
		return d.Path == path
	}
	f, ok := errors.AsType[*pubstore.FailedError](err)
	return ok && f.Path == path
}

// FuzzOpenBolt opens a store with a damaged database file. Either an error says that it is
// damaged, or the store works with the remaining messages. The same holds with AcceptDamage.
func FuzzOpenBolt(f *testing.F) {
	options := pubstore.BoltOptions{BootID: boot("b"), MaxMessage: 1 << 20}
	image := boltfiletest.Image(f, func(path string) {
		s, err := pubstore.OpenBolt(path, options)
		if err != nil {
			f.Fatal(err)
		}
		fillFuzzed(f, s)
	})
	for _, recipe := range boltfiletest.Recipes(image) {
		f.Add(recipe, false)
		f.Add(recipe, true)
	}
	path := filepath.Join(f.TempDir(), "store.db")
	f.Fuzz(func(t *testing.T, recipe []byte, fixChecksums bool) {
		b := boltfiletest.Damage(image, recipe, fixChecksums)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		heap.Bounded(t, len(b), 64, 4<<20, func() {
			s, err := pubstore.OpenBolt(path, options)
			if err == nil {
				err = useFuzzed(t, s)
			}
			if err != nil && (len(recipe) < 5 || !isDamageOf(err, path)) {
				t.Errorf("a damaged store: %v", err)
			}
		})
		accept := options
		accept.AcceptDamage = true
		heap.Bounded(t, len(b), 64, 64<<20, func() { // slots for all messages that may be missing
			s, err := pubstore.OpenBolt(path, accept)
			if err == nil {
				err = useFuzzed(t, s)
			}
			if err != nil && !isDamageOf(err, path) {
				t.Errorf("with AcceptDamage: %v", err)
			}
		})
	})
}

// FuzzOpenFile opens a store with changed, missing or arbitrary bytes in a file. Either an error
// says that it is damaged, or the store works with the remaining messages. With AcceptDamage it
// works, unless the directory is no longer recognizable as a store.
func FuzzOpenFile(f *testing.F) {
	disk := memfs.New()
	options := func(d *memfs.FS, acceptDamage bool) pubstore.FileOptions {
		return testdoor.OnDisk(pubstore.FileOptions{SegmentBytes: 1 << 10, BootID: boot("b"), AcceptDamage: acceptDamage}, d)
	}
	s, err := pubstore.OpenFile("store", options(disk, false))
	if err != nil {
		f.Fatal(err)
	}
	fillFuzzed(f, s)
	names := disk.Names()
	for file := range len(names) {
		for _, at := range []uint16{0, 7, 64, 100, 200, 500} {
			f.Add(byte(file), at, []byte{0xff}, false, false)
			f.Add(byte(file), at, []byte{}, true, true)
			f.Add(byte(file), at, []byte("\xff\xff\xff\x7f\xff\xff\xff\xff\xff"), false, true)
		}
	}
	f.Fuzz(func(t *testing.T, file byte, at uint16, with []byte, cut, acceptDamage bool) {
		if len(with) > 1<<12 {
			return
		}
		d := disk.Image(memfs.KeepAll)
		name := names[int(file)%len(names)]
		b, err := d.ReadFile(name)
		if err != nil {
			return // no such file
		}
		from := min(int(at), len(b))
		damaged := append(b[:from:from], with...)
		if !cut && len(damaged) < len(b) {
			damaged = append(damaged, b[len(damaged):]...)
		}
		d.WriteFile(name, damaged)
		heap.Bounded(t, len(damaged), 64, 32<<20, func() {
			s, err := pubstore.OpenFile("store", options(d, acceptDamage))
			if err == nil {
				err = useFuzzed(t, s)
			}
			if err != nil && !isDamageOf(err, "store") {
				t.Errorf("a damaged store: %v", err)
			}
		})
	})
}
