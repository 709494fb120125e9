package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// repaired repairs a store and checks the promises of repair: without --yes nothing
// changes, the damaged store is kept byte for byte, the repaired store is sound, and a
// second repair finds nothing to do.
func (d *testDir) repaired(name string) (shown string) {
	d.t.Helper()
	shown = d.holdfast("store", "repair", name)
	before := d.tree(name)
	shown += d.runChanging("store", "repair", name, "--yes")
	aside, err := filepath.Glob(d.path(name) + ".damaged-*")
	if err != nil || len(aside) != 1 {
		d.t.Fatalf("set aside are %v, %v:\n%s", aside, err, shown)
	}
	if d.tree(filepath.Base(aside[0])) != before {
		d.t.Error("the kept store differs from the damaged one")
	}
	if left, err := filepath.Glob(d.path(".holdfast*")); err != nil || len(left) > 0 {
		d.t.Errorf("left behind: %v, %v", left, err)
	}
	return shown + d.holdfast("store", "repair", name, "--yes") + d.holdfast("store", "verify", name)
}

// tree returns the content of a file or directory, as text.
func (d *testDir) tree(name string) string {
	d.t.Helper()
	var all strings.Builder
	err := filepath.WalkDir(d.path(name), func(path string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		b, err := os.ReadFile(path)
		fmt.Fprintf(&all, "%s %x\n", strings.TrimPrefix(path, d.path(name)), b)
		return err
	})
	if err != nil {
		d.t.Fatal(err)
	}
	return all.String()
}

// unstaged are options for a store without a stage, which would heal the damage of a test.
var unstaged = pubstore.FileOptions{SegmentBytes: 4 << 10, SyncAlways: true}

func TestRepairFileStore(t *testing.T) {
	d := newTestDir(t)
	s, err := pubstore.OpenFile(d.path("outbox"), unstaged)
	if err != nil {
		t.Fatal(err)
	}
	appendOrders(t, s, 1, 9)
	old := s.Lives()[0].ID
	if err := errors.Join(s.Discard(old, 2), s.Reject(old, 4)); err != nil {
		t.Fatal(err)
	}
	d.close(s)
	d.flip("outbox"+firstSegment, "order 5", 1, -1)
	d.flip("outbox"+firstSegment, "order 6", 1, -1)
	shown := d.repaired("outbox")
	s, err = pubstore.OpenFile(d.path("outbox"), pubstore.FileOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	lives := s.Lives()
	if len(lives) != 2 || lives[0].ID != old || lives[0].Kept != 4 || lives[1].Last != 0 {
		t.Errorf("lives are %+v", lives)
	}
	golden(t, "repair_file", shown)
}

func appendOrders(t *testing.T, s pubstore.Store, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if _, err := s.Append(context.Background(), &pubstore.Message{Topic: "orders", Body: fmt.Appendf(nil, "order %d", i)}); err != nil {
			t.Fatal(err)
		}
	}
}

