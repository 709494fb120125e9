package bookmarkstore

import (
	"maps"
	"testing"

	"pgregory.net/rapid"
)

// TestWindowAgainstModel compares a window with a model and a disk. The model remembers every event
// and computes each answer from all of them. The disk has only the changes that the window
// returned.
func TestWindowAgainstModel(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := newModel()
		t.Repeat(map[string]func(*rapid.T){
			"deliver":   func(t *rapid.T) { m.deliver(t, drawPublisher(t)) },
			"deliver 5": func(t *rapid.T) { p := drawPublisher(t); m.deliverMany(t, p, 5) },
			"again":     m.receiveAgain,
			"discard":   m.discardAny,
			"discard not outstanding": func(t *rapid.T) {
				m.discard(t, bookmarkOf(drawPublisher(t), rapid.Uint64Range(0, 100).Draw(t, "sequence")))
			},
			"mark":      m.mark,
			"marks":     m.marks,
			"reconnect": m.reconnect,
			"restart":   func(t *rapid.T) { m.restart(t, true) },
			"release":   func(t *rapid.T) { m.restart(t, false) },
			"":          m.check,
		})
	})
}

func bookmarkOf(publisher, sequence uint64) Bookmark {
	return Bookmark{Publisher: publisher, Sequence: sequence}
}

func drawPublisher(t *rapid.T) uint64 { return rapid.Uint64Range(1, 3).Draw(t, "publisher") }

// matches reports whether a message matches the subscription.
func matches(b Bookmark) bool { return (b.Sequence*2654435761+b.Publisher)%5 > 1 }

// An event is the arrival of a message or a mark in this use of the subscription.
type event struct {
	sequence uint64
	mark     bool
}

type model struct {
	window     *window
	delivered  Vector              // the server has delivered everything up to it
	events     map[uint64][]event  // in this use of the subscription, by publisher
	base       Vector              // discarded when this use began
	received   map[Bookmark]bool   // in this use
	discarded  map[Bookmark]bool   // in any use
	disk       Vector              // discarded, from changes
	outOfOrder map[Bookmark]bool   // from changes
	shown      map[uint64][]uint64 // every matching sequence that the server has delivered in any use
}

func newModel() *model {
	return &model{
		window: &window{}, delivered: Vector{}, events: map[uint64][]event{}, base: Vector{},
		received: map[Bookmark]bool{}, discarded: map[Bookmark]bool{},
		disk: Vector{}, outOfOrder: map[Bookmark]bool{}, shown: map[uint64][]uint64{},
	}
}

// write writes changes to the disk, as a store does.
func (m *model) write(t *rapid.T, changes ...change) {
	for _, c := range changes {
		if c.none() {
			continue
		}
		publisher := c.publisher.id
		if c.outOfOrder > 0 {
			m.outOfOrder[bookmarkOf(publisher, c.outOfOrder)] = true
		}
		if c.discarded > 0 {
			if c.discarded <= m.disk[publisher] {
				t.Fatalf("discarded of %d moves from %d to %d", publisher, m.disk[publisher], c.discarded)
			}
			m.disk[publisher] = c.discarded
			maps.DeleteFunc(m.outOfOrder, func(b Bookmark, _ bool) bool {
				return b.Publisher == publisher && b.Sequence <= c.discarded
			})
		}
	}
}

func (m *model) deliverMany(t *rapid.T, p uint64, n int) {
	for range n {
		m.deliver(t, p)
	}
}

// deliver lets the server deliver the next message of p, if it matches.
func (m *model) deliver(t *rapid.T, p uint64) {
	m.delivered[p]++
	b := bookmarkOf(p, m.delivered[p])
	if !matches(b) {
		return
	}
	if n := len(m.shown[p]); n == 0 || m.shown[p][n-1] < b.Sequence {
		m.shown[p] = append(m.shown[p], b.Sequence)
	}
	m.receive(t, b, !m.received[b] && !m.discarded[b])
}

func (m *model) receive(t *rapid.T, b Bookmark, want bool) {
	fresh, c := m.window.receive(b)
	m.write(t, c)
	if fresh != want {
		t.Fatalf("receive(%v) = %v, want %v", b, fresh, want)
	}
	if !m.received[b] && b.Sequence > m.base[b.Publisher] {
		m.events[b.Publisher] = append(m.events[b.Publisher], event{sequence: b.Sequence})
	}
	m.received[b] = true
}

// receiveAgain receives a message that was received before in this use.
func (m *model) receiveAgain(t *rapid.T) {
	p := drawPublisher(t)
	if e := m.events[p]; len(e) > 0 {
		if e := rapid.SampledFrom(e).Draw(t, "event"); !e.mark {
			m.receive(t, bookmarkOf(p, e.sequence), false)
		}
	}
}

