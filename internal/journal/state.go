package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/format"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// kindState is the log's kind of records that change the table only.
const kindState Kind = 0x20

// What a state record is.
const (
	stateFloors    = 1
	stateInterval  = 2
	stateForgotten = 3
	stateAge       = 4
	statePeer      = 5
	stateDiverged  = 6
	stateCluster   = 7
	stateDecree    = 8
	stateSettled   = 0x80 | stateDecree // who has made use of it
	stateClosing   = 9
	stateClosed    = 0x80 | stateClosing // publishers that are closed
)

const (
	// headMagic tells a journal from other logs (pubstore's).
	headMagic      = "hfsjournal"
	headVersion    = 3
	summaryVersion = 3

	// headTombstones is how many bytes of a head tombstones and holes may take:
	// a head must stay shorter than the log's longest record.
	headTombstones = 4 << 20
	// floorsPerRecord bounds a state record's length.
	floorsPerRecord = 1 << 16
)

var errState = errors.New("bad state record")

// ErrNotJournal reports a directory that holds the log of something else.
var ErrNotJournal = errors.New("not a journal")

// Head returns the table's snapshot, for the head of the next segment.
func (t *table) Head() []byte {
	t.grow()
	t.keptAge = t.age
	b := append([]byte(headMagic), headVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(t.lastTime))
	b = binary.LittleEndian.AppendUint64(b, uint64(t.age))
	b = binary.AppendUvarint(b, uint64(len(t.peers)))
	for _, p := range t.peers {
		b = appendPeer(b, p)
	}
	b = binary.AppendUvarint(b, uint64(len(t.intervals)))
	for _, i := range t.intervals {
		b = appendInterval(b, i)
	}
	b, reasons := t.appendReasons(b)
	b = t.topics.appendTopics(b)
	b = binary.AppendUvarint(b, uint64(len(t.sorted())))
	room := headTombstones
	for _, p := range t.sorted() {
		b = binary.LittleEndian.AppendUint64(b, p.id)
		b = append(b, p.checkInHead()...)
		b = binary.AppendUvarint(b, p.have)
		b = binary.AppendUvarint(b, p.floor)
		b = binary.LittleEndian.AppendUint32(b, p.crc)
		b = binary.LittleEndian.AppendUint64(b, p.seen)
		b = binary.AppendUvarint(b, p.closed)
		b = binary.AppendUvarint(b, p.closedAt)
		b = p.appendMarks(b)
		before := len(b)
		b = appendHoles(b, p.holes, room)
		b = appendTombstones(b, p.refused(), reasons, room-(len(b)-before))
		room -= len(b) - before
	}
	b = t.appendUnknown(appendBookmarks(appendCluster(b, t.cluster), t.divergedList()))
	return appendClosing(t.appendDecreed(b), t.closing, t.clockAge)
}

// appendUnknown appends the publishers whose running CRC is not known.
func (t *table) appendUnknown(b []byte) []byte {
	var ids []uint64
	for _, p := range t.byID {
		if p.crcUnknown {
			ids = append(ids, p.id)
		}
	}
	slices.Sort(ids)
	return appendIDs(b, ids)
}

func (p *publisher) checkInHead() []byte {
	if mut.On(mut.R10CheckNotInHead) {
		return make([]byte, len(p.check))
	}
	return p.check[:]
}

// appendReasons appends each tombstone reason once and returns their indexes.
// Index 0 is the empty one, which stands for those there is no room for.
func (t *table) appendReasons(b []byte) ([]byte, map[string]uint64) {
	index := map[string]uint64{"": 0}
	order := []string{""}
	size := 0
	for _, p := range t.sorted() {
		for _, s := range p.refused() {
			if _, had := index[s.Reason]; had || size > headTombstones {
				continue
			}
			index[s.Reason] = uint64(len(order))
			order = append(order, s.Reason)
			size += len(s.Reason)
		}
	}
	b = binary.AppendUvarint(b, uint64(len(order)))
	for _, reason := range order {
		b = binary.AppendUvarint(b, uint64(len(reason)))
		b = append(b, reason...)
	}
	return b, index
}

// appendTombstones appends the newest tombstones that fit into room bytes.
func appendTombstones(b []byte, ts []Tombstoned, reasons map[string]uint64, room int) []byte {
	const longest = 2 * binary.MaxVarintLen64
	ts = ts[len(ts)-min(len(ts), max(room, 0)/longest):]
	b = binary.AppendUvarint(b, uint64(len(ts)))
	last := uint64(0)
	for _, s := range ts {
		b = binary.AppendUvarint(b, s.Sequence-last)
		b = binary.AppendUvarint(b, reasons[s.Reason])
		last = s.Sequence
	}
	return b
}

