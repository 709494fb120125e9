package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A Log is a segmented, append-only record log in a directory, which it locks. It starts no
// goroutine: the owner decides when to write and when to sync. All methods are safe for concurrent
// use. Write and Sync serialise among themselves. They do not block Append or readers while the
// disk works, and the sync of written records does not block a Write of later ones.
type Log struct {
	o         Options
	lock      io.Closer
	recovered Recovered // constant

	// writeToken and fileToken are locks: a goroutine holds one while its token is in the channel.
	// They are channels because they are held during disk operations. writeToken is held to write
	// records: by Write, by Note, and by Sync until it has written. DropAside holds it to remove
	// the set-aside files. fileToken is held to sync, make or remove files: by Sync, by Trim, and
	// by a Write that begins a new segment. A goroutine that needs both takes writeToken first.
	writeToken, fileToken chan struct{}
	w                     writer // used by the holder of writeToken; changing its file, which fileToken syncs, needs both

	mu         sync.Mutex
	segs       []*segment // guarded by mu, oldest first, never empty
	tail       tail       // guarded by mu
	stage      *stage     // guarded by mu; nil: the log has no stage
	kept       Position   // guarded by mu: everything before is written or staged; 0 once the log has failed
	end        Position   // guarded by mu: end of the newest frame
	records    Position   // guarded by mu: end of the newest record of the owner
	batchedEnd Position   // guarded by mu: everything before belongs to a batch that is or was written
	written    Position   // guarded by mu; changed by the holder of writeToken
	durable    Position   // guarded by mu; changed by the holder of fileToken
	noted      Position   // guarded by mu: the highest durable position in a written note
	err        error      // guarded by mu: why the log has failed, or ErrClosed

	aside  *Log         // guarded by mu: the records set aside, read only; nil: none
	damage *DamageError // guarded by mu: why they were set aside
}

// Open opens the log in o.Dir and makes it if there is none. It replays the records into o.Owner,
// cuts a torn tail, writes the records above the last durable note again to a fresh segment, and
// syncs log and directory before it returns (R7, R8). If a durable record is bad the error is a
// *DamageError.
func Open(o Options) (*Log, error) {
	if err := o.validate(); err != nil {
		return nil, err
	}
	if err := o.FS.MkdirAll(o.Dir); err != nil {
		return nil, fmt.Errorf("open log %s: %w", o.Dir, err)
	}
	lock, err := o.FS.Lock(o.Dir)
	if err != nil {
		return nil, fmt.Errorf("open log %s: %w", o.Dir, err)
	}
	l, err := recoverLog(o)
	if err != nil {
		lock.Close()
		return nil, fmt.Errorf("open log %s: %w", o.Dir, err)
	}
	l.lock = lock
	return l, nil
}

// Recovered describes what Open has found.
type Recovered struct {
	Segments int
	Records  int   // that were read again: those of the last segment, and more after damage
	Torn     int64 // bytes at the end that were no whole record, and were cut off
	Unsynced int64 // bytes of records that no sync had covered, and that were written again
}

// Recovered returns what Open has found.
func (l *Log) Recovered() Recovered { return l.recovered }

func newLog(o Options) *Log {
	return &Log{o: o, writeToken: make(chan struct{}, 1), fileToken: make(chan struct{}, 1), tail: newTail(o.TailBytes, o.SegmentBytes)}
}

// Append adds a record, whose payload is the concatenation of parts, to the tail in memory and
// returns its position. Cursors can read it immediately, and the next Write writes it. See Keep for
// a record that must survive the death of the process earlier. Append may end a segment: it then
// calls Owner.Summary and Owner.Head.
func (l *Log) Append(kind uint8, parts ...[]byte) (Position, error) {
	p, _, err := l.append(kind, unsummed, 0, parts)
	return p, err
}

// AppendSummed is Append for an owner that already knows a checksum: rest is the CRC-32C of the
// payload without its first prefix bytes. The log then computes only the checksum of these bytes.
func (l *Log) AppendSummed(kind uint8, prefix int, rest uint32, parts ...[]byte) (Position, error) {
	p, _, err := l.AppendKept(kind, prefix, rest, parts...)
	return p, err
}

// AppendKept is AppendSummed. It also reports in kept whether the record and all before it already
// survive the death of the process. If not, call Keep.
func (l *Log) AppendKept(kind uint8, prefix int, rest uint32, parts ...[]byte) (p Position, kept bool, err error) {
	if prefix > maxPrefix {
		prefix = unsummed
	}
	return l.append(kind, prefix, rest, parts)
}

