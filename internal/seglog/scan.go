package seglog

import (
	"bytes"
	"errors"
	"fmt"
	"io"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// A scanner reads the good frames of a segment's file in order.
type scanner struct {
	f     File
	seg   *segment
	at    Position // of the next frame
	limit Position // nothing at or behind it counts
	buf   []byte   // what is read from at on, part of mem
	mem   []byte
}

// scan returns a scanner that ends at limit, or where the file does.
func scan(f File, s *segment, from, limit Position) (*scanner, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	room := max(size-s.dataStart(), 0)
	return &scanner{f: f, seg: s, at: from, limit: min(limit, s.first+Position(room))}, nil
}

// next returns the frame at sc.at and moves behind it, ok false where no good
// frame stands. The record is valid until the next call.
func (sc *scanner) next() (r Record, ok bool, err error) {
	if ok, err = sc.ensure(frameHeader); !ok {
		return Record{}, false, err
	}
	size := align(frameHeader + frameLength(sc.buf))
	if ok, err = sc.ensure(size); !ok {
		return Record{}, false, err
	}
	if _, ok = goodFrame(sc.buf[:size], sc.seg.salt, sc.at); !ok {
		return Record{}, false, nil
	}
	r = record(sc.buf, sc.at)
	sc.buf = sc.buf[size:]
	sc.at = r.Next
	return r, true, nil
}

// ensure has n bytes in the buffer, ok false if there are fewer before the limit.
func (sc *scanner) ensure(n int64) (ok bool, err error) {
	if int64(len(sc.buf)) >= n {
		return true, nil
	}
	if sc.at > sc.limit || n > int64(sc.limit-sc.at) {
		return false, nil
	}
	if n = min(int64(sc.limit-sc.at), max(n, readAhead)); n > int64(cap(sc.mem)) {
		sc.mem = make([]byte, n)
	}
	sc.buf = sc.mem[:n]
	if err := readAt(sc.f, sc.buf, sc.seg.offset(sc.at)); err != nil {
		return false, fmt.Errorf("read %s: %w", sc.seg.name(), err)
	}
	return true, nil
}

// readAt reads all of b or returns an error.
func readAt(f File, b []byte, at int64) error {
	n, err := f.ReadAt(b, at)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// remains describes what stands behind the last good frame of a segment.
type remains struct {
	end   Position // behind the last byte that isn't zero
	noted Position // highest note in a good frame there
}

// behind examines what stands in s from where no good frame stood.
func behind(f File, s *segment, from Position) (remains, error) {
	b, err := rest(f, s, from)
	if err != nil || len(b) == 0 {
		return remains{end: from}, err
	}
	r := remains{end: from + Position(len(bytes.TrimRight(b, "\x00")))}
	eachGood(b, s.salt, from, func(frame Record) bool {
		if p, ok := frame.noted(); ok {
			r.noted = max(r.noted, p)
		}
		return true
	})
	return r, nil
}

// rest returns what stands in the file of s from a position on, nothing if
// that is all zeros.
func rest(f File, s *segment, from Position) ([]byte, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	at := s.offset(from)
	for _, p := range pieces(f, at, size) {
		zeros, err := zerosFrom(f, p.from, p.to)
		if err != nil {
			return nil, err
		}
		if p.from+zeros < p.to {
			b := make([]byte, size-at)
			return b, readAt(f, b, at)
		}
	}
	return nil, nil
}

// A piece is a part of a file.
type piece struct{ from, to int64 }

// pieces returns where in a file, from at on, something may stand that isn't
// zero. All are asked for before one is read: what is read is in memory then,
// with more behind it, and no file system says of that that it is a hole.
func pieces(f File, at, size int64) (all []piece) {
	s, ok := f.(sparse)
	if !ok && at < size {
		return []piece{{at, size}}
	}
	for at < size {
		p := piece{}
		p.from, p.to = s.Data(at)
		if p.from >= size || mut.On(mut.DHoleIsEnd) && len(all) > 0 {
			break
		}
		p.to = min(p.to, size)
		all = append(all, p)
		at = p.to
	}
	return all
}

// zerosFrom counts the zeros from at on.
func zerosFrom(f File, at, size int64) (n int64, err error) {
	buf := make([]byte, min(readAhead, max(size-at, 0)))
	for at+n < size {
		b := buf[:min(int64(len(buf)), size-at-n)]
		if err := readAt(f, b, at+n); err != nil {
			return 0, err
		}
		for len(b) > 0 && bytes.Equal(b[:min(len(b), len(zeros))], zeros[:min(len(b), len(zeros))]) {
			n += int64(min(len(b), len(zeros)))
			b = b[min(len(b), len(zeros)):]
		}
		if len(b) > 0 {
			return n + int64(len(b)-len(bytes.TrimLeft(b, "\x00"))), nil
		}
	}
	return n, nil
}

// zeros is what a file that was only preallocated holds.
var zeros [4096]byte

// eachGood calls yield with every good frame in b, whose first byte stands at
// p, whatever stands in between, until it returns false.
func eachGood(b []byte, salt uint32, p Position, yield func(Record) bool) {
	for len(b) >= frameHeader {
		size, ok := goodFrame(b, salt, p)
		if !ok {
			b, p = b[frameAlign:], p+frameAlign
			continue
		}
		if !yield(record(b, p)) {
			return
		}
		b, p = b[size:], p+Position(size)
	}
}
