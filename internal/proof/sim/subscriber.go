package sim

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	subscriberID = "sub"
	epochText    = clientcore.EpochText
	nowText      = clientcore.NowText
)

// A subscriber is a subscriber application with its bookmark store.
type subscriber struct {
	caller
	topic   string
	start   string
	durable bool          // takes only what is safe
	pace    time.Duration // what handling a message takes; 0: nothing
	most    int           // bound of its queue
	shuffle bool          // discards in any order

	marks *bookmarkstore.Memory
	place bookmarkstore.Subscription
	wire  uint64 // id of the subscription on the wire; 0: none
	ids   uint64
	heard bool
	over  bool // paused: its queue was full
	queue []bookmark.Bookmark
	busy  bool
	held  []bookmark.Bookmark // handled, discarded later
	kept  bookmark.Vector     // what a commit of its store has on disk
	based bool                // and that the subscription is known
}

func (w *world) addSubscriber(name, topic, start string) *subscriber {
	s := &subscriber{topic: topic, start: start, most: 1024, marks: bookmarkstore.NewMemory(), kept: bookmark.Vector{}}
	s.init(w, name)
	s.connected, s.took, s.drained, s.gone = s.logon, s.take, s.handle, s.lost
	w.subscribers = append(w.subscribers, s)
	w.oracle.subscribes(s)
	return s
}

func (s *subscriber) begin() {
	s.openPlace()
	s.heard, s.over, s.queue, s.busy, s.held, s.wire = false, false, nil, false, nil, 0
	s.w.oracle.started(s)
	s.launch()
	s.commit()
}

func (s *subscriber) openPlace() {
	var err error
	s.place, err = s.marks.Subscription(subscriberID, bookmarkstore.Query{Topic: s.topic})
	if err != nil {
		panic("BUG: " + err.Error())
	}
}

// commit is when the store's changes are on disk.
func (s *subscriber) commit() {
	s.kept, _ = s.place.Discarded()
	s.w.after(between(s.w.load, 20*time.Millisecond, 200*time.Millisecond), &s.process, 'k', s.commit)
}

func (s *subscriber) logon() {
	cmd := wire.LogonCommand{CommandID: logonID, ClientName: s.name, Acks: wire.AckProcessed, Ext: true}
	s.send(cmd.AppendTo)
}

func (s *subscriber) take(m *wire.Message) {
	switch {
	case isLogonAck(m):
		s.up = true
		s.attach()
	case m.Command == wire.Publish:
		s.message(m)
	case m.Command != wire.Ack || string(m.SubID) != fmt.Sprint(s.wire):
	case m.Acks == wire.AckProcessed:
		s.subscribed(m)
	case m.Acks == wire.AckPersisted:
		s.check(s.place.Progress(s.vector(m.Bookmark)))
	}
}

func (s *subscriber) vector(text []byte) bookmark.Vector {
	v, err := bookmark.ParseVector(text)
	if err != nil {
		s.w.oracle.violate("%s: vector %q: %v", s.name, text, err)
	}
	return v
}

// attach subscribes, under a new id.
func (s *subscriber) attach() {
	if s.over || s.s == nil {
		return
	}
	s.ids++
	s.wire = s.ids
	r := clientcore.Resumption{Ext: true, Start: s.start, Heard: s.heard, Gaps: true, Durable: s.durable}
	r.Vector, r.Known = s.place.Received()
	bm, options := r.Request()
	id := fmt.Sprint(s.wire)
	cmd := wire.SubscribeCommand{
		Command: wire.Subscribe, CommandID: id, SubID: id, Topic: s.topic,
		Bookmark: bm, Options: options, Acks: wire.AckProcessed | wire.AckPersisted,
	}
	s.send(cmd.AppendTo)
}

func (s *subscriber) subscribed(m *wire.Message) {
	gaps, err := wire.ParseGaps(m.Gap)
	if err != nil {
		s.w.oracle.violate("%s: %v", s.name, err)
	}
	base := s.vector(m.Bookmark)
	received, known := s.place.Received()
	switch {
	case string(m.Status) == wire.StatusFailure:
		s.skip(gaps)
		s.attach() // the subscription has ended there
		return
	case len(received) == 0 && !known:
		s.w.oracle.based(s, base)
		s.check(s.place.SetBase(base))
		s.based = true
		s.kept, _ = s.place.Discarded()
	case len(received) == 0 && len(base) > 0:
		for publisher, seq := range base {
			s.w.oracle.missed(s, publisher, 1, seq)
		}
		s.check(s.place.Progress(base))
	}
	if len(gaps) > 0 {
		s.skip(gaps)
	}
}

