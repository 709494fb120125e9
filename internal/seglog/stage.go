package seglog

import (
	"encoding/binary"
	"errors"
	"io"
	"os"
	"path"

	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

const (
	stageName        = "stage"
	stageMagic       = "hfsstage"
	stageEntryHeader = 24      // bytes before each frame in the stage
	maxStageBytes    = 1 << 30 // largest stage that is read
)

// A stage is a file that protects frames from the death of the process until one write puts many of
// them into their segment. If the system supports it the file is memory-mapped, so that staging a
// frame is a copy without a system call (doc.go).
type stage struct {
	file    File
	salt    uint32
	size    int64
	at      int64    // offset of the next entry
	lastEnd Position // end of the record that was staged last
	buf     []byte   // encodes an entry, reused
}

// openStage opens the stage of the log in o.Dir for new entries. Recovery has written the old ones
// to their segment. It returns nil, and removes the file, if the log is to have no stage.
func openStage(o Options) (*stage, error) {
	if err := renameIfForeign(o.FS, o.Dir, stageName, stageMagic); err != nil {
		return nil, err
	}
	name := path.Join(o.Dir, stageName)
	if o.StageBytes == 0 {
		return nil, ignoreNotExist(o.FS.Remove(name))
	}
	g := &stage{size: int64(o.StageBytes), at: headerSize, salt: newSalt()}
	f, err := o.FS.OpenFile(name, os.O_CREATE)
	if err == nil {
		err = errors.Join(f.Preallocate(g.size), f.Close())
	}
	if err == nil {
		g.file, err = o.FS.Map(name, g.size)
	}
	if err != nil {
		return nil, err
	}
	// The new salt invalidates all old entries.
	if err := writeAt(g.file, block{a: g.salt}.appendTo(nil, stageMagic), 0); err != nil {
		return nil, errors.Join(err, g.file.Close())
	}
	return g, nil
}

// reset makes the stage start over. All entries must have been written to their segment.
func (g *stage) reset(records Position) { g.at, g.lastEnd = headerSize, records }

// stageLocked stages the frame of a record if there is space and every earlier record is written or
// staged.
func (l *Log) stageLocked(s *segment, frame []byte, p Position) error {
	g, previousEnd := l.stage, l.records
	if g == nil || s.state != growing {
		return nil // applyStage can only find the segment if it has a file
	}
	if g.lastEnd != previousEnd || g.at+stageEntryHeader+int64(len(frame)) > g.size {
		return nil
	}
	g.buf = appendStageEntry(g.buf[:0], g.salt, s.salt, previousEnd, p, frame)
	if err := writeAt(g.file, g.buf, g.at); err != nil {
		return err
	}
	g.at += int64(len(g.buf))
	g.lastEnd = p + Position(len(frame))
	l.kept = g.lastEnd
	return nil
}

// appendStageEntry appends an encoded entry.
func appendStageEntry(b []byte, salt, segment uint32, previousEnd, p Position, frame []byte) []byte {
	b = append(b, 0, 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, segment)
	b = binary.LittleEndian.AppendUint64(b, uint64(previousEnd))
	b = binary.LittleEndian.AppendUint64(b, uint64(p))
	b = append(b, frame...)
	binary.LittleEndian.PutUint32(b, stageEntrySum(salt, b))
	return b
}

// stageEntrySum returns the checksum of an entry. It covers the entry's header and the frame's first
// checksum and length; the frame's own checksums cover the rest.
func stageEntrySum(salt uint32, entry []byte) uint32 {
	return crc.Bytes(salt, entry[4:stageEntryHeader+8])
}

// Keep makes the record at p and all before it survive the death of the process. It writes the
// records unless they are staged.
func (l *Log) Keep(p Position) error {
	l.mu.Lock()
	kept := p < l.kept
	l.mu.Unlock()
	if kept {
		return nil
	}
	return l.Write()
}

// A stageEntry is a frame that applyStage has found in the stage.
type stageEntry struct {
	segment     uint32 // the salt of its segment
	previousEnd Position
	at          Position
	frame       []byte
}

// readStage returns the entries of the stage in dir, in order. There are none if there is no stage.
func readStage(disk FS, dir string) (list []stageEntry, err error) {
	err = withFile(disk, path.Join(dir, stageName), func(f File) error {
		size, err := f.Size()
		if err != nil || size < headerSize || size > maxStageBytes {
			return err
		}
		var b [headerSize]byte
		if err := readAt(f, b[:], 0); err != nil {
			return err
		}
		if k, ok := decodeBlock(b[:], stageMagic); ok {
			list, err = decodeStage(f, size, k.a)
		}
		return err
	})
	return list, ignoreNotExist(err)
}

// decodeStage decodes entries as long as each follows its predecessor. After them there are entries
// of an earlier round, or zeros.
func decodeStage(f File, size int64, salt uint32) (list []stageEntry, err error) {
	for at := int64(headerSize); ; {
		e, ok, err := decodeStageEntry(f, at, size, salt)
		if err != nil || !ok {
			return list, err
		}
		if n := len(list); n > 0 && list[n-1].end() != e.previousEnd {
			return list, nil
		}
		list = append(list, e)
		at += stageEntryHeader + int64(len(e.frame))
	}
}

// maxNotes is a generous limit for the number of notes between two staged records. There is one
// before each batch, and one when the log has fallen idle.
const maxNotes = 64

// decodeStageEntry decodes the entry at an offset of the stage. ok is false if there is no good one.
func decodeStageEntry(f File, at, size int64, salt uint32) (e stageEntry, ok bool, err error) {
	var b [stageEntryHeader + frameHeader]byte
	if at+int64(len(b)) > size {
		return e, false, nil
	}
	if err := readAt(f, b[:], at); err != nil {
		return e, false, err
	}
	e.segment = binary.LittleEndian.Uint32(b[4:])
	e.previousEnd = Position(binary.LittleEndian.Uint64(b[8:]))
	e.at = Position(binary.LittleEndian.Uint64(b[16:]))
	if stageEntrySum(salt, b[:]) != binary.LittleEndian.Uint32(b[:]) || e.previousEnd > e.at || e.at >= maxPosition ||
		e.at-e.previousEnd > maxNotes*noteSize && !failpoint.On(failpoint.DLengthTrusted) {
		return e, false, nil
	}
	at += stageEntryHeader
	n := align(frameHeader + frameLength(b[stageEntryHeader:]))
	if n > size-at {
		return e, false, nil
	}
	if ok, err = goodFrameInFile(f, at, e.segment, e.at); !ok {
		return e, false, err
	}
	e.frame = make([]byte, n)
	return e, true, readAt(f, e.frame, at)
}

func (e *stageEntry) end() Position { return e.at + Position(len(e.frame)) }

// applyStage writes to the last segment the frames that the dead process had staged but not written.
// Each frame gets its own place, as if the process had written it itself. Doing this twice changes
// nothing.
func (r *recovery) applyStage() error {
	if failpoint.On(failpoint.DStageIgnored) {
		return nil
	}
	list, err := readStage(r.o.FS, r.o.Dir)
	if err != nil || len(list) == 0 {
		return err
	}
	if err := r.list(); err != nil || len(r.segs) == 0 {
		return err
	}
	s := r.last().segment
	return r.withFile(s, func(f File) error {
		frames, err := unwrittenFrames(f, s, framesFor(s, list))
		if err != nil || len(frames) == 0 {
			return err
		}
		if end := s.offset(frames[len(frames)-1].end()); end > s.size {
			if err := f.Preallocate(end); err != nil {
				return err
			}
		}
		for _, e := range frames {
			if err := writeAt(f, e.frame, s.offset(e.at)); err != nil {
				return err
			}
		}
		return nil
	})
}

// framesFor returns the staged frames that belong to s. It adds a note wherever a note was before
// a record. The content of that note is unknown, so the new one states the lowest possible
// position.
func framesFor(s *segment, list []stageEntry) (frames []stageEntry) {
	if s.bad || s.state == sealed || s.offset(list[0].previousEnd) > s.size {
		return nil
	}
	for _, e := range list {
		if e.segment != s.salt || e.previousEnd < s.first || (e.at-e.previousEnd)%noteSize != 0 {
			break
		}
		for at := e.previousEnd; at < e.at; at += noteSize {
			note := make([]byte, noteSize)
			encodeNote(note, s.salt, at, min(s.durable, at))
			frames = append(frames, stageEntry{segment: s.salt, at: at, frame: note})
		}
		frames = append(frames, e)
	}
	return frames
}

// unwrittenFrames returns the frames that are not in the file yet. If there is a good frame in a
// place, it is the same one, or a note that states a higher position.
func unwrittenFrames(f File, s *segment, frames []stageEntry) (unwritten []stageEntry, err error) {
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	for _, e := range frames {
		if s.offset(e.end()) <= size {
			existing := make([]byte, len(e.frame))
			if err := readAt(f, existing, s.offset(e.at)); err != nil {
				return nil, err
			}
			if _, good := goodFrame(existing, s.salt, e.at); good {
				continue
			}
		}
		unwritten = append(unwritten, e)
	}
	return unwritten, nil
}

// A patchedFile is the file of a segment as applyStage will leave it. Inspect uses it, since it writes
// nothing.
type patchedFile struct {
	File
	seg    *segment
	frames []stageEntry // not empty
}

// patch returns the file of the last segment s as applyStage would leave it.
func (r *recovery) patch(f File, s *segment) (File, error) {
	list, err := readStage(r.o.FS, r.o.Dir)
	if err != nil || len(list) == 0 {
		return f, err
	}
	frames, err := unwrittenFrames(f, s, framesFor(s, list))
	if err != nil || len(frames) == 0 {
		return f, err
	}
	return &patchedFile{File: f, seg: s, frames: frames}, nil
}

// Size implements File.
func (p *patchedFile) Size() (int64, error) {
	size, err := p.File.Size()
	return max(size, p.seg.offset(p.frames[len(p.frames)-1].end())), err
}

// ReadAt implements File.
func (p *patchedFile) ReadAt(b []byte, at int64) (int, error) {
	size, err := p.Size()
	if err != nil {
		return 0, err
	}
	n := int(min(int64(len(b)), max(size-at, 0)))
	got, err := p.File.ReadAt(b[:n], at)
	if err != nil && !errors.Is(err, io.EOF) {
		return got, err
	}
	clear(b[got:n])
	for _, e := range p.frames {
		if from := p.seg.offset(e.at) - at; from < int64(n) && from+int64(len(e.frame)) > 0 {
			copy(b[max(from, 0):n], e.frame[max(-from, 0):])
		}
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
