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
	"github.com/holdfast-mq/holdfast/internal/fileversion"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// The buckets in a database that this command has made: the publish store's, with the
// name that pubstore.OpenBolt uses, and one for the extent of the input in the store.
const (
	publishBucket = "publish"
	inputBucket   = "holdfast publish"
)

var inputEntry = boltEntry{inputBucket, "input"}

// A lineStore is a publish store with lines as its messages.
type lineStore interface {
	pubstore.Store
	// storeLines puts lines into the store, at least one and as many as there is room
	// for, and returns their number and the sequence of the last.
	storeLines(ctx context.Context, lines []line) (n int, last uint64, err error)
	// recordDone records that the servers have all of the input.
	recordDone() error
	close() error
	// recordEnd is the last step of a complete run. The next run then starts from the
	// beginning of its input.
	recordEnd() error
}

// currentPublisher returns the publisher id of the store's current life.
func currentPublisher(s pubstore.Store) uint64 {
	lives := s.Lives()
	if len(lives) == 0 {
		return 0 // it is closed
	}
	return bookmark.IdentityOfLife(lives[len(lives)-1].ID).ID
}

// An extent is the part of an input that has been read: a number of lines from its
// beginning, their length in bytes and their hash. It is kept in the publish store.
type extent struct {
	Lines int64    `json:"lines"`
	Bytes int64    `json:"bytes"`
	Sum   checksum `json:"sha256"`
	// Open says that the last line has no newline, since the input ended there.
	// If the run is continued, the input must not have more.
	Open bool `json:"open"`
}

// A checksum is an SHA-256. Its text form is hexadecimal.
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

// A storedExtent is the extent of an input as a store keeps it, in JSON.
type storedExtent struct {
	Version int    `json:"version"`
	Input   string `json:"input"` // its name, for people
	Topic   string `json:"topic"`
	Whole   bool   `json:"whole"`
	extent
	// Done says that the servers have all of the input. The run has ended only if
	// the file beside the store is gone as well.
	Done bool `json:"done"`
	// Publisher and Sequence identify the message of the last line, so that a
	// rejection can name its line.
	Publisher uint64 `json:"publisher,string"`
	Sequence  uint64 `json:"sequence"`
}

const extentVersion = 2

// A resumableStore is a publish store in a database, together with the extent of the
// input. Both change in one transaction: a line is in the store if and only if the
// extent covers it.
type resumableStore struct {
	*pubstore.Bolt
	db     *bbolt.DB
	path   string           // db.Path is empty once the database is closed
	line   pubstore.Message // of each line, without its body
	stored storedExtent     // the extent in the database; Version 0: none
}