// RecoverHead makes the table what a head says.
func (t *table) RecoverHead(payload []byte) error {
	t.reset()
	if len(payload) == 0 {
		return nil // the first segment
	}
	if err := checkHead(payload); err != nil {
		return err
	}
	f := fields{record.Fields{Rest: payload[len(headMagic)+1:]}}
	t.lastTime, t.age = int64(f.Uint64()), int64(f.Uint64())
	for range f.Count(peerLeast) {
		t.peers = append(t.peers, f.peer())
	}
	for range f.Count(intervalLeast) {
		t.intervals = append(t.intervals, f.interval())
	}
	reasons := f.reasons()
	t.topics = f.topicNames()
	for range f.Count(8 + len(bookmark.Check{}) + 1 + 1 + 4 + 8 + 1 + 1 + 1) {
		t.recoverPublisher(&f, reasons)
	}
	t.cluster = f.cluster()
	t.applyDiverged(f.diverged())
	for range f.Count(8) {
		t.publisher(f.Uint64()).crcUnknown = true
	}
	t.recoverDecreed(&f)
	t.closing, t.clockAge = f.closing()
	if f.Bad || len(f.Rest) > 0 {
		return fmt.Errorf("journal: head of %d bytes: %w", len(payload), errState)
	}
	return nil
}

// checkHead reports why a head that begins with start is not one of ours.
func checkHead(start []byte) error {
	f := fields{record.Fields{Rest: bytes.TrimPrefix(start, []byte(headMagic))}}
	if len(f.Rest) == len(start) {
		return ErrNotJournal
	}
	switch v := f.Byte(); {
	case f.Bad, v == 0:
		return fmt.Errorf("journal: head of %d bytes: %w", len(start), errState)
	case v < headVersion:
		return fmt.Errorf("journal: head of version %d, which is not read any more", v)
	case v > headVersion:
		return &format.VersionError{Found: uint64(v), Known: headVersion}
	}
	return nil
}

func (f *fields) reasons() []string {
	reasons := make([]string, f.Count(1))
	for i := range reasons {
		reasons[i] = string(f.Take(f.Uvarint()))
	}
	return reasons
}

func (t *table) recoverPublisher(f *fields, reasons []string) {
	p := t.publisher(f.Uint64())
	p.check = f.check()
	p.have = f.Uvarint()
	p.floor = f.Uvarint()
	p.crc = f.Uint32()
	p.seen = f.Uint64()
	p.closed, p.closedAt = f.Uvarint(), f.Uvarint()
	f.marks(p, len(t.topics.names))
	p.holes = f.holes()
	last := uint64(0)
	for range f.Count(2) {
		last += f.Uvarint()
		reason := f.Uvarint()
		if reason >= uint64(len(reasons)) {
			f.Bad = true
			return
		}
		p.tombstones = append(p.tombstones, Tombstoned{Sequence: last, Reason: reasons[reason]})
	}
}

// headVector reads the have of every publisher from a head.
func headVector(payload []byte) (bookmark.Vector, error) {
	t := newTable(nil)
	if err := t.RecoverHead(payload); err != nil {
		return nil, err
	}
	return t.haves(), nil
}

func (t *table) haves() bookmark.Vector {
	v := make(bookmark.Vector, len(t.sorted()))
	for _, p := range t.sorted() {
		if p.have > 0 {
			v[p.id] = p.have
		}
	}
	return v
}

// Recover applies a record of the log.
func (t *table) Recover(rec seglog.Record) error {
	if Kind(rec.Kind) == kindState {
		return t.recoverState(rec)
	}
	r := &t.scratch
	if err := decodeLogged(rec, r); err != nil {
		return err
	}
	t.apply(r, sumOf(r))
	return nil
}

// decodeLogged reads a log record into r. It is not a state record.
func decodeLogged(rec seglog.Record, r *Record) error {
	err := decodePayload(rec.Payload, r)
	if err == nil && uint8(r.Kind) != rec.Kind {
		err = fmt.Errorf("%w: logged as kind %#x", record.ErrMalformed, rec.Kind)
	}
	if err != nil {
		return fmt.Errorf("journal: record at %v: %w", rec.Position, err)
	}
	r.Position, r.Next = ledger.Position(rec.Position), ledger.Position(rec.Next)
	return nil
}

// A change is a decoded state record.
type change struct {
	time      int64
	floors    []bookmark.Bookmark
	interval  *Interval
	forgotten []uint64 // publishers (R10)
	aged      bool     // nothing but the age
	age       int64    // of the log
	peer      *Peer
	cluster   *Cluster
	diverged  []bookmark.Bookmark // publishers, and the first number of each that is not proven equal
	decree    *decreed
	settled   []uint64 // publishers that have made use of it
	closing   *Closing
	closed    []bookmark.Bookmark // publishers of which nothing up to there is left anywhere
}

