package seglog

import (
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"path"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A writer is the state of the holder of writeToken.
type writer struct {
	file  File     // the file of seg
	seg   *segment // the last segment that has a file
	batch []span   // reused by the next batch
}

// A span is a part of a batch: frames that are in one segment and in one chunk.
type span struct {
	seg *segment
	at  Position
	b   []byte
}

func newSegment(dir string, first Position, head []byte) *segment {
	return &segment{
		header: header{
			salt: newSalt(), first: first, durable: first,
			headLen: uint32(len(head)), headSum: checksum(head),
		},
		dir:  dir,
		head: append([]byte(nil), head...),
		end:  first,
	}
}

func newSalt() uint32 {
	var salt [4]byte
	rand.Read(salt[:]) // never fails
	return binary.LittleEndian.Uint32(salt[:])
}

// write writes the pending frames. The caller holds writeToken.
func (l *Log) write() error {
	l.mu.Lock()
	if l.err != nil {
		defer l.mu.Unlock()
		return l.err
	}
	to, noted := l.end, l.durable
	l.takeBatchLocked()
	l.mu.Unlock()

	for _, s := range l.w.batch {
		if err := l.writeSpan(s); err != nil {
			return l.setFailed(fmt.Errorf("write log: %w", err))
		}
	}
	if len(l.w.batch) == 0 {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.written, l.noted = to, noted
	l.tail.evict(l.o.TailBytes, l.written)
	return nil
}

// takeBatchLocked puts the durable position into the note that begins the pending frames, and
// splits the frames into spans. These frames do not change any more.
func (l *Log) takeBatchLocked() {
	clear(l.w.batch)
	l.w.batch = l.w.batch[:0]
	if l.end == l.written {
		return
	}
	l.batchedEnd = l.end
	i, _ := l.findLocked(l.written)
	encodeNote(l.tail.from(l.written)[:noteSize], l.segs[i].salt, l.written, l.durable)
	for at := l.written; at < l.end; {
		s := l.segs[i]
		b := l.tail.from(at)
		b = b[:min(len(b), int(s.end-at))]
		l.w.batch = append(l.w.batch, span{s, at, b})
		at += Position(len(b))
		if at == s.end {
			i++
		}
	}
}

func (l *Log) writeSpan(s span) error {
	if l.w.seg != s.seg {
		if err := l.switchSegment(s.seg); err != nil {
			return err
		}
	}
	at := s.seg.offset(s.at)
	if end := at + int64(len(s.b)); end > s.seg.size {
		size, err := preallocate(l.w.file, max(end, s.seg.dataStart()+l.o.SegmentBytes), end)
		if err != nil {
			return err
		}
		l.setSize(s.seg, size)
	}
	return writeAt(l.w.file, s.b, at)
}

// writeAt writes all of b. It also reports a short write for which the file returned no error.
func writeAt(f File, b []byte, at int64) error {
	n, err := f.WriteAt(b, at)
	if err == nil && n < len(b) {
		err = fmt.Errorf("wrote %d of %d bytes at %d", n, len(b), at)
	}
	return err
}

// switchSegment syncs and seals the current segment and makes the file of the next one. A segment
// must be completely durable before its successor takes records.
func (l *Log) switchSegment(next *segment) error {
	l.fileToken <- struct{}{}
	defer l.releaseFileToken()
	old := l.w.seg
	if err := l.syncFile(); err != nil {
		return err
	}
	l.mu.Lock()
	l.written, l.durable = old.end, old.end // no other sync is running
	summary := old.summary
	l.mu.Unlock()

	size, err := seal(l.w.file, old, old.end, summary)
	if err != nil {
		return err
	}
	l.setSize(old, size)
	if err := l.w.file.Close(); err != nil {
		return err
	}
	l.w.file = nil
	f, size, err := create(l.o.FS, next, l.o.SegmentBytes, min(l.o.SegmentBytes, minRoom), nil)
	if err != nil {
		return err
	}
	l.w.file, l.w.seg = f, next
	l.mu.Lock()
	defer l.mu.Unlock()
	old.state, next.state, next.size, next.head = sealed, growing, size, nil
	old.dropSummary()
	return nil
}

func (l *Log) setSize(s *segment, size int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s.size = size
}

// seal writes summary and footer after the records of s and truncates the file there. The records
// end at end and must be durable.
func seal(f File, s *segment, end Position, summary []byte) (size int64, err error) {
	ft := footer{summaryLen: uint32(len(summary)), summarySum: checksum(summary), first: s.first, end: end}
	b := ft.appendTo(append([]byte(nil), summary...))
	at := s.offset(end)
	size = at + int64(len(b))
	if err := writeAt(f, b, at); err != nil {
		return 0, err
	}
	if err := f.Truncate(size); err != nil {
		return 0, err
	}
	return size, f.Sync()
}

// create makes the file of the planned segment s, with space for capacity bytes of records, or for
// least bytes on a full disk. It writes to a temporary name first, so that a file with the final
// name is always complete. If fill is not nil it writes records before the rename. Afterwards the
// file and its name are durable.
func create(fs FS, s *segment, capacity, least int64, fill func(File) error) (f File, size int64, err error) {
	err = writeFile(fs, path.Join(s.dir, segmentName(s.first, suffixTmp)), func(f File) (err error) {
		if size, err = preallocate(f, s.dataStart()+capacity, s.dataStart()+least); err == nil {
			err = writeAt(f, s.appendStart(nil, s.head), 0)
		}
		if err == nil && fill != nil {
			err = fill(f)
		}
		return err
	})
	if err == nil {
		err = rename(fs, s.dir, segmentName(s.first, suffixTmp), segmentName(s.first, suffixLog))
	}
	if err != nil {
		return nil, 0, err
	}
	f, err = fs.OpenFile(s.name(), 0)
	if err == nil && failpoint.On(failpoint.DRenameBeforeSync) {
		err = f.Sync()
	}
	return f, size, err
}

// sync makes the written records durable. The caller holds fileToken.
func (l *Log) sync() (Position, error) {
	// Only records that were written before the sync begins count as durable (R7).
	l.mu.Lock()
	to, done := l.written, l.written == l.durable
	l.mu.Unlock()
	if done {
		return to, nil
	}
	if err := l.syncFile(); err != nil {
		return 0, l.setFailed(fmt.Errorf("sync log: %w", err))
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.durable = max(l.durable, to)
	return to, nil
}

func (l *Log) syncFile() error {
	err := l.w.file.Sync()
	if err != nil && failpoint.On(failpoint.DRetrySync) {
		err = l.w.file.Sync()
	}
	if failpoint.On(failpoint.R7IgnoreSyncError) {
		return nil
	}
	return err
}

// note writes a batch that consists of a note only, unless a written note already states the
// durable position. The caller holds writeToken.
func (l *Log) note() error {
	l.mu.Lock()
	if l.err != nil {
		defer l.mu.Unlock()
		return l.err
	}
	known := l.noted >= min(l.durable, l.records)
	if !known && l.end == l.batchedEnd {
		l.appendNoteLocked()
	}
	l.mu.Unlock()
	if known {
		return nil
	}
	return l.write()
}
