package seglog

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// A recovery is what Open does, step by step: list, inspect, replay, renew.
type recovery struct {
	o      Options
	segs   []*segment
	marked map[Position]bool // segments that have a .bad file
	left   []string          // files that were left unfinished

	// Of the last segment, as inspect found it.
	end     Position // behind the last good record
	noted   Position // highest note: all before it was durable
	behind  Position // behind the last byte that isn't zero
	inPlace bool     // nothing needs to be written again: go on at end
	unsure  bool     // it is headless

	start    int      // segment that the replay begins with
	unsealed []bool   // segments whose summary must be made again, by index
	headless []bool   // segments whose head must be made again, by index; none before start
	heads    [][]byte // what it is made of, of those that are headless
	cut      Position // where the fresh segment begins, once cutDone
	cutDone  bool
	head     []byte // of the fresh segment
	file     File   // of the last segment
}

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
	if err := r.finishCut(); err != nil {
		return err
	}
	if err := r.redo(); err != nil {
		return fmt.Errorf("write what was staged: %w", err)
	}
	if err := r.settle(); err != nil {
		return err
	}
	if err := r.replay(); err != nil {
		return err
	}
	if err := r.renew(); err != nil {
		return err
	}
	return r.unmark()
}

// settle inspects the log until there is no damage in it any more.
func (r *recovery) settle() error {
	for cut := maxPosition; ; {
		if err := r.list(); err != nil {
			return err
		}
		err := r.inspect()
		var d *DamageError
		if !errors.As(err, &d) || !r.o.SetAside || d.Position >= cut {
			return err
		}
		cut = d.Position // each time earlier, so this ends
		if err := r.setAside(d); err != nil {
			return fmt.Errorf("set aside what is behind damage: %w", err)
		}
	}
}

// list finds the segments, reads their headers and footers, and removes what
// was left unfinished.
func (r *recovery) list() error {
	if err := r.find(); err != nil {
		return err
	}
	for _, name := range r.left {
		if err := r.o.FS.Remove(name); err != nil {
			return err
		}
	}
	return nil
}

// find is list without a change to the disk.
func (r *recovery) find() error {
	names, err := r.o.FS.ReadDir(r.o.Dir)
	if err != nil {
		return err
	}
	r.segs, r.marked, r.left = nil, make(map[Position]bool), nil
	for _, name := range names {
		if strings.HasSuffix(name, suffixTmp) {
			r.left = append(r.left, r.o.Dir+"/"+name)
		}
		if first, ok := parseName(name, suffixBad); ok {
			r.marked[first] = true
		}
		if first, ok := parseName(name, suffixLog); ok {
			s, err := readSegment(r.o.FS, r.o.Dir, first)
			if err != nil {
				return err
			}
			r.segs = append(r.segs, s)
		}
	}
	slices.SortFunc(r.segs, func(a, b *segment) int { return cmp.Compare(a.first, b.first) })
	return nil
}

// readSegment reads what stands before and behind the records.
func readSegment(disk FS, dir string, first Position) (*segment, error) {
	s := &segment{header: header{first: first}, dir: dir, end: first, state: growing}
	f, err := disk.OpenFile(s.name(), 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if s.size, err = f.Size(); err != nil {
		return nil, err
	}
	if err := s.readHeader(f); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.name(), err)
	}
	if s.bad {
		return s, nil
	}
	if err := s.readFooter(f); err != nil {
		return nil, fmt.Errorf("read %s: %w", s.name(), err)
	}
	return s, nil
}