func (m *model) discardAny(t *rapid.T) {
	p := drawPublisher(t)
	if e := m.events[p]; len(e) > 0 {
		m.discard(t, bookmarkOf(p, rapid.SampledFrom(e).Draw(t, "event").sequence))
	}
}

func (m *model) discard(t *rapid.T, b Bookmark) {
	outstanding := m.received[b] && !m.discarded[b]
	if got := m.window.isOutstanding(b); got != outstanding {
		t.Fatalf("outstanding(%v) = %v, want %v", b, got, outstanding)
	}
	c := m.window.discard(b)
	m.write(t, c)
	if c.none() == outstanding {
		t.Fatalf("discard(%v) of an outstanding message (%v) changes %+v", b, outstanding, c)
	}
	if outstanding {
		m.discarded[b] = true
	}
}

func (m *model) mark(t *rapid.T) { m.receiveMarks(t, drawPublisher(t)) }

func (m *model) marks(t *rapid.T) { m.receiveMarks(t, 1, 2, 3) }

// receiveMarks receives a mark for everything that the server has delivered.
func (m *model) receiveMarks(t *rapid.T, publishers ...uint64) {
	v := Vector{}
	for _, p := range publishers {
		v[p] = m.delivered[p]
		if n := len(m.events[p]); m.delivered[p] > m.base[p] && (n == 0 || m.events[p][n-1].sequence < m.delivered[p]) {
			m.events[p] = append(m.events[p], event{sequence: m.delivered[p], mark: true})
		}
	}
	m.write(t, m.window.receiveMarks(v, nil)...)
}

// reconnect reconnects within the process: the server continues from the received vector.
func (m *model) reconnect(t *rapid.T) {
	m.delivered, _ = m.window.receivedVector()
	for p, all := range m.shown {
		for _, s := range all {
			if b := (bookmarkOf(p, s)); s <= m.delivered[p] && !m.received[b] && !m.discarded[b] {
				t.Fatalf("%v was not received, and will not be", b)
			}
		}
	}
}

// restart begins a new use, from the disk or by release. The server delivers everything above the
// discarded vector again, and the window must accept exactly the undiscarded messages.
func (m *model) restart(t *rapid.T, fromDisk bool) {
	if fromDisk {
		m.window = &window{}
		for p, s := range m.disk {
			m.window.restore(bookmarkOf(p, s))
		}
		for b := range m.outOfOrder {
			m.window.addOutOfOrder(b)
		}
	} else {
		m.window.rewind()
	}
	m.events, m.received = map[uint64][]event{}, map[Bookmark]bool{}
	m.base, _ = m.window.discardedVector()
	m.delivered = maps.Clone(m.base)
	m.check(t)
	for p := uint64(1); p <= 3; p++ {
		for _, s := range m.shown[p] {
			b := bookmarkOf(p, s)
			if s <= m.delivered[p] && !m.discarded[b] {
				t.Fatalf("undiscarded %v is covered by %v", b, m.delivered)
			}
			if s > m.delivered[p] {
				m.delivered[p] = s
				m.receive(t, b, !m.discarded[b])
			}
		}
	}
}

// check compares the results of all queries.
func (m *model) check(t *rapid.T) {
	discarded, received, outstanding := maps.Clone(m.base), maps.Clone(m.base), 0
	for p, events := range m.events {
		contiguous := true
		for _, e := range events {
			open := !e.mark && !m.discarded[bookmarkOf(p, e.sequence)]
			contiguous = contiguous && !open
			if contiguous {
				discarded[p] = e.sequence
			}
			if open {
				outstanding++
			}
			received[p] = e.sequence
		}
	}
	if got, _ := m.window.discardedVector(); !maps.Equal(got, discarded) || !maps.Equal(got, m.disk) {
		t.Fatalf("discarded %v, on disk %v, want %v", got, m.disk, discarded)
	}
	if got, _ := m.window.receivedVector(); !maps.Equal(got, received) {
		t.Fatalf("received %v, want %v", got, received)
	}
	if m.window.outstanding != outstanding {
		t.Fatalf("%d waiting, want %d", m.window.outstanding, outstanding)
	}
	for _, p := range m.window.publishers {
		if p.discarded > p.received || p.queue.Len() == 0 && p.discarded != p.received || p.queue.Len() > 0 && p.queue.At(0).state != 0 {
			t.Fatalf("publisher %+v violates the invariant", p)
		}
	}
}
