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
	EndFailed                // no connection, or it was lost before it was stable
	EndStable                // lost after it was stable
	EndPlanned               // left for a better server
)

// A ServerOrder decides which server of a list is tried next, and after which delay. Each server
// is tried once before the first delay. The delays grow, with full jitter, and only a stable
// connection resets them.
//
// Every round has all servers. Servers that are known to be worse come last, so they are used
// only if no other server answers. This also holds for the lost server if it is one of them. A
// ServerOrder is not safe for concurrent use.
type ServerOrder struct {
	servers int            // number of servers
	random  func() float64 // from 0, below 1
	prefer  bool           // a round begins at the start of the list, not after the last chosen server
	round   []int          // the rest of the current round
	current int            // the last chosen server; -1: none
	tries   int            // attempts without delay since the last stable connection
	backoff *backoff.ExponentialBackOff
}

// NewServerOrder returns an order over n servers. With prefer, each round begins with the first
// server of the list. random returns numbers from 0 to below 1.
func NewServerOrder(n int, prefer bool, random func() float64) *ServerOrder {
	return &ServerOrder{servers: n, prefer: prefer, random: random, current: -1, backoff: NewBackoff()}
}

// NewBackoff returns a backoff that doubles its interval from firstDelay up to MaxDelay.
func NewBackoff() *backoff.ExponentialBackOff {
	b := &backoff.ExponentialBackOff{
		InitialInterval: firstDelay,
		MaxInterval:     MaxDelay,
		Multiplier:      2,
		Clock:           fixedClock{},
	}
	b.Reset()
	return b
}

// A fixedClock always returns the same time. The backoff needs a clock, but its delays must not
// depend on the time.
type fixedClock struct{}

func (fixedClock) Now() time.Time { return time.Time{} }

// Next returns the server to try next, and the nanoseconds to wait before the attempt. worse[i]
// is true if server i is worse than a server about which nothing is known. worse may be nil.
func (o *ServerOrder) Next(last Ending, worse []bool) (server int, delay int64) {
	switch last {
	case EndStable:
		o.resetDelays()
		o.startRound(o.current, worse)
	case EndPlanned:
		o.resetDelays()
		o.startRound(-1, worse)
	}
	if len(o.round) == 0 {
		o.startRound(o.current, worse)
	}
	o.current, o.round = o.round[0], o.round[1:]
	if o.tries < o.servers {
		o.tries++
		return o.current, 0
	}
	return o.current, o.delay()
}

// delay returns the next delay, a random one between 0 and the present interval.
func (o *ServerOrder) delay() int64 { return int64(o.random() * float64(o.backoff.NextBackOff())) }

// resetDelays forgets the failures before a stable connection.
func (o *ServerOrder) resetDelays() {
	o.tries = 0
	o.backoff.Reset()
}

// RoundDone reports whether all servers of the round were tried.
func (o *ServerOrder) RoundDone() bool { return len(o.round) == 0 }

// HasAlternative reports whether the rest of the round has a server that is not known to be
// worse. If so, the caller may skip the chosen server.
func (o *ServerOrder) HasAlternative(worse []bool) bool {
	return slices.ContainsFunc(o.round, func(server int) bool { return worse == nil || !worse[server] })
}

// startRound plans a round over all servers. The lost server comes last, but before the worse
// servers.
func (o *ServerOrder) startRound(lost int, worse []bool) {
	o.round = o.round[:0]
	first := 0
	if !o.prefer {
		first = lost + 1
	}
	for i := range o.servers {
		if server := (first + i) % o.servers; server != lost {
			o.round = append(o.round, server)
		}
	}
	if lost >= 0 && lost < o.servers {
		o.round = append(o.round, lost)
	}
	if worse != nil && !failpoint.On(failpoint.ChooserBlind) {
		slices.SortStableFunc(o.round, func(a, b int) int { return rank(worse[a]) - rank(worse[b]) })
	}
}

func rank(worse bool) int {
	if worse {
		return 1
	}
	return 0
}

// Resize starts a new round over another list of n servers. The delays keep growing.
func (o *ServerOrder) Resize(n int) {
	o.servers, o.current = n, -1
	o.startRound(-1, nil)
}