// skip accepts a gap.
func (s *subscriber) skip(gaps []wire.Gap) {
	v := bookmark.Vector{}
	for _, g := range gaps {
		s.w.counts.Skipped++
		s.w.oracle.missed(s, g.Publisher, g.From, g.To)
		v[g.Publisher] = max(v[g.Publisher], g.To)
	}
	s.check(s.place.Progress(v))
}

func (s *subscriber) message(m *wire.Message) {
	if s.over || string(m.SubIDs) != fmt.Sprint(s.wire) {
		return
	}
	b, err := bookmark.Parse(m.Bookmark)
	if err != nil {
		s.w.oracle.violate("%s: bookmark %q: %v", s.name, m.Bookmark, err)
	}
	if len(s.queue) >= s.most {
		s.pause(b)
		return
	}
	if !s.place.Receive(b) {
		return
	}
	s.heard = true
	s.w.oracle.checkBody(s, b, binary.LittleEndian.Uint64(m.Body))
	s.queue = append(s.queue, b)
}

// pause takes the subscription off the wire: its queue is full (R12).
func (s *subscriber) pause(b bookmark.Bookmark) {
	if mut.On(mut.R12TailCounts) {
		s.place.Receive(b)
	}
	s.w.counts.Overruns++
	cmd := wire.UnsubscribeCommand{CommandID: fmt.Sprint(s.ids), SubID: fmt.Sprint(s.wire)}
	s.send(cmd.AppendTo)
	s.over, s.wire = true, 0
}

// handle hands over what is queued, at the application's pace.
func (s *subscriber) handle() {
	if s.busy {
		return
	}
	if s.pace == 0 {
		for len(s.queue) > 0 {
			s.handleOne()
		}
		s.emptied()
		return
	}
	if len(s.queue) == 0 {
		s.emptied()
		return
	}
	s.busy = true
	s.w.after(between(s.w.load, s.pace/2, s.pace*3/2), &s.process, 'h', func() {
		s.busy = false
		s.handleOne()
		s.handle()
	})
}

func (s *subscriber) handleOne() {
	b := s.queue[0]
	s.queue = s.queue[1:]
	s.w.oracle.handed(s, b)
	if !s.shuffle {
		s.discard(b)
		return
	}
	s.held = append(s.held, b)
	for len(s.held) > s.w.load.IntN(heldMost) {
		s.release()
	}
}

// heldMost is how many messages are handled and not yet discarded, at most.
const heldMost = 12

// release discards one of those that are held back, any.
func (s *subscriber) release() {
	n := s.w.load.IntN(len(s.held))
	b := s.held[n]
	s.held = append(s.held[:n], s.held[n+1:]...)
	s.discard(b)
}

func (s *subscriber) discard(b bookmark.Bookmark) {
	s.w.oracle.discarded(s, b)
	s.check(s.place.Discard(b))
}

// emptied goes on after an overrun.
func (s *subscriber) emptied() {
	if s.over {
		s.over = false
		if s.up {
			s.attach()
		}
	}
}

func (s *subscriber) check(err error) {
	if err != nil {
		s.w.oracle.violate("%s: bookmark store: %v", s.name, err)
	}
}

func (s *subscriber) lost(error) (again bool) {
	s.wire = 0
	if mut.On(mut.R9ReconnectIsRestart) {
		s.place.Release()
		s.openPlace()
	}
	return false
}

// kill ends the process. forgets: what its store had not committed is gone.
func (s *subscriber) kill(forgets bool) {
	s.place.Release()
	s.die(false)
	s.w.oracle.died(s, forgets)
	if !forgets {
		return
	}
	s.marks = bookmarkstore.NewMemory()
	if s.based {
		s.openPlace()
		s.check(s.place.SetBase(s.kept))
		s.place.Release()
	}
}

// describe says how a subscriber stands, for a run that does not come to rest.
func (s *subscriber) describe() string {
	received, known := s.place.Received()
	done, _ := s.place.Discarded()
	return fmt.Sprintf("up %v on the wire as %d, paused %v, queue %d, known %v received %v discarded %v", s.up, s.wire, s.over, len(s.queue), known, received, done)
}
