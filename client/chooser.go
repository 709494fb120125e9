package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
)

// An Outcome is what became of the last server that a chooser chose.
type Outcome struct {
	Server    string        // empty before the first
	Err       error         // why the attempt failed or the connection ended
	Connected time.Duration // how long the client was logged on; 0: it never was
	Attempts  int           // since a connection lasted some seconds, this one included
	Planned   bool          // the client left it for one of Choice.Better

	// Servers is what each server said last of itself, or a peer of it since,
	// by the URI as chosen. Those that have never accepted a logon are missing.
	Servers map[string]ServerInfo
}

// A Choice is where to connect next.
type Choice struct {
	Server string        // a connection URI
	Delay  time.Duration // to wait before

	// TLSName is the name the server's certificate must have; empty: the
	// host of Server.
	TLSName string

	// Accept is asked when the server has accepted the logon, before anything
	// is sent or subscribed. With an error the client leaves it, as if it had
	// refused. Nil: any will do. It must not block.
	Accept func(ServerInfo) error

	// Better are servers to move to as soon as one of them can be reached,
	// which is tried every Retry, at least a second, as long as the connection
	// to Server lasts. The client does not move to one that is known to lag or
	// to be asynchronous, nor to one where its bookmark subscriptions can't go
	// on (ErrAsyncPath). None: stay.
	Better []string
	Retry  time.Duration
	// BetterIf says of the state of Server whether it may be left for one of
	// Better; nil: always. It must have been so for BetterAfter without a
	// break. It must not block.
	BetterIf    func(ServerInfo) bool
	BetterAfter time.Duration
}

// A ServerChooser decides which server a client connects to. The client calls
// Next from one goroutine, before each attempt. If Next fails, that counts as
// a failed attempt and it is asked again after Choice.Delay.
type ServerChooser interface {
	Next(ctx context.Context, last Outcome) (Choice, error)
}

// endingOf tells an order what it needs of an outcome.
func endingOf(o Outcome) clientcore.Ending {
	switch {
	case o.Planned:
		return clientcore.EndPlanned
	case o.Server == "" && o.Err == nil:
		return clientcore.EndNone
	case o.Connected >= clientcore.StableAfter:
		return clientcore.EndStable
	}
	return clientcore.EndFailed
}

// A FailBack says when a client goes back from the server it is on to one that
// its chooser prefers. The zero value is FailBackNever.
type FailBack struct {
	on     bool
	inSync bool // only when the present server has been in sync, or can't be, for a time
	after  time.Duration
}

// FailBackNever has a client stay where it is until its server fails.
func FailBackNever() FailBack { return FailBack{} }

// FailBackInSync has a client go back once its present server has said for d,
// without a break, that all its synchronous peers have everything (SyncOK),
// and the preferred one can be reached. So it neither goes to a server that has
// not caught up nor follows one that comes and goes. A present server that is
// asynchronous, or does not replicate back (SyncOneWay), can't tell; it is left
// after d. One that does not say how it stands, or is alone, is not left.
func FailBackInSync(d time.Duration) FailBack { return FailBack{on: true, inSync: true, after: d} }

// FailBackAtOnce has a client go back as soon as a preferred server can be
// reached, unless that is known to lag. A publisher may find that it lacks
// something (ErrPublishGap) and return; it tries less often then.
func FailBackAtOnce() FailBack { return FailBack{on: true} }

// These say of a server's state whether it may be left for another one.

func leaveAsync(i ServerInfo) bool { return i.Sync.Unpaired() }

func leaveInSync(i ServerInfo) bool { return i.Sync == SyncOK || i.Sync.Unpaired() }

// How often servers are probed that the client may move to: preferred ones,
// and any in place of one that is asynchronous.
const (
	probeBetter = time.Second
	probeOther  = 5 * time.Second
)

// A listChooser chooses from a list by an order.
type listChooser struct {
	servers []string
	prefer  bool          // the earlier ones
	back    FailBack      // with prefer
	retry   time.Duration // between probes

	mu    sync.Mutex
	order *clientcore.Order // guarded by mu
	wait  time.Duration     // what retry has grown to; guarded by mu
	moved bool              // the client has just left for a better one; guarded by mu
}

// NewRoundRobin returns a chooser that stays with a server until it fails and
// then goes on to the next of the list. It is what Config.Servers uses. Dial
// refuses a list that is empty or has what is not a connection URI.
//
// A server that is known to lag (SyncCatchingUp), to be asynchronous (SyncAsync)
// or not to replicate back (SyncOneWay) is tried behind all others, and one that
// turns out to be so at the logon is passed over (ErrLagging, ErrAsync, ErrOneWay)
// as long as there are others to try. If none of them answers, it will do. From an
// asynchronous one, and one that does not replicate back, the client goes back to
// another as soon as it can.
func NewRoundRobin(servers ...string) ServerChooser {
	return newListChooser(&listChooser{servers: servers, retry: probeOther})
}

// NewPriority returns a chooser that prefers servers in the order given, those
// that lag or are asynchronous behind the others, as NewRoundRobin does. back
// says when a client goes back to one that stands before its own; where it is
// refused there it tries less and less often. Dial refuses a list that is
// empty or has what is not a connection URI.
func NewPriority(back FailBack, servers ...string) ServerChooser {
	return newListChooser(&listChooser{servers: servers, prefer: true, back: back, retry: probeBetter})
}

