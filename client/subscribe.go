package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Subscription is a stream of messages that outlives connections. Its
// methods may be called from any goroutine; one loop at a time reads it.
type Subscription struct {
	c     *Client
	id    string // the application's, or made up
	topic string
	opts  subscribeOptions
	start string                     // text of opts.start
	marks bookmarkstore.Subscription // nil: without bookmark

	ready chan struct{} // has the loop look again; capacity 1
	first chan struct{} // closed at the first answer, or when the subscription ends without one

	mu       sync.Mutex
	state    subscriptionState // guarded by mu
	cn       *conn             // while subscribing or active; guarded by mu
	wireID   string            // on cn; guarded by mu
	since    time.Time         // when wireID was sent; guarded by mu
	heard    bool              // a message has come; guarded by mu
	server   string            // that accepted it last; guarded by mu
	home     string            // the only server that has the topic; empty: any (R3); guarded by mu
	queue    queue             // guarded by mu
	over     time.Time         // since when the queue is beyond its bound (Block); guarded by mu
	endErr   error             // why it ended; guarded by mu
	answered bool              // first is closed; guarded by mu
	left     chan struct{}     // closed when the loop that reads it leaves; nil: there is none; guarded by mu
	stats    SubscriptionStats // guarded by mu; the counters only
}

// A subscriptionState says whether a subscription is on the wire.
type subscriptionState uint8

const (
	detached    subscriptionState = iota // waits for a connection
	subscribing                          // asked for, not answered
	active
	overrun // paused: the queue was full, the tail was dropped (R12)
	ended
)

// Subscribe subscribes to a topic, or to a pattern of topics. It returns when
// a server has accepted the subscription, however long it takes to connect,
// or when ctx ends; a refusal is a *CommandError, or a *GapError. After that
// the subscription lasts until it is ended, over any number of reconnects;
// see From for what is promised.
func (c *Client) Subscribe(ctx context.Context, topic string, opts ...SubscribeOption) (*Subscription, error) {
	s, err := c.newSubscription(topic, opts)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %q: %w", topic, err)
	}
	if err := c.add(s); err != nil {
		s.end(err)
		return nil, fmt.Errorf("subscribe to %q: %w", topic, err)
	}
	s.connect()
	if err := s.awaitFirst(ctx); err != nil {
		s.end(err)
		return nil, fmt.Errorf("subscribe to %q: %w", topic, err)
	}
	return s, nil
}

func (c *Client) newSubscription(topic string, opts []SubscribeOption) (*Subscription, error) {
	o, err := subscribeOptionsOf(opts)
	if err != nil {
		return nil, err
	}
	if topic == "" {
		return nil, errors.New("no topic")
	}
	if o.start == MostRecent && c.cfg.Name == "" {
		return nil, errors.New("MostRecent needs Config.Name")
	}
	s := &Subscription{
		c:     c,
		id:    o.id,
		topic: topic,
		opts:  o,
		ready: make(chan struct{}, 1),
		first: make(chan struct{}),
		queue: queue{maxMessages: c.cfg.QueueMessages, maxBytes: c.cfg.QueueBytes},
	}
	if s.id == "" {
		s.id = fmt.Sprintf("#%d", c.unnamed.Add(1))
	}
	if o.start == nil {
		return s, nil
	}
	return s, s.openMarks()
}

// openMarks takes the place in the bookmark store. A subscription without an
// ID cannot be taken up again by another process, so its place is in memory.
func (s *Subscription) openMarks() (err error) {
	if s.start, err = s.opts.start.text(); err != nil {
		return err
	}
	store := s.c.cfg.Bookmarks
	if s.opts.id == "" {
		store = s.c.unnamedMarks
	}
	s.marks, err = store.Subscription(s.id, bookmarkstore.Query{Topic: s.topic, Filter: s.opts.filter})
	if err != nil {
		return err
	}
	if s.opts.start != MostRecent {
		if err := s.marks.Restart(); err != nil {
			s.marks.Release()
			return err
		}
	}
	return nil
}

// ID returns the subscription's id: the one given, or one that was made up.
func (s *Subscription) ID() string { return s.id }

// Topic returns the topic subscribed to.
func (s *Subscription) Topic() string { return s.topic }

