package bookmarkstore_test

import (
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"go.etcd.io/bbolt"
)

func openBolt(t *testing.T, path string, o bookmarkstore.BoltOptions) *bookmarkstore.Bolt {
	t.Helper()
	b, err := bookmarkstore.OpenBolt(path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func TestOpenBoltLocked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "marks.db")
	b := openBolt(t, path, bookmarkstore.BoltOptions{})
	if _, err := bookmarkstore.OpenBolt(path, bookmarkstore.BoltOptions{}); !errors.Is(err, bookmarkstore.ErrLocked) || !strings.Contains(err.Error(), path) {
		t.Errorf("OpenBolt of an open database = %v, want ErrLocked naming it", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	openBolt(t, path, bookmarkstore.BoltOptions{})
}

func TestOpenBoltRefuses(t *testing.T) {
	dir := t.TempDir()
	garbage := filepath.Join(dir, "garbage.db")
	if err := os.WriteFile(garbage, []byte(strings.Repeat("not a database ", 2000)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name, path string
		options    bookmarkstore.BoltOptions
	}{
		{"a file that is not a database", garbage, bookmarkstore.BoltOptions{}},
		{"no such directory", filepath.Join(dir, "none", "marks.db"), bookmarkstore.BoltOptions{}},
		{"a negative interval", filepath.Join(dir, "marks.db"), bookmarkstore.BoltOptions{CommitInterval: -1}},
	} {
		if b, err := bookmarkstore.OpenBolt(tt.path, tt.options); err == nil {
			t.Errorf("%s: no error", tt.name)
			b.Close()
		}
	}
}

// filledDatabase creates a database with a subscription "s". Of publisher 1 it has discarded up to
// 2, and 5 out of order.
func filledDatabase(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "marks.db")
	b := openBolt(t, path, bookmarkstore.BoltOptions{})
	s, err := b.OpenSubscription("s", orders)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetBase(vec{1: 2}); err != nil {
		t.Fatal(err)
	}
	for _, q := range []uint64{4, 5} {
		s.Receive(refOf("", q).Bookmark)
	}
	if err := errors.Join(s.Discard(refOf("", 5).Bookmark), b.Close()); err != nil {
		t.Fatal(err)
	}
	return path
}

// edit changes the bucket of subscription "s".
func edit(t *testing.T, path string, change func(root, s *bbolt.Bucket) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		root := tx.Bucket([]byte("bookmarks"))
		return change(root, root.Bucket([]byte("subscriptions")).Bucket([]byte("s")))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func key(numbers ...uint64) []byte {
	var k []byte
	for _, n := range numbers {
		k = binary.BigEndian.AppendUint64(k, n)
	}
	return k
}

// TestFormat checks the bytes of version 1. A change of the format needs a new version, and version
// 1 must remain readable.
func TestFormat(t *testing.T) {
	want := map[string]string{
		"68656164":                         "010000000000000001" + "01" + "06" + "6f7264657273" + "00" + "3ad7c4b4",
		"0000000000000001":                 "01" + "0000000000000002" + "cce516b1",
		"00000000000000010000000000000005": "01" + "76a3caa6",
	}
	got := map[string]string{}
	edit(t, filledDatabase(t), func(root, s *bbolt.Bucket) error {
		if f := root.Get([]byte("format")); len(f) != 1 || f[0] != 1 {
			t.Errorf("format is %v", f)
		}
		return s.ForEach(func(k, v []byte) error {
			got[hex.EncodeToString(k)] = hex.EncodeToString(v)
			return nil
		})
	})
	for k, v := range got {
		if want[k] != v {
			t.Errorf("key %s: %s, want %s", k, v, want[k])
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d keys, want %d", len(got), len(want))
	}
}

// Damage to any bit of any value gives an error that names bucket and key.
func TestDamagedValues(t *testing.T) {
	path := filledDatabase(t)
	for _, k := range [][]byte{[]byte("head"), key(1), key(1, 5)} {
		var good []byte
		edit(t, path, func(_, s *bbolt.Bucket) error {
			good = append(good, s.Get(k)...)
			return nil
		})
		bad := [][]byte{{}, good[:1], good[:len(good)-1], append(append([]byte{}, good...), 0)}
		for i := range len(good) {
			flipped := append([]byte{}, good...)
			flipped[i] ^= 1 << (i % 8)
			bad = append(bad, flipped)
		}
		for _, v := range bad {
			edit(t, path, func(_, s *bbolt.Bucket) error { return s.Put(k, v) })
			wantDamaged(t, path, k)
		}
		edit(t, path, func(_, s *bbolt.Bucket) error { return s.Put(k, good) })
	}
	b := openBolt(t, path, bookmarkstore.BoltOptions{})
	if _, err := b.OpenSubscription("s", orders); err != nil {
		t.Errorf("OpenSubscription with the original values: %v", err)
	}
}

// A value that was written for another key does not decode. An unknown key is an error.
func TestDamagedKeys(t *testing.T) {
	for _, tt := range []struct {
		name string
		key  []byte
		put  func(s *bbolt.Bucket) error
	}{
		{"another publisher", key(9), func(s *bbolt.Bucket) error { return s.Put(key(9), s.Get(key(1))) }},
		{"another sequence", key(1, 4), func(s *bbolt.Bucket) error { return s.Put(key(1, 4), s.Get(key(1, 5))) }},
		{"a short key", key(1)[:7], func(s *bbolt.Bucket) error { return s.Put(key(1)[:7], s.Get(key(1))) }},
		{"four bytes", []byte("hood"), func(s *bbolt.Bucket) error { return s.Put([]byte("hood"), s.Get([]byte("head"))) }},
		{"a bucket", key(7), func(s *bbolt.Bucket) error { _, err := s.CreateBucket(key(7)); return err }},
		{"no head", []byte("head"), func(s *bbolt.Bucket) error { return s.Delete([]byte("head")) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filledDatabase(t)
			edit(t, path, func(_, s *bbolt.Bucket) error { return tt.put(s) })
			wantDamaged(t, path, tt.key)
		})
	}
}

func wantDamaged(t *testing.T, path string, k []byte) {
	t.Helper()
	b, err := bookmarkstore.OpenBolt(path, bookmarkstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	_, err = b.OpenSubscription("s", orders)
	var damaged *bookmarkstore.DamagedError
	if !errors.As(err, &damaged) || damaged.Path != path || damaged.Bucket != "bookmarks/s" || string(damaged.Key) != string(k) {
		t.Errorf("OpenSubscription = %v, want damage at key %q", err, k)
	}
	if _, err := b.OpenSubscription("other", orders); err != nil {
		t.Errorf("OpenSubscription of an undamaged subscription: %v", err)
	}
}

// If a commit finds damage, the store fails and does not guess.
func TestCommitFindsDamage(t *testing.T) {
	a := newApp(t, noAutoCommit)
	a.must(a.Discard(refOf("", 1).Bookmark))
	a.must(a.b.Sync(context.Background()))
	a.must(a.db.Update(func(tx *bbolt.Tx) error {
		s := tx.Bucket([]byte("marks")).Bucket([]byte("subscriptions")).Bucket([]byte("s"))
		return s.Put(key(1), []byte("damaged"))
	}))
	a.must(a.Discard(refOf("", 2).Bookmark))
	wantFailed(t, "Sync", a.b.Sync(context.Background()))
	wantFailed(t, "Close", a.b.Close())
	a.b = mustOpenIn(t, a.db, "another") // for the cleanup
}

func mustOpenIn(t *testing.T, db *bbolt.DB, bucket string) *bookmarkstore.Bolt {
	t.Helper()
	b, err := bookmarkstore.OpenBoltIn(db, bucket, bookmarkstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func wantFailed(t *testing.T, name string, err error) {
	t.Helper()
	var failed *bookmarkstore.FailedError
	if !errors.As(err, &failed) {
		t.Errorf("%s = %v, want a *FailedError", name, err)
	}
}

func TestOtherFormats(t *testing.T) {
	for name, change := range map[string]func(root *bbolt.Bucket) error{
		"no version":       func(root *bbolt.Bucket) error { return root.Delete([]byte("format")) },
		"no subscriptions": func(root *bbolt.Bucket) error { return root.DeleteBucket([]byte("subscriptions")) },
		"a bucket of another owner": func(root *bbolt.Bucket) error {
			return errors.Join(root.Delete([]byte("format")), root.DeleteBucket([]byte("subscriptions")), root.Put([]byte("x"), nil))
		},
	} {
		path := filledDatabase(t)
		edit(t, path, func(root, _ *bbolt.Bucket) error { return change(root) })
		var damaged *bookmarkstore.DamagedError
		if b, err := bookmarkstore.OpenBolt(path, bookmarkstore.BoltOptions{}); !errors.As(err, &damaged) {
			t.Errorf("%s: %v, want a *DamagedError", name, err)
			if err == nil {
				b.Close()
			}
		}
	}
}

// OpenBolt, InspectBolt and RepairBolt refuse data of a later version and do not change it.
func TestNewerVersion(t *testing.T) {
	path := filledDatabase(t)
	edit(t, path, func(root, _ *bbolt.Bucket) error { return root.Put([]byte("format"), []byte{2}) })
	check := func(call string, err error) {
		t.Helper()
		newer, ok := errors.AsType[*bookmarkstore.VersionError](err)
		if !ok || newer.Path != path || !strings.Contains(err.Error(), "format version 2, but this program reads only versions up to 1") {
			t.Errorf("%s: %v", call, err)
		}
	}
	_, err := bookmarkstore.OpenBolt(path, bookmarkstore.BoltOptions{})
	check("OpenBolt", err)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	_, err = bookmarkstore.InspectBolt(db, "bookmarks")
	check("InspectBolt", err)
	_, err = bookmarkstore.RepairBolt(db, "bookmarks")
	check("RepairBolt", err)
	err = db.View(func(tx *bbolt.Tx) error {
		root := tx.Bucket([]byte("bookmarks"))
		if got := root.Get([]byte("format")); string(got) != "\x02" || root.Bucket([]byte("subscriptions")) == nil {
			t.Errorf("the format is %v now", got)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// A file with missing or overwritten pages gives an error. It never causes a panic, and never moves
// a discarded point forward.
func TestDamagedPages(t *testing.T) {
	path := filledDatabase(t)
	image, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for from := 0; from < len(image); from += page {
		damaged := append([]byte{}, image...)
		for i := from; i < min(from+page, len(damaged)); i++ {
			damaged[i] = byte(i * 131)
		}
		checkDamagedImage(t, damaged)
		checkDamagedImage(t, image[:from])
	}
}

func checkDamagedImage(t *testing.T, image []byte) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "damaged.db")
	if err := os.WriteFile(path, image, 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := bookmarkstore.OpenBolt(path, bookmarkstore.BoltOptions{})
	if err != nil {
		return
	}
	defer b.Close()
	s, err := b.OpenSubscription("s", orders)
	if err != nil {
		return
	}
	if v, _ := s.Discarded(); v[1] > 2 {
		t.Errorf("Discarded() = %v, want at most 2", v)
	}
}

// After a failed commit the store stays failed.
func TestFailedCommit(t *testing.T) {
	var file *os.File
	path := filepath.Join(t.TempDir(), "app.db")
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{OpenFile: func(name string, flag int, mode os.FileMode) (*os.File, error) {
		f, err := os.OpenFile(name, flag, mode)
		file = f
		return f, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	b := mustOpenIn(t, db, "marks")
	s, err := b.OpenSubscription("s", orders)
	if err != nil {
		t.Fatal(err)
	}
	s.Receive(refOf("", 1).Bookmark)
	s.Receive(refOf("", 2).Bookmark)
	file.Close()
	if err := s.Discard(refOf("", 1).Bookmark); err != nil {
		t.Fatal(err)
	}
	wantFailed(t, "Sync", b.Sync(context.Background()))
	if err := b.Sync(context.Background()); !strings.Contains(err.Error(), "already closed") || !strings.Contains(err.Error(), path) {
		t.Errorf("Sync = %v, want the cause and the path", err)
	}
	_, err = b.OpenSubscription("other", orders)
	wantFailed(t, "Subscription", err)
	_, err = b.OpenSubscription("s", orders)
	wantFailed(t, "Subscription of one in use", err)
	wantFailed(t, "Discard", s.Discard(refOf("", 2).Bookmark))
	wantFailed(t, "SetBase", s.SetBase(vec{1: 1}))
	wantFailed(t, "Progress", s.ReceiveMark(vec{1: 1}))
	wantFailed(t, "Restart", s.Reset())
	tx, err := db.Begin(true)
	if err != nil {
		t.Fatal(err)
	}
	wantFailed(t, "DiscardTx", b.DiscardTx(tx, refOf("s", 2)))
	tx.Rollback()
	wantFailed(t, "Close", b.Close())
}

func TestSyncAlways(t *testing.T) {
	a := newApp(t, bookmarkstore.BoltOptions{CommitInterval: noAutoCommit.CommitInterval, SyncAlways: true})
	var wg sync.WaitGroup
	for s := range uint64(5) {
		wg.Go(func() {
			if err := a.Discard(refOf("", s+1).Bookmark); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	a.wantDisk(5, 6)
}

// SetBase is durable when it returns: a process that dies before its first discard must not start
// at NOW again.
func TestSetBaseIsDurable(t *testing.T) {
	a := newApp(t, noAutoCommit)
	a.wantDisk(0, 1, 2, 3, 4, 5, 6)
}

func TestCommitsAfterInterval(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, bookmarkstore.BoltOptions{})
		a.must(a.Discard(refOf("", 1).Bookmark))
		synctest.Wait()
		a.wantDisk(0, 1, 2, 3, 4, 5, 6)
		<-time.After(11 * time.Millisecond)
		synctest.Wait()
		a.wantDisk(1, 2, 3, 4, 5, 6)
	})
}

func TestCommitsAfterOperations(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newApp(t, bookmarkstore.BoltOptions{CommitThreshold: 3})
		a.must(a.Discard(refOf("", 1).Bookmark))
		a.must(a.Discard(refOf("", 2).Bookmark))
		synctest.Wait()
		a.wantDisk(0, 1, 2, 3, 4, 5, 6)
		a.must(a.Discard(refOf("", 3).Bookmark))
		synctest.Wait()
		a.wantDisk(3, 4, 5, 6)
	})
}

// Contiguous discards take one key per publisher, whatever their order was.
func TestOutOfOrderDiscardsAreRemoved(t *testing.T) {
	a := newApp(t, noAutoCommit)
	for _, q := range []uint64{2, 4, 6} {
		a.must(a.Discard(refOf("", q).Bookmark))
	}
	a.must(a.b.Sync(context.Background()))
	a.wantKeys(1 + 3)
	a.must(a.Discard(refOf("", 1).Bookmark))
	a.must(a.b.Sync(context.Background()))
	a.wantKeys(1 + 1 + 2)
	tx := a.begin()
	a.discardTx(tx, 5, 3)
	a.must(tx.Commit())
	a.wantKeys(1 + 1)
}

func (a *app) wantKeys(want int) {
	a.t.Helper()
	a.must(a.db.View(func(tx *bbolt.Tx) error {
		s := tx.Bucket([]byte("marks")).Bucket([]byte("subscriptions")).Bucket([]byte("s"))
		if got := s.Stats().KeyN; got != want {
			a.t.Errorf("%d keys, want %d", got, want)
		}
		return nil
	}))
}
