package clientcore

import (
	"slices"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// firstDelay is the upper bound of the first delay between attempts, in nanoseconds.
const firstDelay = 50_000_000

// MaxDelay is the upper bound of all delays between attempts, in nanoseconds.
const MaxDelay = 5_000_000_000

// StableAfter is the duration after which a connection counts as stable. The failures before a
// stable connection are forgotten.
const StableAfter = 5 * time.Second

// An Ending is the way in which the attempt at the last chosen server ended.
type Ending int

const (
	EndNone    Ending = iota // no server was chosen yet
	EndFailed                // no connection, or one that was lost before it was stable
	EndStable                // lost after it was stable
	EndPlanned               // left for a better server
)

// An Order decides which server of a list is tried next, and after which delay. Each server is
// tried once before the first delay. The delays grow, with full jitter, and only a stable
// connection resets them.
//
// Every round has all servers: those that are known to be worse than others come last, the lost
// one included, and one of them serves if no other server does. An Order is not safe for
// concurrent use.
type Order struct {
	n       int            // number of servers
	random  func() float64 // from 0, below 1
	prefer  bool           // a round begins at the start of the list, not behind the last chosen server
	sweep   []int          // the rest of the current round
	current int            // chosen last; -1: none
	tries   int            // attempts without a delay since the last stable connection
	grow    *backoff.ExponentialBackOff
}

// NewOrder returns an order over n servers. With prefer, each round begins with the first
// server of the list. random returns numbers from 0 to below 1.
func NewOrder(n int, prefer bool, random func() float64) *Order {
	return &Order{n: n, prefer: prefer, random: random, current: -1, grow: NewGrowth()}
}

// NewGrowth returns a backoff that doubles its interval from firstDelay up to MaxDelay.
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

// A stillClock is a clock that stands still. The growth of delays takes a clock, but must not
// depend on the time.
type stillClock struct{}

func (stillClock) Now() time.Time { return time.Time{} }

// Next returns the server to try next, and the nanoseconds to wait before. worse[i] is true if
// server i is worse than a server about which nothing is known. worse may be nil.
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

// delay returns the next delay, a random one between 0 and the interval reached so far.
func (o *Order) delay() int64 { return int64(o.random() * float64(o.grow.NextBackOff())) }

// calm forgets the failures before a stable connection.
func (o *Order) calm() {
	o.tries = 0
	o.grow.Reset()
}

// Over reports whether all servers of the round were tried.
func (o *Order) Over() bool { return len(o.sweep) == 0 }

// Others reports whether the rest of the round has a server that is not known to be worse. The
// chosen server may then be passed over.
func (o *Order) Others(worse []bool) bool {
	return slices.ContainsFunc(o.sweep, func(server int) bool { return worse == nil || !worse[server] })
}

// begin plans a round over all servers. The lost server comes last, except that the worse
// servers come behind it.
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
	if worse != nil && !failpoint.On(failpoint.ChooserBlind) {
		slices.SortStableFunc(o.sweep, func(a, b int) int { return rank(worse[a]) - rank(worse[b]) })
	}
}

func rank(worse bool) int {
	if worse {
		return 1
	}
	return 0
}

// Resize starts a new plan for another list of n servers. The delays keep growing.
func (o *Order) Resize(n int) {
	o.n, o.current = n, -1
	o.begin(-1, nil)
}