// unsummed is the value of prefix for a record whose owner has no checksum.
const unsummed = -1

func (l *Log) append(kind uint8, prefix int, rest uint32, parts [][]byte) (p Position, kept bool, err error) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if kind < ownerKind {
		panic(fmt.Sprintf("BUG: seglog.Append with a kind of seglog's own, %#x", kind))
	}
	if n > l.o.MaxRecord {
		return 0, false, fmt.Errorf("append %d bytes to log, above the limit of %d: %w", n, l.o.MaxRecord, ErrTooLarge)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, false, l.err
	}
	if l.stage != nil && (l.end == l.written || failpoint.On(failpoint.DStageOverwritten)) {
		l.stage.reset(l.records)
	}
	s := l.prepareLocked(frameSize(n))
	p = l.end
	frame := l.tail.extend(p, frameSize(n))
	at := frame[frameHeader:frameHeader]
	for _, part := range parts {
		at = append(at, part...)
	}
	h := frameFields{length: n, prefix: prefix, kind: kind, rest: rest}
	if prefix == unsummed {
		h.prefix, h.rest = 0, crc.Bytes(0, at)
	}
	h.put(frame, h.sum(s.salt, p, parts...))
	if err := l.stageLocked(s, frame, p); err != nil {
		l.err = fmt.Errorf("stage a record: %w", err)
		l.kept = 0
		return 0, false, l.err
	}
	l.advanceLocked(len(frame))
	l.records = l.end
	return p, p < l.kept, nil
}

// prepareLocked prepares the log for a frame of size bytes. It begins a new segment if the last one
// is full, and appends a note if the frame is the first of its batch. It returns the segment that
// takes the frame.
func (l *Log) prepareLocked(size int) *segment {
	batchEmpty := l.end == l.batchedEnd
	need := int64(size)
	if batchEmpty {
		need += noteSize
	}
	s := l.lastLocked()
	if used := int64(l.end - s.first); used > 0 && used+need > l.o.SegmentBytes {
		s = l.rollLocked()
	}
	if batchEmpty {
		l.appendNoteLocked()
	}
	return s
}

// appendNoteLocked begins a batch with a note. Write fills in the durable position.
func (l *Log) appendNoteLocked() {
	frame := l.tail.extend(l.end, noteSize)
	encodeNote(frame, l.lastLocked().salt, l.end, l.durable)
	l.advanceLocked(noteSize)
}

func (l *Log) advanceLocked(n int) {
	l.end += Position(n)
	l.lastLocked().end = l.end
}

// rollLocked ends the last segment and adds the next one. Write will make its file.
func (l *Log) rollLocked() *segment {
	old := l.lastLocked()
	old.summary = slices.Clone(l.o.Owner.Summary())
	s := newSegment(l.o.Dir, l.end, l.o.Owner.Head())
	l.segs = append(l.segs, s)
	return s
}

func (l *Log) lastLocked() *segment { return l.segs[len(l.segs)-1] }

// Write writes all appended records to the file, after a note of the durable position (R8). Once it
// has returned nil, the records that were appended before the call survive the death of the
// process.
func (l *Log) Write() error {
	l.writeToken <- struct{}{}
	defer l.releaseWriteToken()
	return l.write()
}

// Sync writes all records that were appended before the call, makes them durable, and returns their
// end position. An error is final: the log takes no more records, and every later call returns the
// error (R7).
func (l *Log) Sync() (Position, error) {
	l.writeToken <- struct{}{}
	err := l.write()
	l.fileToken <- struct{}{}
	defer l.releaseFileToken()
	l.releaseWriteToken()
	if err != nil {
		return 0, err
	}
	return l.sync()
}

// Note writes the durable position once more. An owner calls it when the log falls idle, so that
// the last batch is known to be durable (R8). If a note already says so, Note does nothing.
func (l *Log) Note() error {
	l.writeToken <- struct{}{}
	defer l.releaseWriteToken()
	return l.note()
}

func (l *Log) releaseWriteToken() { <-l.writeToken }

func (l *Log) releaseFileToken() { <-l.fileToken }

// First returns the position of the oldest record in the log.
func (l *Log) First() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segs[0].first
}

