package client

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// Messages returns the messages of the subscription, for one loop at a time:
//
//	for m, err := range sub.Messages(ctx) {
//		if err != nil {
//			return err
//		}
//		…
//		m.Discard()
//	}
//
// The loop's body runs on the caller's goroutine. m is valid until the next turn. Leaving the loop
// pauses the subscription: its queue fills up, then the server keeps the later messages, and the
// next loop continues where this one stopped. (A subscription without bookmark follows its
// SlowPolicy meanwhile.)
//
// If a loop over a bookmark subscription is left in a message's turn, by a break, a return, a panic
// or an error, that message comes again. The next loop begins with it, unless it was discarded
// meanwhile; Message.Redeliveries counts these deliveries. Going on to the next turn without a
// Discard means that the application will discard the message later; then it comes again only after
// a restart.
//
// The loop ends by itself, without an error, after Unsubscribe, and after Drain once the queued
// messages are processed. Otherwise it ends with one error in the last turn. If that is the error
// of ctx, another loop may continue. ErrLoopRunning says that another loop reads the subscription
// already. Any other error has ended the subscription for good: a
// *GapError, *CommandError, *FrameTooLargeError, *TooManyPublishersError, ErrSlowConsumer,
// ErrNotReplicated, ErrClosed, or the error of a failed bookmark store. A lost connection does not
// end the loop.
func (s *Subscription) Messages(ctx context.Context) iter.Seq2[*Message, error] {
	return func(yield func(*Message, error) bool) {
		done, ok := s.enterLoop()
		if !ok {
			yield(nil, fmt.Errorf("subscription %q: %w", s.id, ErrLoopRunning))
			return
		}
		var turn *Message // the message of the present turn; nil: between two turns
		defer func() { s.leaveLoop(done, turn) }()
		var last *Message
		for {
			m, err := s.next(ctx, last)
			switch {
			case errors.Is(err, errUnsubscribed):
				return
			case err != nil:
				yield(nil, withOperation(fmt.Sprintf("subscription %q", s.id), err))
				return
			}
			turn = m
			if !yield(m, nil) {
				return
			}
			last, turn = m, nil
		}
	}
}

// Handle calls f for each message, one after the other, on the caller's goroutine, and discards a
// message when f returns nil. It returns nil where a loop over Messages ends without an error.
// Otherwise it returns the error of Messages, of f, of the GiveUp of Retry, or of the discard. With
// Retry it calls f again first. If Handle ends with an error of f, the message is not discarded,
// and the next Handle or loop of a bookmark subscription begins with it again.
func (s *Subscription) Handle(ctx context.Context, f func(*Message) error) error {
	for m, err := range s.Messages(ctx) {
		if err != nil {
			return err
		}
		if err := s.handle(ctx, m, f); err != nil {
			return err
		}
	}
	return nil
}

// handle calls f for a message until f or the retry policy is done with it.
func (s *Subscription) handle(ctx context.Context, m *Message, f func(*Message) error) error {
	for {
		err := s.call(ctx, m, f)
		if err != nil {
			s.countHandler(func(st *SubscriptionStats) { st.HandlerErrors++ })
		}
		p := s.retry
		switch {
		case err == nil:
			return m.Discard()
		case p == nil:
			return err
		case p.MaxTries > 0 && m.Redeliveries+1 >= p.MaxTries:
			if p.GiveUp == nil {
				return err
			}
			if err = p.GiveUp(m, err); err != nil {
				return err
			}
			return m.Discard()
		}
		if again, err := s.awaitRetry(ctx, p.Delay); !again {
			return err
		}
		m.Redeliveries++
		s.countHandler(func(st *SubscriptionStats) { st.Retries++ })
	}
}

func (s *Subscription) countHandler(count func(*SubscriptionStats)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	count(&s.stats)
}

// awaitRetry waits before another try. again is false if there must not be one: ctx has ended, or
// the subscription has ended and its queue was dropped.
func (s *Subscription) awaitRetry(ctx context.Context, d time.Duration) (again bool, err error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	for {
		if withLock(&s.mu, func() bool { return s.dropped }) {
			return false, nil // the loop returns the reason
		}
		select {
		case <-timer.C:
			return true, nil
		case <-ctx.Done():
			return false, withOperation(fmt.Sprintf("subscription %q", s.id), context.Cause(ctx))
		case <-s.ready:
		}
	}
}

// enterLoop begins a loop, unless another one is running. done must be passed to leaveLoop.
func (s *Subscription) enterLoop() (done chan struct{}, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.loopDone != nil {
		return nil, false
	}
	s.loopDone = make(chan struct{})
	return s.loopDone, true
}

// leaveLoop ends a loop. turn is the message in whose turn the loop was left.
func (s *Subscription) leaveLoop(done chan struct{}, turn *Message) {
	s.mu.Lock()
	s.loopDone = nil
	if !s.dropped {
		s.redelivery = turn
	}
	ended := s.core.Ended()
	s.mu.Unlock()
	if ended {
		s.release()
	}
	close(done)
}

// next waits for the next message. last is the previous message; the application no longer uses it.
func (s *Subscription) next(ctx context.Context, last *Message) (*Message, error) {
	for {
		if ctx.Err() != nil {
			return nil, context.Cause(ctx)
		}
		d, emptied, err := s.takeNext(last)
		last = nil
		switch {
		case err != nil:
			return nil, err
		case d.m != nil:
			return d.m, nil
		case d.gap != nil:
			s.onGap(d.gap)
			continue
		case emptied:
			s.attachNow() // it was paused (R12): subscribe again from the received vector
		}
		select {
		case <-s.ready:
		case <-ctx.Done():
		}
	}
}

// takeNext removes the first delivery from the queue. emptied is true if the queue is empty and the
// subscription was paused because it was full.
func (s *Subscription) takeNext(last *Message) (d delivery, emptied bool, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if last != nil {
		s.queue.recycle(last)
	}
	if m := s.redeliverLocked(); m != nil {
		return delivery{m: m}, false, nil
	}
	d, ok := s.queue.pop()
	switch {
	case ok && d.m != nil:
		s.stats.Delivered++
		s.stats.LastTime = d.m.Time
	case ok:
	case s.core.Ended() && !s.idFree:
		return d, false, nil // the application may subscribe again as soon as it sees the end
	case s.core.Ended():
		return d, false, cmp.Or(s.endErr, errUnsubscribed)
	default:
		return d, s.core.QueueEmptied(), nil
	}
	return d, false, nil
}

// redeliverLocked returns, once, the message in whose turn the previous loop was left, unless the
// application has discarded it.
func (s *Subscription) redeliverLocked() *Message {
	m, place := s.redelivery, s.core.Place()
	s.redelivery = nil
	if m == nil || place == nil || failpoint.On(failpoint.G6SkipsTurn) || !place.IsOutstanding(m.Bookmark) && !failpoint.On(failpoint.G6RedoDiscarded) {
		return nil
	}
	m.Redeliveries++
	m.ctx = nil
	return m
}
