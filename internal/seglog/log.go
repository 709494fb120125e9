package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"

	"github.com/holdfast-mq/holdfast/internal/crc"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// A Log is a segmented, append-only record log in a directory that it locks.
// It starts no goroutine: its owner decides when to write and when to sync.
// All methods are safe for concurrent use; Write and Sync take turns among
// themselves and don't block Append or readers while the disk works, nor does the
// sync of what is written block a Write of what comes later.
type Log struct {
	o    Options
	lock io.Closer

	// turn holds a token while somebody writes records: Write, Note, and Sync until it
	// has written. files holds one while somebody syncs, makes or removes files: Sync, a
	// Write that turns the page, Trim. Whoever needs both takes turn first. They are
	// channels, since they are held while the disk works.
	turn, files chan struct{}
	w           writer // used by the holder of turn; who closes its file holds files, too

	mu      sync.Mutex
	segs    []*segment // guarded by mu, oldest first, never empty
	tail    tail       // guarded by mu
	stage   *stage     // guarded by mu; nil: nothing is staged
	kept    Position   // guarded by mu: behind what is staged, in one piece with what is written; 0 once the log has failed
	end     Position   // guarded by mu: behind the newest frame
	records Position   // guarded by mu: behind the newest record that is the owner's
	taken   Position   // guarded by mu: what stands before belongs to a batch that is or was written
	written Position   // guarded by mu; changed by who has the turn
	durable Position   // guarded by mu; changed by who has the turn
	noted   Position   // guarded by mu: the highest durable position that a written note states
	err     error      // guarded by mu: why the log has failed or is closed

	aside  *Log         // guarded by mu: read only, nil if nothing is set aside
	damage *DamageError // guarded by mu: why something is
}

// Open opens the log in o.Dir, making it if there is none. It replays state
// into o.Owner, cuts a torn tail, writes what lies above the last durable note
// again to a fresh segment, and syncs log and directory before it returns
// (R7, R8). The error is a *DamageError where a durable record is bad.
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

func newLog(o Options) *Log {
	return &Log{o: o, turn: make(chan struct{}, 1), files: make(chan struct{}, 1), tail: newTail(o.TailBytes, o.SegmentBytes)}
}

// Append adds a record to the tail in memory, in one piece made of parts, and
// returns its position. It is readable at once, written by the next Write; see
// Keep for what is to survive the death of the process before that.
// It may seal the segment, calling Owner.Summary and Owner.Head.
func (l *Log) Append(kind uint8, parts ...[]byte) (Position, error) {
	p, _, err := l.append(kind, unsummed, 0, parts)
	return p, err
}

// AppendSummed is Append of a record of whose end the owner knows the sum: rest, the
// CRC-32C of all but its first head bytes. The log sums no more than these.
func (l *Log) AppendSummed(kind uint8, head int, rest uint32, parts ...[]byte) (Position, error) {
	p, _, err := l.AppendKept(kind, head, rest, parts...)
	return p, err
}

// AppendKept is AppendSummed that also says whether the record, and all before it, survives
// the death of the process already. If not, Keep sees to that.
func (l *Log) AppendKept(kind uint8, head int, rest uint32, parts ...[]byte) (p Position, kept bool, err error) {
	if head > headMost {
		head = unsummed
	}
	return l.append(kind, head, rest, parts)
}

// unsummed is the head of a record whose owner knows no sum.
const unsummed = -1