func decodeState(payload []byte) (change, error) {
	f := fields{record.Fields{Rest: payload}}
	c := change{time: int64(f.Uint64())}
	switch what := f.Byte(); what {
	case stateFloors:
		c.floors = f.bookmarks()
	case stateInterval:
		i := f.interval()
		c.interval = &i
	case stateForgotten:
		for range f.Count(8) {
			c.forgotten = append(c.forgotten, f.Uint64())
		}
	case stateAge:
		c.aged, c.age = true, int64(f.Uint64())
	case statePeer:
		p := f.peer()
		c.peer = &p
	case stateCluster:
		cluster := f.cluster()
		c.cluster = &cluster
	case stateDiverged:
		c.diverged = f.diverged()
	case stateDecree:
		d := f.decree()
		c.decree = &d
	case stateSettled:
		c.settled = f.ids()
	case stateClosing:
		heard, age := f.closing()
		c.closing, c.age = &heard, age
	case stateClosed:
		c.closed = f.bookmarks()
	default:
		return c, fmt.Errorf("%w: unknown type %d", errState, what)
	}
	if f.Bad || len(f.Rest) > 0 {
		return c, errState
	}
	return c, nil
}

func (t *table) recoverState(rec seglog.Record) error {
	c, err := decodeState(rec.Payload)
	if err != nil {
		return fmt.Errorf("journal: record at %v: %w", rec.Position, err)
	}
	t.applyChange(c)
	return nil
}

// applyChange is apply for a state record.
func (t *table) applyChange(c change) {
	t.lastTime = max(t.lastTime, c.time)
	if c.aged {
		t.age = max(t.age, c.age)
		t.keptAge = t.age
	}
	t.applyFloors(c.floors)
	if c.interval != nil {
		t.applyInterval(*c.interval)
	}
	if c.peer != nil {
		t.applyPeer(*c.peer)
	}
	if c.cluster != nil {
		t.cluster = *c.cluster
	}
	if c.decree != nil {
		t.applyDecree(*c.decree)
	}
	if c.closing != nil {
		t.applyClosing(*c.closing, c.age)
	}
	t.applySettled(c.settled)
	t.applyDiverged(c.diverged)
	t.applyClosed(c.closed)
	t.remove(c.forgotten)
}

// appendChange appends a state record's payload.
func appendChange(b []byte, c change) []byte {
	b = binary.LittleEndian.AppendUint64(b, uint64(c.time))
	if c.interval != nil {
		return appendInterval(append(b, stateInterval), *c.interval)
	}
	if c.forgotten != nil {
		b = binary.AppendUvarint(append(b, stateForgotten), uint64(len(c.forgotten)))
		for _, id := range c.forgotten {
			b = binary.LittleEndian.AppendUint64(b, id)
		}
		return b
	}
	if c.aged {
		return binary.LittleEndian.AppendUint64(append(b, stateAge), uint64(c.age))
	}
	if c.peer != nil {
		return appendPeer(append(b, statePeer), *c.peer)
	}
	if c.cluster != nil {
		return appendCluster(append(b, stateCluster), *c.cluster)
	}
	if c.diverged != nil {
		return appendBookmarks(append(b, stateDiverged), c.diverged)
	}
	if c.decree != nil {
		return appendDecree(append(b, stateDecree), *c.decree)
	}
	if c.settled != nil {
		return appendIDs(append(b, stateSettled), c.settled)
	}
	if c.closing != nil {
		return appendClosing(append(b, stateClosing), *c.closing, c.age)
	}
	if c.closed != nil {
		return appendBookmarks(append(b, stateClosed), c.closed)
	}
	return appendBookmarks(append(b, stateFloors), c.floors)
}

func appendBookmarks(b []byte, list []bookmark.Bookmark) []byte {
	b = binary.AppendUvarint(b, uint64(len(list)))
	for _, x := range list {
		b = binary.LittleEndian.AppendUint64(b, x.Publisher)
		b = binary.AppendUvarint(b, x.Sequence)
	}
	return b
}

func (f *fields) bookmarks() (list []bookmark.Bookmark) {
	for range f.Count(8 + 1) {
		list = append(list, bookmark.Bookmark{Publisher: f.Uint64(), Sequence: f.Uvarint()})
	}
	return list
}

// intervalLeast is the length of the shortest interval.
const intervalLeast = 1 + 8 + 8 + 1

