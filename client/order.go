package client

import "github.com/cenkalti/backoff/v4"

// How long a delay between attempts is at first and at most, in nanoseconds.
const (
	firstDelay = 50_000_000
	maxDelay   = 5_000_000_000
)

// An ending is what became of the last server that an order chose.
type ending int

const (
	endNone    ending = iota // there was none
	endFailed                // no connection, or one that was not stable
	endStable                // lost after it was stable
	endPlanned               // left for a better one
)

// An order decides which server of a list is tried next, and after what
// delay. Every server is tried once before the first delay; the delays are
// jittered in full and grow, and start over after a stable connection only.
// It isn't safe for concurrent use.
type order struct {
	n       int            // servers
	random  func() float64 // from 0, below 1
	prefer  bool           // begin at the first of the list rather than behind the last one chosen
	sweep   []int          // what is left to try of this round
	current int            // chosen last
	tries   int            // without a delay, since a connection was stable
	grow    *backoff.ExponentialBackOff
}

// newOrder makes an order over n servers. The clock is never read.
func newOrder(n int, prefer bool, random func() float64, clock backoff.Clock) *order {
	return &order{n: n, prefer: prefer, random: random, current: -1, grow: newGrowth(clock)}
}

func newGrowth(clock backoff.Clock) *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval: firstDelay,
		MaxInterval:     maxDelay,
		Multiplier:      2,
		Clock:           clock,
	}
	b.Reset()
	return b
}

// next returns the server to try next and the nanoseconds to wait before.
func (o *order) next(last ending) (server int, delay int64) {
	switch last {
	case endStable:
		o.calm()
		o.begin(o.current)
	case endPlanned:
		o.calm()
		o.begin(-1)
	}
	if len(o.sweep) == 0 {
		o.begin(o.current)
	}
	o.current, o.sweep = o.sweep[0], o.sweep[1:]
	if o.tries < o.n {
		o.tries++
		return o.current, 0
	}
	return o.current, o.delay()
}

// delay returns the next delay: anything from nothing up to what has grown so far.
func (o *order) delay() int64 { return int64(o.random() * float64(o.grow.NextBackOff())) }

// calm forgets the failures before a stable connection.
func (o *order) calm() {
	o.tries = 0
	o.grow.Reset()
}

// begin plans a round over all servers, the one that was lost last.
func (o *order) begin(lost int) {
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
}

// resize plans anew for another list of n servers; the delays go on growing.
func (o *order) resize(n int) {
	o.n, o.current = n, -1
	o.begin(-1)
}
