package bookmarkstore

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// TestWindowAgainstTwin runs a window beside a twin and a disk. The twin remembers every event
// and computes each answer anew. The disk has only the changes that the window returned.
func TestWindowAgainstTwin(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newTwin()
		t.Repeat(map[string]func(*rapid.T){
			"deliver":   func(t *rapid.T) { w.deliver(t, publisherOf(t)) },
			"deliver 5": func(t *rapid.T) { p := publisherOf(t); w.deliverMany(t, p, 5) },
			"again":     w.again,
			"discard":   w.discardAny,
			"discard not outstanding": func(t *rapid.T) {
				w.discard(t, bookmarkOf(publisherOf(t), rapid.Uint64Range(0, 100).Draw(t, "sequence")))
			},
			"mark":      w.mark,
			"marks":     w.marks,
			"reconnect": w.reconnect,
			"restart":   func(t *rapid.T) { w.restart(t, true) },
			"release":   func(t *rapid.T) { w.restart(t, false) },
			"":          w.check,
		})
	})
}

func bookmarkOf(publisher, sequence uint64) Bookmark {
	return Bookmark{Publisher: publisher, Sequence: sequence}
}

func publisherOf(t *rapid.T) uint64 { return rapid.Uint64Range(1, 3).Draw(t, "publisher") }

// matches reports whether a message matches the subscription.
func matches(b Bookmark) bool { return (b.Sequence*2654435761+b.Publisher)%5 > 1 }

// An event is an arrival from one publisher in this life.
type event struct {
	sequence uint64
	mark     bool
}

type twin struct {
	w          *window
	at         Vector              // the server has shown up to here
	life       map[uint64][]event  // this life, by publisher
	base       Vector              // discarded when this life began
	received   map[Bookmark]bool   // in this life
	discarded  map[Bookmark]bool   // in any life
	disk       Vector              // discarded, from changes
	outOfOrder map[Bookmark]bool   // from changes
	shown      map[uint64][]uint64 // every matching sequence that the server has shown in any life
}

func newTwin() *twin {
	return &twin{
		w: &window{}, at: Vector{}, life: map[uint64][]event{}, base: Vector{},
		received: map[Bookmark]bool{}, discarded: map[Bookmark]bool{},
		disk: Vector{}, outOfOrder: map[Bookmark]bool{}, shown: map[uint64][]uint64{},
	}
}

// write writes changes to the disk, as a store does.
func (w *twin) write(t *rapid.T, changes ...change) {
	for _, c := range changes {
		if c.none() {
			continue
		}
		publisher := c.publisher.id
		if c.outOfOrder > 0 {
			w.outOfOrder[bookmarkOf(publisher, c.outOfOrder)] = true
		}
		if c.discarded > 0 {
			if c.discarded <= w.disk[publisher] {
				t.Fatalf("discarded of %d moves from %d to %d", publisher, w.disk[publisher], c.discarded)
			}
			w.disk[publisher] = c.discarded
			maps.DeleteFunc(w.outOfOrder, func(b Bookmark, _ bool) bool {
				return b.Publisher == publisher && b.Sequence <= c.discarded
			})
		}
	}
}

func (w *twin) deliverMany(t *rapid.T, p uint64, n int) {
	for range n {
		w.deliver(t, p)
	}
}

// deliver lets the server show the next message of p, if it matches.
func (w *twin) deliver(t *rapid.T, p uint64) {
	w.at[p]++
	b := bookmarkOf(p, w.at[p])
	if !matches(b) {
		return
	}
	if n := len(w.shown[p]); n == 0 || w.shown[p][n-1] < b.Sequence {
		w.shown[p] = append(w.shown[p], b.Sequence)
	}
	w.receive(t, b, !w.received[b] && !w.discarded[b])
}

func (w *twin) receive(t *rapid.T, b Bookmark, want bool) {
	fresh, c := w.w.receive(b)
	w.write(t, c)
	if fresh != want {
		t.Fatalf("receive(%v) = %v, want %v", b, fresh, want)
	}
	if !w.received[b] && b.Sequence > w.base[b.Publisher] {
		w.life[b.Publisher] = append(w.life[b.Publisher], event{sequence: b.Sequence})
	}
	w.received[b] = true
}

// again receives a message that was received before in this life.
func (w *twin) again(t *rapid.T) {
	p := publisherOf(t)
	if e := w.life[p]; len(e) > 0 {
		if e := rapid.SampledFrom(e).Draw(t, "event"); !e.mark {
			w.receive(t, bookmarkOf(p, e.sequence), false)
		}
	}
}