// readHeader takes the first good one of the two headers.
func (s *segment) readHeader(f File) error {
	for _, at := range []int64{0, headerAgain} {
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

// readFooter takes summary and end from the footer, if a good one stands there.
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
	summary := make([]byte, ft.summaryLen)
	if err := readAt(f, summary, s.offset(ft.end)); err != nil {
		return err
	}
	if checksum(summary) == ft.summarySum {
		s.state, s.end, s.summary = sealed, ft.end, summary
	}
	return nil
}

// readHead reads the owner's state at the head of s.
func readHead(f File, s *segment) ([]byte, error) {
	head := make([]byte, s.headLen)
	if err := readAt(f, head, headStart); err != nil {
		return nil, fmt.Errorf("head of %s: %w", s.name(), err)
	}
	if checksum(head) != s.headSum {
		return nil, badHead(s)
	}
	return head, nil
}

func badHead(s *segment) *DamageError {
	return &DamageError{File: s.name(), Offset: headStart, Position: s.first, Reason: "bad head"}
}

// inspect looks for damage, the oldest first, and finds out where the log ends.
func (r *recovery) inspect() error {
	if len(r.segs) == 0 {
		return nil
	}
	if err := r.chooseStart(); err != nil {
		return err
	}
	last := len(r.segs) - 1
	for i, s := range r.segs {
		if s.bad {
			return &DamageError{File: s.name(), Position: s.first, Reason: "bad header"}
		}
		if i < last {
			if err := r.inspectOld(i); err != nil {
				return err
			}
		}
	}
	return r.withFile(r.segs[last], r.inspectLast)
}

// headsAhead is how far before the end of a log Open looks at every head.
const headsAhead = 32 << 20

// chooseStart finds the segment to begin the replay with: the last one, or an
// earlier one whose summary or head must be made again, or one before that,
// whose head can be read.
func (r *recovery) chooseStart() error {
	last := len(r.segs) - 1
	r.start, r.unsealed, r.headless = last, make([]bool, len(r.segs)), make([]bool, len(r.segs))
	r.heads = make([][]byte, len(r.segs))
	for i := range last {
		// An end elsewhere is from before the log was cut.
		r.unsealed[i] = r.segs[i].state != sealed || r.segs[i].end != r.segs[i+1].first
		if r.unsealed[i] {
			r.start = min(r.start, i)
		}
	}
	at, known, err := r.knownHead(r.start)
	if err != nil {
		return err
	}
	if !known {
		return badHead(r.segs[at])
	}
	r.start = at
	return r.chooseHeads()
}

// chooseHeads finds the heads that must be made again. Of those that nothing
// but a reader needs it looks at the newest and at the marked, and leaves be
// what there is nothing to make it of.
func (r *recovery) chooseHeads() error {
	end := r.segs[len(r.segs)-1].first
	for i, s := range slices.Backward(r.segs) {
		if s.bad || i < r.start && end-s.first > headsAhead && !r.marked[s.first] {
			continue
		}
		good, err := r.hasHead(s)
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
			r.headless[i], r.start = true, min(r.start, at)
		}
	}
	r.unsure = r.headless[len(r.segs)-1]
	return nil
}

// knownHead returns the last segment up to i of which the state before its
// records is known: its head can be read, or nothing was before it. If there
// is none it returns the first one, known is false.
func (r *recovery) knownHead(i int) (at int, known bool, err error) {
	for ; ; i-- {
		s := r.segs[i]
		good, err := r.hasHead(s)
		if err != nil {
			return 0, false, err
		}
		if good || s.bad || s.first == 0 { // inspect says so if it is bad
			return i, true, nil
		}
		if i == 0 {
			return 0, false, nil
		}
	}
}

func (r *recovery) withFile(s *segment, do func(File) error) error {
	f, err := r.o.FS.OpenFile(s.name(), 0)
	if err != nil {
		return err
	}
	defer f.Close()
	return do(f)
}

// inspectOld checks segment i, which isn't the last. All of it was durable.
func (r *recovery) inspectOld(i int) error {
	s, end := r.segs[i], r.segs[i+1].first
	if s.state == sealed && s.end < end {
		return &DamageError{File: s.name(), Offset: s.offset(s.end), Position: s.end, Reason: "the next segment is missing"}
	}
	if !r.unsealed[i] && i < r.start && !r.marked[s.first] {
		return nil
	}
	return r.withFile(s, func(f File) error {
		sc, err := scan(f, s, s.first, end)
		if err != nil {
			return err
		}
		for ok := true; ok; {
			if _, ok, err = sc.next(); err != nil {
				return err
			}
		}
		if sc.at != end {
			return &DamageError{File: s.name(), Offset: s.offset(sc.at), Position: sc.at, Reason: "bad record"}
		}
		return nil
	})
}

