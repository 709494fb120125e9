package main

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"unicode/utf8"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
)

// The buckets in a database that this command has made: the bookmark store's, with the
// name that bookmarkstore.OpenBolt uses, and one for the lengths of output files, by id.
const (
	bookmarksBucket = "bookmarks"
	outBucket       = "holdfast subscribe"
)

// A sink writes messages, and then discards them. A kill between the two steps
// repeats one batch at most. With an output file it repeats nothing: the length of
// the file and the discards are one transaction.
type sink struct {
	out      io.Writer
	maxBatch int // messages in a batch at most
	sub      *client.Subscription

	// With a store.
	db        *bbolt.DB
	bookmarks *bookmarkstore.Bolt
	id        string
	file      *os.File // nil: out is standard output
	size      int64    // of file

	batch   bytes.Buffer
	lines   *json.Encoder       // into batch
	pending []client.MessageRef // the messages in batch
}

const (
	// maxBatchBytes is the size that ends a batch. The message that reaches it belongs
	// to the batch.
	maxBatchBytes = 1 << 20
	// outBatch is the limit of a batch that goes to an output file. It ignores
	// --batch, since a kill repeats nothing there.
	outBatch = 4096
)

// errReaderGone says that the reader of standard output has closed it.
var errReaderGone = errors.New("standard output was closed")

// open opens the store. It reports whether the store has a place under id.
func (s *sink) open(path, id string, q bookmarkstore.Query, restart bool) (known bool, err error) {
	if len(id) > 256 {
		return false, usageErrorf("the id of the place has %d bytes, and the limit is 256: use a shorter --id", len(id))
	}
	s.id = id
	if s.db, err = openStoreFile(path, "bookmark store", bookmarksBucket, outBucket); err != nil {
		return false, err
	}
	found, err := bookmarkstore.InspectBolt(s.db, bookmarksBucket)
	if err != nil && !errors.Is(err, bookmarkstore.ErrNotStore) {
		return false, storeError(path, err)
	}
	if i := slices.IndexFunc(found, func(f bookmarkstore.InspectedSubscription) bool { return f.ID == id }); i >= 0 && !restart {
		if err := storeError(path, found[i].Damage); err != nil {
			return false, err
		}
		if found[i].Query != q {
			return false, usageErrorf("--store %s has a place of a subscription to %[3]s under id %[2]q: use another --id, or --restart to discard that place",
				path, id, describeQuery(found[i].Query))
		}
		known = found[i].Known
	}
	s.bookmarks, err = bookmarkstore.OpenBoltIn(s.db, bookmarksBucket, bookmarkstore.BoltOptions{})
	return known, storeError(path, err)
}

func describeQuery(q bookmarkstore.Query) string {
	if q.Filter == "" {
		return fmt.Sprintf("topic %q", q.Topic)
	}
	return fmt.Sprintf("topic %q with filter %q", q.Topic, q.Filter)
}

// openOut opens the output file. It cuts off the part after the last commit, since
// those messages come again.
func (s *sink) openOut(path string, restart bool) (err error) {
	if s.file, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return &exitError{exitUsage, fmt.Errorf("--out: %w", err)}
	}
	s.out, s.maxBatch = s.file, outBatch
	size, err := s.file.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("--out %s: %w", path, err)
	}
	committed, err := s.outSize()
	switch {
	case err != nil:
		return err
	case (committed < 0 || restart) && size > 0:
		return usageErrorf("--out %s is not empty and was not written by this command: remove it, or name another file", path)
	case committed > size && !restart:
		return usageErrorf("--out %s has %d bytes, but %d were written: restore the file, or use another --out with --restart", path, size, committed)
	case committed < size && committed >= 0:
		if err = s.file.Truncate(committed); err == nil {
			_, err = s.file.Seek(committed, io.SeekStart)
		}
	}
	s.size = max(committed, 0)
	if restart {
		s.size = 0
	}
	return cmp.Or(err, updateBolt(s.db, s.putOutSize))
}

