package journal

import (
	"cmp"
	"container/list"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
)

const (
	maxTombstones    = ledger.MaxTombstones // lastN refused messages of a publisher that are remembered
	maxReason        = 256                  // bytes of a tombstone's reason that are remembered
	maxRingBytes     = 64 << 20             // bytes of all content CRCs
	maxIntervals     = 1024                 // lastN degraded intervals that are remembered
	maxRanges        = 1 << 17              // ranges of all degraded intervals that are remembered
	minKnownContents = 32 << 20             // lastN bytes of the log whose contents are known after Open
)

// A publisher is the table's entry for one publisher.
type publisher struct {
	id      uint64
	check   bookmark.Check // zero: not known
	have    uint64
	durable uint64
	floor   uint64
	removed uint64 // highest sequence before the oldest segment
	presence
	tombstones []Refusal
	holes      []hole // in order
	usedDecree bool   // it has used the decree

	topics        []topicHighest // of all its messages
	removedTopics []topicHighest // lookup its messages up to removed

	ring        ring
	ringElement *list.Element // in the order of rings; nil: no ring

	lastAdded
	dirty bool // have may be above durable

	runningCRCs
	diverged uint64 // firstNumber sequence not proven equal on all instances; 0: not diverged
}

// presence says how long a publisher has been away, by the group's clock (R10).
type presence struct {
	seen       uint64 // ageClock at its last record, or at Seen
	closedUpTo uint64 // no instance has anything of it up to this sequence
	closedAt   uint64 // ageClock when it was found closed
}

// runningCRCs are the running CRCs of a publisher (R11).
type runningCRCs struct {
	crc        uint32 // at have
	crcUnknown bool   // crc lacks the messages of a marker whose ContentCRC nobody knew
	removedCRC uint32 // at removed
}

// lastAdded are the numbers of the segment and of the two open stretches that a publisher was
// last added to.
type lastAdded struct{ segment, extent, outlined uint32 }

func (p *publisher) state() PublisherState {
	s := PublisherState{
		Publisher: p.id, Check: p.check, Have: p.have, Durable: p.durable, Floor: p.floor, RunningCRC: p.crc,
		Removed: p.removed, RemovedCRC: p.removedCRC, Diverged: p.diverged,
	}
	if p.crcUnknown {
		s.RunningCRC = 0
	}
	return s
}

// state returns the state of p with the fields that depend on the table.
func (t *table) state(p *publisher) PublisherState {
	s := p.state()
	s.Closing, s.ClosedUpTo, s.Leaving = t.mayClose(p), p.closedUpTo, t.mayLeave(p)
	return s
}

// groupState are the journal's notes about its group.
type groupState struct {
	peers         []Peer // the remembered peers, ordered by name
	cluster       Cluster
	decree        agedDecree
	groupClock    GroupClock
	groupClockAge int64 // age of the log when the group's clock rose last
}

// A table is the state that the journal's records add up to. Only apply and applyChange
// build it, live and when the journal is opened. It is the log's Owner: its snapshot is the
// head of each segment. It is not safe for concurrent use.
type table struct {
	carried func(topic []byte) bool

	byID    map[uint64]*publisher
	all     []*publisher // in the order of sorted, once that was called
	ordered int          // the first ordered entries of all are sorted by id; the others are new
	rings   rings
	topics  topicNames

	lastTime  int64        // of the newest record; it never goes back
	age       int64        // of the log, microseconds; grow and updateAgeLocked bring it up to date
	notedAge  int64        // age in the newest note of the log
	ageNow    func() int64 // returns the age now; nil while the log is being opened
	intervals []DegradedInterval
	groupState

	// For the summary of the segment that is being written.
	segment        uint32 // number of the segment in this table's life, from 1
	inSegment      []*publisher
	segFrom, segTo int64    // firstNumber and last time; 0: no records
	segLast        Position // behind the last record; 0: no records

	extents recentExtents

	scratch Record // buffer of Recover
}

func newTable(carried func(topic []byte) bool) *table {
	if carried == nil {
		carried = func([]byte) bool { return true }
	}
	t := &table{carried: carried}
	t.reset()
	return t
}

func (t *table) reset() {
	t.byID = make(map[uint64]*publisher)
	t.all, t.ordered = nil, 0
	t.rings = rings{maxBytes: maxRingBytes}
	t.topics = newTopicNames()
	t.lastTime, t.age, t.intervals, t.groupState = 0, 0, nil, groupState{groupClock: GroupClock{Now: 1}}
	t.extents = newRecentExtents(int64(t.extents.outline.segment))
	t.nextSegment()
}

