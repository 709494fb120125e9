package clientcore

import (
	"errors"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// ErrOutcomeUnknown says that the outcome of a message cannot be known.
var ErrOutcomeUnknown = errors.New("outcome of the message is unknown")

// A Ticket follows one message until its outcome is known.
type Ticket struct {
	Publisher, Sequence uint64
	Settled             bool
	Safe                bool
	Err                 error // the message was rejected, or its outcome is unknown; nil if it is safe

	waiters *Waiter
	next    *Ticket // next ticket of the same message
}

// Done reports whether the outcome is final: the ticket is safe, has an error, or is settled.
// With safe, settled is not enough.
func (t *Ticket) Done(safe bool) bool { return t.Safe || t.Err != nil || t.Settled && !safe }

// Outcome returns the error of a ticket that is done, or nil.
func (t *Ticket) Outcome(safe bool) error {
	if t.Safe || t.Settled && !safe {
		return nil
	}
	return t.Err
}

// A Waiter waits for one ticket at a time.
type Waiter struct {
	Ready chan struct{} // owned by the caller
	Next  *Waiter       // next waiter of the ticket, or of the list of waiters to wake
	safe  bool
}

// AddWaiter adds a waiter, unless the ticket is done. It reports whether the waiter has to wait.
func (t *Ticket) AddWaiter(w *Waiter, safe bool) (waits bool) {
	if t.Done(safe) {
		return false
	}
	w.Next, w.safe = t.waiters, safe
	t.waiters = w
	return true
}

// RemoveWaiter removes a waiter. It returns false if the waiter is about to be woken.
func (t *Ticket) RemoveWaiter(w *Waiter) bool {
	for at := &t.waiters; *at != nil; at = &(*at).Next {
		if *at == w {
			*at = w.Next
			return true
		}
	}
	return false
}

// releaseWaiters handles a change of the ticket. It moves the waiters whose condition is met to
// the list woken, and returns that list.
func (t *Ticket) releaseWaiters(woken *Waiter) *Waiter {
	for at := &t.waiters; *at != nil; {
		w := *at
		if !t.Done(w.safe) {
			at = &w.Next
			continue
		}
		*at = w.Next
		w.Next, woken = woken, w
	}
	return woken
}

// tickets holds the tickets of one life, and the state of that life that they need.
type tickets struct {
	publisher uint64
	waiting   map[uint64]*Ticket // by sequence
	// The waiting tickets were updated with everything up to sawSettled as settled, and
	// everything up to sawSafe as safe.
	sawSettled, sawSafe uint64

	safe           uint64           // everything up to it is safe, or was rejected and reported
	unknownTo      uint64           // the outcomes up to it are unknown: an earlier process let go of these messages
	rejectedBefore []pubstore.Range // rejections that were reported to an earlier process
	// pastRejections are the latest rejections, for tickets that are requested later. Rejections
	// up to forgottenTo may be missing in it.
	pastRejections []pastRejection
	forgottenTo    uint64
	cleanAbove     uint64 // above it, no message was rejected, and no outcome is unknown
}

type pastRejection struct {
	sequence uint64
	err      error
}

// maxPastRejections is the number of rejections that are remembered for each life.
const maxPastRejections = 256

// SetRejectedBefore sets the rejected ranges of a life, in order, as they were when the store
// was opened. limit is the maximum length of that list; a full list may not be complete.
func (p *Publisher) SetRejectedBefore(life string, rejected []pubstore.Range, limit int) {
	s := p.stateOf(life)
	s.rejectedBefore = rejected
	if n := len(rejected); n > 0 {
		s.cleanAbove = max(s.cleanAbove, rejected[n-1].To)
		if n == limit {
			s.unknownTo = max(s.unknownTo, s.sent)
			s.cleanAbove = max(s.cleanAbove, s.sent)
		}
	}
}

// stateByPublisher returns the state of the life with that publisher id, or nil.
func (p *Publisher) stateByPublisher(publisher uint64) *lifeState {
	for _, s := range p.lives {
		if s.publisher == publisher {
			return s
		}
	}
	return nil
}

// AddLives adds the store's lives that are new.
func (p *Publisher) AddLives(lives []pubstore.Life) {
	for _, l := range lives {
		p.stateOf(l.ID)
	}
}

// Follow starts to follow a message that the store has given out. It returns false if the life
// is unknown.
func (p *Publisher) Follow(t *Ticket) bool {
	s := p.stateByPublisher(t.Publisher)
	if s == nil {
		return false
	}
	if t.Err = s.outcomeError(t.Sequence); t.Err == nil {
		s.updateTicket(t)
	}
	if !t.Done(true) {
		if s.waiting == nil {
			s.waiting = make(map[uint64]*Ticket)
		}
		if t.next = s.waiting[t.Sequence]; t.next == nil {
			p.followedMessages++
		}
		s.waiting[t.Sequence] = t
	}
	return true
}

// ErrRejectedBefore says that a message was rejected, and that this was reported to an earlier
// process.
var ErrRejectedBefore = errors.New("message was rejected before")

// outcomeError returns the error of a message that was rejected or whose outcome is unknown. For
// other messages it returns nil.
func (s *lifeState) outcomeError(sequence uint64) error {
	if sequence > s.cleanAbove {
		return nil
	}
	if sequence <= s.unknownTo && !failpoint.On(failpoint.G2TicketGuesses) {
		return ErrOutcomeUnknown
	}
	if slices.ContainsFunc(s.rejectedBefore, func(r pubstore.Range) bool { return r.From <= sequence && sequence <= r.To }) {
		return ErrRejectedBefore
	}
	for _, f := range s.pastRejections {
		if f.sequence == sequence {
			return f.err
		}
	}
	if sequence <= s.forgottenTo {
		return ErrOutcomeUnknown
	}
	return nil
}

// updateTicket updates a ticket with the progress of its life.
func (s *lifeState) updateTicket(t *Ticket) {
	t.Safe = t.Sequence <= s.safe
	t.Settled = t.Settled || t.Safe || t.Sequence <= s.settled
}

// FailTickets records that a rejection was reported to the application, and returns the waiters
// to wake. err is the error for the present tickets. short is the same error in less memory, for
// later tickets.
func (p *Publisher) FailTickets(life string, sequence uint64, err, short error) (woken *Waiter) {
	s := p.stateOf(life)
	if len(s.pastRejections) == maxPastRejections {
		s.forgottenTo = max(s.forgottenTo, s.pastRejections[0].sequence)
		s.pastRejections = slices.Delete(s.pastRejections, 0, 1)
	}
	s.pastRejections = append(s.pastRejections, pastRejection{sequence, short})
	s.cleanAbove = max(s.cleanAbove, sequence)
	for t := s.waiting[sequence]; t != nil; t = t.next {
		t.Err = err
		woken = t.releaseWaiters(woken)
	}
	p.unfollow(s, sequence)
	return woken
}

// unfollow drops the tickets of a message, if there are any.
func (p *Publisher) unfollow(s *lifeState, sequence uint64) {
	if _, found := s.waiting[sequence]; found {
		delete(s.waiting, sequence)
		p.followedMessages--
	}
}

// UpdateTickets updates the tickets with the progress of their lives, and returns the waiters to
// wake.
func (p *Publisher) UpdateTickets() (woken *Waiter) {
	if p.followedMessages == 0 {
		return nil
	}
	if failpoint.On(failpoint.G2TicketByNeighbour) {
		p.current.settled = max(p.current.settled, p.serverSettled)
	}
	for _, s := range p.lives {
		update := func(t *Ticket) {
			for ; t != nil; t = t.next {
				s.updateTicket(t)
				woken = t.releaseWaiters(woken)
			}
		}
		s.eachTicket(s.sawSettled, s.settled, update)
		s.eachTicket(s.sawSafe, s.safe, func(t *Ticket) { update(t); p.unfollow(s, t.Sequence) })
		s.sawSettled, s.sawSafe = s.settled, s.safe
	}
	return woken
}

// eachTicket calls f for the first ticket of each message above after, up to through. It looks
// at each number in that range or at all waiting tickets, whichever is less work.
func (s *lifeState) eachTicket(after, through uint64, f func(*Ticket)) {
	if through <= after || len(s.waiting) == 0 {
		return
	}
	if through-after < uint64(len(s.waiting)) {
		for n := after + 1; n <= through; n++ {
			if t := s.waiting[n]; t != nil {
				f(t)
			}
		}
		return
	}
	for n, t := range s.waiting {
		if n > after && n <= through {
			f(t)
		}
	}
}
