package bookmarkstore

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A window is the place of one subscription (R9). Arriving messages, progress marks and discards of
// the application move it. It does no I/O; it returns the changes that a store has to write. It is
// not safe for concurrent use.
//
// If a store writes every change and rebuilds a window with restore and addOutOfOrder, exactly the
// undiscarded messages are delivered again.
type window struct {
	publishers  map[uint64]*publisher
	order       []*publisher // all publishers
	recent      *publisher   // the publisher used last; usually the next one too
	hasBase     bool         // SetBase was called, in this process or an earlier one
	outstanding int          // number of received messages that are not discarded
	ids         []uint64     // scratch for sortedIDs
}

// A publisher is the part of a window for one publisher.
//
// Invariant: discarded <= received. Every entry of the queue is above discarded and at most
// received. The first entry is an entryWaiting. If the queue is empty, discarded == received.
type publisher struct {
	id        uint64
	received  uint64
	discarded uint64
	queue     queue
	// outOfOrder holds the out-of-order discards from before this use of the subscription,
	// ascending, all above discarded. If such a message is delivered again, it is dropped and
	// counts as received and discarded.
	outOfOrder       []uint64
	index            int // index in window.order
	publisherChanges     // changes that the store has not written yet
}

// A change is the data that a store has to write for the next process.
type change struct {
	publisher *publisher
	// discarded is the new contiguous point, 0 if it did not move. Stored out-of-order discards
	// at or below it are obsolete.
	discarded uint64
	// outOfOrder is a sequence that is now discarded out of order, 0 if there is none.
	outOfOrder uint64
	// removed is true if the publisher was removed from the place.
	removed bool
}

func (c change) none() bool { return c.discarded == 0 && c.outOfOrder == 0 && !c.removed }

// publisher returns the part of one publisher and creates it if needed.
func (w *window) publisher(id uint64) *publisher {
	if w.recent != nil && w.recent.id == id {
		return w.recent
	}
	p := w.publishers[id]
	if p == nil {
		if w.publishers == nil {
			w.publishers = make(map[uint64]*publisher)
		}
		p = &publisher{id: id, index: len(w.order)}
		w.publishers[id] = p
		w.order = append(w.order, p)
	}
	w.recent = p
	return p
}

// find returns the publisher and the queue entry of b. The entry is nil if there is none.
func (w *window) find(b Bookmark) (*publisher, *entry) {
	p := w.recent
	if p == nil || p.id != b.Publisher {
		if p = w.publishers[b.Publisher]; p == nil {
			return nil, nil
		}
		w.recent = p
	}
	return p, p.queue.find(b.Sequence)
}

// removePublisher removes a publisher from the window.
func (w *window) removePublisher(p *publisher) {
	delete(w.publishers, p.id)
	last := len(w.order) - 1
	w.order[p.index], w.order[last].index = w.order[last], p.index
	w.order[last] = nil
	w.order, w.recent = w.order[:last], nil
}

// restore adds a stored discarded point: everything up to b is discarded.
func (w *window) restore(b Bookmark) {
	p := w.publisher(b.Publisher)
	p.received, p.discarded = b.Sequence, b.Sequence
}

// addOutOfOrder adds an out-of-order discard from before this use of the subscription: b is
// discarded, and messages below it may not be.
func (w *window) addOutOfOrder(b Bookmark) *publisher {
	p := w.publisher(b.Publisher)
	if b.Sequence <= p.discarded {
		return p
	}
	if i, found := slices.BinarySearch(p.outOfOrder, b.Sequence); !found {
		p.outOfOrder = slices.Insert(p.outOfOrder, i, b.Sequence)
	}
	return p
}

// receive records that b is queued for the application. It returns false if b was received or
// discarded before; the caller must drop b then.
func (w *window) receive(b Bookmark) (bool, change) {
	p := w.publisher(b.Publisher)
	if b.Sequence <= p.received {
		return failpoint.On(failpoint.R9NoFilter), change{}
	}
	p.received = b.Sequence
	if len(p.outOfOrder) > 0 {
		if _, found := slices.BinarySearch(p.outOfOrder, b.Sequence); found {
			p.queue.Push(entry{b.Sequence, entryDone})
			return failpoint.On(failpoint.R9NoFilter), p.advance()
		}
	}
	p.queue.Push(entry{b.Sequence, entryWaiting})
	w.outstanding++
	return true, change{}
}

// discard records that the application is done with b. If b is not outstanding, nothing changes.
func (w *window) discard(b Bookmark) change {
	p, e := w.find(b)
	if e == nil || e.state != entryWaiting {
		return change{}
	}
	e.state = entryDone
	w.outstanding--
	w.failpointDiscard(failpoint.R9DiscardMax, p, b.Sequence)
	if c := p.advance(); !c.none() {
		return c
	}
	return change{publisher: p, outOfOrder: b.Sequence}
}

// receiveMarks adds a progress mark for each publisher in v. It appends its changes to changes.
func (w *window) receiveMarks(v Vector, changes []change) []change {
	for _, id := range w.sortedIDs(v) {
		if c := w.receiveMark(Bookmark{Publisher: id, Sequence: v[id]}); !c.none() {
			changes = append(changes, c)
		}
	}
	return changes
}

// sortedIDs returns the publishers of v in order: map order must not reach the database.
func (w *window) sortedIDs(v Vector) []uint64 {
	w.ids = w.ids[:0]
	for id := range v {
		w.ids = append(w.ids, id)
	}
	slices.Sort(w.ids)
	return w.ids
}