// awaitFirst waits for the first answer.
func (s *Subscription) awaitFirst(ctx context.Context) error {
	timeout := s.c.cfg.CommandTimeout
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		select {
		case <-s.first:
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.endErr
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			if s.unansweredFor(timeout) {
				return ErrTimeout
			}
			timer.Reset(timeout)
		}
	}
}

func (s *Subscription) unansweredFor(d time.Duration) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state == subscribing && time.Since(s.since) >= d
}

// connect puts the subscription on the wire if it waits for that and there is
// a connection. It also runs on the application's goroutines.
func (s *Subscription) connect() {
	for {
		cn := s.c.connected()
		if cn == nil || s.attach(cn) {
			return
		}
	}
}

// attach subscribes on a connection, under a new id. It returns false if the
// connection ended meanwhile, and true if there is nothing more to do.
func (s *Subscription) attach(cn *conn) bool {
	id := cn.newID()
	s.mu.Lock()
	if s.state != detached {
		s.mu.Unlock()
		return true
	}
	if s.home != "" && s.home != cn.server && !s.opts.unreplicated && !mut.On(mut.R3SilentMove) {
		s.mu.Unlock()
		s.end(ErrNotReplicated)
		return true
	}
	s.state, s.cn, s.wireID, s.since = subscribing, cn, id, time.Now()
	heard := s.heard
	s.mu.Unlock()

	cmd := s.command(cn, id, heard)
	cn.await(id)
	if cn.request(id, s, cmd.AppendTo) {
		return true
	}
	s.lost(cn, nil)
	return false
}

func (s *Subscription) command(cn *conn, id string, heard bool) wire.SubscribeCommand {
	cmd := wire.SubscribeCommand{
		Command:   wire.Subscribe,
		CommandID: id,
		SubID:     id,
		Topic:     s.topic,
		Filter:    s.opts.filter,
		Acks:      wire.AckProcessed,
	}
	if s.marks == nil {
		if s.opts.times {
			cmd.Options = "timestamp"
		}
		return cmd
	}
	r := resumption{
		ext:     !cn.plain,
		start:   s.start,
		heard:   heard,
		gaps:    s.opts.gaps,
		durable: s.opts.durable,
		times:   s.opts.times,
	}
	r.vector, r.known = s.marks.Received()
	cmd.Bookmark, cmd.Options = r.request()
	cmd.Acks |= wire.AckPersisted
	return cmd
}

// lost implements receiver: a new connection will take the subscription up.
// One that is paused stays so.
func (s *Subscription) lost(cn *conn, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cn != cn || s.state == ended {
		return
	}
	s.cn, s.wireID = nil, ""
	if s.state != overrun {
		s.state = detached
	}
	if mut.On(mut.R9ReconnectIsRestart) && s.marks != nil {
		s.marks.Release()
		_ = s.openMarks()
	}
}

// ack implements receiver.
func (s *Subscription) ack(cn *conn, id string, m *wire.Message) error {
	switch {
	case !s.runsAs(cn, id):
		return nil
	case m.Acks&wire.AckPersisted != 0:
		return s.mark(cn, m)
	case m.Acks&wire.AckProcessed == 0:
		return nil
	case failed(m):
		s.end(s.refusal(m))
		cn.answered(id)
		return nil
	}
	return s.accepted(cn, id, m)
}

// runsAs reports whether id is what the subscription has on the wire.
func (s *Subscription) runsAs(cn *conn, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cn == cn && s.wireID == id && (s.state == subscribing || s.state == active)
}

// refusal is the error of a subscription that a server refuses.
func (s *Subscription) refusal(m *wire.Message) error {
	reason := string(m.Reason)
	if s.marks == nil || len(m.Gap) == 0 && reason != reasonNotFound {
		return &CommandError{Command: "subscribe", Topic: s.topic, Reason: reason}
	}
	gaps, _ := parseGaps(m.Gap)
	return s.gapError(gaps)
}

func (s *Subscription) gapError(gaps []Gap) *GapError {
	e := &GapError{Subscription: s.id, Topic: s.topic, Gaps: gaps}
	s.mu.Lock()
	s.stats.Gaps += max(len(gaps), 1)
	s.mu.Unlock()
	s.c.cfg.Logger.Warn("messages are no longer in the server's log", "error", e)
	if hook := s.c.cfg.Hooks.Gap; hook != nil {
		s.c.post(func() { hook(e) })
	}
	return e
}