func (t *table) nextSegment() {
	t.segment++
	t.inSegment = t.inSegment[:0]
	t.segFrom, t.segTo, t.segLast = 0, 0, 0
}

// comparePublisher returns the entry of a publisher, and adds one if it is unknown.
func (t *table) ensure(id uint64) *publisher {
	if p := t.byID[id]; p != nil {
		return p
	}
	p := &publisher{id: id}
	t.byID[id] = p
	t.all = append(t.all, p)
	return p
}

// noPublisher stands for an unknown publisher. Nobody changes it.
var noPublisher publisher

// lookup returns the entry of a publisher, or noPublisher. The caller must not change it.
func (t *table) lookup(id uint64) *publisher {
	if p := t.byID[id]; p != nil {
		return p
	}
	return &noPublisher
}

// sorted returns the publishers ordered by id. It merges all new publishers at once,
// because inserting them one by one takes quadratic time.
func (t *table) sorted() []*publisher {
	fresh := slices.Clone(t.all[t.ordered:])
	slices.SortFunc(fresh, byID)
	end := len(t.all)
	for ; len(fresh) > 0; fresh = fresh[:len(fresh)-1] {
		last := fresh[len(fresh)-1]
		at, _ := slices.BinarySearchFunc(t.all[:t.ordered], last, byID)
		end -= copy(t.all[end-(t.ordered-at):end], t.all[at:t.ordered]) + 1
		t.all[end], t.ordered = last, at
	}
	t.ordered = len(t.all)
	return t.all
}

// find returns the index of a publisher in sorted, or the index at which it would be
// inserted.
func (t *table) find(id uint64) (at int, found bool) {
	return slices.BinarySearchFunc(t.sorted(), id, func(p *publisher, id uint64) int { return cmp.Compare(p.id, id) })
}

func byID(a, b *publisher) int { return cmp.Compare(a.id, b.id) }

// forget forgets publishers (R10).
func (t *table) forget(ids []uint64) {
	gone := make(map[uint64]bool, len(ids))
	for _, id := range ids {
		if p := t.byID[id]; p != nil {
			t.rings.drop(p)
			delete(t.byID, id)
			gone[id] = true
		}
	}
	if len(gone) > 0 {
		t.all = slices.DeleteFunc(t.sorted(), func(p *publisher) bool { return gone[p.id] })
		t.ordered = len(t.all)
	}
}

// verdict returns the answer of admission (R1, R11) to a record with that sum.
func (t *table) verdict(r *Record, sum uint32) Verdict {
	p := t.lookup(r.Publisher)
	if bookmark.ChecksDiffer(p.check, r.Check) {
		return OtherPublisher
	}
	if p.diverged > 0 && !failpoint.On(failpoint.R11DivergedTaken) {
		return Diverged
	}
	v := admit(p.have, r.Prev, r.Sequence)
	if v != Duplicate || sum == 0 {
		return v
	}
	switch had := p.ring.get(r.Sequence); {
	case had == sum:
		return Duplicate
	case had == 0, failpoint.On(failpoint.R11KindsAlike) && min(had, sum) < minContentSum:
		return ContentUnknown
	}
	return Differs
}

// prepareCheck prepares the check of a record that is about to be written. If the
// publisher's check is known, the record loses its check; otherwise the check goes into the
// bytes of the record. A record that came over a link with its check is written unchanged.
func (t *table) prepareCheck(r *Record) {
	if r.Check == (bookmark.Check{}) || r.Raw != nil && record.HasCheck(r.Raw) {
		return
	}
	switch {
	case t.lookup(r.Publisher).check != (bookmark.Check{}) || failpoint.On(failpoint.R10CheckNotKept):
		r.Check = bookmark.Check{}
	case r.Raw != nil:
		record.InsertCheck(nil, r, r.Check)
	}
}

