package pubstore

import (
	"encoding/binary"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/internal/intern"
)

// A boltCursor reads several records at a time, since each read is a transaction.
type boltCursor struct {
	s         *Bolt
	life      *lifeState // guarded by s.mu
	publisher uint64
	at        uint64 // sequence of the message returned last
	maxAhead  int    // number of records to read ahead

	buf   []byte   // memory of ahead
	ahead [][]byte // records read ahead, ascending
	in    intern.Table
}

const (
	aheadMessages = 256
	aheadBytes    = 256 << 10
)

// Cursor implements Store.
func (s *Bolt) Cursor(life string, after uint64) (Cursor, error) {
	return s.cursor(life, after, aheadMessages)
}

func (s *Bolt) cursor(life string, after uint64, maxAhead int) (Cursor, error) {
	l, err := s.lifeToRead(life)
	if err != nil {
		return nil, err
	}
	return &boltCursor{s: s, life: l, publisher: l.publisher, at: after, maxAhead: maxAhead}, nil
}

func (c *boltCursor) Next(m *Message) (bool, error) {
	for missed := uint64(0); ; {
		seq, last, prev, err := c.locateNext()
		if seq == 0 || err != nil {
			return false, err
		}
		rec := c.takeAhead(seq)
		if rec == nil {
			if missed == seq {
				return false, c.s.fail(fmt.Errorf("message %d is missing", seq))
			}
			missed = seq
			if err := c.readAhead(seq, last); err != nil {
				return false, c.s.fail(err)
			}
			continue // the message may have been removed in the meantime
		}
		if err := decodeRecord(rec, m, &c.in); err != nil {
			return false, c.s.fail(err)
		}
		m.Prev = prev
		c.at = seq
		return true, nil
	}
}

// locateNext returns the sequence to read next, 0 if there is none, and the last sequence of the
// life.
func (c *boltCursor) locateNext() (seq, last, prev uint64, err error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.endErr != nil {
		return 0, 0, 0, c.s.endErr
	}
	seq = c.life.next(c.at)
	return seq, c.life.last, c.life.prev(seq), nil
}

// takeAhead returns the record of seq if it was read ahead. It drops the records before it: their
// messages have been removed since they were read.
func (c *boltCursor) takeAhead(seq uint64) []byte {
	for len(c.ahead) > 0 {
		rec := c.ahead[0]
		_, got, err := recordIdentity(rec)
		if err == nil && got > seq {
			return nil
		}
		c.ahead = c.ahead[1:]
		if got == seq {
			return rec
		}
	}
	return nil
}

// readAhead reads records ahead, from seq up to last.
func (c *boltCursor) readAhead(seq, last uint64) error {
	if cap(c.buf) > maxIdleBuffer {
		c.buf = nil
	}
	c.buf, c.ahead = c.buf[:0], c.ahead[:0]
	return c.s.view(func(tx *bbolt.Tx) error {
		b := lifeBucket(tx.Bucket(c.s.bucket), c.publisher)
		if b == nil {
			return nil // the life was pruned
		}
		cur := b.Cursor()
		for k, rec := cur.Seek(seqKey(seq)); k != nil && binary.BigEndian.Uint64(k) <= last; k, rec = cur.Next() {
			if n := len(c.ahead); n > 0 && (n == c.maxAhead || len(c.buf)+len(rec) > aheadBytes) {
				break
			}
			if _, _, err := recordIdentity(rec); err != nil {
				return err
			}
			at := len(c.buf)
			c.buf = append(c.buf, rec...)
			c.ahead = append(c.ahead, c.buf[at:len(c.buf):len(c.buf)])
		}
		return nil
	})
}

func (c *boltCursor) Close() error { return nil }

// lifeBucket returns the bucket of a life, or nil if there is none. root may be nil.
func lifeBucket(root *bbolt.Bucket, publisher uint64) *bbolt.Bucket {
	if root == nil {
		return nil
	}
	return root.Bucket(lifeKey(publisher))
}
