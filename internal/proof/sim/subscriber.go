package sim

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

const (
	subscriberID = "sub"
	epochText    = bookmark.EpochText
	nowText      = bookmark.NowText
)

// A subscriber is a subscriber application with its bookmark store.
type subscriber struct {
	client
	topic   string
	start   string
	durable bool          // takes only what is safe
	pace    time.Duration // what handling a message takes; 0: nothing
	most    int           // bound of its queue
	shuffle bool          // discards in any order

	marks  *bookmarkstore.Memory
	sub    *clientcore.Subscription
	search search // for what its server has removed
	ids    uint64
	queue  []bookmark.Bookmark
	busy   bool
	held   []bookmark.Bookmark // handled, discarded later
	kept   bookmark.Vector     // what a commit of its store has on disk
	based  bool                // and that the subscription is known
	imaged bool                // an image of its store is kept, to be put back
}

func (w *world) addSubscriber(name, topic, start string) *subscriber {
	s := &subscriber{topic: topic, start: start, most: 1024, marks: bookmarkstore.NewMemory(), kept: bookmark.Vector{}}
	s.init(w, name, s)
	w.subscribers = append(w.subscribers, s)
	w.oracle.subscribes(s)
	return s
}

func (s *subscriber) begin() {
	s.open()
	s.queue, s.busy, s.held = nil, false, nil
	s.w.oracle.started(s)
	s.launch(pubstore.NewMemory(pubstore.MemoryOptions{NewLife: s.newLife}))
	s.commit()
}

func (s *subscriber) open() {
	s.sub = &clientcore.Subscription{Request: clientcore.Request{
		ID: subscriberID, Topic: s.topic, Start: s.start, Resumes: true, AcceptGaps: true, FullyDurable: s.durable,
		RecoveryTimeout: recoveryTimeout,
	}}
	s.search = search{}
	s.stored(s.sub.Open(s.marks))
}

// commit is when the store's changes are on disk.
func (s *subscriber) commit() {
	s.kept, _ = s.sub.Place().Discarded()
	s.w.after(between(s.w.load, 20*time.Millisecond, 200*time.Millisecond), &s.process, 'k', s.commit)
}

func (s *subscriber) take(m *wire.Message) { s.onFrameFrom(&s.at, m) }

// onFrameFrom takes in a frame of the subscription from a server.
func (s *subscriber) onFrameFrom(at *clientcore.Server, m *wire.Message) {
	var e clientcore.Effect
	var err error
	id := string(m.SubID)
	switch {
	case m.Command == wire.Publish:
		s.message(string(m.SubIDs), m)
	case m.Command != wire.Ack:
	case m.Acks == wire.AckProcessed:
		s.w.oracle.unnamed(s)
		e, err = s.sub.HandleAnswer(at, id, m, s.sub.Received())
	case m.Acks == wire.AckCompleted:
		s.sub.HandleCompleted(id)
	default:
		e, err = s.sub.HandleMark(at, id, m)
	}
	if err != nil {
		s.ended(err)
		return
	}
	s.happen(id, &e)
}

// acceptsServer passes over servers without a synchronous peer, as choosers do: messages
// that are published there come nowhere else.
func (s *subscriber) acceptsServer(to *clientcore.Server) bool {
	return !to.Sync.Unpaired() && s.sub.CanMoveTo(to)
}

// A subscriber publishes nothing.
func (s *subscriber) letGo(string, uint64)          {}
func (s *subscriber) rejected(clientcore.Rejection) {}
func (s *subscriber) meet(*wire.Message)            {}

// attach subscribes, under a new id, if the subscription waits for that.
func (s *subscriber) attach() {
	if !s.sub.Detached() || s.sender == nil {
		return
	}
	s.ids++
	cmd, err := s.sub.Attach(&s.at, fmt.Sprint(s.ids), s.sub.Received(), s.w.clock())
	s.w.oracle.check(err, s.name, "resume")
	s.core.AwaitAnswer(cmd.SubID)
	s.send(cmd.AppendTo)
}

