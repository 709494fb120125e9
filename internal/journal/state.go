package journal

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/format"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

// kindState is the kind of log records that change the table only.
const kindState Kind = 0x20

// Types of state records.
const (
	stateFloors     = 1
	stateInterval   = 2
	stateForgotten  = 3
	stateAge        = 4
	statePeer       = 5
	stateDiverged   = 6
	stateCluster    = 7
	stateDecree     = 8
	stateDecreeUsed = 0x80 | stateDecree // publishers that have used the decree
	stateGroupClock = 9
	stateClosed     = 0x80 | stateGroupClock // publishers that are closed
	stateOwners     = 10
)

const (
	// headMagic tells a journal from other logs (pubstore's).
	headMagic      = "hfsjournal"
	headVersion    = 3
	summaryVersion = 3

	// headTombstones is the maximum number of bytes for tombstones and holes in a head. A head
	// must be shorter than the longest record of the log.
	headTombstones = 4 << 20
	// maxStateEntries bounds the entries of a state record, and thus its length.
	maxStateEntries = 1 << 16
	// maxStateOwners does so for owners, which have names.
	maxStateOwners = 1 << 12
)

var errState = errors.New("bad state record")

// ErrNotJournal reports a directory that holds another kind of log.
var ErrNotJournal = errors.New("not a journal")

// Head returns the table's snapshot, for the head of the next segment.
func (t *table) Head() []byte {
	t.updateAge()
	t.notedAge = t.age
	c := coder{b: append([]byte(headMagic), headVersion)}
	t.code(&c)
	return c.b
}

// RecoverHead replaces the table by the snapshot in a head.
func (t *table) RecoverHead(payload []byte) error {
	t.reset()
	if len(payload) == 0 {
		return nil // the first segment
	}
	if err := checkHead(payload); err != nil {
		return err
	}
	c := newReader(payload[len(headMagic)+1:])
	t.code(c)
	if !c.atEnd() {
		return fmt.Errorf("journal: head of %d bytes: %w", len(payload), errState)
	}
	return nil
}

// code codes the part of a head after its version. For decoding the table must be empty.
func (t *table) code(c *coder) {
	number(c, &t.lastTime)
	number(c, &t.age)
	codeList(c, &t.peers, minPeerLen, (*coder).peer)
	codeList(c, &t.intervals, minIntervalLen, (*coder).interval)
	reasons, index := t.reasons()
	codeList(c, &reasons, 1, (*coder).text)
	c.topicNames(&t.topics)
	owners, ownerIndex := t.owners()
	c.ownerNames(&owners)
	all, room := t.sorted(), headTombstones
	codeList(c, &all, 8+len(bookmark.Check{})+1+1+4+8+1+1+1+1, func(c *coder, at **publisher) {
		t.codePublisher(c, at)
		(*at).codeOwner(c, owners, ownerIndex)
		before := len(c.b)
		(*at).codeHoles(c, room)
		(*at).codeTombstones(c, reasons, index, room-(len(c.b)-before))
		room -= len(c.b) - before
	})
	c.cluster(&t.cluster)
	diverged, unknown := t.divergedList(), t.idsOf(func(p *publisher) bool { return p.crcUnknown })
	c.diverged(&diverged)
	c.ids(&unknown)
	t.applyDiverged(diverged)
	for _, id := range unknown {
		t.ensure(id).crcUnknown = true
	}
	t.codeDecree(c)
	c.groupClock(&t.groupClock, &t.groupClockAge)
}

// codePublisher codes a publisher without its owner, holes and tombstones. Decoding makes a new
// publisher.
func (t *table) codePublisher(c *coder, at **publisher) {
	if c.reading {
		*at = t.ensure(c.Uint64())
	} else {
		number(c, &(*at).id)
	}
	p := *at
	c.bytes(p.check[:])
	if c.reading && failpoint.On(failpoint.R10CheckNotInHead) {
		p.check = bookmark.Check{}
	}
	c.uvarint(&p.have)
	c.uvarint(&p.floor)
	c.uint32(&p.crc)
	number(c, &p.seen)
	c.uvarint(&p.closedUpTo)
	c.uvarint(&p.closedAt)
	c.topicHighests(p, len(t.topics.names))
}

// codeHoles codes the newest holes that fit into room bytes.
func (p *publisher) codeHoles(c *coder, room int) {
	holes := lastN(p.holes, room/(2*binary.MaxVarintLen64+1))
	if codeList(c, &holes, 1+1+1, (*coder).hole); c.reading {
		p.holes = holes
	}
}

