package client

import (
	"context"
	"errors"
	"fmt"
	"iter"
)

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
				yield(nil, doing(fmt.Sprintf("subscription %q", s.id), err))
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
	over := s.core.Ended()
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
			s.onGap(d.gap)
			continue
		case emptied:
			s.attachNow() // it was paused (R12): subscribe again, behind what was received
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
	case s.core.Ended():
		return d, false, s.endErrLocked()
	default:
		return d, s.core.Emptied(), nil
	}
	return d, false, nil
}

func (s *Subscription) endErrLocked() error {
	if s.endErr == nil {
		return errUnsubscribed
	}
	return s.endErr
}