// inspectLast tells a torn tail from damage (R8).
func (r *recovery) inspectLast(f File) error {
	s := r.segs[len(r.segs)-1]
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
	r.behind = r.end
	if s.state != sealed {
		rest, err := behind(f, s, r.end)
		if err != nil {
			return err
		}
		r.behind, r.noted = rest.end, max(r.noted, rest.noted)
	}
	if r.end < r.noted {
		return &DamageError{File: s.name(), Offset: s.offset(r.end), Position: r.end, Reason: "bad record"}
	}
	r.decideInPlace(onlyNote)
	return nil
}

// readNotes finds the end of the good records of s and the highest note among
// them; onlyNote reports that the last one is a note that all before it is durable.
func (r *recovery) readNotes(f File, s *segment, limit Position) (onlyNote bool, err error) {
	sc, err := scan(f, s, s.first, limit)
	if err != nil {
		return false, err
	}
	for {
		rec, ok, err := sc.next()
		if !ok || err != nil {
			r.end = sc.at
			return onlyNote, err
		}
		p, isNote := rec.noted()
		if isNote {
			r.noted = max(r.noted, p)
		}
		onlyNote = isNote && p == rec.Position
	}
}

// decideInPlace finds out whether the log can simply go on: nothing stands
// above the last note but that note itself, which the next batch begins with
// again, byte for byte.
func (r *recovery) decideInPlace(onlyNote bool) {
	s := r.segs[len(r.segs)-1]
	tidy := r.behind <= r.end && s.state != sealed && !r.unsure
	onlyNote = onlyNote && r.end-noteSize == r.noted
	r.inPlace = tidy && (r.noted == r.end || onlyNote)
	switch {
	case r.inPlace && onlyNote:
		r.end = r.noted
	case mut.On(mut.R7TrustPageCache) && tidy:
		r.inPlace = true
	case mut.On(mut.R8AppendBehindTorn) && r.behind > r.end:
		r.inPlace, r.end = true, Position(align(int64(r.behind)))
	}
}

// replay brings the owner's state back.
func (r *recovery) replay() error {
	if len(r.segs) > 0 && !r.headless[r.start] {
		if err := r.withFile(r.segs[r.start], r.replayHead); err != nil {
			return err
		}
	}
	for i := r.start; i < len(r.segs); i++ {
		if err := r.withFile(r.segs[i], func(f File) error { return r.replaySegment(i, f) }); err != nil {
			return err
		}
	}
	if !r.inPlace && !r.cutDone {
		r.cutAt(r.end)
	}
	return nil
}

func (r *recovery) replayHead(f File) error {
	head, err := readHead(f, r.segs[r.start])
	if err != nil || len(head) == 0 {
		return err
	}
	if err := r.o.Owner.RecoverHead(head); err != nil {
		return fmt.Errorf("recover head: %w", err)
	}
	return nil
}

func (r *recovery) replaySegment(i int, f File) error {
	s, last := r.segs[i], i == len(r.segs)-1
	end := r.end
	if !last {
		end = r.segs[i+1].first
	}
	sc, err := scan(f, s, s.first, end)
	if err != nil {
		return err
	}
	if r.headless[i] {
		r.heads[i] = slices.Clone(r.o.Owner.Head())
	}
	for {
		rec, ok, err := sc.next()
		if err != nil {
			return err
		}
		if !ok {
			break
		}
		if last && !r.inPlace && !r.cutDone && (r.unsure || rec.Position >= r.noted) {
			r.cutAt(rec.Position)
		}
		if rec.Kind < ownerKind {
			continue
		}
		if err := r.o.Owner.Recover(rec); err != nil {
			return fmt.Errorf("recover record at %d: %w", rec.Position, err)
		}
	}
	if !last {
		s.end, s.summary = end, slices.Clone(r.o.Owner.Summary())
	}
	return nil
}

// cutAt ends the last segment at p and begins a fresh one there, as an append would.
func (r *recovery) cutAt(p Position) {
	r.cut, r.cutDone = p, true
	if n := len(r.segs); n > 0 && p > r.segs[n-1].first {
		old := r.segs[n-1]
		r.unsealed[n-1] = old.state != sealed || old.end != p
		old.end, old.summary = p, slices.Clone(r.o.Owner.Summary())
	}
	r.head = slices.Clone(r.o.Owner.Head())
}