// openResumable opens the store, or makes it. It returns the name of the client that
// the store belongs to, empty if no client has used it.
func openResumable(path string, line pubstore.Message, o pubstore.BoltOptions) (s *resumableStore, name string, err error) {
	db, err := openStoreFile(path, "publish store", publishBucket, inputBucket)
	if err != nil {
		return nil, "", err
	}
	s = &resumableStore{db: db, path: path, line: line}
	found, err := pubstore.InspectBolt(db, publishBucket, pubstore.BoltOptions{}, nil)
	if errors.Is(err, pubstore.ErrNotStore) {
		err = nil
	}
	if err == nil {
		s.stored, err = readExtent(db)
		if s.runEnded() {
			s.stored = storedExtent{}
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

// readExtent reads the extent of the input from a database; Version 0: there is none.
func readExtent(db *bbolt.DB) (k storedExtent, err error) {
	text, err := inputEntry.get(db)
	if err == nil && text != nil {
		err = json.Unmarshal(text, &k)
	}
	if err == nil && k.Version > extentVersion {
		err = &fileversion.VersionError{Found: uint64(k.Version), Known: extentVersion}
	}
	if err != nil {
		err = fmt.Errorf("read how far the input was published: %w", err)
	}
	return k, err
}

// extent returns the extent that the interrupted run has published. It is zero if
// there was no such run.
func (s *resumableStore) extent(whole bool) (extent, error) {
	k := &s.stored
	switch {
	case k.Version == 0:
		return extent{}, nil
	case k.Topic != s.line.Topic:
		return extent{}, usageErrorf("the last run with this --store was to topic %q and has not completed: use that topic to continue it, "+
			"--restart to publish the input from its beginning to %q, or another --store", k.Topic, s.line.Topic)
	case k.Whole != whole:
		return extent{}, usageErrorf("the last run with this --store was %s --whole and has not completed: do the same to continue it, or use --restart",
			map[bool]string{true: "with", false: "without"}[k.Whole])
	}
	return k.extent, nil
}

// storeLines puts as many lines into the store as have room. It waits until one has room.
func (s *resumableStore) storeLines(ctx context.Context, lines []line) (n int, last uint64, err error) {
	if err := s.AwaitRoom(ctx, s.line.Size()+len(lines[0].body)); err != nil {
		return 0, 0, err
	}
	next := s.stored
	err = updateBolt(s.db, func(tx *bbolt.Tx) error {
		for ; n < len(lines); n++ {
			m := s.line
			m.Body = lines[n].body
			sequence, err := s.AppendMessageTx(tx, &m)
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
		err = fmt.Errorf("%w: free some space there", err)
	}
	if err != nil {
		return 0, 0, fmt.Errorf("--store %s: %w", s.path, err)
	}
	s.stored = next
	return n, last, nil
}

func (s *resumableStore) write(tx *bbolt.Tx, k *storedExtent) error {
	text, err := json.Marshal(k)
	if err != nil {
		return err
	}
	return inputEntry.put(tx, text)
}

// forgetInput drops the extent: the next run starts from the beginning of its input.
func (s *resumableStore) forgetInput() error {
	s.stored = storedExtent{}
	err := updateBolt(s.db, func(tx *bbolt.Tx) error {
		if bucket := tx.Bucket([]byte(inputEntry.bucket)); bucket != nil {
			return bucket.Delete([]byte(inputEntry.key))
		}
		return nil
	})
	return cmp.Or(err, s.recordEnd())
}

// A caller whose run is killed just after its end cannot see that it has ended, and
// runs the command again. The end of a run is therefore recorded as late as possible:
// not in the database, whose commits take time, but by a file that recordDone makes
// and recordEnd removes. Only a kill in the instant between recordEnd and the end of
// the process can cause the input to be published again.

func (s *resumableStore) runningPath() string { return s.path + ".running" }

func (s *resumableStore) recordDone() error {
	if s.stored.Version == 0 {
		return nil // no line was published
	}
	err := s.recordEnd() // removes a leftover file, or a symbolic link of that name
	if err != nil {
		return err
	}
	f, err := os.OpenFile(s.runningPath(), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		err = cmp.Or(f.Close(), boltfile.SyncDir(filepath.Dir(s.path)))
	}
	if err != nil {
		return err
	}
	s.stored.Done = true
	return updateBolt(s.db, func(tx *bbolt.Tx) error { return s.write(tx, &s.stored) })
}

func (s *resumableStore) recordEnd() error {
	if err := os.Remove(s.runningPath()); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// runEnded reports whether the run that wrote s.stored has ended.
func (s *resumableStore) runEnded() bool {
	_, err := os.Stat(s.runningPath())
	return s.stored.Done && errors.Is(err, fs.ErrNotExist)
}

func (s *resumableStore) close() error { return cmp.Or(s.Bolt.Close(), s.db.Close()) }

// A memoryStore is a publish store in memory. A later run cannot continue from it.
type memoryStore struct {
	*pubstore.Memory
	line pubstore.Message // of each line, without its body
}

// storeLines puts all lines into the store, and waits while there is no room.
func (s *memoryStore) storeLines(ctx context.Context, lines []line) (n int, last uint64, err error) {
	for ; n < len(lines) && err == nil; n++ {
		m := s.line
		m.Body = lines[n].body
		last, err = s.Append(ctx, &m)
	}
	if err != nil {
		return n - 1, 0, err
	}
	return n, last, nil
}

func (s *memoryStore) recordDone() error { return nil }
func (s *memoryStore) close() error      { return s.Close() }
func (s *memoryStore) recordEnd() error  { return nil }
