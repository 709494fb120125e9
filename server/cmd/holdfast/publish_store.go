package main

import (
	"cmp"
	"context"
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

var inputKey = []byte("input")

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

// A keptExtent is how far an input is in a store, as it stands there, in JSON.
type keptExtent struct {
	Version int    `json:"version"`
	Input   string `json:"input"` // its name, for people
	Topic   string `json:"topic"`
	Whole   bool   `json:"whole"`
	Lines   int64  `json:"lines"`
	Bytes   int64  `json:"bytes"`
	SHA256  string `json:"sha256"` // of so many bytes
	Open    bool   `json:"open"`   // the last line had no newline
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
		return nil, "", errors.Join(publishStoreError(path, err), db.Close())
	}
	return s, found.Name, nil
}

func publishStoreError(path string, err error) error {
	if damaged, ok := errors.AsType[*pubstore.DamagedError](err); ok {
		return &exitError{exitFound, fmt.Errorf("%w: see holdfast store repair, or name another --store", damaged)}
	}
	return fmt.Errorf("--store %s: %w", path, err)
}

// readExtent reads how far the input is that a database's publish store is for; Version 0: none.
func readExtent(db *bbolt.DB) (k keptExtent, err error) {
	err = db.View(func(tx *bbolt.Tx) error {
		bucket := tx.Bucket([]byte(inputBucket))
		if bucket == nil || bucket.Get(inputKey) == nil {
			return nil
		}
		return json.Unmarshal(bucket.Get(inputKey), &k)
	})
	if err == nil && k.Version > extentVersion {
		err = &format.VersionError{Found: uint64(k.Version), Known: extentVersion}
	}
	if err != nil {
		return k, fmt.Errorf("how far the input was published: %w", err)
	}
	return k, nil
}

// extent returns how far the interrupted run came, or nowhere.
func (s *resumable) extent(topic string, whole bool) (p extent, err error) {
	k := &s.kept
	switch {
	case k.Version == 0:
		return p, nil
	case k.Topic != topic:
		return p, usagef("the last run with this --store was to topic %q and has not ended: give that one to go on, "+
			"or --restart to publish from the beginning of the input to %q, or another --store", k.Topic, topic)
	case k.Whole != whole:
		return p, usagef("the last run with this --store was %s --whole and has not ended: do so to go on, or --restart",
			map[bool]string{true: "with", false: "without"}[k.Whole])
	}
	p = extent{Lines: k.Lines, Bytes: k.Bytes, Open: k.Open}
	if n, err := hex.Decode(p.Sum[:], []byte(k.SHA256)); err != nil || n != len(p.Sum) {
		return p, fmt.Errorf("how far the input was published: hash %q is malformed", k.SHA256)
	}
	return p, nil
}

// keep puts lines into the store, as many as have room, and waits if none has.
func (s *resumable) keep(ctx context.Context, lines []line) (n int, last uint64, err error) {
	if err := s.AwaitRoom(ctx, len(s.topic)+len(lines[0].body)); err != nil {
		return 0, 0, err
	}
	next := s.kept
	err = s.update(func(tx *bbolt.Tx) error {
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
		next.set(lines[n-1].at)
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

func (k *keptExtent) set(p extent) {
	k.Version, k.Done = extentVersion, false
	k.Lines, k.Bytes, k.Open = p.Lines, p.Bytes, p.Open
	k.SHA256 = hex.EncodeToString(p.Sum[:])
}

func (s *resumable) write(tx *bbolt.Tx, k *keptExtent) error {
	bucket, err := tx.CreateBucketIfNotExists([]byte(inputBucket))
	if err != nil {
		return err
	}
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return bucket.Put(inputKey, text)
}

// begin notes what is published from here on, in memory until the first line is.
func (s *resumable) begin(input, topic string, whole bool) {
	s.kept.Input, s.kept.Topic, s.kept.Whole = input, topic, whole
}

// forget drops how far the input is: what is published next begins anew.
func (s *resumable) forget() error {
	s.kept = keptExtent{}
	err := s.update(func(tx *bbolt.Tx) error {
		if bucket := tx.Bucket([]byte(inputBucket)); bucket != nil {
			return bucket.Delete(inputKey)
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
	return s.update(func(tx *bbolt.Tx) error { return s.write(tx, &s.kept) })
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

func (s *resumable) update(do func(*bbolt.Tx) error) error {
	return boltfile.Guard(s.db.Path(), func() error { return s.db.Update(do) })
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
