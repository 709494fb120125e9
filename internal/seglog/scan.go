package seglog

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A scanner reads the good frames of a segment's file in order.
type scanner struct {
	f     File
	seg   *segment
	at    Position // of the next frame
	limit Position // frames at or after it do not count
	buf   []byte   // bytes read from at on, part of mem
	mem   []byte
}

// scan returns a scanner that begins at from and ends at limit or at the end of the file.
func scan(f File, s *segment, from, limit Position) (*scanner, error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	room := max(size-s.dataStart(), 0)
	return &scanner{f: f, seg: s, at: from, limit: min(limit, s.first+Position(room))}, nil
}

// next returns the frame at sc.at and moves past it. ok is false if there is no good frame. The
// record is valid until the next call.
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

// ensure reads until the buffer has n bytes. ok is false if there are fewer before the limit. If n
// is the stated size of a long frame, ok is also false if the frame is not good.
func (sc *scanner) ensure(n int64) (ok bool, err error) {
	if int64(len(sc.buf)) >= n {
		return true, nil
	}
	if sc.at > sc.limit || n > int64(sc.limit-sc.at) {
		return false, nil
	}
	at := sc.seg.offset(sc.at)
	if n > max(readAhead, int64(cap(sc.mem))) {
		if ok, err := goodFrameInFile(sc.f, at, sc.seg.salt, sc.at); !ok {
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

// eachFrame calls do for the good frames of s from one position on, as long as each directly
// follows the one before, up to limit. It returns where they end.
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

// move moves the scanner to p.
func (sc *scanner) move(p Position) {
	if skip := p - sc.at; p >= sc.at && skip <= Position(len(sc.buf)) {
		sc.buf = sc.buf[skip:]
	} else {
		sc.buf = nil
	}
	sc.at = p
}

// readAt fills b or returns an error.
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

// remainder describes the bytes after the last good frame of a segment.
type remainder struct {
	end   Position // end of the last byte that is not zero
	noted Position // highest note in a good frame among them
}

// readRemainder examines s from the position on where the good frames end.
func readRemainder(f File, s *segment, from Position) (remainder, error) {
	end, err := lastByte(f, s, from)
	if err != nil || end == from {
		return remainder{end: from}, err
	}
	r := remainder{end: end}
	err = eachGood(f, s, from, maxPosition, func(frame Record) bool {
		if p, ok := frame.noted(); ok {
			r.noted = max(r.noted, p)
		}
		return true
	})
	return r, err
}

// lastByte returns the end of the last byte of s, at or after from, that is not zero. If there is
// no such byte it returns from.
func lastByte(f File, s *segment, from Position) (Position, error) {
	size, err := f.Size()
	if err != nil {
		return from, err
	}
	buf := make([]byte, min(readAhead, max(size-s.offset(from), 0)))
	for _, p := range slices.Backward(dataRanges(f, s.offset(from), size)) {
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

// A dataRange is a range of bytes in a file.
type dataRange struct{ from, to int64 }

// dataRanges returns the ranges of a file, from at on, that may hold other bytes than zeros. It asks
// for all of them before any is read: reading brings pages into memory, with read-ahead, and a file
// system no longer reports a range in memory as unwritten.
func dataRanges(f File, at, size int64) (all []dataRange) {
	s, ok := f.(sparse)
	if !ok && at < size {
		return []dataRange{{at, size}}
	}
	for at < size {
		p := dataRange{}
		p.from, p.to = s.Data(at)
		if p.from >= size || failpoint.On(failpoint.DHoleIsEnd) && len(all) > 0 {
			break
		}
		p.to = min(p.to, size)
		all = append(all, p)
		at = p.to
	}
	return all
}

// eachGood calls yield for every good frame of s between two positions, whatever lies between the
// frames. It ends when yield returns false.
func eachGood(f File, s *segment, from, to Position, yield func(Record) bool) error {
	size, err := f.Size()
	if err != nil {
		return err
	}
	sc, err := scan(f, s, from, to)
	if err != nil {
		return err
	}
	for _, p := range dataRanges(f, s.offset(from), size) {
		// A frame has 8 bytes before its kind. Only these can lie in an unwritten range.
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

// goodFrameInFile is goodFrame for a frame that may be shorter than it states. It reads in pieces
// and so takes no memory for the stated length.
func goodFrameInFile(f File, at int64, salt uint32, p Position) (bool, error) {
	if failpoint.On(failpoint.DLengthTrusted) {
		return true, nil
	}
	var b [frameHeader]byte
	if err := readAt(f, b[:], at); err != nil || !isFrame(b[:]) {
		return false, err
	}
	prefix, n := int64(framePrefix(b[:])), frameLength(b[:])
	sum, err := sumFile(f, frameSum(salt, p, b[4:]), at+frameHeader, prefix)
	if err != nil || sum != binary.LittleEndian.Uint32(b[:]) {
		return false, err
	}
	rest, err := sumFile(f, 0, at+frameHeader+prefix, n-prefix)
	return rest == restSum(b[:]), err
}

// sumFile continues a checksum with n bytes of a file, one piece at a time.
func sumFile(f File, sum uint32, at, n int64) (uint32, error) {
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

// readSummed reads n bytes of a file and verifies their checksum. good is false if it differs. A
// long range is verified first and then read again, so that a wrong length takes no memory.
func readSummed(f File, at int64, n, sum uint32) (b []byte, good bool, err error) {
	if n > readAhead && !failpoint.On(failpoint.DLengthTrusted) {
		if found, err := sumFile(f, 0, at, int64(n)); err != nil || found != sum {
			return nil, false, err
		}
	}
	b = make([]byte, n)
	if err := readAt(f, b, at); err != nil {
		return nil, false, err
	}
	return b, checksum(b) == sum, nil
}
