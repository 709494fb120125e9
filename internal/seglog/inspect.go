package seglog

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
)

// An Inspection says what Inspect has found, as Open would find it.
type Inspection struct {
	Segments   int
	Bytes      int64          // of the segments' files
	First, End Position       // of the oldest good record, behind the newest
	Durable    Position       // up to here everything was durable: the highest note there is
	Damage     []*DamageError // bad records below Durable, in order
	Torn       *Torn          // nil: there is no torn tail
	Left       []string       // files that Open removes: whoever made them died before they were whole
	Unknown    []string       // files that made way for the log because their headers are not ours: nothing removes them
	Marked     []string       // segments that a reader found damaged: Open looks at them again
	Cut        Position       // above 0: Open ends the log here, to finish what it began over damage
	Aside      *DamageError   // why records were set aside that their owner has not merged yet; nil: none were
}

// Torn is what stands behind the end of a log: never promised, and cut off by Open.
type Torn struct {
	File   string
	Offset int64 // in the file
	Bytes  int64
}

// A Visitor is told what Inspect reads, in the order of the log. Functions
// may be nil; an error ends the inspection.
type Visitor struct {
	// Segment comes before its records, Head and (if it is sealed) Summary as they stand there.
	Segment func(Segment) error
	// Record gets each good record of the owner's, also behind damage.
	Record func(Record) error
	// Damage comes where records are missing between those before and behind it.
	Damage func(*DamageError) error
}

// Inspect reads all of the log in dir and changes nothing: what stands there,
// or is staged, is told, what Open would do is left to it. Damage is no error, it is found.
// ErrLocked: somebody has the log open.
func Inspect(disk FS, dir string, v Visitor) (Inspection, error) {
	i := inspector{r: recovery{o: Options{FS: disk, Dir: dir}}, v: v}
	if err := i.run(); err != nil {
		return i.found, fmt.Errorf("inspect log %s: %w", dir, err)
	}
	return i.found, nil
}

// An inspector is what Inspect does, step by step.
type inspector struct {
	r     recovery // of which only what reads is used
	v     Visitor
	found Inspection
}

func (i *inspector) run() error {
	lock, err := lockThere(i.r.o) // first, so that nobody opens it meanwhile
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := i.list(); err != nil {
		return err
	}
	for _, s := range i.r.segs {
		if err := i.segment(s); err != nil {
			return err
		}
	}
	return nil
}

// list finds what there is.
func (i *inspector) list() error {
	if err := i.r.refuseNewer(); err != nil {
		return err
	}
	if err := i.r.find(); err != nil {
		return err
	}
	cut, _, underWay, err := i.r.readCut()
	if err != nil {
		return err
	}
	if underWay {
		i.found.Cut = cut
		i.r.segs = slices.DeleteFunc(i.r.segs, func(s *foundSegment) bool { return s.first >= cut })
		i.r.chain()
	}
	aside, left, err := findAside(i.r.o.FS, asideDir(i.r.o.Dir))
	if err != nil {
		return err
	}
	if len(aside) > 0 {
		i.found.Aside = asideDamage(i.r.o.FS, aside[len(aside)-1])
	}
	i.found.Left, i.found.Unknown = append(i.r.left, left...), i.r.kept
	for _, first := range slices.Sorted(maps.Keys(i.r.marked)) {
		i.found.Marked = append(i.found.Marked, path.Join(i.r.o.Dir, segmentName(first, suffixLog)))
	}
	i.found.Segments = len(i.r.segs)
	for n, s := range i.r.segs {
		i.found.Bytes += s.size
		if n == 0 {
			i.found.First = s.first
		}
	}
	return nil
}

