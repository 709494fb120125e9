package seglog

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
)

const (
	readAhead = 256 << 10 // bytes read from a file at once
	tailAhead = 32 << 10  // bytes copied from the tail at once
)

// A Cursor reads a log in order, from the tail in memory where possible. A Cursor is not safe for
// concurrent use, but many cursors may read one log concurrently.
type Cursor struct {
	log  *Log
	at   Position // of the next record
	buf  []byte   // bytes read from there on, part of mem
	need int      // bytes of the next frame, as far as known
	mem  []byte

	seg         *segment // the segment that buf was read from; nil: from the tail
	file        File     // open for reading, nil if none is
	fileSegment *segment // the segment of file
}

// Cursor returns a cursor that reads its first record at from: First, End, or the Position or Next
// of a Record. If from is below First it starts at First.
func (l *Log) Cursor(from Position) *Cursor {
	return &Cursor{log: l, at: from, need: frameHeader}
}

// Next returns the next record. It skips the records that belong to seglog itself. At the end of
// the log it returns io.EOF; it may be called again later. Other errors are a *DamageError,
// ErrClosed, or an error of the disk.
func (c *Cursor) Next() (Record, error) {
	for {
		ok, err := c.hasFrame()
		if err != nil {
			return Record{}, err
		}
		if !ok {
			if err := c.fill(); err != nil {
				return Record{}, err
			}
			continue
		}
		r := record(c.buf, c.at)
		c.buf = c.buf[r.Next-r.Position:]
		c.at, c.need = r.Next, frameHeader
		if r.Kind >= ownerKind {
			return r, nil
		}
	}
}

// Buffered appends to list the records that Next would return next, as far as they are already in
// memory, until list has limit records. They are valid as long as the last record from Next is.
func (c *Cursor) Buffered(list []Record, limit int) []Record {
	for b, at := c.buf, c.at; len(list) < limit && len(b) >= frameHeader; {
		if frameLength(b) > int64(len(b)) || frameSize(int(frameLength(b))) > len(b) {
			break
		}
		if c.seg != nil {
			if _, ok := goodFrame(b, c.seg.salt, at); !ok {
				break // Next reports the damage
			}
		}
		r := record(b, at)
		if b, at = b[r.Next-r.Position:], r.Next; r.Kind >= ownerKind {
			list = append(list, r)
		}
	}
	return list
}

// Skip moves the cursor past a record that Buffered has returned.
func (c *Cursor) Skip(r *Record) {
	c.buf = c.buf[r.Next-c.at:]
	c.at, c.need = r.Next, frameHeader
}

// hasFrame reports whether the buffer begins with a complete good frame.
func (c *Cursor) hasFrame() (bool, error) {
	if len(c.buf) < c.need {
		return false, nil
	}
	c.need = frameSize(int(frameLength(c.buf)))
	if len(c.buf) < c.need {
		return false, nil
	}
	if c.seg == nil {
		return true, nil // never left memory
	}
	if _, ok := goodFrame(c.buf, c.seg.salt, c.at); !ok {
		return false, c.damaged("bad record")
	}
	return true, nil
}

// fill reads more bytes from the cursor's position on.
func (c *Cursor) fill() error {
	for {
		s, limit, err := c.locate()
		if s == nil || err != nil {
			return err
		}
		err = c.fillFromFile(s, limit)
		if errors.Is(err, fs.ErrNotExist) && c.log.First() > s.first {
			continue // trimmed meanwhile
		}
		return err
	}
}

// locate finds the segment of the next record and the limit up to which its file may be read. If
// the record is in the tail, locate fills the buffer from there and returns a nil s.
func (c *Cursor) locate() (s *segment, limit Position, err error) {
	l := c.log
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, 0, l.err
	}
	if first := l.segs[0].first; c.at < first {
		c.at, c.need = first, frameHeader
	}
	if c.at >= l.end {
		return nil, 0, io.EOF
	}
	oldest := l.tail.first(l.end)
	if c.at >= oldest {
		return nil, 0, c.fillFromTailLocked()
	}
	i, _ := l.findLocked(c.at)
	return l.segs[i], min(l.segs[i].end, oldest), nil
}

func (c *Cursor) fillFromTailLocked() error {
	b := c.log.tail.from(c.at)
	if len(b) < c.need {
		return fmt.Errorf("read log at %d: no record begins there", c.at)
	}
	b = b[:min(len(b), max(c.need, tailAhead))]
	c.seg = nil
	copy(c.grow(len(b)), b)
	return nil
}

// grow makes the buffer n bytes long. It replaces a buffer that is much larger than needed.
func (c *Cursor) grow(n int) []byte {
	if n > cap(c.mem) || cap(c.mem) > 4*max(n, tailAhead) {
		size := 4 << 10
		for size < n {
			size *= 2
		}
		c.mem = make([]byte, size)
	}
	c.buf = c.mem[:n]
	return c.buf
}

// fillFromFile reads frames of s that are before limit.
func (c *Cursor) fillFromFile(s *segment, limit Position) error {
	if err := c.open(s); err != nil {
		return err
	}
	c.seg = s
	left := int64(limit - c.at)
	if int64(c.need) > left {
		return c.damaged("record longer than the segment")
	}
	if c.need > max(readAhead, cap(c.mem)) {
		if ok, err := goodFrameInFile(c.file, s.offset(c.at), s.salt, c.at); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return fmt.Errorf("read log: %w", err)
		} else if !ok {
			return c.damaged("bad record")
		}
	}
	n := min(left, int64(max(c.need, readAhead)))
	b := c.grow(int(n))
	got, err := c.file.ReadAt(b, s.offset(c.at))
	if got < len(b) {
		c.buf = b[:0]
		if errors.Is(err, io.EOF) {
			return c.damaged("file too short")
		}
		return fmt.Errorf("read log: %w", err)
	}
	return nil
}

func (c *Cursor) open(s *segment) error {
	if c.fileSegment == s && c.file != nil {
		return nil
	}
	if err := c.Close(); err != nil {
		return err
	}
	f, err := c.log.o.FS.OpenFile(s.name(), 0)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	c.file, c.fileSegment = f, s
	return nil
}

// damaged reports the frame at the cursor's position and flags its segment. Without the flag the
// next Open would not read the records of a sealed segment.
func (c *Cursor) damaged(reason string) error {
	d := &DamageError{File: c.seg.name(), Offset: c.seg.offset(c.at), Position: c.at, Reason: reason}
	c.buf = c.buf[:0]
	if err := flagDamage(c.log.o.FS, c.seg); err != nil {
		return errors.Join(d, err)
	}
	return d
}

// Position returns the position of the next record.
func (c *Cursor) Position() Position { return c.at }

// Seek moves the cursor to a position, with the rules of Log.Cursor.
func (c *Cursor) Seek(to Position) {
	c.at, c.need, c.buf = to, frameHeader, c.buf[:0]
}

// Close closes the file that the cursor has open.
func (c *Cursor) Close() error {
	f := c.file
	c.file, c.fileSegment = nil, nil
	if f == nil {
		return nil
	}
	return f.Close()
}
