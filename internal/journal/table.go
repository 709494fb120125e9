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
	maxTombstones    = ledger.MaxTombstones // newest rejected messages of a publisher that are remembered
	maxReason        = 256                  // bytes of a tombstone's reason that are remembered
	maxRingBytes     = 64 << 20             // bytes of all rings
	maxIntervals     = 1024                 // newest degraded intervals that are remembered
	maxRanges        = 1 << 17              // ranges of all degraded intervals that are remembered
	minKnownContents = 32 << 20             // newest bytes of the log whose content sums are known after Open
)

// A publisher is the table's entry for one publisher.
type publisher struct {
	id      uint64
	check   bookmark.Check // zero: not known
	owner   owner
	have    uint64
	durable uint64
	floor   uint64
	removed uint64 // highest sequence before the oldest segment
	presence
	tombstones []Refusal
	holes      []hole // in order
	usedDecree bool   // it has used the decree

	topics        []topicHighest // of all its messages
	removedTopics []topicHighest // of its messages up to removed

	ring        ring
	ringElement *list.Element // in rings.order; nil: no ring

	lastAdded
	dirty bool // have may be above durable

	runningCRCs
	diverged uint64 // first sequence not proven equal on all instances; 0: not diverged
}

// presence has the times of a publisher by the group's clock (R10).
type presence struct {
	seen       uint64 // tick of its last record, or of Touch
	closedUpTo uint64 // no instance has anything of it up to this sequence
	closedAt   uint64 // tick at which it was found closed
}

// runningCRCs has the running CRCs of a publisher (R11).
type runningCRCs struct {
	crc        uint32 // at have
	crcUnknown bool   // crc lacks the messages of a marker without a running CRC
	removedCRC uint32 // at removed
}

// lastAdded has the numbers of the segment and of the two open extents to which a publisher
// was last added.
type lastAdded struct{ segment, extent, outlined uint32 }

// state returns the state of p without the fields that depend on the table.
func (p *publisher) state() PublisherState {
	s := PublisherState{
		Publisher: p.id, Check: p.check, Owner: p.owner.String(), Have: p.have, Durable: p.durable, Floor: p.floor, RunningCRC: p.crc,
		Removed: p.removed, RemovedCRC: p.removedCRC, Diverged: p.diverged,
	}
	if p.crcUnknown {
		s.RunningCRC = 0
	}
	return s
}

// state returns the state of p.
func (t *table) state(p *publisher) PublisherState {
	s := p.state()
	s.Closing, s.ClosedUpTo, s.Leaving = t.mayClose(p), p.closedUpTo, t.mayLeave(p)
	return s
}

// groupState is the journal's knowledge of its group.
type groupState struct {
	peers         []Peer // ordered by name
	cluster       Cluster
	decree        agedDecree
	groupClock    GroupClock
	groupClockAge int64 // age of the log at the last tick of the group's clock
}

// A table is the state that results from the journal's records. Only apply and applyChange
// change it, both live and when the journal is opened. It is the Owner of the log: its
// snapshot is the head of each segment. It is not safe for concurrent use.
type table struct {
	carried func(topic []byte) bool

	byID    map[uint64]*publisher
	all     []*publisher // sorted orders it
	ordered int          // the first ordered entries of all are sorted by id; the others are new
	rings   rings
	topics  topicNames

	lastTime  int64        // of the newest record; it never goes back
	age       int64        // of the log, microseconds; updateAge and updateAgeLocked bring it up to date
	notedAge  int64        // age in the newest note of the log
	ageNow    func() int64 // returns the age now; nil while the log is being opened
	intervals []DegradedInterval
	groupState

	// For the summary of the segment that is being written.
	segment        uint32 // counts the segments of this table, from 1
	inSegment      []*publisher
	segFrom, segTo int64    // first and last time; 0: no records
	segLast        Position // after the last record; 0: no records

	extents recentExtents
	tally   tally

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
	t.tally = tally{}
	t.nextSegment()
}

func (t *table) nextSegment() {
	t.segment++
	t.inSegment = t.inSegment[:0]
	t.segFrom, t.segTo, t.segLast = 0, 0, 0
}

// ensure returns the entry of a publisher. It adds one for an unknown publisher.
func (t *table) ensure(id uint64) *publisher {
	if p := t.byID[id]; p != nil {
		return p
	}
	p := &publisher{id: id}
	p.returnPlanted()
	t.byID[id] = p
	t.all = append(t.all, p)
	return p
}

// noPublisher stands for an unknown publisher. It never changes.
var noPublisher publisher

// lookup returns the entry of a publisher, or noPublisher. The caller must not change it.
func (t *table) lookup(id uint64) *publisher {
	if p := t.byID[id]; p != nil {
		return p
	}
	return &noPublisher
}

// sorted returns the publishers ordered by id. It merges all new publishers at once, because
// to insert them one by one would take quadratic time.
func (t *table) sorted() []*publisher {
	added := slices.Clone(t.all[t.ordered:])
	slices.SortFunc(added, byID)
	end := len(t.all)
	for ; len(added) > 0; added = added[:len(added)-1] {
		last := added[len(added)-1]
		at, _ := slices.BinarySearchFunc(t.all[:t.ordered], last, byID)
		end -= copy(t.all[end-(t.ordered-at):end], t.all[at:t.ordered]) + 1
		t.all[end], t.ordered = last, at
	}
	t.ordered = len(t.all)
	return t.all
}

