package seglog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/crc"
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

// ensure has n bytes in the buffer, ok false if there are fewer before the
// limit, or if n is what a frame states that is not good.
func (sc *scanner) ensure(n int64) (ok bool, err error) {
	if int64(len(sc.buf)) >= n {
		return true, nil
	}
	if sc.at > sc.limit || n > int64(sc.limit-sc.at) {
		return false, nil
	}
	at := sc.seg.offset(sc.at)
	if n > max(readAhead, int64(cap(sc.mem))) {
		if ok, err := goodFrameIn(sc.f, at, sc.seg.salt, sc.at); !ok {
			return false, err
		}
	}
	if n = min(int64(sc.limit-sc.at), max(n, readAhead)); n > int64(cap(sc.mem)) {
		sc.mem = make([]byte, n)
	}
	sc.buf = sc.mem[:n]
	if err := readAt(sc.f, sc.buf, at); err != nil {
		return false, fmt.Errorf("read %s: %w", sc.seg.name(), err)
	}
	return true, nil
}

// eachFrame calls do with the good frames of s from one position on, each behind the
// one before, up to limit, and returns where they end.
func eachFrame(f File, s *segment, from, limit Position, do func(Record) error) (end Position, err error) {
	sc, err := scan(f, s, from, limit)
	if err != nil {
		return from, err
	}
	for {
		rec, ok, err := sc.next()
		if err == nil && ok {
			err = do(rec)
		}
		if err != nil || !ok {
			return sc.at, err
		}
	}
}

// move goes on at p.
func (sc *scanner) move(p Position) {
	if skip := p - sc.at; p >= sc.at && skip <= Position(len(sc.buf)) {
		sc.buf = sc.buf[skip:]
	} else {
		sc.buf = nil
	}
	sc.at = p
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
	end, err := lastByte(f, s, from)
	if err != nil || end == from {
		return remains{end: from}, err
	}
	r := remains{end: end}
	err = eachGood(f, s, from, maxPosition, func(frame Record) bool {
		if p, ok := frame.noted(); ok {
			r.noted = max(r.noted, p)
		}
		return true
	})
	return r, err
}

// lastByte returns the position behind the last byte of s from a position on
// that is not zero, or that position.
func lastByte(f File, s *segment, from Position) (Position, error) {
	size, err := f.Size()
	if err != nil {
		return from, err
	}
	buf := make([]byte, min(readAhead, max(size-s.offset(from), 0)))
	for _, p := range slices.Backward(pieces(f, s.offset(from), size)) {
		for p.to > p.from {
			b := buf[:min(int64(len(buf)), p.to-p.from)]
			p.to -= int64(len(b))
			if err := readAt(f, b, p.to); err != nil {
				return from, err
			}
			if b = bytes.TrimRight(b, "\x00"); len(b) > 0 {
				return s.position(p.to + int64(len(b))), nil
			}
		}
	}
	return from, nil
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

// eachGood calls yield with every good frame of s between two positions,
// whatever stands in between, until it returns false.
func eachGood(f File, s *segment, from, to Position, yield func(Record) bool) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	sc, err := scan(f, s, from, to)
	if err != nil {
		return err
	}
	for _, p := range pieces(f, s.offset(from), size) {
		// Of a frame only what stands before its kind may be in a hole.
		if begins := align(p.from) - 2*frameAlign; begins > s.offset(sc.at) {
			sc.move(s.position(begins))
		}
		for sc.at < min(s.position(p.to), sc.limit) {
			r, ok, err := sc.next()
			if err != nil {
				return err
			}
			if !ok {
				sc.move(sc.at + frameAlign)
			} else if !yield(r) {
				return nil
			}
		}
	}
	return nil
}

// goodFrameIn is goodFrame for one of which only the start is trusted to be
// there: it takes no memory for what the frame says of its length.
func goodFrameIn(f File, at int64, salt uint32, p Position) (bool, error) {
	if mut.On(mut.DLengthTrusted) {
		return true, nil
	}
	var b [frameHeader]byte
	if err := readAt(f, b[:], at); err != nil || !isFrame(b[:]) {
		return false, err
	}
	head, n := int64(frameHead(b[:])), frameLength(b[:])
	sum, err := sumIn(f, frameSum(salt, p, b[4:]), at+frameHeader, head)
	if err != nil || sum != binary.LittleEndian.Uint32(b[:]) {
		return false, err
	}
	rest, err := sumIn(f, 0, at+frameHeader+head, n-head)
	return rest == restSum(b[:]), err
}

// sumIn continues a checksum with n bytes of a file, a piece at a time.
func sumIn(f File, sum uint32, at, n int64) (uint32, error) {
	buf := make([]byte, min(readAhead, n))
	for n > 0 {
		b := buf[:min(int64(len(buf)), n)]
		if err := readAt(f, b, at); err != nil {
			return 0, err
		}
		sum = crc.Bytes(sum, b)
		at, n = at+int64(len(b)), n-int64(len(b))
	}
	return sum, nil
}

// readSummed reads n bytes of a file that have a checksum, good false if they
// have another. What is long is read twice, lest memory is taken for nothing.
func readSummed(f File, at int64, n, sum uint32) (b []byte, good bool, err error) {
	if n > readAhead && !mut.On(mut.DLengthTrusted) {
		if found, err := sumIn(f, 0, at, int64(n)); err != nil || found != sum {
			return nil, false, err
		}
	}
	b = make([]byte, n)
	if err := readAt(f, b, at); err != nil {
		return nil, false, err
	}
	return b, checksum(b) == sum, nil
}
