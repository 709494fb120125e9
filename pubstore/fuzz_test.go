package pubstore_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/boltfile/boltfiletest"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

const (
	fuzzedMessages = 30
	fuzzedSafe     = 5 // let go of
	fuzzedReject   = 8 // the server refused it
)

// fillFuzzed puts into a store what the fuzz targets damage, and closes it.
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

// useFuzzed reads all that a store has, adds to it, and closes it. What it has
// it was once given, in order, each message once.
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
				t.Errorf("%d stands behind %d", m.Sequence, last)
			}
			last = m.Sequence
		}
	}
	_, err = s.Append(t.Context(), &pubstore.Message{Topic: "orders", Body: []byte("more")})
	return err
}

// saysDamage reports whether an error is one of those that name the store and
// that it is damaged, or, where the bytes happen to say so, of a later version.
func saysDamage(err error, path string) bool {
	if v, is := errors.AsType[*pubstore.VersionError](err); is {
		return v.Path == path
	}
	if d, is := errors.AsType[*pubstore.DamagedError](err); is {
		return d.Path == path
	}
	f, is := errors.AsType[*pubstore.FailedError](err)
	return is && f.Path == path
}

// FuzzOpenBolt opens a store whose database file is damaged: that is an error
// that says so, or the store works with what is left, with AcceptDamage too.
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
	f.Fuzz(func(t *testing.T, recipe []byte, mend bool) {
		b := boltfiletest.Damage(image, recipe, mend)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		heap.Bounded(t, len(b), 64, 4<<20, func() {
			s, err := pubstore.OpenBolt(path, options)
			if err == nil {
				err = useFuzzed(t, s)
			}
			if err != nil && (len(recipe) < 5 || !saysDamage(err, path)) {
				t.Errorf("a damaged store: %v", err)
			}
		})
		accept := options
		accept.AcceptDamage = true
		heap.Bounded(t, len(b), 64, 64<<20, func() { // slots for as many messages as it may have lost
			s, err := pubstore.OpenBolt(path, accept)
			if err == nil {
				err = useFuzzed(t, s)
			}
			if err != nil && !saysDamage(err, path) {
				t.Errorf("with AcceptDamage: %v", err)
			}
		})
	})
}

// FuzzOpenFile opens a store of which some bytes of a file are changed, cut
// off or anything: that is an error that says so, or the store works with what
// is left; with AcceptDamage it works, unless there is no telling what it is.
func FuzzOpenFile(f *testing.F) {
	disk := memfs.New()
	options := func(d *memfs.FS, accept bool) pubstore.FileOptions {
		return pubstore.FileOptions{FS: d, SegmentBytes: 1 << 10, BootID: boot("b"), AcceptDamage: accept}
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
	f.Fuzz(func(t *testing.T, file byte, at uint16, with []byte, cut, accept bool) {
		if len(with) > 1<<12 {
			return
		}
		d := disk.Image(memfs.KeepAll)
		name := names[int(file)%len(names)]
		b, err := d.ReadFile(name)
		if err != nil {
			return // of no file
		}
		from := min(int(at), len(b))
		damaged := append(b[:from:from], with...)
		if !cut && len(damaged) < len(b) {
			damaged = append(damaged, b[len(damaged):]...)
		}
		d.WriteFile(name, damaged)
		heap.Bounded(t, len(damaged), 64, 32<<20, func() {
			s, err := pubstore.OpenFile("store", options(d, accept))
			if err == nil {
				err = useFuzzed(t, s)
			}
			if err != nil && !saysDamage(err, "store") {
				t.Errorf("a damaged store: %v", err)
			}
		})
	})
}
