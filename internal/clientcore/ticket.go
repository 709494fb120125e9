package clientcore

import (
	"errors"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// ErrOutcomeUnknown says that nobody can say what has become of a message.
var ErrOutcomeUnknown = errors.New("outcome of the message is unknown")

// A Ticket is followed by the publisher until its outcome is known.
type Ticket struct {
	Publisher, Sequence uint64
	Settled             bool
	Safe                bool
	Err                 error // it was rejected, or its outcome is unknown; not if it is safe

	waiters *Waiter
	next    *Ticket // of the same message
}

// Done reports whether there is nothing to wait for: the ticket is safe, or has
// an error, or is settled if that is enough.
func (t *Ticket) Done(safe bool) bool { return t.Safe || t.Err != nil || t.Settled && !safe }

// Outcome returns the error of a ticket that is done.
func (t *Ticket) Outcome(safe bool) error {
	if t.Safe || t.Settled && !safe {
		return nil
	}
	return t.Err
}

// A Waiter waits for one ticket at a time.
type Waiter struct {
	Ready chan struct{} // of the caller
	Next  *Waiter       // of those that are to be woken together
	safe  bool
}

// Join adds a waiter, unless the ticket is done.
func (t *Ticket) Join(w *Waiter, safe bool) (waits bool) {
	if t.Done(safe) {
		return false
	}
	w.Next, w.safe = t.waiters, safe
	t.waiters = w
	return true
}

// Leave takes a waiter off. False: it is to be woken.
func (t *Ticket) Leave(w *Waiter) bool {
	for at := &t.waiters; *at != nil; at = &(*at).Next {
		if *at == w {
			*at = w.Next
			return true
		}
	}
	return false
}

// release moves the waiters of a ticket that has changed to those that are to be
// woken, unless they wait for more.
func (t *Ticket) release(woken *Waiter) *Waiter {
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

// tickets are those of one life, and what they need to know of it.
type tickets struct {
	publisher uint64
	waiting   map[uint64]*Ticket // by sequence
	// All up to here are known to the tickets that wait, as settled and as safe.
	sawSettled, sawSafe uint64

	safe   uint64           // all up to here is safe, or was rejected, and the application knows
	since  uint64           // nothing is known of what is up to here: it was let go by an earlier process
	before []pubstore.Range // rejected before, told to an earlier process
	// failed are the last rejections: a ticket may be asked for later. What is up
	// to forgotten may have been rejected and is not among them.
	failed    []failure
	forgotten uint64
	spotless  uint64 // nothing above it was rejected, or is not known
}

type failure struct {
	sequence uint64
	err      error
}

// maxFailures is how many rejections of a life are remembered.
const maxFailures = 256

// Before notes what was rejected of a life when the store was opened, in order, most
// ranges at most: there may be more behind these.
func (p *Publisher) Before(life string, rejected []pubstore.Range, most int) {
	g := p.of(life)
	g.before = rejected
	if n := len(rejected); n > 0 {
		g.spotless = max(g.spotless, rejected[n-1].To)
		if n == most {
			g.since = max(g.since, g.sent)
			g.spotless = max(g.spotless, g.sent)
		}
	}
}

// named returns what is known of a life, nil if it is none.
func (p *Publisher) named(publisher uint64) *progress {
	for _, g := range p.lives {
		if g.publisher == publisher {
			return g
		}
	}
	return nil
}

// Know takes in the lives of the store, one of which may be new.
func (p *Publisher) Know(lives []pubstore.Life) {
	for _, l := range lives {
		p.of(l.ID)
	}
}

// Follow has t follow its message, which the store has given out. False: the life is
// not known.
func (p *Publisher) Follow(t *Ticket) bool {
	g := p.named(t.Publisher)
	if g == nil {
		return false
	}
	if t.Err = g.fate(t.Sequence); t.Err == nil {
		g.show(t)
	}
	if !t.Done(true) {
		if g.waiting == nil {
			g.waiting = make(map[uint64]*Ticket)
		}
		if t.next = g.waiting[t.Sequence]; t.next == nil {
			p.followed++
		}
		g.waiting[t.Sequence] = t
	}
	return true
}

// ErrRejectedBefore says that a message was rejected, of which an earlier process was told.
var ErrRejectedBefore = errors.New("message was rejected before")

// fate returns the error of a message that was rejected or of which nothing is known.
func (g *progress) fate(sequence uint64) error {
	if sequence > g.spotless {
		return nil
	}
	if sequence <= g.since && !mut.On(mut.G2TicketGuesses) {
		return ErrOutcomeUnknown
	}
	if slices.ContainsFunc(g.before, func(r pubstore.Range) bool { return r.From <= sequence && sequence <= r.To }) {
		return ErrRejectedBefore
	}
	for _, f := range g.failed {
		if f.sequence == sequence {
			return f.err
		}
	}
	if sequence <= g.forgotten {
		return ErrOutcomeUnknown
	}
	return nil
}

// show tells a ticket how far its life has come.
func (g *progress) show(t *Ticket) {
	t.Safe = t.Sequence <= g.safe
	t.Settled = t.Settled || t.Safe || t.Sequence <= g.settled
}

// Failed notes that the application was told that a message was rejected. It
// returns whom to wake. short is the same error in less memory, for tickets that
// follow later.
func (p *Publisher) Failed(life string, sequence uint64, err, short error) (woken *Waiter) {
	g := p.of(life)
	if len(g.failed) == maxFailures {
		g.forgotten = max(g.forgotten, g.failed[0].sequence)
		g.failed = slices.Delete(g.failed, 0, 1)
	}
	g.failed = append(g.failed, failure{sequence, short})
	g.spotless = max(g.spotless, sequence)
	for t := g.waiting[sequence]; t != nil; t = t.next {
		t.Err = err
		woken = t.release(woken)
	}
	p.unfollow(g, sequence)
	return woken
}

// unfollow forgets the tickets of a message, if there are any.
func (p *Publisher) unfollow(g *progress, sequence uint64) {
	if _, follows := g.waiting[sequence]; follows {
		delete(g.waiting, sequence)
		p.followed--
	}
}

// Moved returns whom to wake because of what is settled and safe by now.
func (p *Publisher) Moved() (woken *Waiter) {
	if p.followed == 0 {
		return nil
	}
	if mut.On(mut.G2TicketByNeighbour) {
		p.current.settled = max(p.current.settled, p.reached)
	}
	for _, g := range p.lives {
		show := func(t *Ticket) {
			for ; t != nil; t = t.next {
				g.show(t)
				woken = t.release(woken)
			}
		}
		g.each(g.sawSettled, g.settled, show)
		g.each(g.sawSafe, g.safe, func(t *Ticket) { show(t); p.unfollow(g, t.Sequence) })
		g.sawSettled, g.sawSafe = g.settled, g.safe
	}
	return woken
}

// each calls f for the first ticket of each message above after, up to through. It
// looks at so many numbers, or at all that wait if these are fewer.
func (g *progress) each(after, through uint64, f func(*Ticket)) {
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
