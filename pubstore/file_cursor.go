package pubstore

import (
	"errors"
	"fmt"
	"io"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/intern"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

type fileCursor struct {
	s    *File
	life *lifeState // guarded by s.mu
	log  *seglog.Cursor
	at   uint64 // sequence of the message returned last
	in   intern.Table

	buffered   []seglog.Record          // scratch for Buffered
	run        []record.OrdinaryMessage // scratch for Buffered
	runRecords []*seglog.Record         // the records of run in buffered
}

// Cursor implements Store.
func (s *File) Cursor(life string, after uint64) (Cursor, error) {
	l, err := s.lifeToRead(life)
	if err != nil {
		return nil, err
	}
	return &fileCursor{s: s, life: l, log: s.log.Cursor(0), at: after}, nil
}

func (c *fileCursor) Next(m *Message) (bool, error) {
	for missed := uint64(noPos); ; {
		seq, prev, pos, err := c.locateNext()
		if seq == 0 || err != nil {
			return false, err
		}
		rec, err := c.read(seglog.Position(pos))
		if err == nil {
			err = c.checkIdentity(rec, seq)
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
		missed = pos // the message and its file may have been removed in the meantime: locate it again
	}
}

// maxBuffered is the maximum number of records that Buffered examines.
const maxBuffered = 128

// Buffered returns the records of the next messages that the log's cursor has already read, up to
// the first missing sequence. The result is valid until the next call.
func (c *fileCursor) Buffered() []record.OrdinaryMessage {
	c.run, c.runRecords = c.run[:0], c.runRecords[:0]
	upTo, visible := c.consecutiveThrough()
	c.buffered = c.log.Buffered(c.buffered[:0], maxBuffered)
	for i := range c.buffered {
		rec := &c.buffered[i]
		if rec.Kind != kindMessage {
			continue
		}
		next := c.at + 1 + uint64(len(c.run))
		if next > upTo || rec.Position >= visible || len(rec.Payload) < minRecordLen {
			break
		}
		o, ok := record.AsOrdinary(rec.Payload[timeLen:])
		if !ok || o.Publisher() != c.life.publisher || o.Sequence() != next {
			break
		}
		c.run, c.runRecords = append(c.run, o), append(c.runRecords, rec)
	}
	return c.run
}

// consecutiveThrough returns the highest sequence up to which all further messages are kept and in
// order in the log. Messages at or after the position visible must not be read.
func (c *fileCursor) consecutiveThrough() (upTo uint64, visible seglog.Position) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if l := c.life; c.s.endErr == nil && len(l.rejected) == 0 && max(l.slots.first, l.orderedFrom) <= c.at+1 {
		upTo = l.last
	}
	return upTo, seglog.Position(c.s.visible)
}

// Skip moves the cursor past the first n messages that Buffered returned last.
func (c *fileCursor) Skip(n int) {
	if n > 0 {
		c.at += uint64(n)
		c.log.Skip(c.runRecords[n-1])
	}
}

// locateNext returns the sequence to read next and its position. seq is 0 if there is no message.
func (c *fileCursor) locateNext() (seq, prev, pos uint64, err error) {
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	if c.s.endErr != nil {
		return 0, 0, 0, c.s.endErr
	}
	if seq = c.life.next(c.at); seq == 0 {
		return 0, 0, 0, nil
	}
	pos = c.life.slots.at(seq).pos
	if pos >= c.s.visible && !failpoint.On(failpoint.G1SendBeforeStore) {
		return 0, 0, 0, nil
	}
	return seq, c.life.prev(seq), pos, nil
}

// maxSkip is the distance up to which a cursor reads on instead of seeking. Between two messages
// there are usually only a few bytes, which the cursor has already read.
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

func (c *fileCursor) checkIdentity(rec []byte, seq uint64) error {
	publisher, got, err := recordIdentity(rec)
	if err == nil && (publisher != c.life.publisher || got != seq) {
		err = fmt.Errorf("found message %d of publisher %d: %w", got, publisher, record.ErrMalformed)
	}
	return err
}

func (c *fileCursor) Close() error { return c.log.Close() }