// accepted takes in the answer to a subscribe: its base, if it is the first
// (R9), gaps that the application accepts, and whether it can move (R3).
func (s *Subscription) accepted(cn *conn, id string, m *wire.Message) error {
	if s.marks != nil && !cn.plain {
		if err := s.base(m); err != nil {
			return err
		}
		if len(m.Gap) > 0 {
			if err := s.skip(m.Gap); err != nil {
				return err
			}
		}
	}
	if stays := s.settle(cn, m); !stays {
		s.end(ErrNotReplicated)
	}
	cn.answered(id)
	return nil
}

// settle notes who has accepted the subscription. False: it came here from
// another server, and this one has the topic by no link that acks wait for,
// so that messages may be missing (R3).
func (s *Subscription) settle(cn *conn, m *wire.Message) (stays bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state == subscribing {
		s.state = active
	}
	moved := s.server != "" && s.server != cn.server
	s.server, s.home = cn.server, ""
	if s.marks != nil && string(m.Reason) == reasonNotReplicated {
		s.home = cn.server
	}
	s.answerLocked()
	return !moved || s.home == "" || s.opts.unreplicated || mut.On(mut.R3SilentMove)
}

func (s *Subscription) base(m *wire.Message) error {
	if _, known := s.marks.Received(); known || m.Bookmark == nil {
		return nil
	}
	v, err := bookmark.ParseVector(m.Bookmark)
	if err != nil {
		return fmt.Errorf("%w: base of subscription %q: %w", ErrProtocol, s.id, err)
	}
	return s.check(s.marks.SetBase(v))
}

// skip notes a gap in its place in the queue. From now on it counts as shown.
func (s *Subscription) skip(text []byte) error {
	gaps, err := parseGaps(text)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrProtocol, err)
	}
	e := s.gapError(gaps)
	if s.opts.onGap != nil {
		s.mu.Lock()
		s.queue.push(delivery{gap: e})
		s.mu.Unlock()
		poke(s.ready)
	}
	return s.check(s.marks.Progress(gapVector(gaps)))
}

// check ends the subscription if its store has failed.
func (s *Subscription) check(err error) error {
	if err != nil {
		s.end(fmt.Errorf("bookmark store: %w", err))
	}
	return nil
}

// mark takes in a progress mark, in its place between the messages (R9). From
// a server without vectors it says too little: its log may be ahead of what
// it has sent of the replay.
func (s *Subscription) mark(cn *conn, m *wire.Message) error {
	if s.marks == nil || cn.plain || len(m.Bookmark) == 0 {
		return nil
	}
	v, err := bookmark.ParseVector(m.Bookmark)
	if err != nil {
		return fmt.Errorf("%w: progress of subscription %q: %w", ErrProtocol, s.id, err)
	}
	return s.check(s.marks.Progress(v))
}

// message implements receiver.
func (s *Subscription) message(cn *conn, id string, m *wire.Message) error {
	if m.Command != wire.Publish && m.Command != wire.DeltaPublish {
		return nil
	}
	var b Bookmark
	if len(m.Bookmark) > 0 {
		var err error
		if b, err = bookmark.Parse(m.Bookmark); err != nil {
			return fmt.Errorf("%w: message of subscription %q: %w", ErrProtocol, s.id, err)
		}
	}
	size := len(m.Body) + messageOverhead
	switch s.admit(cn, id, size) {
	case refused:
		return nil
	case beyond:
		s.pause(cn, id, b)
		return nil
	case tooSlow:
		s.end(ErrSlowConsumer)
		return nil
	}
	fresh := s.marks == nil || b.IsZero() || s.marks.Receive(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !fresh:
		s.stats.Duplicates++
	case s.state == subscribing || s.state == active:
		s.pushLocked(m, b, size)
		poke(s.ready)
	}
	return nil
}

// A verdict is what becomes of a message that arrives.
type verdict uint8

const (
	taken   verdict = iota
	refused         // not for what is on the wire now
	beyond          // a bookmark subscription's queue is full
	tooSlow         // the policy has had enough
)

// admit decides whether there is room for a message. Only the reader adds to
// the queue, so that the room is still there afterwards.
func (s *Subscription) admit(cn *conn, id string, size int) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cn != cn || s.wireID != id || s.state != subscribing && s.state != active {
		return refused
	}
	if !s.queue.full(size) {
		s.over = time.Time{}
		return taken
	}
	if s.marks == nil {
		return s.enforceLocked(size)
	}
	if mut.On(mut.R12ReaderWaits) {
		return s.waitLocked(cn, size)
	}
	return beyond
}

