package pubstore_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// OpenBolt refuses a damaged bucket. With AcceptDamage it keeps every readable message, gives up
// the others, and begins a new life, so that no sequence is given out twice (R10).
func TestBoltAcceptDamage(t *testing.T) {
	key := func(seq uint64) []byte { return binary.BigEndian.AppendUint64(nil, seq) }
	for _, tt := range []struct {
		name    string
		harm    func(root, life *bbolt.Bucket) error
		kept    string // of messages 2 to 6, of which 3 was rejected
		missing string
	}{
		{"a message is gone", func(_, life *bbolt.Bucket) error { return life.Delete(key(4)) }, "2 5 6", "[{4 4}]"},
		{"one is garbage", func(_, life *bbolt.Bucket) error { return life.Put(key(5), []byte("garbage")) }, "2 4 6", "[{5 5}]"},
		{"one is another's", func(_, life *bbolt.Bucket) error { return life.Put(key(5), life.Get(key(4))) }, "2 4 6", "[{5 5}]"},
		{"a key is garbage", func(_, life *bbolt.Bucket) error { return life.Put([]byte("k"), nil) }, "2 4 5 6", "[]"},
		{"a value is a bucket", func(_, life *bbolt.Bucket) error {
			_, err := life.CreateBucket([]byte("bucket"))
			return err
		}, "2 4 5 6", "[]"},
		{"the last messages are gone", func(_, life *bbolt.Bucket) error { return errors.Join(life.Delete(key(5)), life.Delete(key(6))) }, "2 4", "[{5 6}]"},
		{"the last sequence is too low", func(_, life *bbolt.Bucket) error { return life.SetSequence(4) }, "2 4 5 6", "[]"},
		{"the last sequence is gone", func(_, life *bbolt.Bucket) error { return life.SetSequence(0) }, "2 4 5 6", "[]"},
		{"the bucket of the life is gone", func(root, _ *bbolt.Bucket) error { return root.DeleteBucket(firstLife(root)) }, "", "[{2 2} {4 6}]"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "outbox.db")
			s := openBolt(t, path, false)
			old := s.Lives()[0].ID
			for i := 1; i <= 6; i++ {
				if _, err := s.Append(context.Background(), &pubstore.Message{Topic: "orders", Body: fmt.Append(nil, i)}); err != nil {
					t.Fatal(err)
				}
			}
			if err := errors.Join(s.Discard(old, 1), s.Reject(old, 3), s.Close()); err != nil {
				t.Fatal(err)
			}
			damageBucket(t, path, tt.harm)
			if _, err := pubstore.OpenBolt(path, pubstore.BoltOptions{BootID: boot("b")}); !isDamaged(err) {
				t.Fatalf("open: %v", err)
			}
			kept, missing := inspected(t, path, old)
			if fmt.Sprint(missing) != tt.missing {
				t.Errorf("inspection: %v are missing, want %s", missing, tt.missing)
			}
			if kept != tt.kept {
				t.Errorf("inspection: %q are kept, want %q", kept, tt.kept)
			}

			s = openBolt(t, path, true)
			givenUp := 0
			for _, r := range missing {
				givenUp += int(r.To - r.From + 1)
			}
			if s.GivenUp() != givenUp {
				t.Errorf("%d given up, want %d", s.GivenUp(), givenUp)
			}
			checkNewLife(t, s, old, tt.kept)
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
			s = openBolt(t, path, false)
			checkNewLife(t, s, old, tt.kept)
			if seq, err := s.Append(context.Background(), &pubstore.Message{Topic: "orders"}); seq != 1 || err != nil {
				t.Errorf("Append to the new life = %d, %v, want 1", seq, err)
			}
			if err := s.Close(); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// If the newer meta page is damaged, the database opens without its last commit. The last sequence
// may have been given out and sent, so it must not be given out again.
func TestBoltOneCommitBack(t *testing.T) {
	path := filepath.Join(t.TempDir(), "outbox.db")
	s := openBolt(t, path, false)
	defer s.Close()
	old := s.Lives()[0].ID
	for i := 1; i <= 5; i++ {
		if _, err := s.Append(context.Background(), &pubstore.Message{Topic: "orders", Body: fmt.Append(nil, i)}); err != nil {
			t.Fatal(err)
		}
	}
	image, err := os.ReadFile(path) // as after a kill
	if err != nil {
		t.Fatal(err)
	}
	lives := 0
	for meta := range 2 {
		damaged := bytes.Clone(image)
		clear(damaged[meta*os.Getpagesize():][:64])
		copied := filepath.Join(t.TempDir(), "copy.db")
		if err := os.WriteFile(copied, damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		if !inspectionRenews(t, copied) {
			t.Errorf("without meta page %d an inspection does not say that a new life begins", meta)
		}
		c := openBolt(t, copied, false)
		all := c.Lives()
		if current := all[len(all)-1]; current.ID == old || current.Last != 0 {
			t.Errorf("without meta page %d the current life is %+v, the old one is %s", meta, current, old)
		}
		if all[0].Last == 5 {
			lives++
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if lives != 1 {
		t.Errorf("the last commit is there in %d of two cases, want 1", lives)
	}
}

// inspectionRenews reports whether InspectBolt says that opening begins a new life.
func inspectionRenews(t *testing.T, path string) bool {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	found, err := pubstore.InspectBolt(db, "publish", pubstore.BoltOptions{BootID: boot("b")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return found.Renews
}

func openBolt(t *testing.T, path string, acceptDamage bool) *pubstore.Bolt {
	t.Helper()
	s, err := pubstore.OpenBolt(path, pubstore.BoltOptions{BootID: boot("b"), AcceptDamage: acceptDamage})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func isDamaged(err error) bool {
	_, ok := errors.AsType[*pubstore.DamagedError](err)
	return ok
}

// damageBucket changes the bucket of a store and the bucket of its first life.
func damageBucket(t *testing.T, path string, do func(root, life *bbolt.Bucket) error) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		root := tx.Bucket([]byte("publish"))
		return do(root, root.Bucket(firstLife(root)))
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

// firstLife returns the name of the bucket of a store's only life.
func firstLife(root *bbolt.Bucket) (name []byte) {
	_ = root.ForEachBucket(func(k []byte) error {
		name = k
		return nil
	})
	return name
}

// inspected returns the kept and the missing messages of a life from InspectBolt.
func inspected(t *testing.T, path, life string) (kept string, missing []pubstore.Range) {
	t.Helper()
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{ReadOnly: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	var bodies []string
	found, err := pubstore.InspectBolt(db, "publish", pubstore.BoltOptions{}, func(_ string, m *pubstore.Message) error {
		bodies = append(bodies, string(m.Body))
		return nil
	})
	if err != nil || len(found.Damage) == 0 {
		t.Fatalf("inspection: %v, damage %v", err, found.Damage)
	}
	for _, l := range found.Lives {
		if l.ID == life {
			missing = l.Missing
		}
	}
	return strings.Join(bodies, " "), missing
}

// checkNewLife checks that the old life keeps exactly the messages in want, that the Prev of each
// is the message before it, and that Append adds to another life.
func checkNewLife(t *testing.T, s pubstore.Store, old, want string) {
	t.Helper()
	lives := s.Lives()
	if current := lives[len(lives)-1]; current.ID == old || current.Last != 0 {
		t.Errorf("the current life is %+v, the old one %s", current, old)
	}
	var got []string
	if lives[0].ID == old {
		c, err := s.Cursor(old, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		prev := uint64(1)
		for m := (pubstore.Message{}); ; {
			ok, err := c.Next(&m)
			if err != nil {
				t.Fatal(err)
			}
			if !ok {
				break
			}
			if m.Prev != prev {
				t.Errorf("message %d follows %d, want %d", m.Sequence, m.Prev, prev)
			}
			prev = m.Sequence
			got = append(got, string(m.Body))
		}
	}
	if text := strings.Join(got, " "); text != want {
		t.Errorf("it keeps %q, want %q", text, want)
	}
}
