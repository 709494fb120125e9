package bookmarkstore

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// A window is the place of one subscription and what moves it: messages and
// progress marks that arrive, discards by the application (R9). It decides
// and does nothing else; what it returns tells a store what to write. It
// isn't safe for concurrent use.
//
// A store that writes every change and builds a window from it by keep and
// keepOutOfOrder gets one that hands over exactly the undiscarded again.
type window struct {
	publishers map[uint64]*publisher
	order      []*publisher // all of them
	recent     *publisher   // the one asked for last; most often it is asked for again
	based      bool         // SetBase was called, in this life or in an earlier one
	waiting    int          // messages received and not yet discarded
	ids        []uint64     // scratch of sorted
}

// A publisher is the part of a window that concerns one publisher.
//
// Invariant: discarded <= received. The entries of the queue are above the
// one and not above the other, the first of them waits, and an empty queue
// means that the two are equal.
type publisher struct {
	id        uint64
	received  uint64
	discarded uint64
	queue     queue
	// elsewhere are the out-of-order discards of another life of the
	// process, ascending, all above discarded. When they come again they are
	// dropped and count as received and discarded.
	elsewhere []uint64
	at        int // place in window.order
	note          // changes that a store has not written yet
}

// A change is what a store has to write so that the next life knows it.
type change struct {
	publisher *publisher
	// discarded is the new contiguous point, 0 if it did not move. What the
	// store keeps out of order at or below it can go.
	discarded uint64
	// added is a sequence that is now discarded out of order, 0 if none is.
	added uint64
	// left says that the place names the publisher no more.
	left bool
}

func (c change) none() bool { return c.discarded == 0 && c.added == 0 && !c.left }

// publisher returns what is kept of a publisher, making it if it is new.
func (w *window) publisher(id uint64) *publisher {
	if w.recent != nil && w.recent.id == id {
		return w.recent
	}
	p := w.publishers[id]
	if p == nil {
		if w.publishers == nil {
			w.publishers = make(map[uint64]*publisher)
		}
		p = &publisher{id: id, at: len(w.order)}
		w.publishers[id] = p
		w.order = append(w.order, p)
	}
	w.recent = p
	return p
}

// find returns where b stands in its publisher's queue; nil if it does not.
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

// remove takes a publisher out.
func (w *window) remove(p *publisher) {
	delete(w.publishers, p.id)
	last := len(w.order) - 1
	w.order[p.at], w.order[last].at = w.order[last], p.at
	w.order[last] = nil
	w.order, w.recent = w.order[:last], nil
}

// keep takes in what an earlier life wrote: everything up to b is discarded.
func (w *window) keep(b Bookmark) {
	p := w.publisher(b.Publisher)
	p.received, p.discarded = b.Sequence, b.Sequence
}

// keepOutOfOrder takes in what an earlier life wrote: b is discarded, though
// something below it may not be.
func (w *window) keepOutOfOrder(b Bookmark) *publisher {
	p := w.publisher(b.Publisher)
	if b.Sequence <= p.discarded {
		return p
	}
	if i, found := slices.BinarySearch(p.elsewhere, b.Sequence); !found {
		p.elsewhere = slices.Insert(p.elsewhere, i, b.Sequence)
	}
	return p
}

// receive notes that b was queued for the application; false: it was received
// or discarded before and has to be dropped.
func (w *window) receive(b Bookmark) (bool, change) {
	p := w.publisher(b.Publisher)
	if b.Sequence <= p.received {
		return mut.On(mut.R9NoFilter), change{}
	}
	p.received = b.Sequence
	if len(p.elsewhere) > 0 {
		if _, found := slices.BinarySearch(p.elsewhere, b.Sequence); found {
			p.queue.Push(entry{b.Sequence, done})
			return mut.On(mut.R9NoFilter), p.settle()
		}
	}
	p.queue.Push(entry{b.Sequence, waiting})
	w.waiting++
	return true, change{}
}

// discard notes that the application is done with b. What is not outstanding
// changes nothing.
func (w *window) discard(b Bookmark) change {
	p, e := w.find(b)
	if e == nil || e.state != waiting {
		return change{}
	}
	e.state = done
	w.waiting--
	w.discardPlanted(mut.R9DiscardMax, p, b.Sequence)
	if c := p.settle(); !c.none() {
		return c
	}
	return change{publisher: p, added: b.Sequence}
}

// progress notes marks: everything of the publishers in v, up to there, has
// been shown to the subscription. What changed is appended to changes.
func (w *window) progress(v Vector, changes []change) []change {
	for _, id := range w.sorted(v) {
		if c := w.mark(Bookmark{Publisher: id, Sequence: v[id]}); !c.none() {
			changes = append(changes, c)
		}
	}
	return changes
}

// sorted returns the publishers of v in order: a map's must not reach what a store writes.
func (w *window) sorted(v Vector) []uint64 {
	w.ids = w.ids[:0]
	for id := range v {
		w.ids = append(w.ids, id)
	}
	slices.Sort(w.ids)
	return w.ids
}