func (w *twin) discardAny(t *rapid.T) {
	p := publisherOf(t)
	if e := w.life[p]; len(e) > 0 {
		w.discard(t, bookmarkOf(p, rapid.SampledFrom(e).Draw(t, "event").sequence))
	}
}

func (w *twin) discard(t *rapid.T, b Bookmark) {
	outstanding := w.received[b] && !w.discarded[b]
	if got := w.w.isOutstanding(b); got != outstanding {
		t.Fatalf("outstanding(%v) = %v, want %v", b, got, outstanding)
	}
	c := w.w.discard(b)
	w.write(t, c)
	if c.none() == outstanding {
		t.Fatalf("discard(%v) of an outstanding message (%v) changes %+v", b, outstanding, c)
	}
	if outstanding {
		w.discarded[b] = true
	}
}

func (w *twin) mark(t *rapid.T) { w.progress(t, publisherOf(t)) }

func (w *twin) marks(t *rapid.T) { w.progress(t, 1, 2, 3) }

// progress receives a mark up to the point that the server has shown.
func (w *twin) progress(t *rapid.T, publishers ...uint64) {
	v := Vector{}
	for _, p := range publishers {
		v[p] = w.at[p]
		if n := len(w.life[p]); w.at[p] > w.base[p] && (n == 0 || w.life[p][n-1].sequence < w.at[p]) {
			w.life[p] = append(w.life[p], event{sequence: w.at[p], mark: true})
		}
	}
	w.write(t, w.w.receiveMarks(v, nil)...)
}

// reconnect reconnects a living process: the server continues from the received vector.
func (w *twin) reconnect(t *rapid.T) {
	w.at, _ = w.w.receivedVector()
	for p, all := range w.shown {
		for _, s := range all {
			if b := (bookmarkOf(p, s)); s <= w.at[p] && !w.received[b] && !w.discarded[b] {
				t.Fatalf("%v was not received, and will not be", b)
			}
		}
	}
}

// restart begins a new life, from the disk or by release. The server shows everything from the
// discarded vector on again, and exactly the undiscarded messages may come.
func (w *twin) restart(t *rapid.T, fromDisk bool) {
	if fromDisk {
		w.w = &window{}
		for p, s := range w.disk {
			w.w.restore(bookmarkOf(p, s))
		}
		for b := range w.outOfOrder {
			w.w.addOutOfOrder(b)
		}
	} else {
		w.w.rewind()
	}
	w.life, w.received = map[uint64][]event{}, map[Bookmark]bool{}
	w.base, _ = w.w.discardedVector()
	w.at = maps.Clone(w.base)
	w.check(t)
	for p := uint64(1); p <= 3; p++ {
		for _, s := range w.shown[p] {
			b := bookmarkOf(p, s)
			if s <= w.at[p] && !w.discarded[b] {
				t.Fatalf("undiscarded %v is covered by %v", b, w.at)
			}
			if s > w.at[p] {
				w.at[p] = s
				w.receive(t, b, !w.discarded[b])
			}
		}
	}
}

// check compares the results of all queries.
func (w *twin) check(t *rapid.T) {
	discarded, received, waiting := maps.Clone(w.base), maps.Clone(w.base), 0
	for p, events := range w.life {
		contiguous := true
		for _, e := range events {
			open := !e.mark && !w.discarded[bookmarkOf(p, e.sequence)]
			contiguous = contiguous && !open
			if contiguous {
				discarded[p] = e.sequence
			}
			if open {
				waiting++
			}
			received[p] = e.sequence
		}
	}
	if got, _ := w.w.discardedVector(); !maps.Equal(got, discarded) || !maps.Equal(got, w.disk) {
		t.Fatalf("discarded %v, on disk %v, want %v", got, w.disk, discarded)
	}
	if got, _ := w.w.receivedVector(); !maps.Equal(got, received) {
		t.Fatalf("received %v, want %v", got, received)
	}
	if w.w.outstanding != waiting {
		t.Fatalf("%d waiting, want %d", w.w.outstanding, waiting)
	}
	for _, p := range w.w.publishers {
		if p.discarded > p.received || p.queue.Len() == 0 && p.discarded != p.received || p.queue.Len() > 0 && p.queue.At(0).state != 0 {
			t.Fatalf("publisher %+v is not as it must be", p)
		}
	}
}
