package client

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/intern"
	"github.com/holdfast-mq/holdfast/internal/signal"
	pattern "github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Subscription is a stream of messages that outlives connections. Its methods may be called from
// any goroutine. One loop at a time reads it.
type Subscription struct {
	c     *Client
	id    string // from the option ID, or made up
	topic string
	onGap func(*GapError) // nil: gaps do not go into the queue
	retry *RetryPolicy    // nil: an error of the handler ends Handle

	ready       signal.Signal // wakes the loop
	firstAnswer chan struct{} // closed at the first answer, or at an end without one

	mu            sync.Mutex
	core          clientcore.Subscription // guarded by mu, except methods for concurrent use
	cn            *conn                   // connection that it is subscribed on; guarded by mu
	search        *search                 // the latest one; guarded by mu
	texts         intern.Table            // topics and users of messages; guarded by mu
	queue         queue                   // guarded by mu
	redelivery    *Message                // the message in whose turn the loop was left; guarded by mu
	dropped       bool                    // no more deliveries, after Unsubscribe or Close; guarded by mu
	endErr        error                   // reason of the end; guarded by mu
	idFree        bool                    // ended, and its id may be used again; guarded by mu
	firstAnswered bool                    // firstAnswer is closed; guarded by mu
	loopDone      chan struct{}           // closed when the present loop ends; nil: no loop; guarded by mu
	stats         SubscriptionStats       // the counters only; guarded by mu
}

