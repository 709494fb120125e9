package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A recovery is the state of Open. Its main steps are list, inspect, replay and
// rewriteUnsynced.
type recovery struct {
	o          Options
	segs       []*foundSegment
	flagged    map[Position]bool // segments that have a .bad file
	unfinished []string          // unfinished files
	unknown    []string          // files whose headers are not ours

	// These describe the last segment, as inspect found it.
	end     Position // end of the last good record
	noted   Position // highest note: everything before was durable
	dataEnd Position // end of the last byte that is not zero
	inPlace bool     // no record needs to be written again: the log continues at end

	found     Recovered
	start     int      // index of the segment that the replay begins with
	successor *segment // the successor of the last segment if the log is cut; nil: not cut yet
	file      File     // of the last segment
}

// A foundSegment is a segment on the disk, and the repairs that Open must make to it.
type foundSegment struct {
	*segment
	next        Position // start of the next segment; maxPosition: this is the last one
	unsealed    bool     // summary and footer must be made again
	headless    bool     // the head must be rebuilt; false for all before recovery.start
	replacement *segment // replaces a headless segment, once its head is known
}

func (s *foundSegment) last() bool { return s.next == maxPosition }

func recoverLog(o Options) (*Log, error) {
	r := &recovery{o: o}
	err := r.run()
	if err != nil {
		if r.file != nil {
			r.file.Close()
		}
		return nil, err
	}
	return r.log()
}

func (r *recovery) run() error {
	apply := func() error {
		if err := r.applyStage(); err != nil {
			return fmt.Errorf("apply the stage: %w", err)
		}
		return nil
	}
	return runSteps(r.refuseNewer, r.finishCut, apply, r.inspectAndCut, r.replay, r.rewriteUnsynced, r.removeFlags)
}

// inspectAndCut inspects the log, and cuts it before damage if SetAside allows that, until no
// damage is left.
func (r *recovery) inspectAndCut() error {
	for cut := maxPosition; ; {
		if err := r.list(); err != nil {
			return err
		}
		err := r.inspect()
		var d *DamageError
		if !errors.As(err, &d) || !r.o.SetAside || d.Position >= cut {
			return err
		}
		cut = d.Position // smaller each time, so this ends
		if err := r.setAside(d); err != nil {
			return fmt.Errorf("set aside the records after damage: %w", err)
		}
	}
}

