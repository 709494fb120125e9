package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/cenkalti/backoff/v4"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
)

// stableAfter is how long a connection has to last before the ready choosers
// forget the failures before it.
const stableAfter = 5 * time.Second

// An Outcome is what became of the last server that a chooser chose.
type Outcome struct {
	Server    string        // empty before the first
	Err       error         // why the attempt failed or the connection ended
	Connected time.Duration // how long the client was logged on; 0: it never was
	Attempts  int           // since a connection lasted some seconds, this one included
	Planned   bool          // the client left it for one of Choice.Better
}

// A Choice is where to connect next.
type Choice struct {
	Server string        // a connection URI
	Delay  time.Duration // to wait before

	// TLSName is the name the server's certificate must have; empty: the
	// host of Server.
	TLSName string

	// Better are servers to move to as soon as one of them can be reached,
	// which is tried every Retry as long as the connection to Server lasts.
	// None: stay.
	Better []string
	Retry  time.Duration
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
	case o.Connected >= stableAfter:
		return clientcore.EndStable
	}
	return clientcore.EndFailed
}

// A listChooser chooses from a list by an order.
type listChooser struct {
	servers []string
	retry   time.Duration // 0: never back to a better one

	mu    sync.Mutex
	order *clientcore.Order // guarded by mu
	wait  time.Duration     // what retry has grown to; guarded by mu
	moved bool              // the client has just left for a better one; guarded by mu
}

// NewRoundRobin returns a chooser that stays with a server until it fails and
// then goes on to the next of the list. It is what Config.Servers uses. Dial
// refuses a list that is empty or has what is not a connection URI.
func NewRoundRobin(servers ...string) ServerChooser {
	return &listChooser{servers: servers, order: clientcore.NewOrder(len(servers), false, rand.Float64)}
}

// NewPriority returns a chooser that prefers servers in the order given.
// While the client is connected to one that is not the first, those before it
// are probed every switchBack, and the client moves when one can be reached;
// less often if it is refused there. 0: it stays until its server fails. Dial
// refuses a list that is empty or has what is not a connection URI.
func NewPriority(switchBack time.Duration, servers ...string) ServerChooser {
	return &listChooser{
		servers: servers,
		retry:   switchBack,
		wait:    switchBack,
		order:   clientcore.NewOrder(len(servers), true, rand.Float64),
	}
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
	end := endingOf(last)
	c.learnLocked(end)
	i, delay := c.order.Next(end)
	choice := Choice{Server: c.servers[i], Delay: time.Duration(delay)}
	if c.retry > 0 && i > 0 {
		choice.Better, choice.Retry = c.servers[:i:i], c.wait
	}
	return choice, nil
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
	raw    string
	lookup func(ctx context.Context, host string) ([]string, error)

	// addresses are asked for again whenever all have been tried.
	addresses []string
	order     *clientcore.Order
	untried   int
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
	return &dnsChooser{uri: u, raw: server, lookup: resolver.LookupHost, failures: clientcore.NewGrowth()}, nil
}

// Next implements ServerChooser.
func (c *dnsChooser) Next(ctx context.Context, last Outcome) (Choice, error) {
	end := endingOf(last)
	if c.untried == 0 || end == clientcore.EndStable {
		if err := c.resolve(ctx); err != nil && c.order == nil {
			delay := rand.Float64() * float64(c.failures.NextBackOff())
			return Choice{Delay: time.Duration(delay)}, err
		}
	}
	c.untried--
	i, delay := c.order.Next(end)
	return Choice{
		Server:  c.uri.withHost(c.addresses[i]),
		Delay:   time.Duration(delay),
		TLSName: c.uri.host,
	}, nil
}

// resolve keeps the addresses it has if it gets none.
func (c *dnsChooser) resolve(ctx context.Context) error {
	addresses, err := c.lookup(ctx, c.uri.host)
	if err == nil && len(addresses) == 0 {
		err = fmt.Errorf("host %s has no address", c.uri.host)
	}
	if err != nil {
		c.untried = len(c.addresses)
		return err
	}
	c.failures.Reset()
	if c.order == nil {
		c.order = clientcore.NewOrder(len(addresses), false, rand.Float64)
	}
	c.order.Resize(len(addresses))
	c.addresses, c.untried = addresses, len(addresses)
	return nil
}
