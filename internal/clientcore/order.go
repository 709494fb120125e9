package clientcore

import (
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// firstDelay is how long a delay between attempts is at first, in nanoseconds.
const firstDelay = 50_000_000

// MaxDelay is how long a delay between attempts is at most, in nanoseconds.
const MaxDelay = 5_000_000_000

// StableAfter is how long a connection has to last before the failures before it
// are forgotten.
const StableAfter = 5 * time.Second

// An Ending is what became of the last server that an order chose.
type Ending int

const (
	EndNone    Ending = iota // there was none
	EndFailed                // no connection, or one that was not stable
	EndStable                // lost after it was stable
	EndPlanned               // left for a better one
)

// An Order decides which server of a list is tried next, and after what
// delay. Every server is tried once before the first delay; the delays are
// jittered in full and grow, and start over after a stable connection only.
// Those that are known to be worse come last in each round, the one that was
// lost included: nobody is left out, so that one of them serves if no other
// does. It isn't safe for concurrent use.
type Order struct {
	n       int            // servers
	random  func() float64 // from 0, below 1
	prefer  bool           // begin at the first of the list rather than behind the last one chosen
	sweep   []int          // what is left to try of this round
	current int            // chosen last
	tries   int            // without a delay, since a connection was stable
	grow    *backoff.ExponentialBackOff
}

// NewOrder makes an order over n servers. With prefer each round begins at the
// first of them. random returns from 0, below 1.
func NewOrder(n int, prefer bool, random func() float64) *Order {
	return &Order{n: n, prefer: prefer, random: random, current: -1, grow: NewGrowth()}
}

// NewGrowth makes what delays grow by.
func NewGrowth() *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval: firstDelay,
		MaxInterval:     MaxDelay,
		Multiplier:      2,
		Clock:           stillClock{},
	}
	b.Reset()
	return b
}

// A stillClock is what the growth of delays is given in place of a clock: it
// must not depend on one.
type stillClock struct{}

func (stillClock) Now() time.Time { return time.Time{} }

// Next returns the server to try next and the nanoseconds to wait before.
// worse, which may be nil, says of each whether it is worse than one of which
// nothing is known.
func (o *Order) Next(last Ending, worse []bool) (server int, delay int64) {
	switch last {
	case EndStable:
		o.calm()
		o.begin(o.current, worse)
	case EndPlanned:
		o.calm()
		o.begin(-1, worse)
	}
	if len(o.sweep) == 0 {
		o.begin(o.current, worse)
	}
	o.current, o.sweep = o.sweep[0], o.sweep[1:]
	if o.tries < o.n {
		o.tries++
		return o.current, 0
	}
	return o.current, o.delay()
}

// delay returns the next delay: anything from nothing up to what has grown so far.
func (o *Order) delay() int64 { return int64(o.random() * float64(o.grow.NextBackOff())) }

// calm forgets the failures before a stable connection.
func (o *Order) calm() {
	o.tries = 0
	o.grow.Reset()
}

// Over reports whether all of the round were tried.
func (o *Order) Over() bool { return len(o.sweep) == 0 }

// Others reports whether others of the round are left to try that are not
// known to be worse, so that the one chosen may be passed over.
func (o *Order) Others(worse []bool) bool {
	return slices.ContainsFunc(o.sweep, func(server int) bool { return worse == nil || !worse[server] })
}

// begin plans a round over all servers, the one that was lost last, and behind
// it those that are worse.
func (o *Order) begin(lost int, worse []bool) {
	o.sweep = o.sweep[:0]
	first := 0
	if !o.prefer {
		first = lost + 1
	}
	for i := range o.n {
		if server := (first + i) % o.n; server != lost {
			o.sweep = append(o.sweep, server)
		}
	}
	if lost >= 0 && lost < o.n {
		o.sweep = append(o.sweep, lost)
	}
	if worse != nil && !mut.On(mut.ChooserBlind) {
		slices.SortStableFunc(o.sweep, func(a, b int) int { return rank(worse[a]) - rank(worse[b]) })
	}
}

func rank(worse bool) int {
	if worse {
		return 1
	}
	return 0
}

// Resize plans anew for another list of n servers; the delays go on growing.
func (o *Order) Resize(n int) {
	o.n, o.current = n, -1
	o.begin(-1, nil)
}