// waitLocked is a planted bug: it waits for room in the queue.
func (s *Subscription) waitLocked(cn *conn, size int) verdict {
	for s.queue.full(size) && s.state == active {
		s.mu.Unlock()
		stopped := false
		select {
		case <-time.After(time.Millisecond):
		case <-cn.stop:
			stopped = true
		}
		s.mu.Lock()
		if stopped {
			return refused
		}
	}
	return taken
}

// enforceLocked applies the policy of a subscription without bookmark.
func (s *Subscription) enforceLocked(size int) verdict {
	switch s.opts.policy.kind {
	case policyDropOldest:
		for s.queue.full(size) {
			d, _ := s.queue.pop()
			s.queue.recycle(d.m)
			s.stats.Dropped++
		}
		return taken
	case policyFail:
		return tooSlow
	}
	if s.over.IsZero() {
		s.over = time.Now()
	}
	if time.Since(s.over) > s.opts.policy.wait ||
		s.queue.n >= blockFactor*s.queue.maxMessages || s.queue.bytes+size > blockFactor*s.queue.maxBytes {
		return tooSlow
	}
	return taken
}

func (s *Subscription) pushLocked(w *wire.Message, b Bookmark, size int) {
	m := s.queue.message()
	m.sub, m.Bookmark = s, b
	m.Topic = s.topic
	if string(w.Topic) != s.topic {
		m.Topic = string(w.Topic)
	}
	m.Data = append(m.Data, w.Body...)
	if len(w.SOWKey) > 0 {
		m.SOWKey = string(w.SOWKey)
	}
	if len(w.CorrelationID) > 0 {
		m.CorrelationID = string(w.CorrelationID)
	}
	if len(w.UserID) > 0 {
		m.UserID = string(w.UserID)
	}
	if len(w.Timestamp) > 0 {
		m.Time = parseTime(w.Timestamp)
	}
	s.heard = true
	s.queue.push(delivery{m: m, size: size})
}

// parseTime returns the zero time for what is not one: a text for people.
func parseTime(text []byte) time.Time {
	t, err := bookmark.ParseTime(text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// pause takes a bookmark subscription off the wire because its queue is full.
// What arrives from now on is dropped, marks included: received stays at the
// last message kept, and the server's log is the buffer (R12).
func (s *Subscription) pause(cn *conn, id string, b Bookmark) {
	if mut.On(mut.R12TailCounts) {
		s.marks.Receive(b)
	}
	s.mu.Lock()
	s.state, s.cn, s.wireID = overrun, nil, ""
	s.stats.Overruns++
	s.mu.Unlock()
	cn.unsubscribe(id, wire.UnsubscribeCommand{SubID: id})
	if hook := s.c.cfg.Hooks.Paused; hook != nil {
		s.c.post(func() { hook(s) })
	}
}

// Messages returns the messages, for one loop at a time:
//
//	for m, err := range sub.Messages(ctx) {
//		if err != nil {
//			return err
//		}
//		…
//		m.Discard()
//	}
//
// The loop's body runs on the caller's goroutine. m is valid until the next
// turn. Leaving the loop pauses the subscription: its queue fills up, then the
// server keeps the rest, and the next loop goes on where this one stopped.
// (One without bookmark follows its Policy meanwhile.)
//
// The loop ends by itself, without an error, after Unsubscribe and when Drain
// has had it finish what is queued. Otherwise it ends with one error, in the
// last turn: that of ctx, after which another loop may go on; or what ended
// the subscription for good: a *GapError, *CommandError, ErrSlowConsumer,
// ErrNotReplicated, a failed bookmark store, ErrClosed. A lost connection is
// not among them.
func (s *Subscription) Messages(ctx context.Context) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		left, ok := s.enter()
		if !ok {
			yield(nil, fmt.Errorf("subscription %q: %w", s.id, ErrInUse))
			return
		}
		defer s.leave(left)
		var last *Message
		for {
			m, err := s.next(ctx, last)
			switch {
			case errors.Is(err, errUnsubscribed):
				return
			case err != nil:
				yield(nil, fmt.Errorf("subscription %q: %w", s.id, err))
				return
			case !yield(m, nil):
				return
			}
			last = m
		}
	}
}

