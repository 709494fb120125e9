package pubstore_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// wantError checks that err contains want.
func wantError(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("got the error %v, want %q in it", err, want)
	}
}

func TestBadOptions(t *testing.T) {
	dir := t.TempDir()
	db, err := bbolt.Open(filepath.Join(dir, "shared.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	file := func(path string, o pubstore.FileOptions) error {
		_, err := pubstore.OpenFile(path, o)
		return err
	}
	bolt := func(path string, o pubstore.BoltOptions) error {
		_, err := pubstore.OpenBolt(path, o)
		return err
	}
	newPath := filepath.Join(dir, "new")
	wantError(t, file("", pubstore.FileOptions{}), "needs a directory")
	wantError(t, file(newPath, pubstore.FileOptions{MaxMessages: -1}), "MaxMessages is -1")
	wantError(t, file(newPath, pubstore.FileOptions{MaxBytes: -2}), "MaxBytes is -2")
	wantError(t, file(newPath, pubstore.FileOptions{MaxMessage: -3}), "MaxMessage is -3")
	wantError(t, file(newPath, pubstore.FileOptions{SegmentBytes: -1}), "SegmentBytes is -1")
	wantError(t, bolt("", pubstore.BoltOptions{}), "needs a file")
	wantError(t, bolt(newPath, pubstore.BoltOptions{MaxMessage: -1}), "MaxMessage is -1")
	wantError(t, bolt(newPath, pubstore.BoltOptions{CommitInterval: -1}), "CommitInterval is -1ns")
	if _, err := os.Stat(newPath); err == nil {
		t.Error("a store was created despite the error")
	}
	_, err = pubstore.OpenBoltIn(db, "publish", pubstore.BoltOptions{MaxBytes: -1})
	wantError(t, err, "MaxBytes is -1")

	memory := pubstore.NewMemory(pubstore.MemoryOptions{MaxBytes: -1})
	_, err = memory.Logon("pubber")
	wantError(t, err, "MaxBytes is -1")
	_, err = memory.Append(t.Context(), &pubstore.Message{Topic: "orders"})
	wantError(t, err, "MaxBytes is -1")
	_, err = memory.Acquire()
	wantError(t, err, "MaxBytes is -1")
	for range 2 {
		wantError(t, memory.Close(), "MaxBytes is -1")
	}
}

// headers returns headers of pairs of key and value.
func headers(pairs ...string) (h pubstore.Headers) {
	for i := 0; i < len(pairs); i += 2 {
		h.Set(pairs[i], pairs[i+1])
	}
	return h
}

func TestBadMessages(t *testing.T) {
	store := pubstore.NewMemory(pubstore.MemoryOptions{})
	bolt, err := pubstore.OpenBolt(filepath.Join(t.TempDir(), "store.db"), pubstore.BoltOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer bolt.Close()
	for want, m := range map[string]pubstore.Message{
		`SOWKey is "a b"`:    {SOWKey: "a b"},
		"Expiration is -1s":  {Expiration: -time.Second},
		"Expiration is 1.5s": {Expiration: 1500 * time.Millisecond},
		`header "a b": the key is empty or has a character`: {Headers: headers("a b", "v")},
	} {
		_, err := store.Append(t.Context(), &m)
		wantError(t, err, want)
		_, err = bolt.Append(t.Context(), &m)
		wantError(t, err, want)
	}
	if u := store.Usage(); u.Messages != 0 {
		t.Errorf("%d messages are in the store", u.Messages)
	}
}

// A message whose header is too long for the wire is refused: it would block all messages behind
// it.
func TestLargestHeader(t *testing.T) {
	db, bolt := openShared(t, pubstore.BoltOptions{})
	memory := pubstore.NewMemory(pubstore.MemoryOptions{})
	for name, add := range map[string]func(m *pubstore.Message) error{
		"Memory": func(m *pubstore.Message) error { _, err := memory.Append(t.Context(), m); return err },
		"Bolt":   func(m *pubstore.Message) error { _, err := bolt.Append(t.Context(), m); return err },
		"transaction": func(m *pubstore.Message) error {
			return db.Update(func(tx *bbolt.Tx) error { _, err := bolt.AppendMessageTx(tx, m); return err })
		},
	} {
		for kind, topic := range map[string]string{
			"plain":    strings.Repeat("x", pubstore.MaxHeader-4),
			"quotes":   strings.Repeat(`"`, pubstore.MaxHeader/2-2),
			"controls": "yyyy" + strings.Repeat("\x01", pubstore.MaxHeader/6-1),
		} {
			m := pubstore.Message{Topic: topic, SOWKey: "a2V5"}
			if err := add(&m); err != nil {
				t.Errorf("%s, %s of %d bytes: %v", name, kind, len(topic), err)
			}
			m.Topic += `"`
			var large *pubstore.TooLargeError
			if err := add(&m); !errors.As(err, &large) || !large.Header || large.Max != pubstore.MaxHeader {
				t.Errorf("%s, %s and one more: %v", name, kind, err)
			}
		}
	}
}

// OpenFile refuses a directory with other content.
func TestNotStore(t *testing.T) {
	dir := t.TempDir()
	j, err := journal.Open(journal.Options{FS: seglog.OS, Dir: filepath.ToSlash(dir)})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	for _, accept := range []bool{false, true} {
		_, err = pubstore.OpenFile(dir, pubstore.FileOptions{AcceptDamage: accept})
		wantError(t, err, "not a publish store")
	}
	_, err = pubstore.OpenFile(filepath.Join(dir, "0000000000000000.log"), pubstore.FileOptions{})
	wantError(t, err, "not a directory")
}