// forgetPublishers removes publishers whose received and discarded sequences both equal the one in
// v. It appends its changes to changes.
func (w *window) forgetPublishers(v Vector, changes []change) []change {
	for _, id := range w.sortedIDs(v) {
		p := w.publishers[id]
		if p == nil || p.received != v[id] || p.discarded != v[id] && !failpoint.On(failpoint.R10ForgetsOutstanding) || len(p.outOfOrder) > 0 {
			continue
		}
		w.removePublisher(p)
		changes = append(changes, change{publisher: p, removed: true})
	}
	return changes
}

// receiveMark adds one mark to the queue of its publisher. The mark counts as discarded once all
// entries before it are, and delays no entry after it.
//
// One queue per publisher is enough. discarded(p) = s means that no message of p up to s is
// received and undiscarded, and messages of p arrive in order (R1). There are two cases of an
// undiscarded message that arrived before the mark. If it belongs to p, it is before the mark in
// the queue of p. If it belongs to another publisher, discarded(p) says nothing about it: the point
// of its own publisher stays below it, so it is delivered again.
func (w *window) receiveMark(b Bookmark) change {
	p := w.publisher(b.Publisher)
	if b.Sequence <= p.received {
		return change{}
	}
	p.received = b.Sequence
	w.failpointDiscard(failpoint.R9MarkOnArrival, p, b.Sequence)
	n := p.queue.Len()
	if n == 0 { // the usual case: most publishers in a mark have no queue
		p.discarded = b.Sequence
		return p.discardedChange()
	}
	if p.queue.At(n-1).state == entryMark {
		p.queue.At(n - 1).sequence = b.Sequence // the later of two adjacent marks is enough
		return change{}
	}
	p.queue.Push(entry{b.Sequence, entryMark})
	return p.advance()
}

// advance moves discarded up to the first entryWaiting of the queue.
func (p *publisher) advance() change {
	before := p.discarded
	for p.queue.Len() > 0 && p.queue.At(0).state != entryWaiting {
		p.discarded = max(p.discarded, p.queue.Pop().sequence)
	}
	if p.discarded == before {
		return change{}
	}
	return p.discardedChange()
}

// discardedChange returns the change for a discarded that has moved. It drops the out-of-order
// discards at or below it.
func (p *publisher) discardedChange() change {
	for len(p.outOfOrder) > 0 && p.outOfOrder[0] <= p.discarded {
		p.outOfOrder = p.outOfOrder[1:]
	}
	return change{publisher: p, discarded: p.discarded}
}

// setBase applies the answer to the first subscribe as marks. If a message was received before the
// call, the marks wait behind it like any other mark and so cannot hide an undiscarded message.
func (w *window) setBase(base Vector, changes []change) []change {
	w.hasBase = true
	return w.receiveMarks(base, changes)
}

// rewind goes back to the discarded points, as a restarted process does.
func (w *window) rewind() {
	for _, p := range w.order {
		for i := range p.queue.Len() {
			if e := p.queue.At(i); e.state == entryDone {
				w.addOutOfOrder(Bookmark{Publisher: p.id, Sequence: e.sequence})
			}
		}
		p.queue.Clear()
		p.received = p.discarded
	}
	w.outstanding = 0
}

// isOutstanding reports whether b was received and is not yet discarded.
func (w *window) isOutstanding(b Bookmark) bool {
	_, e := w.find(b)
	return e != nil && e.state == entryWaiting
}

// reach returns the point to which discarded would move if the sequences in extra (ascending) were
// discarded, too. from is a point that discarded has reached or would reach with them.
func (p *publisher) reach(from uint64, extra []uint64) uint64 {
	from = max(from, p.discarded)
	for i := p.queue.after(from); i < p.queue.Len(); i++ {
		e := p.queue.At(i)
		if e.state == entryWaiting {
			if _, found := slices.BinarySearch(extra, e.sequence); !found {
				break
			}
		}
		from = e.sequence
	}
	return from
}

// receivedVector returns the vector from which a client in the same process resumes.
func (w *window) receivedVector() (Vector, bool) {
	return w.vector(func(p *publisher) uint64 { return p.received })
}

// outOfOrder returns the sequences above received that were discarded before this use of the
// subscription.
func (w *window) outOfOrder() (above map[uint64][]uint64) {
	for _, p := range w.order {
		at, _ := slices.BinarySearch(p.outOfOrder, p.received+1)
		if at == len(p.outOfOrder) {
			continue
		}
		if above == nil {
			above = make(map[uint64][]uint64)
		}
		above[p.id] = slices.Clone(p.outOfOrder[at:])
	}
	return above
}

// discardedVector returns the vector from which a restarted process resumes.
func (w *window) discardedVector() (Vector, bool) {
	return w.vector(func(p *publisher) uint64 { return p.discarded })
}

// vector returns one sequence per publisher, and whether the subscription is known.
func (w *window) vector(of func(*publisher) uint64) (v Vector, known bool) {
	v = make(Vector, len(w.order))
	for _, p := range w.order {
		if sequence := of(p); sequence > 0 {
			v[p.id] = sequence
		}
	}
	return w.failpointSingleBookmark(v), w.hasBase || len(v) > 0 || w.hasOutOfOrder()
}

// hasOutOfOrder reports whether there is an out-of-order discard. In that case the subscription is
// known even without a discarded point: as a new one it would skip the messages before that
// discard.
func (w *window) hasOutOfOrder() bool {
	for _, p := range w.order {
		if len(p.outOfOrder) > 0 {
			return true
		}
		for i := range p.queue.Len() {
			if p.queue.At(i).state == entryDone {
				return true
			}
		}
	}
	return false
}