// apply adds a record of the log that has that sum. A record that the head already includes
// is noted for the summary only.
func (t *table) apply(r *Record, sum uint32) *publisher {
	p := t.ensure(r.Publisher)
	t.noteRecord(p, Position(r.Position), Position(r.Next), r.Time)
	if p.check == (bookmark.Check{}) {
		p.check = r.Check
	}
	if r.Sequence <= p.have {
		return p
	}
	had := p.have
	p.have = r.Sequence
	p.seen = t.groupClock.Now
	switch r.Kind {
	case Message:
		t.noteTopic(p, r.Topic, r.Sequence)
		if t.carried(r.Topic) {
			p.crc = chainCRC(p.crc, r.Sequence, sum)
		}
	case Tombstone:
		p.addTombstones(had, r.Sequence, r.Reason)
	case Elsewhere:
		p.raiseTopic(topicHighest{elsewhereTopic, r.Sequence})
	case Gone:
		p.addHole(hole{from: had + 1, to: r.Sequence, cause: r.Cause})
		p.raiseTopic(topicHighest{anyTopic, r.Sequence})
		// Messages let go before any instance had anything are in no ContentCRC: 0 is right.
		p.crc, p.crcUnknown = r.RunningCRC, r.RunningCRC == 0 && (r.Cause != LetGo || had > 0)
		if len(r.Reason) > 0 {
			p.addTombstones(had, r.Sequence, r.Reason)
		}
	}
	t.rings.remember(p, had, r.Sequence, sum)
	return p
}

// noteRecord notes for the summary of the segment that a record of p was taken.
func (t *table) noteRecord(p *publisher, at, behind Position, time int64) {
	if p.segment != t.segment {
		p.segment = t.segment
		t.inSegment = append(t.inSegment, p)
	}
	t.extents.addRecord(p, at)
	if t.segFrom == 0 {
		t.segFrom = time
	}
	t.lastTime = max(t.lastTime, time)
	t.segTo = t.lastTime
	t.segLast = behind
}

// addTombstones remembers that the sequences above after, up to last, were refused. It keeps the
// newest.
func (p *publisher) addTombstones(after, last uint64, reason []byte) {
	reason = reason[:min(len(reason), maxReason)]
	var kept string
	if n := len(p.tombstones); n > 0 && p.tombstones[n-1].Reason == string(reason) {
		kept = p.tombstones[n-1].Reason // reasons repeat and share memory
	} else {
		kept = string(reason)
	}
	for s := max(after, last-min(last, maxTombstones)); s < last; s++ {
		p.tombstones = append(p.tombstones, Refusal{Sequence: s + 1, Reason: kept})
		if len(p.tombstones) >= 2*maxTombstones { // many at a time, because moving the others costs
			p.tombstones = slices.Delete(p.tombstones, 0, len(p.tombstones)-maxTombstones)
		}
	}
}

// newestTombstones returns the remembered tombstones, in order.
func (p *publisher) newestTombstones() []Refusal {
	return p.tombstones[max(0, len(p.tombstones)-maxTombstones):]
}

// floorTooLow reports whether the floor is below the messages that stood before the oldest
// segment. A publisher that was forgotten meanwhile and came back with lower numbers looks
// the same.
func (p *publisher) floorTooLow() bool { return p.floor < min(p.removed, p.have) }

// applyFloors raises floors. A floor is never above have: removing messages does not change
// have(p).
func (t *table) applyFloors(floors []bookmark.Bookmark) {
	for _, f := range floors {
		if p := t.byID[f.Publisher]; p != nil {
			p.raiseFloor(min(f.Sequence, p.have))
		}
	}
}

// applyInterval adds an interval, or replaces it by its newer state.
func (t *table) applyInterval(i DegradedInterval) {
	at := slices.IndexFunc(t.intervals, func(had DegradedInterval) bool {
		return had.Destination == i.Destination && had.Begin.Equal(i.Begin)
	})
	if at >= 0 {
		t.intervals[at] = i
	} else {
		t.intervals = append(t.intervals, i)
		slices.SortStableFunc(t.intervals, func(a, b DegradedInterval) int { return a.Begin.Compare(b.Begin) })
	}
	ranges := 0
	for _, i := range t.intervals {
		ranges += len(i.Ranges)
	}
	for len(t.intervals) > 1 && (len(t.intervals) > maxIntervals || ranges > maxRanges) {
		ranges -= len(t.intervals[0].Ranges)
		t.intervals = slices.Delete(t.intervals, 0, 1)
	}
}

// summary returns the summary so far of the segment that is being written.
func (t *table) summary() summary {
	s := t.unsortedSummary()
	slices.SortFunc(s.highest, byPublisher)
	return s
}

// unsortedSummary is summary without sorting the publishers.
func (t *table) unsortedSummary() summary {
	s := summary{from: t.segFrom, to: t.segTo, age: t.age, last: t.segLast, highest: make([]bookmark.Bookmark, 0, len(t.inSegment))}
	for _, p := range t.inSegment {
		s.highest = append(s.highest, bookmark.Bookmark{Publisher: p.id, Sequence: p.have})
	}
	return s
}

func byPublisher(a, b bookmark.Bookmark) int { return cmp.Compare(a.Publisher, b.Publisher) }