// renew writes what lies above the last note again, to a fresh segment, so
// that this process has synced all that it found (R7): all of the last segment
// if that has no head.
func (r *recovery) renew() error {
	if err := r.restoreHeads(); err != nil {
		return err
	}
	if r.inPlace {
		return r.goOn()
	}
	fresh := newSegment(r.o.Dir, r.cut, r.head)
	// The segment gets its name after it was synced, so this is a note like others.
	fresh.durable, fresh.end = max(r.end, r.cut), max(r.end, r.cut)
	var old *segment
	if len(r.segs) > 0 {
		old = r.segs[len(r.segs)-1]
	}
	f, size, err := r.rewrite(fresh, r.head, max(r.o.SegmentBytes, int64(fresh.end-fresh.first)), old)
	if err != nil {
		return err
	}
	r.file, fresh.state, fresh.size, fresh.head = f, growing, size, nil

	if n := len(r.segs); n > 0 && r.segs[n-1].first == fresh.first {
		r.segs = r.segs[:n-1] // has just been replaced
	}
	if err := r.sealOld(); err != nil {
		return err
	}
	r.segs = append(r.segs, fresh)
	return nil
}

// restoreHeads writes segments before the last again that have no head, with
// the one that what stands before them amounts to.
func (r *recovery) restoreHeads() error {
	for i := range len(r.segs) - 1 {
		if !r.headless[i] {
			continue
		}
		old := r.segs[i]
		fresh := newSegment(r.o.Dir, old.first, r.heads[i])
		fresh.durable, fresh.end, fresh.summary = old.end, old.end, old.summary
		f, size, err := r.rewrite(fresh, r.heads[i], int64(fresh.end-fresh.first), old)
		if err != nil {
			return err
		}
		if err := f.Close(); err != nil {
			return err
		}
		fresh.size, fresh.head = size, nil
		r.segs[i], r.unsealed[i] = fresh, true
	}
	return nil
}

// rewrite makes the file of fresh and copies to it what of its records stands in old.
func (r *recovery) rewrite(fresh *segment, head []byte, capacity int64, old *segment) (File, int64, error) {
	return create(r.o.FS, fresh, head, capacity, func(to File) error {
		if fresh.end == fresh.first {
			return nil
		}
		return r.withFile(old, func(from File) error { return copyFrames(to, fresh, from, old) })
	})
}

// goOn opens the last segment for the next batch.
func (r *recovery) goOn() error {
	s := r.segs[len(r.segs)-1]
	f, err := r.o.FS.OpenFile(s.name(), 0)
	if err != nil {
		return err
	}
	r.file, s.end = f, r.end
	if mut.On(mut.R7TrustPageCache) {
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

// copyFrames writes the frames of from that stand in to's segment there.
func copyFrames(to File, dst *segment, from File, src *segment) error {
	sc, err := scan(from, src, dst.first, dst.end)
	if err != nil {
		return err
	}
	for sc.at < dst.end {
		rec, ok, err := sc.next()
		if err != nil {
			return err
		}
		if !ok {
			return fmt.Errorf("%s changed while it was read", src.name())
		}
		frame := make([]byte, frameSize(len(rec.Payload)))
		copy(frame[frameHeader:], rec.Payload)
		sealFrame(frame, dst.salt, rec.Position, rec.Kind, len(rec.Payload))
		if err := writeAt(to, frame, dst.offset(rec.Position)); err != nil {
			return err
		}
	}
	return nil
}

// sealOld seals again what has no good footer, now that its successor is durable.
func (r *recovery) sealOld() error {
	for i, s := range r.segs {
		if r.inPlace && i == len(r.segs)-1 {
			break
		}
		if r.unsealed[i] {
			err := r.withFile(s, func(f File) (err error) {
				s.size, err = seal(f, s, s.end, s.summary)
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

// log makes the Log of what was recovered.
func (r *recovery) log() (*Log, error) {
	l := newLog(r.o)
	l.segs = r.segs
	last := r.segs[len(r.segs)-1]
	last.state = growing
	l.end, l.records, l.taken = last.end, last.end, last.end
	l.written, l.durable, l.noted = last.end, last.end, last.end
	l.w.file, l.w.seg = r.file, last
	var err error
	if l.aside, l.damage, err = openAside(r.o); err == nil {
		l.stage, err = openStage(r.o)
	}
	if err == nil {
		err = dropStage(r.o)
	}
	if err != nil {
		return nil, errors.Join(err, r.file.Close())
	}
	return l, nil
}