// Subscribe subscribes to a topic, or to a pattern of topics. It returns when a server has accepted
// the subscription, however long it takes to connect. If ctx ends first, or a server does not
// answer within Config.CommandTimeout (ErrTimeout), the subscription is given up. A refusal is a
// *CommandError or a *GapError. If the ID is in use, the error is bookmarkstore.ErrInUse; the
// errors of Subscription.Messages and of the bookmark store are possible too.
//
// A subscription that Subscribe has returned lasts over any number of reconnects, until it is
// ended. See From for its promises.
//
// A topic that contains any of the characters ^$.*+?()[]{}|\ is a regular expression (RE2), which
// is searched anywhere in the topic. The topic of a Publish is always literal.
func (c *Client) Subscribe(ctx context.Context, topic string, opts ...SubscribeOption) (*Subscription, error) {
	s, err := c.newSubscription(topic, opts)
	if err != nil {
		return nil, fmt.Errorf("subscribe to %q: %w", topic, err)
	}
	if err := c.addSubscription(s); err != nil {
		s.end(err)
		return nil, fmt.Errorf("subscribe to %q: %w", topic, err)
	}
	s.attachNow()
	if err := s.awaitFirstAnswer(ctx); err != nil {
		s.end(err)
		return nil, withOperation(fmt.Sprintf("subscribe to %q", topic), err)
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
	if suggestion, ok := pattern.Wildcard(topic); ok {
		c.cfg.Logger.Warn("the topic of a subscription looks like another system's wildcard: here it is a regular expression",
			"topic", topic, "use_instead", suggestion)
	}
	if resumes(o.start) && c.cfg.Name == "" {
		return nil, errors.New("MostRecent and MostRecentOr need Config.Name")
	}
	s := &Subscription{
		c:           c,
		id:          o.request.ID,
		topic:       topic,
		onGap:       o.onGap,
		retry:       o.retry,
		ready:       signal.New(),
		firstAnswer: make(chan struct{}),
		queue:       queue{maxMessages: c.cfg.QueueMessages, maxBytes: c.cfg.QueueBytes},
	}
	if s.id == "" {
		s.id = fmt.Sprintf("#%d", c.unnamed.Add(1))
	}
	s.core.Request = o.request
	s.core.ID, s.core.Topic = s.id, topic
	s.core.MaxPublishers, s.core.RecoveryTimeout = c.cfg.MaxPublishers, c.cfg.RecoveryTimeout
	if o.start == nil {
		return s, nil
	}
	if s.core.Start, err = o.start.text(); err != nil {
		return nil, err
	}
	// Without an ID the subscription cannot be resumed. So its place is in a memory store of its
	// own that ends with it.
	store := c.cfg.BookmarkStore
	if o.request.ID == "" {
		store = bookmarkstore.NewMemory()
	}
	return s, s.core.Open(store)
}

// ID returns the subscription's id: the value of the option ID, or a generated one.
func (s *Subscription) ID() string { return s.id }

// Topic returns the topic, or pattern, of the subscription.
func (s *Subscription) Topic() string { return s.topic }

// awaitFirstAnswer waits for the first answer of a server.
func (s *Subscription) awaitFirstAnswer(ctx context.Context) error {
	timeout := s.c.cfg.CommandTimeout
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	for {
		select {
		case <-s.firstAnswer:
			return withLock(&s.mu, func() error { return s.endErr })
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
			if withLock(&s.mu, func() bool { return s.core.Unanswered(timeout, time.Now()) }) {
				return ErrTimeout
			}
			timer.Reset(timeout)
		}
	}
}

// Unsubscribe ends the subscription. Its loop ends without another message. Undiscarded messages
// come again when a later subscription resumes under the same ID. A second call does nothing. The
// error is always nil.
func (s *Subscription) Unsubscribe() error {
	s.abandon(nil)
	return nil
}

// end ends the subscription for good. The loop still gets the queued messages and then err. If err
// is nil the loop ends without an error.
func (s *Subscription) end(err error) {
	s.mu.Lock()
	if s.core.Ended() {
		s.mu.Unlock()
		return
	}
	cn, answered, looping, search := s.cn, s.firstAnswered, s.loopDone != nil, s.search
	id := s.core.End()
	s.cn, s.endErr = nil, err
	s.mu.Unlock()

	if search != nil {
		search.cancel()
	}
	if id != "" {
		cn.unsubscribe(id, wire.UnsubscribeCommand{SubID: id})
	}
	s.c.removeSubscription(s)
	if !looping {
		s.release()
	}
	s.mu.Lock()
	s.idFree = true
	s.mu.Unlock()
	s.signalFirstAnswer()
	s.ready.Set()
	if answered && err != nil && !errors.Is(err, ErrClosed) {
		s.c.events.post(func() { s.c.reportEnded(s, err) })
	}
}

// release makes the id available again. The bookmark store keeps the discards up to this point.
func (s *Subscription) release() {
	if place := s.core.Place(); place != nil {
		place.Release()
	}
}

// abandon ends the subscription and drops its queue.
func (s *Subscription) abandon(err error) {
	s.dropQueue()
	s.end(err)
	s.dropQueue() // messages that arrived in between
}

func (s *Subscription) dropQueue() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queue.clear()
	s.redelivery, s.dropped = nil, true
}

// signalFirstAnswer wakes Subscribe: the first answer has arrived, or none will.
func (s *Subscription) signalFirstAnswer() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.firstAnswered {
		s.firstAnswered = true
		close(s.firstAnswer)
	}
}

// finishLoop lets the loop process the queued messages and waits until it has ended.
func (s *Subscription) finishLoop(ctx context.Context) error {
	s.end(nil)
	done := withLock(&s.mu, func() chan struct{} { return s.loopDone })
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("subscription %q: loop has not ended: %w", s.id, context.Cause(ctx))
	}
}

// Stats returns a snapshot of the subscription.
func (s *Subscription) Stats() SubscriptionStats {
	outstanding := 0
	if place := s.core.Place(); place != nil {
		outstanding = place.Outstanding()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st := s.stats
	st.ID, st.Topic = s.id, s.topic
	st.Queued, st.Paused, st.HeldBack = s.queue.Len(), s.core.Paused(), s.core.HeldBack()
	st.Outstanding = outstanding
	return st
}