// codeTombstones codes the newest tombstones that fit into room bytes.
func (p *publisher) codeTombstones(c *coder, reasons []string, index map[string]uint64, room int) {
	tombstones, last := lastN(p.newestTombstones(), room/(2*binary.MaxVarintLen64)), uint64(0)
	codeList(c, &tombstones, 1+1, func(c *coder, s *Refusal) {
		step, reason := s.Sequence-last, index[s.Reason]
		c.uvarint(&step)
		c.uvarint(&reason)
		last += step
		c.require(reason < uint64(len(reasons)))
		if c.reading && !c.Bad {
			*s = Refusal{Sequence: last, Reason: reasons[reason]}
		}
	})
	if c.reading {
		p.tombstones = tombstones
	}
}

// lastN returns the last n entries of a list, or all if there are fewer.
func lastN[T any](list []T, n int) []T { return list[len(list)-min(len(list), max(n, 0)):] }

// reasons returns each tombstone reason once, and the index of each reason. Index 0 is the
// empty reason. It also stands for reasons that do not fit.
func (t *table) reasons() (order []string, index map[string]uint64) {
	order, index = []string{""}, map[string]uint64{"": 0}
	size := 0
	for _, p := range t.sorted() {
		for _, s := range p.newestTombstones() {
			if _, known := index[s.Reason]; known || size > headTombstones {
				continue
			}
			index[s.Reason] = uint64(len(order))
			order = append(order, s.Reason)
			size += len(s.Reason)
		}
	}
	return order, index
}

// idsOf returns the ids of the publishers for which match returns true, in order.
func (t *table) idsOf(match func(*publisher) bool) (ids []uint64) {
	for _, p := range t.sorted() {
		if match(p) {
			ids = append(ids, p.id)
		}
	}
	return ids
}

// checkHead returns an error unless start is the start of a journal's head.
func checkHead(start []byte) error {
	f := record.FieldReader{Rest: bytes.TrimPrefix(start, []byte(headMagic))}
	if len(f.Rest) == len(start) {
		return ErrNotJournal
	}
	return checkVersion("head", "", len(start), f.Byte(), headVersion)
}

// checkVersion returns an error if this program cannot read the version of a head or a
// summary. part names it in errors, and n is its length.
func checkVersion(part, file string, n int, found, known byte) error {
	switch {
	case found == 0: // or there is no version byte
		return fmt.Errorf("journal: %s of %d bytes: %w", part, n, errState)
	case found < known:
		return fmt.Errorf("journal: %s of version %d: this program reads version %d only", part, found, known)
	case found > known:
		return &format.VersionError{File: file, Found: uint64(found), Known: uint64(known)}
	}
	return nil
}

// headVector reads have(p) of every publisher from a head.
func headVector(payload []byte) (bookmark.Vector, error) {
	t := newTable(nil)
	if err := t.RecoverHead(payload); err != nil {
		return nil, err
	}
	return t.haveVector(), nil
}

func (t *table) haveVector() bookmark.Vector {
	v := make(bookmark.Vector, len(t.sorted()))
	for _, p := range t.sorted() {
		if p.have > 0 {
			v[p.id] = p.have
		}
	}
	return v
}

// Recover applies a record of the log to the table.
func (t *table) Recover(rec seglog.Record) error {
	if Kind(rec.Kind) == kindState {
		c, err := decodeChange(rec.Payload)
		if err != nil {
			return fmt.Errorf("journal: record at %v: %w", rec.Position, err)
		}
		t.applyChange(c)
		return nil
	}
	r := &t.scratch
	if err := decodeLogged(rec, r); err != nil {
		return err
	}
	t.apply(r, sumOf(r))
	return nil
}

// A change is a decoded state record.
type change struct {
	kind       byte
	time       int64
	age        int64               // of the log
	list       []bookmark.Bookmark // floors, diverged or closed publishers
	ids        []uint64            // forgotten publishers, or those that have used the decree
	interval   DegradedInterval
	peer       Peer
	cluster    Cluster
	decree     agedDecree
	groupClock GroupClock
	owners     []PublisherOwner
}

// payload returns the payload of the state record.
func (x *change) payload() []byte {
	var c coder
	c.change(x)
	return c.b
}

