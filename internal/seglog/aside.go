package seglog

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A damaged log is cut before the damage, and the good records after it are set aside, in these
// steps. A crash may end the sequence after any of them (R8).
//
//  1. The good records after the damage are written to aside/<n>.tmp and synced.
//  2. The file "cut" records the position of the cut and n. From now on every Open continues
//     at step 3 and looks for no damage before that.
//  3. aside/<n>.tmp becomes aside/<n>.log.
//  4. Segments that begin at or after the cut are removed. The segment that contains the cut is
//     truncated there, and its header no longer states a durable position above it.
//  5. "cut" is removed.
//
// The files in aside are segments with their own positions. Their head is the encoded DamageError,
// so that the damage is known until DropAside.

const (
	cutName  = "cut"
	cutMagic = "hfsegcut"
)

func asideDir(dir string) string { return path.Join(dir, "aside") }

// setAside cuts the log before d and keeps the good records after it.
func (r *recovery) setAside(d *DamageError) error {
	dir := asideDir(r.o.Dir)
	if err := r.o.FS.MkdirAll(dir); err != nil {
		return err
	}
	kept, err := listAside(r.o.FS, dir)
	if err != nil {
		return err
	}
	var first Position
	if len(kept) > 0 {
		first = kept[len(kept)-1].end
	}
	return runSteps(
		func() error { return r.writeAside(dir, first, d) },
		func() error { return r.writeCut(d.Position, first) },
		r.finishCut,
	)
}

// writeAside is step 1.
func (r *recovery) writeAside(dir string, first Position, d *DamageError) error {
	head := appendDamage(nil, d)
	s := newSegment(dir, first, head)
	err := writeFile(r.o.FS, path.Join(dir, segmentName(first, suffixTmp)), func(f File) error {
		err := r.eachGoodFrom(d.Position, func(rec Record) error {
			frame := relocatedFrame(rec.frame, s.salt, s.end)
			err := writeAt(f, frame, s.offset(s.end))
			s.end += Position(len(frame))
			return err
		})
		if err != nil {
			return err
		}
		s.durable = s.end // the file gets its final name only when it is complete
		if err := writeAt(f, s.appendStart(nil, head), 0); err != nil {
			return err
		}
		return f.Truncate(s.offset(s.end))
	})
	if err != nil {
		return err
	}
	return r.o.FS.SyncDir(dir)
}

