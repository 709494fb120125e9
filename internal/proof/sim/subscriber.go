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
	topic        string
	start        string
	fullyDurable bool          // takes only safe messages
	handleTime   time.Duration // the time that handling a message takes; 0: none
	queueLimit   int           // bound of its queue
	shuffle      bool          // discards in any order

	bookmarks   *bookmarkstore.Memory
	sub         *clientcore.Subscription
	search      search // for messages that its server has removed
	ids         uint64
	queue       []bookmark.Bookmark
	busy        bool
	undiscarded []bookmark.Bookmark // handled, discarded later
	committed   bookmark.Vector     // the place that a commit of its store has on disk
	baseKnown   bool                // and that the subscription is known
	imageKept   bool                // an image of its store is kept, to be restored
}

func (w *world) addSubscriber(name, topic, start string) *subscriber {
	s := &subscriber{topic: topic, start: start, queueLimit: 1024, bookmarks: bookmarkstore.NewMemory(), committed: bookmark.Vector{}}
	s.init(w, name, s)
	s.user = w.user(userReader)
	w.subscribers = append(w.subscribers, s)
	w.oracle.subscriberAdded(s)
	return s
}

func (s *subscriber) startProcess() {
	s.open()
	s.queue, s.busy, s.undiscarded = nil, false, nil
	s.w.oracle.subscriberStarted(s)
	s.w.oracle.placeFellBack(s)
	s.launch(pubstore.NewMemory(pubstore.MemoryOptions{NewLife: s.newLife}))
	s.commit()
}

func (s *subscriber) open() {
	s.sub = &clientcore.Subscription{Request: clientcore.Request{
		ID: subscriberID, Topic: s.topic, Start: s.start, Resumes: true, AcceptGaps: true, FullyDurable: s.fullyDurable,
		RecoveryTimeout: recoveryTimeout,
	}}
	s.search = search{}
	s.checkStoreError(s.sub.Open(s.bookmarks))
}

// commit is when the store's changes are on disk.
func (s *subscriber) commit() {
	s.committed, _ = s.sub.Place().Discarded()
	s.w.after(between(s.w.load, 20*time.Millisecond, 200*time.Millisecond), &s.process, 'k', s.commit)
}

func (s *subscriber) onFrame(m *wire.Message) { s.onFrameFrom(&s.serverInfo, m) }

// onFrameFrom takes in a frame of the subscription from a server.
func (s *subscriber) onFrameFrom(at *clientcore.Server, m *wire.Message) {
	var e clientcore.Effect
	var err error
	id := string(m.SubID)
	switch {
	case m.Command == wire.Publish:
		s.onMessage(string(m.SubIDs), m)
	case m.Command != wire.Ack:
	case m.Acks == wire.AckProcessed:
		s.w.oracle.noteUnnamedClosed(s)
		e, err = s.sub.HandleAnswer(at, id, m, s.sub.Received())
	case m.Acks == wire.AckCompleted:
		s.sub.HandleCompleted(id)
	default:
		e, err = s.sub.HandleMark(at, id, m)
	}
	if err != nil {
		s.connectionEnded(err)
		return
	}
	s.applyEffect(id, &e)
}

// acceptsServer passes over servers without a synchronous peer, as choosers do: messages
// that are published there come nowhere else.
func (s *subscriber) acceptsServer(to *clientcore.Server) bool {
	return !to.Sync.Unpaired() && s.sub.CanMoveTo(to)
}

// A subscriber publishes nothing.
func (s *subscriber) letGo(string, uint64)          {}
func (s *subscriber) rejected(clientcore.Rejection) {}
func (s *subscriber) onGroup(*wire.Message)         {}

// attach subscribes, under a new id, if the subscription waits for that.
func (s *subscriber) attach() {
	if !s.sub.Detached() || s.sender == nil {
		return
	}
	s.ids++
	cmd, err := s.sub.Attach(&s.serverInfo, fmt.Sprint(s.ids), s.sub.Received(), s.w.clock())
	s.w.oracle.checkError(err, s.name, "resume")
	s.core.AwaitAnswer(cmd.SubID)
	s.send(cmd.AppendTo)
}

