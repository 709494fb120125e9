package clientcore

import (
	"time"

	"github.com/cenkalti/backoff/v4"
)

// firstDelay is how long a delay between attempts is at first, in nanoseconds.
const firstDelay = 50_000_000

// MaxDelay is how long a delay between attempts is at most, in nanoseconds.
const MaxDelay = 5_000_000_000

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
// It isn't safe for concurrent use.
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
func (o *Order) Next(last Ending) (server int, delay int64) {
	switch last {
	case EndStable:
		o.calm()
		o.begin(o.current)
	case EndPlanned:
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
func (o *Order) delay() int64 { return int64(o.random() * float64(o.grow.NextBackOff())) }

// calm forgets the failures before a stable connection.
func (o *Order) calm() {
	o.tries = 0
	o.grow.Reset()
}

// begin plans a round over all servers, the one that was lost last.
func (o *Order) begin(lost int) {
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

// Resize plans anew for another list of n servers; the delays go on growing.
func (o *Order) Resize(n int) {
	o.n, o.current = n, -1
	o.begin(-1)
}