// Handle calls f for each message, one after the other, on the caller's
// goroutine, and discards a message when f returns nil. It ends like Messages,
// or with f's error: then that message is not discarded.
func (s *Subscription) Handle(ctx context.Context, f func(*Message) error) error {
	for m, err := range s.Messages(ctx) {
		if err != nil {
			return err
		}
		if err := f(m); err != nil {
			return err
		}
		if err := m.Discard(); err != nil {
			return err
		}
	}
	return nil
}

func (s *Subscription) enter() (left chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left != nil {
		return nil, false
	}
	s.left = make(chan struct{})
	return s.left, true
}

func (s *Subscription) leave(left chan struct{}) {
	s.mu.Lock()
	s.left = nil
	over := s.state == ended
	s.mu.Unlock()
	if over {
		s.release()
	}
	close(left)
}

// next waits for the next message. last is the one before, which is no longer
// looked at.
func (s *Subscription) next(ctx context.Context, last *Message) (*Message, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		d, emptied, err := s.take(last)
		last = nil
		switch {
		case err != nil:
			return nil, err
		case d.m != nil:
			return d.m, nil
		case d.gap != nil:
			s.opts.onGap(d.gap)
			continue
		case emptied:
			s.connect() // the application has caught up (R12)
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
		}
	}
}

// take takes the first of the queue. emptied: there is none, and the
// subscription was paused for want of room.
func (s *Subscription) take(last *Message) (d delivery, emptied bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last != nil {
		s.queue.recycle(last)
	}
	d, ok := s.queue.pop()
	switch {
	case ok && d.m != nil:
		s.stats.Delivered++
	case ok:
	case s.state == ended:
		return d, false, s.endErrLocked()
	case s.state == overrun:
		s.state = detached
		return d, true, nil
	}
	return d, false, nil
}

func (s *Subscription) endErrLocked() error {
	if s.endErr == nil {
		return errUnsubscribed
	}
	return s.endErr
}

// Unsubscribe ends the subscription. Its loop ends without another message.
// What was not discarded comes again when a later subscription resumes under
// the same ID. To call it twice does nothing.
func (s *Subscription) Unsubscribe() error {
	s.abandon(nil)
	return nil
}

// end ends the subscription for good. The loop still gets what is queued,
// then err; nil ends it without an error.
func (s *Subscription) end(err error) {
	s.mu.Lock()
	if s.state == ended {
		s.mu.Unlock()
		return
	}
	cn, id, began, looping := s.cn, s.wireID, s.answered, s.left != nil
	s.state, s.cn, s.wireID, s.endErr = ended, nil, "", err
	s.answerLocked()
	s.mu.Unlock()

	if cn != nil {
		cn.unsubscribe(id, wire.UnsubscribeCommand{SubID: id})
	}
	s.c.remove(s)
	if !looping {
		s.release()
	}
	poke(s.ready)
	if hook := s.c.cfg.Hooks.SubscriptionEnded; hook != nil && began && err != nil && !errors.Is(err, ErrClosed) {
		s.c.post(func() { hook(s, err) })
	}
}

// release gives the id free. What is discarded up to here counts.
func (s *Subscription) release() {
	if s.marks != nil {
		s.marks.Release()
	}
}

// abandon ends the subscription without what is queued.
func (s *Subscription) abandon(err error) {
	s.mu.Lock()
	s.queue.clear()
	s.mu.Unlock()
	s.end(err)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.clear() // what came in between
}

func (s *Subscription) answerLocked() {
	if !s.answered {
		s.answered = true
		close(s.first)
	}
}

// finish has the loop end once it has what is queued, and waits for that.
func (s *Subscription) finish(ctx context.Context) error {
	s.end(nil)
	s.mu.Lock()
	left := s.left
	s.mu.Unlock()
	if left == nil {
		return nil
	}
	select {
	case <-left:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("subscription %q: handler not done: %w", s.id, context.Cause(ctx))
	}
}

// Stats returns a snapshot of the subscription.
func (s *Subscription) Stats() SubscriptionStats {
	outstanding := 0
	if s.marks != nil {
		outstanding = s.marks.Outstanding()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.ID, st.Topic = s.id, s.topic
	st.Queued, st.Paused = s.queue.n, s.state == overrun
	st.Outstanding = outstanding
	return st
}
