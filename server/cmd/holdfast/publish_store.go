package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/boltfile"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/format"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// The buckets of a publish store that this command has made: the store's, as
// pubstore.OpenBolt names it, and one for how far the input is in it.
const (
	publishBucket = "publish"
	inputBucket   = "holdfast publish"
)

var inputNote = note{inputBucket, "input"}

// A keeper is a publish store that takes lines.
type keeper interface {
	pubstore.Store
	// keep puts lines into the store, at least one and as many as there is room
	// for, and returns how many and the sequence of the last.
	keep(ctx context.Context, lines []line) (n int, last uint64, err error)
	// finish notes that all of the input is with the servers.
	finish() error
	close() error
	// exit is the last thing that a run does that has ended well: from then on
	// the next one begins anew.
	exit() error
}

// currentPublisher returns the one of the life that messages are added to.
func currentPublisher(s pubstore.Store) uint64 {
	lives := s.Lives()
	if len(lives) == 0 {
		return 0 // it is closed
	}
	return bookmark.OfLife(lives[len(lives)-1].ID).ID
}

// An extent is how much of an input has been read: its first Lines lines, which are
// so many bytes with this hash. What it says is kept in the publish store.
type extent struct {
	Lines int64    `json:"lines"`
	Bytes int64    `json:"bytes"`
	Sum   checksum `json:"sha256"`
	// Open says that the last line ended with the input and not with a newline,
	// so that nothing may follow it.
	Open bool `json:"open"`
}

// A checksum is an SHA-256, as text in hexadecimal digits.
type checksum [sha256.Size]byte