// End returns the end position of the newest appended record.
func (l *Log) End() Position { return locked(&l.mu, &l.end) }

// Durable returns the end position of the records that this process has synced.
func (l *Log) Durable() Position { return locked(&l.mu, &l.durable) }

// Err returns the error that the log has failed with, or ErrClosed. It is nil while the log works.
func (l *Log) Err() error { return locked(&l.mu, &l.err) }

// locked returns a value that is guarded by mu.
func locked[T any](mu *sync.Mutex, value *T) T {
	mu.Lock()
	defer mu.Unlock()
	return *value
}

// Segments returns the segments of the log, oldest first.
func (l *Log) Segments() []Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	segs := make([]Segment, len(l.segs))
	for i, s := range l.segs {
		segs[i] = Segment{First: s.first, End: s.end, Bytes: s.size, Summary: s.summary}
	}
	return segs
}

// ReleaseSummary frees the memory of the summary of the segment that begins at first. From then on
// Segments returns none for it. An owner calls it once it has decoded the summary.
func (l *Log) ReleaseSummary(first Position) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range l.segs {
		if s.first == first {
			s.decoded = true
			s.dropSummary()
		}
	}
}

// Size returns the size of the log's files on disk, in bytes, set-aside files included.
func (l *Log) Size() int64 {
	l.mu.Lock()
	var n int64
	for _, s := range l.segs {
		n += s.size
	}
	aside := l.aside
	l.mu.Unlock()
	if aside != nil {
		n += aside.Size()
	}
	return n
}

// Unused returns the bytes at the end of the newest file that are reserved for further records.
func (l *Log) Unused() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, s := range slices.Backward(l.segs) {
		if s.state == growing {
			return max(0, s.size-s.offset(min(s.end, l.written)))
		}
	}
	return 0
}

// Head returns the owner's state at the head of the segment that starts at first. If the head is
// damaged, Head flags the segment, and the next Open rebuilds the head from earlier records.
func (l *Log) Head(first Position) ([]byte, error) {
	l.mu.Lock()
	i, found := l.findLocked(first)
	if !found || l.segs[i].first != first {
		l.mu.Unlock()
		return nil, fmt.Errorf("head of segment %v: no segment begins there", first)
	}
	s := l.segs[i]
	if s.state == planned {
		defer l.mu.Unlock()
		return slices.Clone(s.head), nil
	}
	l.mu.Unlock()

	f, err := l.o.FS.OpenFile(s.name(), 0)
	if err != nil {
		return nil, fmt.Errorf("head of segment: %w", err)
	}
	defer f.Close()
	head, err := readHead(f, s)
	if _, damaged := errors.AsType[*DamageError](err); damaged {
		err = errors.Join(err, flagDamage(l.o.FS, s))
	}
	return head, err
}

// findLocked returns the index of the segment that contains p.
func (l *Log) findLocked(p Position) (int, bool) {
	i, _ := slices.BinarySearchFunc(l.segs, p+1, func(s *segment, p Position) int { return cmp.Compare(s.first, p) })
	return i - 1, i > 0
}

// Close syncs, writes a note that all is durable, and releases the directory.
func (l *Log) Close() error {
	_, err := l.Sync()
	if err == nil {
		err = l.Note()
	}
	if errors.Is(err, ErrClosed) {
		return nil
	}
	return errors.Join(err, l.Abandon())
}

// Abandon releases the directory without writing anything, as if the process had died.
func (l *Log) Abandon() error {
	l.writeToken <- struct{}{}
	defer l.releaseWriteToken()
	l.fileToken <- struct{}{} // now no other call works on the log
	defer l.releaseFileToken()
	l.mu.Lock()
	first := !errors.Is(l.err, ErrClosed)
	l.err = ErrClosed
	l.kept = 0
	aside, stage := l.aside, l.stage
	l.stage = nil
	l.mu.Unlock()
	if !first {
		return nil
	}
	var err error
	if l.w.file != nil {
		err = l.w.file.Close()
	}
	if stage != nil {
		err = errors.Join(err, stage.file.Close())
	}
	if aside != nil {
		aside.Abandon()
	}
	if l.lock != nil {
		err = errors.Join(err, l.lock.Close())
	}
	return err
}

// setFailed records err as the reason why the log has failed, unless it has one. It returns the
// reason.
func (l *Log) setFailed(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = cmp.Or(l.err, err)
	l.kept = 0
	return l.err
}