func (l *Log) append(kind uint8, head int, rest uint32, parts [][]byte) (p Position, kept bool, err error) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	if kind < ownerKind {
		panic(fmt.Sprintf("BUG: seglog.Append with a kind of seglog's own, %#x", kind))
	}
	if n > l.o.MaxRecord {
		return 0, false, fmt.Errorf("append %d bytes to log, %d are allowed: %w", n, l.o.MaxRecord, ErrTooLarge)
	}

	l.mu.Lock()
	defer l.mu.Unlock()
	if l.err != nil {
		return 0, false, l.err
	}
	if l.stage != nil && (l.end == l.written || mut.On(mut.DStageOverwritten)) {
		l.stage.empty(l.records)
	}
	s := l.prepareLocked(frameSize(n))
	p = l.end
	frame := l.tail.extend(p, frameSize(n))
	at := frame[frameHeader:frameHeader]
	for _, part := range parts {
		at = append(at, part...)
	}
	h := frameFields{length: n, head: head, kind: kind, rest: rest}
	if head == unsummed {
		h.head, h.rest = 0, crc.Bytes(0, at)
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

// prepareLocked makes ready for a frame of size bytes: with a fresh segment if
// the last one is full, and a note if the frame is the first of its batch. It
// returns the segment that takes the frame.
func (l *Log) prepareLocked(size int) *segment {
	batchEmpty := l.end == l.taken
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

// appendNoteLocked puts a note at the head of a batch; Write fills it in.
func (l *Log) appendNoteLocked() {
	frame := l.tail.extend(l.end, noteSize)
	sealNote(frame, l.lastLocked().salt, l.end, l.durable)
	l.advanceLocked(noteSize)
}

func (l *Log) advanceLocked(n int) {
	l.end += Position(n)
	l.lastLocked().end = l.end
}

// rollLocked ends the last segment and plans the next.
func (l *Log) rollLocked() *segment {
	old := l.lastLocked()
	old.summary = slices.Clone(l.o.Owner.Summary())
	s := newSegment(l.o.Dir, l.end, l.o.Owner.Head())
	l.segs = append(l.segs, s)
	return s
}

func (l *Log) lastLocked() *segment { return l.segs[len(l.segs)-1] }

// Write writes all that was appended to the file, headed by a note of how far
// the log is durable (R8). When it returns nil what was appended before the
// call survives the death of the process.
func (l *Log) Write() error {
	l.turn <- struct{}{}
	defer l.passTurn()
	return l.write()
}

// Sync writes, then makes durable all that was appended before the call, and
// returns the position behind it. An error is final: the log takes no more,
// every later call returns it (R7).
func (l *Log) Sync() (Position, error) {
	l.turn <- struct{}{}
	err := l.write()
	l.files <- struct{}{}
	defer l.passFiles()
	l.passTurn()
	if err != nil {
		return 0, err
	}
	return l.sync()
}

// Note writes the durable position once more, for a log that falls idle, so
// that the last batch is known as durable (R8). It does nothing if it is.
func (l *Log) Note() error {
	l.turn <- struct{}{}
	defer l.passTurn()
	return l.note()
}

func (l *Log) passTurn() { <-l.turn }

func (l *Log) passFiles() { <-l.files }

// First returns the position of the oldest record kept.
func (l *Log) First() Position {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.segs[0].first
}

// End returns the position behind the newest record appended.
func (l *Log) End() Position { return locked(&l.mu, &l.end) }

// Durable returns the position behind what this process has synced.
func (l *Log) Durable() Position { return locked(&l.mu, &l.durable) }

// Err returns why the log has failed or ErrClosed, nil while it works.
func (l *Log) Err() error { return locked(&l.mu, &l.err) }

// locked returns a value that mu guards.
func locked[T any](mu *sync.Mutex, value *T) T {
	mu.Lock()
	defer mu.Unlock()
	return *value
}

// Segments returns what the log consists of, oldest first.
func (l *Log) Segments() []Segment {
	l.mu.Lock()
	defer l.mu.Unlock()
	segs := make([]Segment, len(l.segs))
	for i, s := range l.segs {
		segs[i] = Segment{First: s.first, End: s.end, Bytes: s.size, Summary: s.summary}
	}
	return segs
}

// Size returns the bytes the log's files take on disk.
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

// Head returns the state record at the head of the segment that starts at
// first. If it is damaged the next Open makes it again, of what stands before it.
func (l *Log) Head(first Position) ([]byte, error) {
	l.mu.Lock()
	i, found := l.findLocked(first)
	if !found || l.segs[i].first != first {
		l.mu.Unlock()
		return nil, fmt.Errorf("head of segment %v: there is no such segment", first)
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
		err = errors.Join(err, mark(l.o.FS, s))
	}
	return head, err
}

// findLocked returns the index of the segment that holds p.
func (l *Log) findLocked(p Position) (int, bool) {
	i, _ := slices.BinarySearchFunc(l.segs, p+1, func(s *segment, p Position) int { return cmp.Compare(s.first, p) })
	return i - 1, i > 0
}

// Close syncs, notes that all is durable, and releases the directory.
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

// Abandon releases the directory without writing anything more, as a death
// of the process would.
func (l *Log) Abandon() error {
	l.turn <- struct{}{}
	defer l.passTurn()
	l.files <- struct{}{} // nobody works on the log any more
	defer l.passFiles()
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

// fail makes err the log's last word, unless it has had one.
func (l *Log) fail(err error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = cmp.Or(l.err, err)
	l.kept = 0
	return l.err
}