// happen applies an effect.
func (s *subscriber) happen(id string, e *clientcore.Effect) {
	if e.Answered || e.OffWire {
		s.core.Answered(id)
	}
	if e.OffWire {
		s.unsubscribe(id)
	}
	if e.Base != nil {
		s.w.oracle.based(s, e.Base)
	}
	for _, g := range e.Gaps {
		s.w.counts.Skipped++
		s.w.oracle.missed(s, g.Publisher, g.From, g.To)
	}
	if e.ClosedPublishers == nil {
		s.stored(s.sub.Apply(e))
	} else {
		s.forget(e)
	}
	if e.Base != nil {
		s.based = true
		s.kept, _ = s.sub.Place().Discarded()
	}
	if e.End != nil {
		s.w.oracle.violate("%s: its subscription ends: %v", s.name, e.End)
	}
	if e.OffWire {
		s.searchOrAttach()
	}
	s.look()
}

func (s *subscriber) unsubscribe(id string) {
	cmd := wire.UnsubscribeCommand{CommandID: id, SubID: id}
	s.send(cmd.AppendTo)
}

func (s *subscriber) message(id string, m *wire.Message) {
	b, err := bookmark.Parse(m.Bookmark)
	s.w.oracle.check(err, s.name, "message")
	searching := s.sub.Searching()
	v := s.sub.Admit(id, b, len(s.queue) < s.most)
	if v == clientcore.VerdictPause {
		s.w.counts.Overruns++
		if !searching {
			s.core.Answered(id)
			s.unsubscribe(id)
		}
	}
	if s.sub.Receive(v, b) && s.sub.MayQueue() {
		s.w.oracle.came(s, b, binary.LittleEndian.Uint64(m.Body))
		s.queue = append(s.queue, b)
	}
}

// handle hands over what is queued, at the application's pace.
func (s *subscriber) handle() {
	for !s.busy && len(s.queue) > 0 {
		if s.pace == 0 {
			s.handleOne()
			continue
		}
		s.busy = true
		s.w.after(between(s.w.load, s.pace/2, s.pace*3/2), &s.process, 'h', func() {
			s.busy = false
			s.handleOne()
			s.handle()
		})
	}
	if len(s.queue) == 0 && s.sub.QueueEmptied() {
		s.attach() // after an overrun
	}
}

func (s *subscriber) handleOne() {
	b := s.queue[0]
	s.queue = s.queue[1:]
	s.w.oracle.handed(s)
	if !s.shuffle {
		s.discard(b)
		return
	}
	s.held = append(s.held, b)
	for len(s.held) > s.w.load.IntN(maxUndiscarded) {
		s.release()
	}
}

// maxUndiscarded is how many messages are handled and not yet discarded, at most.
const maxUndiscarded = 12

// release discards one of those that are held back, any.
func (s *subscriber) release() {
	n := s.w.load.IntN(len(s.held))
	b := s.held[n]
	s.held = append(s.held[:n], s.held[n+1:]...)
	s.discard(b)
}

func (s *subscriber) discard(b bookmark.Bookmark) {
	s.w.oracle.discarded(s, b)
	s.stored(s.sub.Place().Discard(b))
}

func (s *subscriber) lost() {
	if !s.sub.Searching() { // in side sessions it is on no connection of the client
		s.sub.ConnectionLost()
	}
}

// forget has the place leave out publishers of which nothing comes any more.
func (s *subscriber) forget(e *clientcore.Effect) {
	before, _ := s.sub.Place().Received()
	s.stored(s.sub.Apply(e))
	after, _ := s.sub.Place().Received()
	for _, publisher := range slices.Sorted(maps.Keys(before)) {
		if after[publisher] == 0 {
			s.w.oracle.leaves(s, publisher, before[publisher])
		}
	}
}

// kill ends the process. forgets: what its store had not committed is gone.
func (s *subscriber) kill(forgets bool) {
	s.sub.Place().Release()
	s.die(false)
	s.w.oracle.died(s, forgets)
	if !forgets {
		return
	}
	s.marks = bookmarkstore.NewMemory()
	if s.based {
		s.open()
		s.stored(s.sub.Place().SetBase(s.kept))
		s.sub.Place().Release()
	}
}
