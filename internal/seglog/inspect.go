package seglog

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"slices"
)

// An Inspection is the result of Inspect: the state of a log as Open would find it.
type Inspection struct {
	Segments   int
	Bytes      int64          // size of all segment files
	First, End Position       // position of the oldest good record, end of the newest
	Durable    Position       // everything before was durable: the highest note in the log
	Damage     []*DamageError // bad records below Durable, in log order
	Torn       *Torn          // the torn tail; nil: there is none
	Unfinished []string       // unfinished files of a process that died; Open removes them
	Unknown    []string       // renamed files whose headers are not ours; nothing removes them
	Flagged    []string       // segments that a reader found damaged; Open checks them
	Cut        Position       // if above 0, Open ends the log here to finish a cut before damage
	Aside      *DamageError   // damage whose set-aside records the owner has not merged yet; nil: none
}

// Torn is the torn tail of a log. It was never acknowledged, and Open cuts it off.
type Torn struct {
	File   string
	Offset int64 // in the file, bytes
	Bytes  int64
}

// A Visitor has callbacks that Inspect calls in the order of the log. Any of them may be nil. An
// error of a callback ends the inspection.
type Visitor struct {
	// Segment is called before the records of a segment. Head is set, and Summary if the segment is
	// sealed.
	Segment func(Segment) error
	// Record is called for each good record of the owner, including those after damage.
	Record func(Record) error
	// Damage is called where records are missing, between the calls for the records around.
	Damage func(*DamageError) error
}

// Inspect reads the whole log in dir, staged records included, and changes nothing. Repairs are
// left to Open. Damage is not an error: it is part of the Inspection. The error is ErrLocked if a
// Log has the directory open.
func Inspect(disk FS, dir string, v Visitor) (Inspection, error) {
	i := inspector{r: recovery{o: Options{FS: disk, Dir: dir}}, v: v}
	if err := i.run(); err != nil {
		return i.found, fmt.Errorf("inspect log %s: %w", dir, err)
	}
	return i.found, nil
}

// An inspector holds the state of a call of Inspect.
type inspector struct {
	r     recovery // only its reading methods are used
	v     Visitor
	found Inspection
}

func (i *inspector) run() error {
	lock, err := lockExisting(i.r.o) // first, so that no other process opens the log meanwhile
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

// list finds the files and segments of the log.
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
	i.found.Unfinished, i.found.Unknown = append(i.r.unfinished, left...), i.r.unknown
	for _, first := range slices.Sorted(maps.Keys(i.r.flagged)) {
		i.found.Flagged = append(i.found.Flagged, path.Join(i.r.o.Dir, segmentName(first, suffixLog)))
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

// segment visits one segment.
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
			return i.checkEnd(s.segment, end, s.next)
		}
		if at >= noted && i.r.dataEnd > at && s.state != sealed && i.found.Cut == 0 {
			i.found.Torn = &Torn{File: s.name(), Offset: s.offset(at), Bytes: int64(i.r.dataEnd - at)}
		}
		return nil
	})
}

// bounds returns an upper limit for the end of a segment's records, and the position up to which
// they were durable.
func (i *inspector) bounds(f File, s *foundSegment) (end, noted Position, err error) {
	switch {
	case !s.last():
		next := s.next // everything was durable
		if s.state == sealed {
			next = min(next, s.end)
		}
		return next, next, nil
	case i.found.Cut > 0:
		return i.found.Cut, i.found.Cut, nil
	}
	err = i.r.inspectLast(f)
	if d := (*DamageError)(nil); errors.As(err, &d) {
		err = nil // walk will report it
	}
	if s.state == sealed {
		return s.end, i.r.noted, err
	}
	return maxPosition, i.r.noted, err
}

// head calls the visitor for a segment, and for damage if its head is bad.
func (i *inspector) head(f File, s *segment, end Position) error {
	head, err := readHead(f, s)
	if d := (*DamageError)(nil); errors.As(err, &d) {
		head, err = nil, i.damage(d)
	}
	if err != nil || i.v.Segment == nil {
		return err
	}
	seg := Segment{First: s.first, End: end, Head: head}
	if end == maxPosition { // the segment may still grow
		seg.End = i.r.end
	}
	if s.state == sealed && s.end == end { // a footer with another end is older than a cut of the log
		seg.Summary = s.summary
	}
	return i.v.Segment(seg)
}

// walk visits the good records of s before end. A bad record below noted is damage, and walk
// continues after it. Any other bad record begins a torn tail and ends the walk. It returns the end
// position of the last good record.
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

// records visits the good records from at on. It returns the first position without a good frame.
func (i *inspector) records(f File, s *segment, at, end Position) (Position, error) {
	return eachFrame(f, s, at, end, func(rec Record) error {
		if rec.Kind < ownerKind || i.v.Record == nil {
			return nil
		}
		return i.v.Record(rec)
	})
}

// nextGood finds the next good frame after a bad one.
func nextGood(f File, s *segment, from, end Position) (at Position, found bool, err error) {
	err = eachGood(f, s, from, end, func(r Record) bool {
		at, found = r.Position, true
		return false
	})
	return at, found, err
}

// checkEnd reports damage if the records of s end before the next segment begins.
func (i *inspector) checkEnd(s *segment, end, next Position) error {
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