func newListChooser(c *listChooser) *listChooser {
	c.wait = c.retry
	c.order = clientcore.NewOrder(len(c.servers), c.prefer, rand.Float64)
	return c
}

var errNoServers = errors.New("no servers to choose from")

// check says what is wrong with the list.
func (c *listChooser) check() error {
	if len(c.servers) == 0 {
		return errNoServers
	}
	var errs []error
	for _, s := range c.servers {
		if _, err := parseURI(s); err != nil {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// Next implements ServerChooser.
func (c *listChooser) Next(_ context.Context, last Outcome) (Choice, error) {
	if len(c.servers) == 0 {
		return Choice{Delay: clientcore.MaxDelay}, errNoServers
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	end, worse := endingOf(last), c.worse(last.Servers)
	c.learnLocked(end)
	i, delay := c.order.Next(end, worse)
	choice := Choice{Server: c.servers[i], Delay: time.Duration(delay), Retry: c.wait}
	if c.order.Others(worse) {
		choice.Accept = notLagging
	}
	c.better(i, &choice)
	return choice, nil
}

// worse says of each server whether it is known to lag or to be asynchronous.
func (c *listChooser) worse(said map[string]ServerInfo) []bool {
	worse := make([]bool, len(c.servers))
	for i, server := range c.servers {
		worse[i] = said[server].Sync.Lags()
	}
	return worse
}

// notLagging passes over what is worse than a server of which nothing is known.
func notLagging(i ServerInfo) error {
	switch i.Sync {
	case SyncCatchingUp:
		return ErrLagging
	case SyncAsync:
		return ErrAsync
	case SyncOneWay:
		return ErrOneWay
	}
	return nil
}

// better says where the client may go from the server with that index, and when.
func (c *listChooser) better(i int, choice *Choice) {
	switch {
	case !c.prefer:
		choice.Better, choice.BetterIf = slices.Delete(slices.Clone(c.servers), i, i+1), leaveAsync
	case c.back.on:
		choice.Better, choice.BetterAfter = c.servers[:i:i], c.back.after
		if c.back.inSync {
			choice.BetterIf = leaveInSync
		}
	}
}

// learnLocked keeps a client from leaving a good server again and again for
// one that can be reached and refuses it.
func (c *listChooser) learnLocked(end clientcore.Ending) {
	switch {
	case end == clientcore.EndPlanned:
		c.moved = true
		return
	case c.moved && end == clientcore.EndFailed:
		c.wait = min(2*c.wait, 16*c.retry)
	case c.moved:
		c.wait = c.retry
	}
	c.moved = false
}

// A dnsChooser goes round the addresses of a host name.
type dnsChooser struct {
	uri    *uri
	lookup func(ctx context.Context, host string) ([]string, error)

	// addresses are asked for again whenever all have been tried.
	addresses []string
	order     *clientcore.Order
	failures  *backoff.ExponentialBackOff
}

// NewDNS returns a chooser for one connection URI whose host has several
// addresses. They are looked up again whenever all have been tried, and
// certificates are checked against the name. resolver may be nil. It is for
// one client.
func NewDNS(server string, resolver *net.Resolver) (ServerChooser, error) {
	u, err := parseURI(server)
	if err != nil {
		return nil, err
	}
	if u.network != "tcp" {
		return nil, fmt.Errorf("server %s: only tcp and tcps have a host to look up", u)
	}
	if resolver == nil {
		resolver = net.DefaultResolver
	}
	return &dnsChooser{
		uri: u, lookup: resolver.LookupHost,
		order: clientcore.NewOrder(0, false, rand.Float64), failures: clientcore.NewGrowth(),
	}, nil
}

// Next implements ServerChooser.
func (c *dnsChooser) Next(ctx context.Context, last Outcome) (Choice, error) {
	end := endingOf(last)
	if c.order.Over() || end == clientcore.EndStable {
		if err := c.resolve(ctx); err != nil && len(c.addresses) == 0 {
			delay := rand.Float64() * float64(c.failures.NextBackOff())
			return Choice{Delay: time.Duration(delay)}, err
		}
	}
	i, delay := c.order.Next(end, nil)
	return Choice{
		Server:  c.uri.withHost(c.addresses[i]),
		Delay:   time.Duration(delay),
		TLSName: c.uri.host,
	}, nil
}

// lookupPatience is how long a lookup may take before the addresses that are
// known are tried again.
const lookupPatience = time.Second

// resolve keeps the addresses it has if it gets none.
func (c *dnsChooser) resolve(ctx context.Context) error {
	if len(c.addresses) > 0 {
		patient, cancel := context.WithTimeout(ctx, lookupPatience)
		defer cancel()
		ctx = patient
	}
	addresses, err := c.lookup(ctx, c.uri.host)
	if err == nil && len(addresses) == 0 {
		err = fmt.Errorf("host %s has no address", c.uri.host)
	}
	if err != nil {
		return err
	}
	c.failures.Reset()
	c.order.Resize(len(addresses))
	c.addresses = addresses
	return nil
}