// appDB makes a database with a publish store of twenty messages, a bookmark
// store and a bucket of the application's own.
func (d *testDir) appDB(name string) {
	d.t.Helper()
	db, err := bbolt.Open(d.path(name), 0o600, &bbolt.Options{PageSize: 1024})
	if err != nil {
		d.t.Fatal(err)
	}
	out, err := pubstore.OpenBoltIn(db, "outbox", pubstore.BoltOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	appendOrders(d.t, out, 1, 20)
	marks, err := bookmarkstore.OpenBoltIn(db, "marks", bookmarkstore.BoltOptions{})
	if err != nil {
		d.t.Fatal(err)
	}
	for _, id := range []string{"a", "b"} {
		sub, err := marks.OpenSubscription(id, bookmarkstore.Query{Topic: "orders"})
		if err == nil {
			err = sub.SetBase(bookmarkstore.Vector{7: 10, 8: 20})
		}
		if err != nil {
			d.t.Fatal(err)
		}
	}
	d.close(out, marks)
	err = db.Update(func(tx *bbolt.Tx) error {
		b, err := tx.CreateBucket([]byte("own"))
		for i := range 100 {
			err = errors.Join(err, b.Put(fmt.Appendf(nil, "key %03d", i), fmt.Appendf(nil, "own %03d", i)))
		}
		return err
	})
	if err := errors.Join(err, db.Close()); err != nil {
		d.t.Fatal(err)
	}
}

// change changes a database, as damage might.
func (d *testDir) change(name string, do func(tx *bbolt.Tx) error) {
	d.t.Helper()
	db, err := bbolt.Open(d.path(name), 0o600, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	if err := errors.Join(db.Update(do), db.Close()); err != nil {
		d.t.Fatal(err)
	}
}

// repair copes with missing and malformed values in the stores of a database.
func TestRepairBoltStores(t *testing.T) {
	d := newTestDir(t)
	d.appDB("app.db")
	d.change("app.db", func(tx *bbolt.Tx) error {
		life := firstLife(tx.Bucket([]byte("outbox")))
		subs := tx.Bucket([]byte("marks")).Bucket([]byte("subscriptions"))
		return errors.Join(life.Delete([]byte{0, 0, 0, 0, 0, 0, 0, 7}), subs.Bucket([]byte("a")).Put([]byte{0, 0, 0, 0, 0, 0, 0, 8}, []byte("x")),
			subs.Bucket([]byte("b")).Delete([]byte("head")))
	})
	golden(t, "repair_bolt", d.repaired("app.db"))
	d.checkOwn("app.db", 100)
}

// checkOwn checks that at least want of the application's own values are there.
func (d *testDir) checkOwn(name string, want int) {
	d.t.Helper()
	d.change(name, func(tx *bbolt.Tx) error {
		n := tx.Bucket([]byte("own")).Stats().KeyN
		if n < want {
			d.t.Errorf("%d of the application's own values are left, want %d", n, want)
		}
		return nil
	})
}

// The test damages one page after the other. repair either repairs the database or
// refuses. After a repair no number of the publish store is given out twice, and no
// subscription resumes after its former place.
func TestRepairDamagedPages(t *testing.T) {
	d := newTestDir(t)
	d.appDB("good.db")
	good, err := os.ReadFile(d.path("good.db"))
	if err != nil {
		t.Fatal(err)
	}
	var done, refused, sound int
	for at := 0; at < len(good); at += 1024 {
		bad := slices.Clone(good)
		for i := range 1024 {
			bad[at+i] = byte(i * 131)
		}
		name := fmt.Sprintf("bad%d.db", at/1024)
		if err := os.WriteFile(d.path(name), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		switch shown := d.runChanging("store", "repair", name, "--yes"); {
		case strings.Contains(shown, "REPAIRED") && strings.HasSuffix(shown, "[exit 0]\n\n"):
			done++
			d.checkRepaired(name)
		case strings.Contains(shown, "restore a backup") && strings.HasSuffix(shown, "[exit 1]\n\n"):
			refused++
			if now, err := os.ReadFile(d.path(name)); err != nil || !slices.Equal(now, bad) {
				t.Errorf("%s was refused, but has changed (%v)", name, err)
			}
		case strings.Contains(shown, "nothing to repair"):
			sound++
		default:
			t.Errorf("%s:\n%s", name, shown)
		}
	}
	t.Logf("%d repaired, %d refused, %d sound all the same", done, refused, sound)
	if done < 3 || refused == 0 {
		t.Error("too few repaired or refused")
	}
}

// A damaged database has also lost its last commit. The last number that it gave out is
// then not known, and must not be given out again.
func TestRepairOneCommitBack(t *testing.T) {
	d := newTestDir(t)
	d.appDB("app.db")
	d.change("app.db", func(tx *bbolt.Tx) error { return tx.Bucket([]byte("own")).Put([]byte("big"), make([]byte, 900)) })
	db, err := bbolt.Open(d.path("app.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	out, err := pubstore.OpenBoltIn(db, "outbox", pubstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	appendOrders(t, out, 21, 21)
	image, err := os.ReadFile(d.path("app.db")) // the file as a kill leaves it
	if err != nil {
		t.Fatal(err)
	}
	d.close(out, db)
	clear(image[bytes.Index(image, []byte("key 050"))/1024*1024:][:16]) // a page of the application's own
	for meta := range 2 {
		name := fmt.Sprintf("bad%d.db", meta)
		bad := slices.Clone(image)
		clear(bad[meta*1024:][:100])
		if err := os.WriteFile(d.path(name), bad, 0o600); err != nil {
			t.Fatal(err)
		}
		if shown := d.runChanging("store", "repair", name, "--yes"); !strings.Contains(shown, "REPAIRED") || !strings.Contains(shown, "the last commit may be missing") {
			t.Fatal(shown)
		}
		db, err := bbolt.Open(d.path(name), 0o600, nil)
		if err != nil {
			t.Fatal(err)
		}
		again, err := pubstore.OpenBoltIn(db, "outbox", pubstore.BoltOptions{})
		if err != nil {
			t.Fatal(err)
		}
		lives := again.Lives()
		if current := lives[len(lives)-1]; current.Last != 0 || len(lives) != 2 {
			t.Errorf("without meta page %d lives are %+v", meta, lives)
		}
		d.close(again, db)
	}
}

func (d *testDir) checkRepaired(name string) {
	d.t.Helper()
	db, err := bbolt.Open(d.path(name), 0o600, nil)
	if err != nil {
		d.t.Fatal(err)
	}
	defer db.Close()
	out, err := pubstore.OpenBoltIn(db, "outbox", pubstore.BoltOptions{})
	if err != nil {
		d.t.Fatal(name, err)
	}
	lives := out.Lives()
	if lives[0].Kept < 20 && lives[len(lives)-1].Last > 0 {
		d.t.Errorf("%s: messages are lost, and no life began: %+v", name, lives)
	}
	marks, err := bookmarkstore.OpenBoltIn(db, "marks", bookmarkstore.BoltOptions{})
	if err != nil {
		d.t.Fatal(name, err)
	}
	for _, id := range []string{"a", "b"} {
		sub, err := marks.OpenSubscription(id, bookmarkstore.Query{Topic: "orders"})
		if err != nil {
			d.t.Fatal(name, err)
		}
		if v, _ := sub.Discarded(); v[7] > 10 || v[8] > 20 {
			d.t.Errorf("%s: %s is at %v", name, id, v)
		}
	}
	d.close(out, marks)
}

// A publisher continues with a pair after its store was damaged and repaired. If an
// instance has the lost message, it stays. No message comes twice or out of order, and
// both instances hold the same messages.
func TestRepairedStoreWithAPair(t *testing.T) {
	for _, tt := range []struct {
		name   string
		had    bool // the pair has the message that the store has lost
		repair func(t *testing.T, d *testDir, damage string)
		open   func(t *testing.T, d *testDir) pubstore.Store
	}{
		{"file, unknown to the pair", false, damageFile, openFileStore},
		{"file, on one instance", true, damageFile, openFileStore},
		{"bolt, unknown to the pair", false, damageBolt, openBoltStore},
		{"bolt, on one instance", true, damageBolt, openBoltStore},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := newTestDir(t)
			pair := servertest.NewPair(t)
			pair.B.Kill() // so that no message becomes safe
			store := tt.open(t, d)
			publisher := bookmark.IdentityOfLife(store.Lives()[0].ID).ID
			c := dialPair(t, pair, store)
			publishOrders(t, c, 1, 6)
			awaitHave(t, pair.A, publisher, 6)
			if !tt.had {
				pair.A.Kill()
			}
			publishOrders(t, c, 7, 9)
			if tt.had {
				awaitHave(t, pair.A, publisher, 9)
			}
			d.close(c, store)
			tt.repair(t, d, "order 7")
			if !tt.had {
				pair.A.Restart()
			}
			pair.B.Restart()

			store = tt.open(t, d)
			c = dialPair(t, pair, store)
			publishOrders(t, c, 10, 12)
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			if err := c.FlushSafe(ctx); err != nil {
				t.Fatal(err)
			}
			d.close(c, store)
			pair.AwaitConverged()
			var bodies []string
			for _, m := range pair.B.Messages("orders") {
				bodies = append(bodies, strings.TrimPrefix(string(m.Body), "order "))
			}
			want := "1 2 3 4 5 6 8 9 10 11 12"
			if tt.had {
				want = "1 2 3 4 5 6 7 8 9 10 11 12"
			}
			if got := strings.Join(bodies, " "); got != want {
				t.Errorf("the pair has %s, want %s", got, want)
			}
		})
	}
}

func dialPair(t *testing.T, pair *servertest.Pair, store pubstore.Store) *client.Client {
	t.Helper()
	config := pair.Client("order-gateway")
	config.PublishStore = store
	c, err := client.Dial(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func publishOrders(t *testing.T, c *client.Client, from, to int) {
	t.Helper()
	for i := from; i <= to; i++ {
		if _, err := c.Publish(t.Context(), "orders", fmt.Appendf(nil, "order %d", i)); err != nil {
			t.Fatal(err)
		}
	}
}

func awaitHave(t *testing.T, i *servertest.Instance, publisher, want uint64) {
	t.Helper()
	for range 2000 {
		if i.Have(publisher) >= want {
			return
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("%s has %d", i.Name(), i.Have(publisher))
}

func openFileStore(t *testing.T, d *testDir) pubstore.Store {
	t.Helper()
	s, err := pubstore.OpenFile(d.path("outbox"), unstaged)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func damageFile(t *testing.T, d *testDir, text string) {
	t.Helper()
	d.flip("outbox"+firstSegment, text, 1, -1)
	d.repaired("outbox")
}

func openBoltStore(t *testing.T, d *testDir) pubstore.Store {
	t.Helper()
	s, err := pubstore.OpenBolt(d.path("outbox.db"), pubstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func damageBolt(t *testing.T, d *testDir, _ string) {
	t.Helper()
	d.change("outbox.db", func(tx *bbolt.Tx) error {
		return firstLife(tx.Bucket([]byte("publish"))).Delete([]byte{0, 0, 0, 0, 0, 0, 0, 7})
	})
	d.repaired("outbox.db")
}

// firstLife returns the bucket of the only life of a store.
func firstLife(root *bbolt.Bucket) (life *bbolt.Bucket) {
	_ = root.ForEachBucket(func(k []byte) error {
		life = root.Bucket(k)
		return nil
	})
	return life
}

// A bucket that has lost its state is recognized as a publish store by its lives.
func TestWasStore(t *testing.T) {
	d := newTestDir(t)
	d.close(openBoltStore(t, d))
	d.change("outbox.db", func(tx *bbolt.Tx) error {
		other, err := tx.CreateBucket([]byte("other"))
		return errors.Join(err, other.Put([]byte("key"), []byte("value")), tx.Bucket([]byte("publish")).Delete([]byte("state")))
	})
	db, err := bbolt.Open(d.path("outbox.db"), 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for bucket, want := range map[string]bool{"publish": true, "gone": true, "other": false} {
		if got := wasStore(db, []byte(bucket)); got != want {
			t.Errorf("bucket %s was a store: %v", bucket, got)
		}
	}
}
