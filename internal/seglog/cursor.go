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

// A Cursor reads a log in order, from the tail in memory where it can. It
// isn't safe for concurrent use; several cursors are.
type Cursor struct {
	l    *Log
	at   Position // of the next record
	buf  []byte   // what is read from there on, part of mem
	need int      // bytes of the frame at at, as far as known
	mem  []byte

	seg   *segment // buf is of its file; nil: of the tail
	file  File     // open for reading, nil if none is
	ofile *segment // whose file that is
}

// Cursor returns a cursor whose first record stands at from (First, End, or a
// Record's Position or Next). A position below First starts at First.
func (l *Log) Cursor(from Position) *Cursor {
	return &Cursor{l: l, at: from, need: frameHeader}
}

// Next returns the next record. At the end of what is appended it returns
// io.EOF and may be called again later. Seglog's own records are skipped.
// Other errors are a *DamageError, ErrClosed, or of the disk.
func (c *Cursor) Next() (Record, error) {
	for {
		ok, err := c.whole()
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

// Ahead appends to list the records that Next would return next, as far as they are
// read already: so many at most. They are valid as long as what Next has returned.
func (c *Cursor) Ahead(list []Record, most int) []Record {
	for b, at := c.buf, c.at; len(list) < most && len(b) >= frameHeader; {
		if frameLength(b) > int64(len(b)) || frameSize(int(frameLength(b))) > len(b) {
			break
		}
		if c.seg != nil {
			if _, ok := goodFrame(b, c.seg.salt, at); !ok {
				break // Next says what is wrong
			}
		}
		r := record(b, at)
		if b, at = b[r.Next-r.Position:], r.Next; r.Kind >= ownerKind {
			list = append(list, r)
		}
	}
	return list
}

// Skip moves behind a record that Ahead has returned.
func (c *Cursor) Skip(r *Record) {
	c.buf = c.buf[r.Next-c.at:]
	c.at, c.need = r.Next, frameHeader
}

// whole reports whether a whole good frame is in the buffer.
func (c *Cursor) whole() (bool, error) {
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

// fill reads on from where the cursor stands.
func (c *Cursor) fill() error {
	for {
		s, limit, err := c.locate()
		if s == nil || err != nil {
			return err
		}
		err = c.fillFromFile(s, limit)
		if errors.Is(err, fs.ErrNotExist) && c.l.First() > s.first {
			continue // trimmed meanwhile
		}
		return err
	}
}

// locate finds the segment that the next record is in, and up to where its
// file may be read. If the tail holds the record it fills from there, s is nil.
func (c *Cursor) locate() (s *segment, limit Position, err error) {
	l := c.l
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
	b := c.l.tail.from(c.at)
	if len(b) < c.need {
		return fmt.Errorf("read log at %d: no record begins there", c.at)
	}
	b = b[:min(len(b), max(c.need, tailAhead))]
	c.seg = nil
	copy(c.grow(len(b)), b)
	return nil
}

// grow makes the buffer n bytes long. It keeps little memory when little is needed.
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

// fillFromFile reads frames of s that stand before limit.
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
		if ok, err := goodFrameIn(c.file, s.offset(c.at), s.salt, c.at); err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
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
	if c.ofile == s && c.file != nil {
		return nil
	}
	if err := c.Close(); err != nil {
		return err
	}
	f, err := c.l.o.FS.OpenFile(s.name(), 0)
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	c.file, c.ofile = f, s
	return nil
}

// damaged reports the frame the cursor stands at, and leaves word for the
// next Open, which would not look at a sealed segment otherwise.
func (c *Cursor) damaged(reason string) error {
	d := &DamageError{File: c.seg.name(), Offset: c.seg.offset(c.at), Position: c.at, Reason: reason}
	c.buf = c.buf[:0]
	if err := mark(c.l.o.FS, c.seg); err != nil {
		return errors.Join(d, err)
	}
	return d
}

// Position returns where the next record will be read.
func (c *Cursor) Position() Position { return c.at }

// Seek moves the cursor, see Log.Cursor.
func (c *Cursor) Seek(to Position) {
	c.at, c.need, c.buf = to, frameHeader, c.buf[:0]
}

// Close releases the file the cursor holds open.
func (c *Cursor) Close() error {
	f := c.file
	c.file, c.ofile = nil, nil
	if f == nil {
		return nil
	}
	return f.Close()
}