func decodeChange(payload []byte) (x change, err error) {
	c := newReader(payload)
	if !c.change(&x) {
		return x, fmt.Errorf("%w: unknown type %d", errState, x.kind)
	}
	if !c.atEnd() {
		return x, errState
	}
	return x, nil
}

// change codes a state record. It returns false if the type is unknown.
func (c *coder) change(x *change) bool {
	number(c, &x.time)
	c.byte(&x.kind)
	switch x.kind {
	case stateFloors, stateClosed:
		c.bookmarks(&x.list)
	case stateDiverged:
		c.diverged(&x.list)
	case stateForgotten, stateDecreeUsed:
		c.ids(&x.ids)
	case stateInterval:
		c.interval(&x.interval)
	case stateAge:
		number(c, &x.age)
	case statePeer:
		c.peer(&x.peer)
	case stateCluster:
		c.cluster(&x.cluster)
	case stateDecree:
		c.decree(&x.decree)
	case stateGroupClock:
		c.groupClock(&x.groupClock, &x.age)
	case stateOwners:
		c.statedOwners(&x.owners)
	default:
		return false
	}
	return true
}

// applyChange is apply for a state record.
func (t *table) applyChange(x change) {
	t.lastTime = max(t.lastTime, x.time)
	switch x.kind {
	case stateFloors:
		t.applyFloors(x.list)
	case stateDiverged:
		t.applyDiverged(x.list)
	case stateClosed:
		t.applyClosed(x.list)
	case stateForgotten:
		t.forget(x.ids)
	case stateDecreeUsed:
		t.applyDecreeUsed(x.ids)
	case stateInterval:
		t.applyInterval(x.interval)
	case stateAge:
		t.age = max(t.age, x.age)
		t.notedAge = t.age
	case statePeer:
		t.applyPeer(x.peer)
	case stateCluster:
		t.cluster = x.cluster
	case stateDecree:
		t.applyDecree(x.decree)
	case stateGroupClock:
		t.applyGroupClock(x.groupClock, x.age)
	case stateOwners:
		t.applyOwners(x.owners)
	}
}

// A summary describes the records of a segment.
type summary struct {
	from, to int64               // first and last time; 0: no records
	age      int64               // of the log when the segment was sealed
	last     Position            // after the last record; 0: no records
	highest  []bookmark.Bookmark // of each publisher, by publisher
	outline  []byte              // encoded, see decodeOutline; may be empty
}

// Summary returns the summary of the segment that is being sealed, and begins the next
// summary.
func (t *table) Summary() []byte {
	t.updateAge()
	s := t.summary()
	list, rest := t.extents.endSegment(s.last)
	s.outline = appendOutline(nil, s.highest, list, rest)
	t.nextSegment()
	return appendSummary(nil, s)
}

// updateAge brings the age up to date. While the log is being opened, the age is that of the
// newest note. From then on time counts again.
func (t *table) updateAge() {
	if t.ageNow != nil {
		t.age = max(t.age, t.ageNow())
	}
}

func appendSummary(b []byte, s summary) []byte {
	c := coder{b: append(b, summaryVersion)}
	c.summary(&s)
	return append(c.b, s.outline...)
}

func decodeSummary(payload []byte) (s summary, err error) {
	c := newReader(payload)
	if err := checkVersion("summary", "a summary", len(payload), c.Byte(), summaryVersion); err != nil {
		return summary{}, err
	}
	c.summary(&s)
	s.outline = c.Bytes(uint64(len(c.Rest)))
	if c.Bad {
		return summary{}, fmt.Errorf("journal: summary of %d bytes: %w", len(payload), errState)
	}
	return s, nil
}

// summary codes a summary without its outline.
func (c *coder) summary(s *summary) {
	number(c, &s.from)
	number(c, &s.to)
	number(c, &s.age)
	number(c, &s.last)
	c.bookmarks(&s.highest)
}

// covered reports whether v covers every record of the segment.
func (s summary) covered(v bookmark.Vector) bool { return covers(v, s.highest) }

// highestOf returns a publisher's highest sequence in the segment, 0 if it has none.
func (s summary) highestOf(publisher uint64) uint64 { return highestOf(s.highest, publisher) }

// highestOf returns the sequence of a publisher in an ordered list, 0 if it is not there.
func highestOf(list []bookmark.Bookmark, publisher uint64) uint64 {
	if i, found := slices.BinarySearchFunc(list, bookmark.Bookmark{Publisher: publisher}, byPublisher); found {
		return list[i].Sequence
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