// eachGoodFrom yields the good records of the owner at or after p. In the last segment it ends
// where the log would have ended without the damage.
func (r *recovery) eachGoodFrom(p Position, yield func(Record) error) error {
	for _, s := range r.segs {
		if s.bad || s.next <= p {
			continue
		}
		err := r.withFile(s.segment, func(f File) error {
			return eachGoodInSegment(f, s.segment, max(p, s.first), s.next, yield)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func eachGoodInSegment(f File, s *segment, from, limit Position, yield func(Record) error) error {
	if s.state == sealed {
		limit = min(limit, s.end)
	}
	torn, err := tornFrom(f, s, from, limit)
	if err != nil {
		return err
	}
	var yieldErr error
	err = eachGood(f, s, from, limit, func(rec Record) bool {
		if rec.Position >= torn {
			return false
		}
		if rec.Kind >= ownerKind {
			yieldErr = yield(rec)
		}
		return yieldErr == nil
	})
	return cmp.Or(yieldErr, err)
}

// tornFrom returns the position where the torn tail of s begins: the first bad frame at or above
// the highest note. Nothing from there on was ever acknowledged. If there is no torn tail it
// returns maxPosition. In a segment with a limit everything was durable, and it returns the limit.
func tornFrom(f File, s *segment, from, limit Position) (Position, error) {
	if limit < maxPosition {
		return limit, nil // everything was durable
	}
	rest, err := readRemainder(f, s, from)
	if err != nil {
		return 0, err
	}
	noted, end, torn := max(s.durable, rest.noted), from, maxPosition
	err = eachGood(f, s, from, limit, func(rec Record) bool {
		if end < rec.Position && rec.Position > noted {
			torn = max(end, noted)
			return false
		}
		end = rec.Next
		return true
	})
	return torn, err
}

// writeCut is step 2.
func (r *recovery) writeCut(cut, aside Position) error {
	return runSteps(
		func() error {
			return writeFile(r.o.FS, path.Join(r.o.Dir, cutName+suffixTmp), func(f File) error {
				return writeAt(f, block{p: cut, q: aside}.appendTo(nil, cutMagic), 0)
			})
		},
		func() error { return renameIfForeign(r.o.FS, r.o.Dir, cutName, cutMagic) },
		func() error { return rename(r.o.FS, r.o.Dir, cutName+suffixTmp, cutName) },
	)
}

// readCut returns the contents of the file that step 2 wrote; found is false if no cut is under
// way. A corrupt file counts as absent: Open will find the same damage again.
func (r *recovery) readCut() (cut, aside Position, found bool, err error) {
	var k block
	err = withFile(r.o.FS, path.Join(r.o.Dir, cutName), func(f File) error {
		size, err := f.Size()
		if err != nil || size != headerSize {
			return err
		}
		var b [headerSize]byte
		err = readAt(f, b[:], 0)
		k, found = decodeBlock(b[:], cutMagic)
		return err
	})
	return k.p, k.q, found, ignoreNotExist(err)
}

// finishCut does steps 3 to 5, if a cut is under way.
func (r *recovery) finishCut() error {
	cut, aside, found, err := r.readCut()
	if err != nil || !found {
		return err
	}
	dir := asideDir(r.o.Dir)
	return runSteps(
		func() error {
			tmp := path.Join(dir, segmentName(aside, suffixTmp))
			return ignoreNotExist(r.o.FS.Rename(tmp, path.Join(dir, segmentName(aside, suffixLog))))
		},
		func() error { return r.o.FS.SyncDir(dir) },
		r.list,
		func() error { return r.cutSegments(cut) },
		func() error { return r.o.FS.SyncDir(r.o.Dir) },
		func() error { return r.o.FS.Remove(path.Join(r.o.Dir, cutName)) },
		func() error { return r.o.FS.SyncDir(r.o.Dir) },
	)
}

// cutSegments is step 4. It keeps the oldest segment if that begins at the cut and has a readable
// head. The flag of a removed segment is removed with it. The flag of the truncated segment stays,
// so that Open checks the segment. A segment with an unreadable header is renamed, not removed.
func (r *recovery) cutSegments(cut Position) error {
	for i, s := range slices.Backward(r.segs) {
		stays, err := s.first < cut, error(nil)
		if s.first == cut && i == 0 {
			stays, err = r.hasHead(s.segment)
		}
		switch {
		case err != nil:
			return err
		case stays && s.bad:
			return nil
		case stays:
			return r.withFile(s.segment, func(f File) error { return s.cut(f, cut) })
		}
		if s.bad && !failpoint.On(failpoint.R8UnknownRemoved) {
			err = renameUnknown(r.o.FS, r.o.Dir, path.Base(s.name()))
		} else {
			err = r.o.FS.Remove(s.name())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// hasHead reports whether the head of s can be read. The head of the oldest segment is the only
// record of the history before it, so it is worth keeping even if the first record is damaged.
func (r *recovery) hasHead(s *segment) (good bool, err error) {
	if s.bad {
		return false, nil
	}
	err = r.withFile(s, func(f File) error {
		_, err := readHead(f, s)
		return err
	})
	if _, damaged := errors.AsType[*DamageError](err); damaged {
		return false, nil
	}
	return err == nil, err
}

// cut ends the file of s at p. An earlier process may have done part of it and died before its
// sync.
func (s *segment) cut(f File, p Position) error {
	if size := s.offset(p); s.size > size {
		if err := f.Truncate(size); err != nil {
			return err
		}
	}
	if s.durable <= p {
		return f.Sync()
	}
	s.durable = p
	for _, at := range []int64{0, headerCopyOffset} {
		// Write and sync one after the other, so that one of the two is always good.
		if err := writeAt(f, s.header.appendTo(nil), at); err != nil {
			return err
		}
		if err := f.Sync(); err != nil {
			return err
		}
	}
	return nil
}

// appendDamage appends the head of a file in aside: offset, position, length of the file name, file
// name, and the reason up to the end.
func appendDamage(b []byte, d *DamageError) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(d.Offset))
	b = binary.LittleEndian.AppendUint64(b, uint64(d.Position))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(d.File)))
	b = append(b, d.File...)
	return append(b, d.Reason...)
}

func decodeDamage(b []byte) (*DamageError, bool) {
	if len(b) < 20 {
		return nil, false
	}
	n := binary.LittleEndian.Uint32(b[16:])
	d := &DamageError{Offset: int64(binary.LittleEndian.Uint64(b)), Position: Position(binary.LittleEndian.Uint64(b[8:]))}
	if b = b[20:]; uint64(n) > uint64(len(b)) {
		return nil, false
	}
	d.File, d.Reason = string(b[:n]), string(b[n:])
	return d, true
}

// listAside returns the segments that were set aside, oldest first. It removes unfinished files: a
// file without its final name is from a step 1 that did not end.
func listAside(disk FS, dir string) ([]*segment, error) {
	segs, left, err := findAside(disk, dir)
	for _, name := range left {
		if err == nil {
			err = disk.Remove(name)
		}
	}
	return segs, err
}

// findAside is listAside without changes to the disk.
func findAside(disk FS, dir string) (segs []*segment, left []string, err error) {
	names, err := disk.ReadDir(dir)
	if err != nil {
		return nil, nil, ignoreNotExist(err)
	}
	for _, name := range names {
		if _, ok := parseName(name, suffixTmp); ok {
			left = append(left, path.Join(dir, name))
		}
		first, ok := parseName(name, suffixLog)
		if !ok {
			continue
		}
		s, err := readSegment(disk, dir, first)
		if err != nil {
			return nil, nil, err
		}
		s.state, s.end = sealed, max(s.durable, s.first)
		if s.bad {
			s.end = s.first + 1 // reading it fails, so a cursor reports it
		}
		segs = append(segs, s)
	}
	return segs, left, nil
}

// openAside opens the segments that were set aside as a read-only log. It also returns the damage
// that was the reason. Both are nil if nothing is set aside.
func openAside(o Options) (*Log, *DamageError, error) {
	o.Dir = asideDir(o.Dir)
	segs, err := listAside(o.FS, o.Dir)
	if err != nil || len(segs) == 0 {
		return nil, nil, err
	}
	l := newLog(o)
	l.segs = segs
	l.end = segs[len(segs)-1].end
	l.written, l.durable = l.end, l.end
	return l, asideDamage(o.FS, segs[len(segs)-1]), nil
}

// asideDamage reads from the head of s why it was set aside. If the head is unreadable it returns a
// DamageError without details, so that the damage is not forgotten.
func asideDamage(disk FS, s *segment) *DamageError {
	d, known := (*DamageError)(nil), false
	err := withFile(disk, s.name(), func(f File) error {
		head, err := readHead(f, s)
		d, known = decodeDamage(head)
		return err
	})
	if err != nil || !known {
		return &DamageError{File: s.name(), Reason: "found earlier; its description is unreadable"}
	}
	return d
}

// Aside returns a cursor over the good records that this Open or an earlier one has set aside
// (Options.SetAside), in log order. Their positions are not positions of the log. The cursor is nil
// if nothing is set aside.
func (l *Log) Aside() (*Cursor, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return nil, l.err
	}
	if l.aside == nil {
		return nil, nil
	}
	return l.aside.Cursor(0), nil
}

// DropAside removes the records that were set aside. The owner calls it once it has merged them.
func (l *Log) DropAside() error {
	l.writeToken <- struct{}{}
	defer l.releaseWriteToken()
	l.mu.Lock()
	aside, err := l.aside, l.err
	l.mu.Unlock()
	if err != nil || aside == nil {
		return err
	}
	names, err := l.o.FS.ReadDir(aside.o.Dir)
	if err != nil {
		return fmt.Errorf("drop the set-aside records: %w", err)
	}
	for _, name := range names {
		if err := aside.dropFile(name); err != nil {
			return fmt.Errorf("drop the set-aside records: %w", err)
		}
	}
	if err := l.o.FS.SyncDir(aside.o.Dir); err != nil {
		return l.setFailed(fmt.Errorf("drop the set-aside records: %w", err))
	}
	l.mu.Lock()
	l.aside, l.damage = nil, nil
	l.mu.Unlock()
	return aside.Abandon()
}

// dropFile removes a file from aside if it is a segment or a damage flag. A segment with an unreadable
// header is renamed instead.
func (l *Log) dropFile(name string) error {
	first, isLog := parseName(name, suffixLog)
	_, isFlag := parseName(name, suffixBad)
	switch {
	case isLog && slices.ContainsFunc(l.segs, func(s *segment) bool { return s.first == first && s.bad }):
		return renameUnknown(l.o.FS, l.o.Dir, name)
	case isLog, isFlag:
		return l.o.FS.Remove(path.Join(l.o.Dir, name))
	}
	return nil
}

// Damage returns the damage before which this Open or an earlier one has cut the log
// (Options.SetAside). It is nil if there was none, and again after DropAside.
func (l *Log) Damage() *DamageError { return locked(&l.mu, &l.damage) }

// flagDamage makes the .bad file of s. Without it the next Open would not read the records of a
// sealed segment.
func flagDamage(disk FS, s *segment) error {
	f, err := disk.OpenFile(path.Join(s.dir, segmentName(s.first, suffixBad)), os.O_CREATE)
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return disk.SyncDir(s.dir)
}

// removeFlags removes the damage flags of segments that were found good or are gone.
func (r *recovery) removeFlags() error {
	for _, first := range slices.Sorted(maps.Keys(r.flagged)) {
		if err := ignoreNotExist(r.o.FS.Remove(path.Join(r.o.Dir, segmentName(first, suffixBad)))); err != nil {
			return err
		}
	}
	return nil
}
