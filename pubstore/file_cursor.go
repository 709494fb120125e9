package pubstore

import (
	"errors"
	"fmt"
	"io"

	"github.com/holdfast-mq/holdfast/internal/intern"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

type fileCursor struct {
	s   *File
	w   *window // guarded by s.mu
	log *seglog.Cursor
	at  uint64 // the sequence last returned
	in  intern.Texts

	ahead []seglog.Record   // scratch of Ahead
	run   []record.Ordinary // the same
	last  []*seglog.Record  // where those of run stand
}

// Cursor implements Store.
func (s *File) Cursor(life string, after uint64) (Cursor, error) {
	w, err := s.readable(life)
	if err != nil {
		return nil, err
	}
	return &fileCursor{s: s, w: w, log: s.log.Cursor(0), at: after}, nil
}

func (c *fileCursor) Next(m *Message) (bool, error) {
	for missed := uint64(noPos); ; {
		seq, prev, pos, err := c.look()
		if seq == 0 || err != nil {
			return false, err
		}
		rec, err := c.read(seglog.Position(pos))
		if err == nil {
			err = c.check(rec, seq)
		}
		if err == nil {
			err = decodeRecord(rec, m, &c.in)
		}
		if err == nil {
			m.Prev = prev
			c.at = seq
			return true, nil
		}
		if missed == pos {
			return false, c.s.fail(fmt.Errorf("message %d: %w", seq, err))
		}
		missed = pos // it may have been let go, and its file be gone: look again
	}
}

// aheadMost is how many records Ahead looks at.
const aheadMost = 128

// Ahead returns what Next would return next as it is kept, as far as the log's
// cursor has read it and each message is there. It is valid until the next call.
func (c *fileCursor) Ahead() []record.Ordinary {
	c.run, c.last = c.run[:0], c.last[:0]
	upTo, visible := c.unbroken()
	c.ahead = c.log.Ahead(c.ahead[:0], aheadMost)
	for i := range c.ahead {
		rec := &c.ahead[i]
		if rec.Kind != kindMessage {
			continue
		}
		next := c.at + 1 + uint64(len(c.run))
		if next > upTo || rec.Position >= visible || len(rec.Payload) < leastRecord {
			break
		}
		o, is := record.AsOrdinary(rec.Payload[timeLen:])
		if !is || o.Publisher() != c.w.publisher || o.Sequence() != next {
			break
		}
		c.run, c.last = append(c.run, o), append(c.last, rec)
	}
	return c.run
}

// unbroken returns up to where all that comes next is kept, and stands in order, and
// before which position messages are in the store.
func (c *fileCursor) unbroken() (upTo uint64, visible seglog.Position) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if w := c.w; c.s.ended == nil && len(w.rejected) == 0 && max(w.slots.first, w.ordered) <= c.at+1 {
		upTo = w.last
	}
	return upTo, seglog.Position(c.s.visible)
}

// Skip moves behind the first n messages of what Ahead has returned.
func (c *fileCursor) Skip(n int) {
	if n > 0 {
		c.at += uint64(n)
		c.log.Skip(c.last[n-1])
	}
}

// look returns what to read next and where it is, seq 0 if there is nothing.
func (c *fileCursor) look() (seq, prev, pos uint64, err error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.ended != nil {
		return 0, 0, 0, c.s.ended
	}
	if seq = c.w.next(c.at); seq == 0 {
		return 0, 0, 0, nil
	}
	pos = c.w.slots.at(seq).pos
	if pos >= c.s.visible && !mut.On(mut.G1SendBeforeStore) {
		return 0, 0, 0, nil
	}
	return seq, c.w.prev(seq), pos, nil
}

// maxSkip is how far a cursor reads on rather than jump: what is between
// one message and the next is mostly a few bytes, and read already.
const maxSkip = 64 << 10

// read returns the record at pos.
func (c *fileCursor) read(pos seglog.Position) ([]byte, error) {
	if at := c.log.Position(); at > pos || pos-at > maxSkip {
		c.log.Seek(pos)
	}
	for {
		r, err := c.log.Next()
		if errors.Is(err, io.EOF) {
			return nil, io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		if r.Position == pos && r.Kind == kindMessage {
			return r.Payload, nil
		}
		if r.Position >= pos {
			return nil, fmt.Errorf("no message at %d", pos)
		}
	}
}

func (c *fileCursor) check(rec []byte, seq uint64) error {
	publisher, have, err := recordIdentity(rec)
	if err == nil && (publisher != c.w.publisher || have != seq) {
		err = fmt.Errorf("found message %d of publisher %d: %w", have, publisher, record.ErrMalformed)
	}
	return err
}

func (c *fileCursor) Close() error { return c.log.Close() }