// outSize returns the committed length of the output file, -1 if none is recorded.
func (s *sink) outSize() (int64, error) {
	v, err := boltEntry{outBucket, s.id}.get(s.db)
	if len(v) != 8 {
		return -1, err
	}
	return int64(binary.BigEndian.Uint64(v)), err
}

func (s *sink) putOutSize(tx *bbolt.Tx) error {
	return boltEntry{outBucket, s.id}.put(tx, binary.BigEndian.AppendUint64(nil, uint64(s.size)))
}

// add adds a message to the batch.
func (s *sink) add(m *client.Message, asJSON, headers bool) error {
	s.pending = append(s.pending, m.Ref())
	if s.lines == nil {
		s.lines = jsonEncoder(&s.batch)
	}
	if asJSON {
		return s.lines.Encode(newDelivery(m))
	}
	if headers {
		if err := s.lines.Encode(newJSONHeaders(m.Headers)); err != nil {
			return err
		}
		s.batch.Truncate(s.batch.Len() - 1) // the newline
		s.batch.WriteByte('\t')
	}
	s.batch.Write(m.Body)
	s.batch.WriteByte('\n')
	return nil
}

func (s *sink) full() bool { return len(s.pending) >= s.maxBatch || s.batch.Len() >= maxBatchBytes }

// commit writes the batch and discards its messages.
func (s *sink) commit() error {
	if len(s.pending) == 0 {
		return nil
	}
	if err := s.write(); err != nil {
		return err
	}
	err := s.discard()
	s.batch.Reset()
	s.pending = s.pending[:0]
	return err
}

func (s *sink) write() error {
	n, err := s.out.Write(s.batch.Bytes())
	s.size += int64(n)
	if err == nil && s.file != nil {
		err = s.file.Sync()
	}
	switch {
	case errors.Is(err, syscall.EPIPE):
		return errReaderGone
	case err != nil:
		return fmt.Errorf("write messages: %w; the unwritten ones come again", err)
	}
	return nil
}

func (s *sink) discard() error {
	if s.bookmarks == nil {
		for _, m := range s.pending {
			if err := s.sub.Discard(m); err != nil {
				return err
			}
		}
		return nil
	}
	return updateBolt(s.db, func(tx *bbolt.Tx) error {
		for _, m := range s.pending {
			if err := s.bookmarks.DiscardTx(tx, m); err != nil {
				return err
			}
		}
		if s.file == nil {
			return nil
		}
		return s.putOutSize(tx)
	})
}

func (s *sink) close() error {
	var errs []error
	if s.bookmarks != nil {
		errs = append(errs, s.bookmarks.Close())
	}
	if s.db != nil {
		errs = append(errs, s.db.Close())
	}
	if s.file != nil {
		errs = append(errs, s.file.Close())
	}
	return errors.Join(errs...)
}

// A delivery is a message in the form that --json prints. Exactly one of the last
// three fields holds the body.
type delivery struct {
	Bookmark  string `json:"bookmark"`
	Publisher uint64 `json:"publisher,string"` // a string: many JSON readers lose digits of 64-bit numbers
	Sequence  uint64 `json:"sequence"`
	Topic     string `json:"topic"`
	Time      string `json:"time,omitempty"` // when the server accepted it
	jsonCorrelation
	jsonHeaders
	JSON   json.RawMessage `json:"json,omitempty"`        // the body if it is JSON, without insignificant space
	Body   *string         `json:"body,omitempty"`        // the body if it is other text in UTF-8
	Base64 []byte          `json:"body_base64,omitempty"` // the body if it is neither
}

func newDelivery(m *client.Message) delivery {
	d := delivery{Bookmark: m.Bookmark.String(), Publisher: m.Bookmark.Publisher, Sequence: m.Bookmark.Sequence,
		Topic: m.Topic, jsonCorrelation: newJSONCorrelation(m.CorrelationID), jsonHeaders: newJSONHeaders(m.Headers)}
	if !m.Time.IsZero() {
		d.Time = m.Time.UTC().Format(timeLayout)
	}
	if utf8.Valid(m.Body) && json.Valid(m.Body) {
		d.JSON = m.Body
	} else {
		d.Body, d.Base64 = jsonBody(m.Body)
	}
	return d
}