// MarshalText implements encoding.TextMarshaler.
func (c checksum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, c[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (c *checksum) UnmarshalText(text []byte) error {
	sum, err := hex.DecodeString(string(text))
	if err != nil || len(sum) != len(c) {
		return fmt.Errorf("hash %q is malformed", text)
	}
	copy(c[:], sum)
	return nil
}

// A keptExtent is how far an input is in a store, as it stands there, in JSON.
type keptExtent struct {
	Version int    `json:"version"`
	Input   string `json:"input"` // its name, for people
	Topic   string `json:"topic"`
	Whole   bool   `json:"whole"`
	extent
	// Done says that the servers have all of it, and that the run has ended with
	// that if the file beside the store is gone.
	Done bool `json:"done"`
	// Where the last line is in the store, so that a refusal can name the line.
	Publisher uint64 `json:"publisher,string"`
	Sequence  uint64 `json:"sequence"`
}

const extentVersion = 2

// A resumable is a publish store in a database, together with how far the input
// is in it: a line is in the store if and only if that says so.
type resumable struct {
	*pubstore.Bolt
	db    *bbolt.DB
	path  string // a closed database does not tell it
	topic string
	kept  keptExtent // what is there, or Version is 0
}

// openResumable opens or makes it, and returns the client name it belongs to, if it does.
func openResumable(path, topic string, o pubstore.BoltOptions) (s *resumable, name string, err error) {
	db, err := openStoreFile(path, "publish store", publishBucket, inputBucket)
	if err != nil {
		return nil, "", err
	}
	s = &resumable{db: db, path: path, topic: topic}
	found, err := pubstore.InspectBolt(db, publishBucket, pubstore.BoltOptions{}, nil)
	if errors.Is(err, pubstore.ErrNotStore) {
		err = nil
	}
	if err == nil {
		s.kept, err = readExtent(db)
		if s.ended() {
			s.kept = keptExtent{}
		}
	}
	if err == nil {
		s.Bolt, err = pubstore.OpenBoltIn(db, publishBucket, o)
	}
	if err != nil {
		return nil, "", errors.Join(storeError(path, err), db.Close())
	}
	return s, found.Name, nil
}

// readExtent reads how far the input is that a database's publish store is for; Version 0: none.
func readExtent(db *bbolt.DB) (k keptExtent, err error) {
	text, err := inputNote.get(db)
	if err == nil && text != nil {
		err = json.Unmarshal(text, &k)
	}
	if err == nil && k.Version > extentVersion {
		err = &format.VersionError{Found: uint64(k.Version), Known: extentVersion}
	}
	if err != nil {
		err = fmt.Errorf("how far the input was published: %w", err)
	}
	return k, err
}

// extent returns how far the interrupted run came, or nowhere.
func (s *resumable) extent(whole bool) (extent, error) {
	k := &s.kept
	switch {
	case k.Version == 0:
		return extent{}, nil
	case k.Topic != s.topic:
		return extent{}, usagef("the last run with this --store was to topic %q and has not ended: give that one to go on, "+
			"or --restart to publish from the beginning of the input to %q, or another --store", k.Topic, s.topic)
	case k.Whole != whole:
		return extent{}, usagef("the last run with this --store was %s --whole and has not ended: do so to go on, or --restart",
			map[bool]string{true: "with", false: "without"}[k.Whole])
	}
	return k.extent, nil
}

// keep puts lines into the store, as many as have room, and waits if none has.
func (s *resumable) keep(ctx context.Context, lines []line) (n int, last uint64, err error) {
	if err := s.AwaitRoom(ctx, len(s.topic)+len(lines[0].body)); err != nil {
		return 0, 0, err
	}
	next := s.kept
	err = updateBolt(s.db, func(tx *bbolt.Tx) error {
		for ; n < len(lines); n++ {
			sequence, err := s.AppendTx(tx, s.topic, lines[n].body)
			if errors.Is(err, pubstore.ErrFull) {
				break
			}
			if err != nil {
				return err
			}
			last = sequence
		}
		if n == 0 {
			return nil
		}
		next.Version, next.Done, next.extent = extentVersion, false, lines[n-1].at
		next.Publisher, next.Sequence = currentPublisher(s), last
		return s.write(tx, &next)
	})
	if errors.Is(err, syscall.ENOSPC) {
		err = fmt.Errorf("%w: make some room there", err)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("--store %s: %w", s.path, err)
	}
	s.kept = next
	return n, last, nil
}

func (s *resumable) write(tx *bbolt.Tx, k *keptExtent) error {
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return inputNote.put(tx, text)
}

// forget drops how far the input is: what is published next begins anew.
func (s *resumable) forget() error {
	s.kept = keptExtent{}
	err := updateBolt(s.db, func(tx *bbolt.Tx) error {
		if bucket := tx.Bucket([]byte(inputNote.bucket)); bucket != nil {
			return bucket.Delete([]byte(inputNote.key))
		}
		return nil
	})
	return cmp.Or(err, s.exit())
}

// A run that is killed when it has just ended looks to who has started it like
// one that has not. So what says that it has ended is not in the database, whose
// commits take time, but a file that finish makes and exit removes: only
// in the instant between that and the end of the process can a kill have
// the input published again.

func (s *resumable) running() string { return s.path + ".running" }

func (s *resumable) finish() error {
	if s.kept.Version == 0 {
		return nil // nothing to forget
	}
	err := s.exit() // one that is left over, or a link that leads elsewhere
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.running(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = cmp.Or(f.Close(), boltfile.SyncDir(filepath.Dir(s.path)))
	}
	if err != nil {
		return err
	}
	s.kept.Done = true
	return updateBolt(s.db, func(tx *bbolt.Tx) error { return s.write(tx, &s.kept) })
}

func (s *resumable) exit() error {
	if err := os.Remove(s.running()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// ended reports whether the run that has left s.kept has ended.
func (s *resumable) ended() bool {
	_, err := os.Stat(s.running())
	return s.kept.Done && errors.Is(err, fs.ErrNotExist)
}

func (s *resumable) close() error { return cmp.Or(s.Bolt.Close(), s.db.Close()) }

// A passing is a publish store in memory: a later run knows nothing of it.
type passing struct {
	*pubstore.Memory
	topic string
}

// keep puts lines into the store, and waits while there is no room.
func (s *passing) keep(ctx context.Context, lines []line) (n int, last uint64, err error) {
	for ; n < len(lines) && err == nil; n++ {
		last, err = s.Append(ctx, &pubstore.Message{Topic: s.topic, Body: lines[n].body})
	}
	if err != nil {
		return n - 1, 0, err
	}
	return n, last, nil
}

func (s *passing) finish() error { return nil }
func (s *passing) close() error  { return s.Close() }
func (s *passing) exit() error   { return nil }