// find returns the index of a publisher in sorted, or the index at which to insert it.
func (t *table) find(id uint64) (at int, found bool) {
	return slices.BinarySearchFunc(t.sorted(), id, func(p *publisher, id uint64) int { return cmp.Compare(p.id, id) })
}

func byID(a, b *publisher) int { return cmp.Compare(a.id, b.id) }

// forget removes the entries of publishers (R10).
func (t *table) forget(ids []uint64) {
	forgotten := make(map[uint64]bool, len(ids))
	for _, id := range ids {
		if p := t.byID[id]; p != nil {
			t.rings.drop(p)
			p.outlivePlanted()
			delete(t.byID, id)
			forgotten[id] = true
		}
	}
	if len(forgotten) > 0 {
		t.all = slices.DeleteFunc(t.sorted(), func(p *publisher) bool { return forgotten[p.id] })
		t.ordered = len(t.all)
	}
}

// verdict returns the verdict of admission (R1, R11) on a record with that sum.
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
	switch known := p.ring.get(r.Sequence); {
	case known == sum:
		return Duplicate
	case known == 0, failpoint.On(failpoint.R11KindsAlike) && min(known, sum) < minContentSum:
		return ContentUnknown
	}
	return Differs
}

// prepareCheck prepares the check of a record that is about to be written. If the table knows
// the publisher's check, prepareCheck removes the check from the record. Otherwise it adds the
// check to the bytes of the record. A record that came over a link with its check stays
// unchanged.
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

// apply adds a record of the log that has that sum. If the head includes the record already,
// it counts for the summary only.
func (t *table) apply(r *Record, sum uint32) *publisher {
	p := t.ensure(r.Publisher)
	t.noteRecord(p, Position(r.Position), Position(r.Next), r.Time)
	if p.check == (bookmark.Check{}) {
		p.check = r.Check
	}
	if r.Sequence <= p.have {
		return p
	}
	p.noteUser(r.User)
	before := p.have
	p.have = r.Sequence
	p.seen = t.groupClock.Now
	switch r.Kind {
	case Message:
		t.noteTopic(p, r.Topic, r.Sequence)
		if t.carried(r.Topic) {
			p.crc = chainCRC(p.crc, r.Sequence, sum)
		}
	case Tombstone:
		p.addTombstones(before, r.Sequence, r.Reason)
	case Elsewhere:
		p.raiseTopic(topicHighest{elsewhereTopic, r.Sequence})
	case Gone:
		p.addHole(hole{from: before + 1, to: r.Sequence, cause: r.Cause})
		p.raiseTopic(topicHighest{anyTopic, r.Sequence})
		// Messages that were let go before any instance had anything are in no CRC: 0 is right.
		p.crc, p.crcUnknown = r.RunningCRC, r.RunningCRC == 0 && (r.Cause != LetGo || before > 0)
		if len(r.Reason) > 0 {
			p.addTombstones(before, r.Sequence, r.Reason)
		}
	}
	t.rings.remember(p, before, r.Sequence, sum)
	return p
}

// noteRecord adds a record of p to the summary of the segment.
func (t *table) noteRecord(p *publisher, at, next Position, time int64) {
	if p.segment != t.segment {
		p.segment = t.segment
		t.inSegment = append(t.inSegment, p)
	}
	t.extents.addRecord(p, at)
	t.tally.note(at, next, time)
	if t.segFrom == 0 {
		t.segFrom = time
	}
	t.lastTime = max(t.lastTime, time)
	t.segTo = t.lastTime
	t.segLast = next
}

// addTombstones adds tombstones for the sequences above after, up to last. Only the newest
// tombstones are kept.
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
		if len(p.tombstones) >= 2*maxTombstones { // many at once, because moving the rest is expensive
			p.tombstones = slices.Delete(p.tombstones, 0, len(p.tombstones)-maxTombstones)
		}
	}
}

// newestTombstones returns the remembered tombstones, in order.
func (p *publisher) newestTombstones() []Refusal {
	return p.tombstones[max(0, len(p.tombstones)-maxTombstones):]
}

// floorTooLow reports whether the floor is below messages that were before the oldest
// segment. It is also true for a publisher that was forgotten meanwhile and came back with
// lower numbers.
func (p *publisher) floorTooLow() bool { return p.floor < min(p.removed, p.have) }

// applyFloors raises floors. It never raises a floor above have, because the removal of
// messages does not change have(p).
func (t *table) applyFloors(floors []bookmark.Bookmark) {
	for _, f := range floors {
		if p := t.byID[f.Publisher]; p != nil {
			p.raiseFloor(min(f.Sequence, p.have))
		}
	}
}

// applyInterval adds an interval, or replaces its earlier state.
func (t *table) applyInterval(i DegradedInterval) {
	at := slices.IndexFunc(t.intervals, func(o DegradedInterval) bool {
		return o.Destination == i.Destination && o.Begin.Equal(i.Begin)
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
