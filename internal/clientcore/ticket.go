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
	Next  *Waiter       // next waiter in a list, also in the list of those to wake
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

// EndEffect removes a waiter. It returns false if the waiter is about to be woken.
func (t *Ticket) RemoveWaiter(w *Waiter) bool {
	for at := &t.waiters; *at != nil; at = &(*at).Next {
		if *at == w {
			*at = w.Next
			return true
		}
	}
	return false
}

// releaseWaiters handles a change of a ticket. It moves the waiters whose condition is met to the list
// woken, and returns that list.
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

// tickets are the tickets of one life, with the state of the life that they need.
type tickets struct {
	publisher uint64
	waiting   map[uint64]*Ticket // by sequence
	// The waiting tickets know that everything up to sawSettled is settled and everything up to
	// sawSafe is safe.
	sawSettled, sawSafe uint64

	safe           uint64           // everything up to it is safe, or was rejected and the application knows
	unknownTo      uint64           // the outcomes up to it are unknown: an earlier process let go of these messages
	rejectedBefore []pubstore.Range // rejections of which an earlier process was told
	// pastRejections are the latest rejections, for tickets that are requested later. At or below
	// forgotten there may be rejections that are missing in failed.
	pastRejections []pastRejection
	forgottenTo    uint64
	cleanAbove     uint64 // above it, no message was rejected, and no outcome is unknown
}

type pastRejection struct {
	sequence uint64
	err      error
}

// maxPastRejections is the number of remembered rejections of a life.
const maxPastRejections = 256

// SetRejectedBefore records the rejected ranges of a life at the time when the store was opened, in order.
// most is the limit of that list, so there may be more ranges behind a full list.
func (p *Publisher) SetRejectedBefore(life string, rejected []pubstore.Range, most int) {
	g := p.stateOf(life)
	g.rejectedBefore = rejected
	if n := len(rejected); n > 0 {
		g.cleanAbove = max(g.cleanAbove, rejected[n-1].To)
		if n == most {
			g.unknownTo = max(g.unknownTo, g.sent)
			g.cleanAbove = max(g.cleanAbove, g.sent)
		}
	}
}

// stateByPublisher returns the state of the life with that id, or nil.
func (p *Publisher) stateByPublisher(publisher uint64) *lifeState {
	for _, g := range p.lives {
		if g.publisher == publisher {
			return g
		}
	}
	return nil
}

// AddLives handles a change of the store's lives. One of them may be new.
func (p *Publisher) AddLives(lives []pubstore.Life) {
	for _, l := range lives {
		p.stateOf(l.ID)
	}
}

// Follow starts to follow a message that the store has given out. It returns false if the life
// is unknown.
func (p *Publisher) Follow(t *Ticket) bool {
	g := p.stateByPublisher(t.Publisher)
	if g == nil {
		return false
	}
	if t.Err = g.outcomeError(t.Sequence); t.Err == nil {
		g.updateTicket(t)
	}
	if !t.Done(true) {
		if g.waiting == nil {
			g.waiting = make(map[uint64]*Ticket)
		}
		if t.next = g.waiting[t.Sequence]; t.next == nil {
			p.followedMessages++
		}
		g.waiting[t.Sequence] = t
	}
	return true
}

// ErrRejectedBefore says that a message was rejected and that an earlier process was told.
var ErrRejectedBefore = errors.New("message was rejected before")

// outcomeError returns the error of a message that was rejected or whose outcome is unknown, otherwise
// nil.
func (g *lifeState) outcomeError(sequence uint64) error {
	if sequence > g.cleanAbove {
		return nil
	}
	if sequence <= g.unknownTo && !failpoint.On(failpoint.G2TicketGuesses) {
		return ErrOutcomeUnknown
	}
	if slices.ContainsFunc(g.rejectedBefore, func(r pubstore.Range) bool { return r.From <= sequence && sequence <= r.To }) {
		return ErrRejectedBefore
	}
	for _, f := range g.pastRejections {
		if f.sequence == sequence {
			return f.err
		}
	}
	if sequence <= g.forgottenTo {
		return ErrOutcomeUnknown
	}
	return nil
}

// updateTicket updates a ticket with the progress of its life.
func (g *lifeState) updateTicket(t *Ticket) {
	t.Safe = t.Sequence <= g.safe
	t.Settled = t.Settled || t.Safe || t.Sequence <= g.settled
}

// FailTickets records that the application was told of a rejection, and returns the waiters to wake.
// err is the error for the present tickets. short is the same error in less memory, for later
// tickets.
func (p *Publisher) FailTickets(life string, sequence uint64, err, short error) (woken *Waiter) {
	g := p.stateOf(life)
	if len(g.pastRejections) == maxPastRejections {
		g.forgottenTo = max(g.forgottenTo, g.pastRejections[0].sequence)
		g.pastRejections = slices.Delete(g.pastRejections, 0, 1)
	}
	g.pastRejections = append(g.pastRejections, pastRejection{sequence, short})
	g.cleanAbove = max(g.cleanAbove, sequence)
	for t := g.waiting[sequence]; t != nil; t = t.next {
		t.Err = err
		woken = t.releaseWaiters(woken)
	}
	p.unfollow(g, sequence)
	return woken
}

// unfollow drops the tickets of a message, if there are any.
func (p *Publisher) unfollow(g *lifeState, sequence uint64) {
	if _, follows := g.waiting[sequence]; follows {
		delete(g.waiting, sequence)
		p.followedMessages--
	}
}

// UpdateTickets updates the tickets with the progress of their lives, and returns the waiters to wake.
func (p *Publisher) UpdateTickets() (woken *Waiter) {
	if p.followedMessages == 0 {
		return nil
	}
	if failpoint.On(failpoint.G2TicketByNeighbour) {
		p.current.settled = max(p.current.settled, p.serverSettled)
	}
	for _, g := range p.lives {
		show := func(t *Ticket) {
			for ; t != nil; t = t.next {
				g.updateTicket(t)
				woken = t.releaseWaiters(woken)
			}
		}
		g.eachTicket(g.sawSettled, g.settled, show)
		g.eachTicket(g.sawSafe, g.safe, func(t *Ticket) { show(t); p.unfollow(g, t.Sequence) })
		g.sawSettled, g.sawSafe = g.settled, g.safe
	}
	return woken
}

// eachTicket calls f for the first ticket of each message above after, up to through. It looks either
// at each number in that range or at all waiting tickets, whichever are fewer.
func (g *lifeState) eachTicket(after, through uint64, f func(*Ticket)) {
	if through <= after || len(g.waiting) == 0 {
		return
	}
	if through-after < uint64(len(g.waiting)) {
		for n := after + 1; n <= through; n++ {
			if t := g.waiting[n]; t != nil {
				f(t)
			}
		}
		return
	}
	for n, t := range g.waiting {
		if n > after && n <= through {
			f(t)
		}
	}
}