// applyEffect applies an effect.
func (s *subscriber) applyEffect(id string, e *clientcore.Effect) {
	if e.Answered || e.OffWire {
		s.core.Answered(id)
	}
	if e.OffWire {
		s.unsubscribe(id)
	}
	if e.Base != nil {
		s.w.oracle.baseSet(s, e.Base)
	}
	for _, g := range e.Gaps {
		s.w.counts.Skipped++
		s.w.oracle.gapReported(s, g.Publisher, g.From, g.To)
	}
	if e.ClosedPublishers == nil {
		s.checkStoreError(s.sub.Apply(e))
	} else {
		s.leaveOut(e)
	}
	if e.Base != nil {
		s.baseKnown = true
		s.committed, _ = s.sub.Place().Discarded()
	}
	if e.End != nil {
		s.subscriptionEnded(e.End)
	}
	if e.OffWire {
		s.searchOrAttach()
	}
	s.stepIfDue()
}

func (s *subscriber) unsubscribe(id string) {
	cmd := wire.UnsubscribeCommand{CommandID: id, SubID: id}
	s.send(cmd.AppendTo)
}

func (s *subscriber) onMessage(id string, m *wire.Message) {
	b, err := bookmark.Parse(m.Bookmark)
	s.w.oracle.checkError(err, s.name, "message")
	searching := s.sub.Searching()
	v := s.sub.Admit(id, b, len(s.queue) < s.queueLimit)
	if v == clientcore.VerdictPause {
		s.w.counts.Overruns++
		if !searching {
			s.core.Answered(id)
			s.unsubscribe(id)
		}
	}
	if s.sub.Receive(v, b) && s.sub.MayQueue() {
		s.w.oracle.delivered(s, b, binary.LittleEndian.Uint64(m.Body), m.Headers)
		s.queue = append(s.queue, b)
	}
}

// handleQueued hands over the queued messages, at the application's pace.
func (s *subscriber) handleQueued() {
	for !s.busy && len(s.queue) > 0 {
		if s.handleTime == 0 {
			s.handleOne()
			continue
		}
		s.busy = true
		s.w.after(between(s.w.load, s.handleTime/2, s.handleTime*3/2), &s.process, 'h', func() {
			s.busy = false
			s.handleOne()
			s.handleQueued()
		})
	}
	if len(s.queue) == 0 && s.sub.QueueEmptied() {
		s.attach() // after an overrun
	}
}

func (s *subscriber) handleOne() {
	b := s.queue[0]
	s.queue = s.queue[1:]
	s.w.oracle.handedOver(s)
	if !s.shuffle {
		s.discard(b)
		return
	}
	s.undiscarded = append(s.undiscarded, b)
	for len(s.undiscarded) > s.w.load.IntN(maxUndiscarded) {
		s.discardOne()
	}
}

// maxUndiscarded is how many messages are handled and not yet discarded, at most.
const maxUndiscarded = 12

// discardOne discards one of those that are held back, any.
func (s *subscriber) discardOne() {
	n := s.w.load.IntN(len(s.undiscarded))
	b := s.undiscarded[n]
	s.undiscarded = append(s.undiscarded[:n], s.undiscarded[n+1:]...)
	s.discard(b)
}

func (s *subscriber) discard(b bookmark.Bookmark) {
	s.w.oracle.discarded(s, b)
	s.checkStoreError(s.sub.Place().Discard(b))
}

func (s *subscriber) onDisconnect() {
	if !s.sub.Searching() { // in side sessions it is on no connection of the client
		s.sub.ConnectionLost()
	}
}

// leaveOut has the place leave out publishers of which nothing comes any more.
func (s *subscriber) leaveOut(e *clientcore.Effect) {
	before, _ := s.sub.Place().Received()
	s.checkStoreError(s.sub.Apply(e))
	after, _ := s.sub.Place().Received()
	for _, publisher := range slices.Sorted(maps.Keys(before)) {
		if after[publisher] == 0 {
			s.w.oracle.publisherLeftOut(s, publisher, before[publisher])
		}
	}
}

// kill ends the process. forgets: the store loses the changes since its last commit.
func (s *subscriber) kill(forgets bool) {
	s.sub.Place().Release()
	s.die(false)
	s.w.oracle.subscriberDied(s, forgets)
	if !forgets {
		return
	}
	s.bookmarks = bookmarkstore.NewMemory()
	if s.baseKnown {
		s.open()
		s.checkStoreError(s.sub.Place().SetBase(s.committed))
		s.sub.Place().Release()
	}
}