// segment visits a segment.
func (i *inspector) segment(s *foundSegment) error {
	if s.bad {
		return i.damage(&DamageError{File: s.name(), Position: s.first, Reason: reasonHeader})
	}
	return i.r.withFile(s.segment, func(f File) error {
		if s.last() && i.found.Cut == 0 {
			var err error
			if f, err = i.r.patch(f, s.segment); err != nil {
				return err
			}
		}
		end, noted, err := i.bounds(f, s)
		if err != nil {
			return err
		}
		if err := i.head(f, s.segment, end); err != nil {
			return err
		}
		at, err := i.walk(f, s.segment, end, noted)
		if err != nil {
			return err
		}
		i.found.End, i.found.Durable = at, max(i.found.Durable, min(noted, at))
		if !s.last() {
			return i.missing(s.segment, end, s.next)
		}
		if at >= noted && i.r.behind > at && s.state != sealed && i.found.Cut == 0 {
			i.found.Torn = &Torn{File: s.name(), Offset: s.offset(at), Bytes: int64(i.r.behind - at)}
		}
		return nil
	})
}

// bounds returns where the records of a segment end at most, and up to where
// they were durable.
func (i *inspector) bounds(f File, s *foundSegment) (end, noted Position, err error) {
	switch {
	case !s.last():
		next := s.next // all of it was durable
		if s.state == sealed {
			next = min(next, s.end)
		}
		return next, next, nil
	case i.found.Cut > 0:
		return i.found.Cut, i.found.Cut, nil
	}
	err = i.r.inspectLast(f)
	if d := (*DamageError)(nil); errors.As(err, &d) {
		err = nil // walk comes across it
	}
	if s.state == sealed {
		return s.end, i.r.noted, err
	}
	return maxPosition, i.r.noted, err
}

// head tells of a segment.
func (i *inspector) head(f File, s *segment, end Position) error {
	head, err := readHead(f, s)
	if d := (*DamageError)(nil); errors.As(err, &d) {
		head, err = nil, i.damage(d)
	}
	if err != nil || i.v.Segment == nil {
		return err
	}
	seg := Segment{First: s.first, End: end, Head: head}
	if end == maxPosition { // it may grow
		seg.End = i.r.end
	}
	if s.state == sealed && s.end == end { // another end is from before the log was cut
		seg.Summary = s.summary
	}
	return i.v.Segment(seg)
}

// walk visits the good records of s that stand before end. What is bad below
// noted is damage, and it goes on behind it; elsewhere it is a torn tail, and
// the end. It returns the position behind the last good record.
func (i *inspector) walk(f File, s *segment, end, noted Position) (Position, error) {
	for at := s.first; ; {
		stop, err := i.records(f, s, at, end)
		if err != nil || stop >= noted {
			return stop, err
		}
		d := &DamageError{File: s.name(), Offset: s.offset(stop), Position: stop, Reason: "bad record"}
		if err := i.damage(d); err != nil {
			return stop, err
		}
		next, found, err := nextGood(f, s, stop, end)
		if err != nil || !found {
			return stop, err
		}
		at = next
	}
}

// records visits the good records from at on, up to the first place where none stands.
func (i *inspector) records(f File, s *segment, at, end Position) (Position, error) {
	return eachFrame(f, s, at, end, func(rec Record) error {
		if rec.Kind < ownerKind || i.v.Record == nil {
			return nil
		}
		return i.v.Record(rec)
	})
}

// nextGood finds the next good frame behind a bad place.
func nextGood(f File, s *segment, from, end Position) (at Position, found bool, err error) {
	err = eachGood(f, s, from, end, func(r Record) bool {
		at, found = r.Position, true
		return false
	})
	return at, found, err
}

// missing tells that the records of s do not reach up to where the next segment begins.
func (i *inspector) missing(s *segment, end, next Position) error {
	if end >= next {
		return nil
	}
	return i.damage(&DamageError{File: s.name(), Offset: s.offset(end), Position: end, Reason: "the next segment is missing"})
}

func (i *inspector) damage(d *DamageError) error {
	i.found.Damage = append(i.found.Damage, d)
	if i.v.Damage == nil {
		return nil
	}
	return i.v.Damage(d)
}