// list finds the segments, reads their headers and footers, and removes unfinished files.
func (r *recovery) list() error {
	if err := r.find(); err != nil {
		return err
	}
	for _, name := range r.unfinished {
		if err := r.o.FS.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// find is list without changes to the disk.
func (r *recovery) find() error {
	names, err := r.o.FS.ReadDir(r.o.Dir)
	if err != nil {
		return err
	}
	r.segs, r.start, r.flagged, r.unfinished, r.unknown = nil, 0, make(map[Position]bool), nil, nil
	for _, name := range names {
		if strings.HasSuffix(name, suffixUnknown) {
			r.unknown = append(r.unknown, r.o.Dir+"/"+name)
		}
		if _, ok := parseName(name, suffixTmp); ok || name == cutName+suffixTmp {
			r.unfinished = append(r.unfinished, r.o.Dir+"/"+name)
		}
		if first, ok := parseName(name, suffixBad); ok {
			r.flagged[first] = true
		}
		if first, ok := parseName(name, suffixLog); ok {
			s, err := readSegment(r.o.FS, r.o.Dir, first)
			if err != nil {
				return err
			}
			r.segs = append(r.segs, &foundSegment{segment: s})
		}
	}
	slices.SortFunc(r.segs, func(a, b *foundSegment) int { return cmp.Compare(a.first, b.first) })
	r.chain()
	return nil
}

// chain sets the next field of each segment.
func (r *recovery) chain() {
	next := maxPosition
	for _, s := range slices.Backward(r.segs) {
		s.next, next = next, s.first
	}
}

// last returns the last segment, nil if there is none.
func (r *recovery) last() *foundSegment {
	if len(r.segs) == 0 {
		return nil
	}
	return r.segs[len(r.segs)-1]
}

// readSegment reads the header and the footer of a segment.
func readSegment(disk FS, dir string, first Position) (*segment, error) {
	s := &segment{header: header{first: first}, dir: dir, end: first, state: growing}
	err := withFile(disk, s.name(), func(f File) (err error) {
		if s.size, err = f.Size(); err == nil {
			err = s.readHeader(f)
		}
		if err == nil && !s.bad {
			err = s.readFooter(f)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", s.name(), err)
	}
	return s, nil
}

// readHeader uses the first of the two headers that is good.
func (s *segment) readHeader(f File) error {
	for _, at := range []int64{0, headerCopyOffset} {
		var b [headerSize]byte
		if at+headerSize > s.size {
			break
		}
		if err := readAt(f, b[:], at); err != nil {
			return err
		}
		var h header
		if h.decode(b[:]) && h.first == s.first && h.dataStart() <= s.size {
			s.header = h
			return nil
		}
	}
	s.bad = true
	return nil
}

// readFooter takes summary and end from the footer, if the file ends with a good one.
func (s *segment) readFooter(f File) error {
	if s.size < s.dataStart()+footerSize {
		return nil
	}
	var b [footerSize]byte
	if err := readAt(f, b[:], s.size-footerSize); err != nil {
		return err
	}
	var ft footer
	if !ft.decode(b[:]) || ft.first != s.first ||
		s.offset(ft.end)+int64(ft.summaryLen)+footerSize != s.size {
		return nil
	}
	summary, good, err := readSummed(f, s.offset(ft.end), ft.summaryLen, ft.summarySum)
	if good {
		s.state, s.end, s.summary = sealed, ft.end, summary
	}
	return err
}

// readHead reads the owner's state at the head of s.
func readHead(f File, s *segment) ([]byte, error) {
	head, good, err := readSummed(f, headOffset, s.headLen, s.headSum)
	if err != nil {
		return nil, fmt.Errorf("head of %s: %w", s.name(), err)
	}
	if !good {
		return nil, badHead(s)
	}
	return head, nil
}

func badHead(s *segment) *DamageError {
	return &DamageError{File: s.name(), Offset: headOffset, Position: s.first, Reason: "bad head"}
}

// inspect looks for damage, oldest segment first, and finds the end of the log.
func (r *recovery) inspect() error {
	if len(r.segs) == 0 {
		return nil
	}
	if err := r.chooseStart(); err != nil {
		return err
	}
	for i, s := range r.segs {
		if s.bad {
			return &DamageError{File: s.name(), Position: s.first, Reason: reasonHeader}
		}
		if !s.last() {
			if err := r.inspectOld(s, i >= r.start); err != nil {
				return err
			}
		}
	}
	return r.withFile(r.last().segment, r.inspectLast)
}

const reasonHeader = "bad header"

// headCheckBytes is the size of the newest part of a log in which Open checks every head.
const headCheckBytes = 32 << 20

// chooseStart finds the segment that the replay begins with. It is the last one, or an earlier one
// if a summary or head must be rebuilt, and in any case one with a known head.
func (r *recovery) chooseStart() error {
	r.start = len(r.segs) - 1
	for i, s := range r.segs {
		// A footer with another end is older than a cut of the log.
		s.unsealed = !s.last() && (s.state != sealed || s.end != s.next)
		if s.unsealed {
			r.start = min(r.start, i)
		}
	}
	at, known, err := r.knownHead(r.start)
	if err != nil {
		return err
	}
	if !known {
		return badHead(r.segs[at].segment)
	}
	r.start = at
	return r.chooseHeads()
}

// chooseHeads finds the heads that must be rebuilt. Among the segments that are not replayed it
// checks only the newest and the flagged ones. It leaves a bad head as it is if the state before it
// is unknown.
func (r *recovery) chooseHeads() error {
	end := r.last().first
	for i, s := range slices.Backward(r.segs) {
		if s.bad || i < r.start && end-s.first > headCheckBytes && !r.flagged[s.first] {
			continue
		}
		good, err := r.hasHead(s.segment)
		if err != nil {
			return err
		}
		if good {
			continue
		}
		at, known, err := r.knownHead(i)
		if err != nil {
			return err
		}
		if known {
			s.headless, r.start = true, min(r.start, at)
		}
	}
	return nil
}

// knownHead returns the last segment, up to index i, for which the state before its records is
// known: its head is good, or it begins at position 0. If there is none it returns index 0 and
// known is false.
func (r *recovery) knownHead(i int) (at int, known bool, err error) {
	for ; ; i-- {
		s := r.segs[i]
		good, err := r.hasHead(s.segment)
		if err != nil {
			return 0, false, err
		}
		if good || s.bad || s.first == 0 { // if s is bad, inspect reports it
			return i, true, nil
		}
		if i == 0 {
			return 0, false, nil
		}
	}
}

func (r *recovery) withFile(s *segment, do func(File) error) error {
	return withFile(r.o.FS, s.name(), do)
}

// inspectOld checks a segment that is not the last one: everything in it was durable. A sealed
// segment that is neither replayed nor flagged needs no check of its records.
func (r *recovery) inspectOld(s *foundSegment, replayed bool) error {
	if s.state == sealed && s.end < s.next {
		return &DamageError{File: s.name(), Offset: s.offset(s.end), Position: s.end, Reason: "the next segment is missing"}
	}
	if !s.unsealed && !replayed && !r.flagged[s.first] {
		return nil
	}
	return r.withFile(s.segment, func(f File) error {
		end, err := eachFrame(f, s.segment, s.first, s.next, func(Record) error { return nil })
		if err == nil && end != s.next {
			return &DamageError{File: s.name(), Offset: s.offset(end), Position: end, Reason: "bad record"}
		}
		return err
	})
}

// inspectLast decides whether the last segment ends with a torn tail or is damaged (R8).
func (r *recovery) inspectLast(f File) error {
	s := r.last().segment
	limit := maxPosition
	r.noted = s.durable
	if s.state == sealed {
		// Its records were synced before the footer was written.
		limit, r.noted = s.end, max(r.noted, s.end)
	}
	onlyNote, err := r.readNotes(f, s, limit)
	if err != nil {
		return err
	}
	r.dataEnd = r.end
	if s.state != sealed {
		rest, err := readRemainder(f, s, r.end)
		if err != nil {
			return err
		}
		r.dataEnd, r.noted = rest.end, max(r.noted, rest.noted)
	}
	if r.end < r.noted {
		return &DamageError{File: s.name(), Offset: s.offset(r.end), Position: r.end, Reason: "bad record"}
	}
	r.found.Torn = max(int64(r.dataEnd-r.end), 0) // the note that the log continues over is not torn
	r.decideInPlace(onlyNote)
	if r.found.Unsynced = 0; !r.inPlace && r.end > r.noted {
		r.found.Unsynced = int64(r.end - r.noted)
	}
	return nil
}

// readNotes finds the end of the good records of s and the highest note among them. onlyNote
// reports whether the last record is a note which says that everything before it is durable.
func (r *recovery) readNotes(f File, s *segment, limit Position) (onlyNote bool, err error) {
	r.end, err = eachFrame(f, s, s.first, limit, func(rec Record) error {
		p, isNote := rec.noted()
		if isNote {
			r.noted = max(r.noted, p)
		}
		onlyNote = isNote && p == rec.Position
		return nil
	})
	return onlyNote, err
}

// decideInPlace decides whether the log can continue in the last segment. That is so if nothing
// follows the highest note's position, or only a note that states this very position. The next
// batch begins with the same note, byte for byte.
func (r *recovery) decideInPlace(onlyNote bool) {
	s := r.last()
	tidy := r.dataEnd <= r.end && s.state != sealed && !s.headless
	onlyNote = onlyNote && r.end-noteSize == r.noted
	r.inPlace = tidy && (r.noted == r.end || onlyNote)
	if r.inPlace && onlyNote {
		r.end = r.noted
	}
	r.inPlacePlanted(tidy)
}

// replay restores the owner's state.
func (r *recovery) replay() error {
	segs := r.segs[r.start:]
	if len(segs) > 0 && !segs[0].headless {
		if err := r.withFile(segs[0].segment, func(f File) error { return r.replayHead(f, segs[0].segment) }); err != nil {
			return err
		}
	}
	for _, s := range segs {
		if err := r.withFile(s.segment, func(f File) error { return r.replaySegment(f, s) }); err != nil {
			return err
		}
	}
	if !r.inPlace && r.successor == nil {
		r.cutAt(r.end)
	}
	r.amend(segs)
	return nil
}

// amend lets the owner amend the summaries that replay has made.
func (r *recovery) amend(segs []*foundSegment) {
	a, is := r.o.Owner.(Amender)
	for _, s := range segs {
		if is && (!s.last() || r.successor != nil) && s.summary != nil {
			s.summary = slices.Clone(a.Amend(s.summary))
		}
	}
}

func (r *recovery) replayHead(f File, s *segment) error {
	head, err := readHead(f, s)
	if err != nil || len(head) == 0 {
		return err
	}
	if err := r.o.Owner.RecoverHead(head); err != nil {
		return fmt.Errorf("recover head: %w", err)
	}
	return nil
}

func (r *recovery) replaySegment(f File, s *foundSegment) error {
	end := s.next
	if s.last() {
		end = r.end
	}
	if s.headless && !s.last() {
		s.replacement = newSegment(r.o.Dir, s.first, r.o.Owner.Head())
	}
	_, err := eachFrame(f, s.segment, s.first, end, func(rec Record) error {
		if s.last() && !r.inPlace && r.successor == nil && (s.headless || rec.Position >= r.noted) {
			r.cutAt(rec.Position)
		}
		if rec.Kind < ownerKind {
			return nil
		}
		r.found.Records++
		if err := r.o.Owner.Recover(rec); err != nil {
			return fmt.Errorf("recover record at %d: %w", rec.Position, err)
		}
		return nil
	})
	if err == nil && !s.last() {
		s.end, s.summary = end, slices.Clone(r.o.Owner.Summary())
	}
	return err
}

// cutAt ends the last segment at p and begins a fresh one there, as Append would do.
func (r *recovery) cutAt(p Position) {
	if old := r.last(); old != nil && p > old.first {
		old.unsealed = old.state != sealed || old.end != p
		old.end, old.summary = p, slices.Clone(r.o.Owner.Summary())
	}
	r.successor = newSegment(r.o.Dir, p, r.o.Owner.Head())
}

// rewriteUnsynced writes the records above the highest note again, to a fresh segment. After that,
// this process has synced every record that it found (R7). If the last segment has no good head,
// rewriteUnsynced writes all of it again.
func (r *recovery) rewriteUnsynced() error {
	if err := r.restoreHeads(); err != nil {
		return err
	}
	if r.inPlace {
		return r.reopenLast()
	}
	fresh := r.successor
	// The segment gets its name after it was synced, so its header may state that it is durable.
	fresh.durable, fresh.end = max(r.end, fresh.first), max(r.end, fresh.first)
	var old *segment
	if last := r.last(); last != nil {
		old = last.segment
	}
	f, err := r.rewrite(fresh, max(r.o.SegmentBytes, int64(fresh.end-fresh.first)), old)
	if err != nil {
		return err
	}
	r.file, fresh.state = f, growing

	if old != nil && old.first == fresh.first {
		r.segs = r.segs[:len(r.segs)-1] // the file was replaced by rewrite
	}
	if err := r.sealOld(); err != nil {
		return err
	}
	r.segs = append(r.segs, &foundSegment{segment: fresh})
	r.chain()
	return nil
}

// restoreHeads writes each headless segment before the last one again, with the head that replay
// has rebuilt.
func (r *recovery) restoreHeads() error {
	for _, s := range r.segs {
		if s.replacement == nil {
			continue
		}
		fresh, old := s.replacement, s.segment
		fresh.durable, fresh.end, fresh.summary = old.end, old.end, old.summary
		f, err := r.rewrite(fresh, int64(fresh.end-fresh.first), old)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
		s.segment, s.unsealed = fresh, true
	}
	return nil
}

// rewrite makes the file of fresh and copies the records of its range from old.
func (r *recovery) rewrite(fresh *segment, capacity int64, old *segment) (File, error) {
	least := max(int64(fresh.end-fresh.first), min(capacity, minRoom))
	f, size, err := create(r.o.FS, fresh, capacity, least, func(to File) error {
		if fresh.end == fresh.first {
			return nil
		}
		return r.withFile(old, func(from File) error { return copyFrames(to, fresh, from, old) })
	})
	fresh.size, fresh.head = size, nil
	return f, err
}

// reopenLast opens the last segment for the next batch.
func (r *recovery) reopenLast() error {
	s := r.last()
	f, err := r.o.FS.OpenFile(s.name(), 0)
	if err != nil {
		return err
	}
	r.file, s.end = f, r.end
	if failpoint.On(failpoint.R7TrustPageCache) {
		return nil
	}
	if err := f.Sync(); err != nil {
		return err
	}
	if err := r.o.FS.SyncDir(r.o.Dir); err != nil {
		return err
	}
	return r.sealOld()
}

// copyFrames copies the frames in the range of dst from the file of src, to the same positions.
func copyFrames(to File, dst *segment, from File, src *segment) error {
	end, err := eachFrame(from, src, dst.first, dst.end, func(rec Record) error {
		return writeAt(to, relocatedFrame(rec.frame, dst.salt, rec.Position), dst.offset(rec.Position))
	})
	if err == nil && end < dst.end {
		err = fmt.Errorf("%s changed while it was read", src.name())
	}
	return err
}

// sealOld seals the segments that have no good footer, now that their successor is durable.
func (r *recovery) sealOld() error {
	for _, s := range r.segs {
		if r.inPlace && s.last() {
			break
		}
		if s.unsealed {
			err := r.withFile(s.segment, func(f File) (err error) {
				s.size, err = seal(f, s.segment, s.end, s.summary)
				return err
			})
			if err != nil {
				return err
			}
		}
		s.state = sealed
	}
	return nil
}

// log makes the Log from the recovered state.
func (r *recovery) log() (*Log, error) {
	l := newLog(r.o)
	l.recovered, l.recovered.Segments = r.found, len(r.segs)
	for _, s := range r.segs {
		l.segs = append(l.segs, s.segment)
	}
	last := r.last().segment
	last.state = growing
	l.end, l.records, l.batchedEnd = last.end, last.end, last.end
	l.written, l.durable, l.noted = last.end, last.end, last.end
	l.w.file, l.w.seg = r.file, last
	var err error
	if l.aside, l.damage, err = openAside(r.o); err == nil {
		l.stage, err = openStage(r.o)
	}
	if err != nil {
		return nil, errors.Join(err, r.file.Close())
	}
	return l, nil
}