// forget takes those out that have exactly what v has of them, and that discarded.
// What changed is appended to changes.
func (w *window) forget(v Vector, changes []change) []change {
	for _, id := range w.sorted(v) {
		p := w.publishers[id]
		if p == nil || p.received != v[id] || p.discarded != v[id] && !mut.On(mut.R10ForgetsOutstanding) || len(p.elsewhere) > 0 {
			continue
		}
		w.remove(p)
		changes = append(changes, change{publisher: p, left: true})
	}
	return changes
}

// mark notes one mark in its place in the queue, where it holds back nothing
// and is held back by what arrived before it.
//
// A queue for each publisher is enough. That discarded(p) = s says of p's
// messages alone that none up to s is received and undiscarded, and p's
// messages arrive in order (R1). Whatever arrived before the mark and is
// still undiscarded is either p's and then stands before it in p's queue, or
// another publisher's, about which discarded(p) says nothing: that one's
// own number stays behind and brings it again.
func (w *window) mark(b Bookmark) change {
	p := w.publisher(b.Publisher)
	if b.Sequence <= p.received {
		return change{}
	}
	p.received = b.Sequence
	w.discardPlanted(mut.R9MarkOnArrival, p, b.Sequence)
	n := p.queue.Len()
	if n == 0 { // most publishers of most marks: they never have a queue
		p.discarded = b.Sequence
		return p.moved()
	}
	if p.queue.At(n-1).state == marked {
		p.queue.At(n - 1).sequence = b.Sequence // of two marks in a row the later says all
		return change{}
	}
	p.queue.Push(entry{b.Sequence, marked})
	return p.settle()
}

// settle moves discarded over what no longer waits at the head of the queue.
func (p *publisher) settle() change {
	before := p.discarded
	for p.queue.Len() > 0 && p.queue.At(0).state != waiting {
		p.discarded = max(p.discarded, p.queue.Pop().sequence)
	}
	if p.discarded == before {
		return change{}
	}
	return p.moved()
}

func (p *publisher) moved() change {
	for len(p.elsewhere) > 0 && p.elsewhere[0] <= p.discarded {
		p.elsewhere = p.elsewhere[1:]
	}
	return change{publisher: p, discarded: p.discarded}
}

// setBase notes the answer to the first subscribe: a mark before everything
// else. Should it come when something was received already it waits in its
// place like any mark, so that it cannot hide what is undiscarded.
func (w *window) setBase(base Vector, changes []change) []change {
	w.based = true
	return w.progress(base, changes)
}

// newLife begins again from what is discarded, as a restarted process does.
func (w *window) newLife() {
	for _, p := range w.order {
		for i := range p.queue.Len() {
			if e := p.queue.At(i); e.state == done {
				w.keepOutOfOrder(Bookmark{Publisher: p.id, Sequence: e.sequence})
			}
		}
		p.queue.Clear()
		p.received = p.discarded
	}
	w.waiting = 0
}

// outstanding reports whether b was received and not yet discarded.
func (w *window) outstanding(b Bookmark) bool {
	_, e := w.find(b)
	return e != nil && e.state == waiting
}

// reach returns how far discarded would move from a point that it has reached
// or would reach, were also the sequences in extra, ascending, discarded.
func (p *publisher) reach(from uint64, extra []uint64) uint64 {
	from = max(from, p.discarded)
	for i := p.queue.after(from); i < p.queue.Len(); i++ {
		e := p.queue.At(i)
		if e.state == waiting {
			if _, found := slices.BinarySearch(extra, e.sequence); !found {
				break
			}
		}
		from = e.sequence
	}
	return from
}

// receivedVector returns what a client that is still alive resumes from.
func (w *window) receivedVector() (Vector, bool) {
	return w.vector(func(p *publisher) uint64 { return p.received })
}

// outOfOrder returns the sequences above received that another life has discarded.
func (w *window) outOfOrder() (above map[uint64][]uint64) {
	for _, p := range w.order {
		at, _ := slices.BinarySearch(p.elsewhere, p.received+1)
		if at == len(p.elsewhere) {
			continue
		}
		if above == nil {
			above = make(map[uint64][]uint64)
		}
		above[p.id] = slices.Clone(p.elsewhere[at:])
	}
	return above
}

// discardedVector returns what a restarted process resumes from.
func (w *window) discardedVector() (Vector, bool) {
	return w.vector(func(p *publisher) uint64 { return p.discarded })
}

// vector returns what each publisher has, and whether the subscription is known.
func (w *window) vector(of func(*publisher) uint64) (v Vector, known bool) {
	v = make(Vector, len(w.order))
	for _, p := range w.order {
		if sequence := of(p); sequence > 0 {
			v[p.id] = sequence
		}
	}
	return w.singlePlanted(v), w.based || len(v) > 0 || w.keptOutOfOrder()
}

// keptOutOfOrder reports whether an out-of-order discard is kept. Then the
// subscription is known, though there may be no contiguous point yet: to take
// it for a first one would skip what came before that discard.
func (w *window) keptOutOfOrder() bool {
	for _, p := range w.order {
		if len(p.elsewhere) > 0 {
			return true
		}
		for i := range p.queue.Len() {
			if p.queue.At(i).state == done {
				return true
			}
		}
	}
	return false
}