// appendInterval appends length and name of the destination, begin and end
// (microseconds, end 0: going on), count of ranges and these.
func appendInterval(b []byte, i Interval) []byte {
	b = binary.AppendUvarint(b, uint64(len(i.Destination)))
	b = append(b, i.Destination...)
	end := int64(0)
	if !i.End.IsZero() {
		end = i.End.UnixMicro()
	}
	b = binary.LittleEndian.AppendUint64(b, uint64(i.Begin.UnixMicro()))
	b = binary.LittleEndian.AppendUint64(b, uint64(end))
	b = binary.AppendUvarint(b, uint64(len(i.Ranges)))
	for _, r := range i.Ranges {
		b = binary.LittleEndian.AppendUint64(b, r.Publisher)
		b = binary.AppendUvarint(b, r.From)
		b = binary.AppendUvarint(b, r.To)
	}
	return b
}

func (f *fields) interval() Interval {
	i := Interval{Destination: string(f.Take(f.Uvarint()))}
	i.Begin = time.UnixMicro(int64(f.Uint64()))
	if end := int64(f.Uint64()); end != 0 {
		i.End = time.UnixMicro(end)
	}
	for range f.Count(8 + 1 + 1) {
		i.Ranges = append(i.Ranges, Range{Publisher: f.Uint64(), From: f.Uvarint(), To: f.Uvarint()})
	}
	return i
}

// A summary says what a segment holds.
type summary struct {
	from, to int64               // first and last time, 0: no records
	age      int64               // of the log when the segment was sealed
	last     Position            // behind the last record, 0: no records
	highest  []bookmark.Bookmark // of each publisher, by publisher
	outline  []byte              // as it stands there, see inside; may be empty
}

// Summary returns the summary of the segment that is being sealed and begins
// that of the next one.
func (t *table) Summary() []byte {
	t.grow()
	s := t.summary()
	list, rest := t.stretches.endSegment(s.last)
	s.outline = appendOutline(nil, s.highest, list, rest)
	t.nextSegment()
	return appendSummary(nil, s)
}

// grow brings the age up to date. While the log is opened it is that of the
// newest note: from there on it is counted again.
func (t *table) grow() {
	if t.clock != nil {
		t.age = max(t.age, t.clock())
	}
}

func appendSummary(b []byte, s summary) []byte {
	b = append(b, summaryVersion)
	b = binary.LittleEndian.AppendUint64(b, uint64(s.from))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.to))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.age))
	b = binary.LittleEndian.AppendUint64(b, uint64(s.last))
	b = binary.AppendUvarint(b, uint64(len(s.highest)))
	for _, h := range s.highest {
		b = binary.LittleEndian.AppendUint64(b, h.Publisher)
		b = binary.AppendUvarint(b, h.Sequence)
	}
	return append(b, s.outline...)
}

func decodeSummary(payload []byte) (summary, error) {
	f := fields{record.Fields{Rest: payload}}
	version := f.Byte()
	switch {
	case version > summaryVersion:
		return summary{}, &format.VersionError{File: "a summary", Found: uint64(version), Known: summaryVersion}
	case version == 0:
		return summary{}, fmt.Errorf("journal: summary of %d bytes: %w", len(payload), errState)
	case version < summaryVersion:
		return summary{}, fmt.Errorf("journal: summary of version %d, which is not read any more", version)
	}
	s := summary{from: int64(f.Uint64()), to: int64(f.Uint64()), age: int64(f.Uint64()), last: Position(f.Uint64())}
	s.highest = make([]bookmark.Bookmark, f.Count(8+1))
	for i := range s.highest {
		s.highest[i] = bookmark.Bookmark{Publisher: f.Uint64(), Sequence: f.Uvarint()}
	}
	s.outline = f.Take(uint64(len(f.Rest)))
	if f.Bad || len(f.Rest) > 0 {
		return summary{}, fmt.Errorf("journal: summary of %d bytes: %w", len(payload), errState)
	}
	return s, nil
}

// covered reports whether v covers all that the segment holds.
func (s summary) covered(v bookmark.Vector) bool { return covers(v, s.highest) }

// of returns a publisher's highest sequence in the segment, 0 if it has none.
func (s summary) of(publisher uint64) uint64 {
	for lo, hi := 0, len(s.highest); lo < hi; {
		switch mid := (lo + hi) / 2; {
		case s.highest[mid].Publisher == publisher:
			return s.highest[mid].Sequence
		case s.highest[mid].Publisher < publisher:
			lo = mid + 1
		default:
			hi = mid
		}
	}
	return 0
}

func vectorOf(list []bookmark.Bookmark) bookmark.Vector {
	v := make(bookmark.Vector, len(list))
	for _, b := range list {
		v[b.Publisher] = b.Sequence
	}
	return v
}
