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

// An Outcome tells a ServerChooser how its last choice ended.
type Outcome struct {
	Server   string        // URI as chosen; empty before the first attempt
	Err      error         // reason why the attempt failed or the connection ended
	Uptime   time.Duration // time from the logon to the end; 0 if there was no logon
	Attempts int           // attempts since the last stable connection (5s), including this one
	Planned  bool          // the client left the server for one of Choice.Preferred

	// Servers has the latest known state of each server, by the URI as chosen. The state comes from
	// the server itself, or from a later report of one of its peers. Servers that have never
	// accepted a logon are missing.
	Servers map[string]ServerInfo
}

// A Choice says where and when to connect next. Server is required.
type Choice struct {
	Server string        // a connection URI, as in Config.Servers
	Delay  time.Duration // wait before the attempt; default none

	// TLSName is the name that the server's certificate must have. If it is empty, this is the host
	// of Server.
	TLSName string

	// Accept is called after the server has accepted the logon, before anything is sent or
	// subscribed. If it returns an error the client leaves the server, as after a refusal. Nil
	// accepts every server. It must not block.
	Accept func(ServerInfo) error

	// Preferred are the URIs of servers that are better than Server. At each ProbeInterval the
	// client dials them in this order, without a logon. If one answers, the client ends its
	// connection and calls Next again, with Outcome.Planned: the chooser then returns the server to
	// move to. The client does not dial a server that is known to lag, to be asynchronous or not to
	// replicate back, or where its bookmark subscriptions cannot continue (ErrAsyncPath).
	Preferred []string
	// ProbeInterval is the time between two probes of Preferred, at least a second. With 0 there
	// are no probes, and the client stays on Server until that fails.
	ProbeInterval time.Duration
	// MoveIf reports whether the state of Server, its ServerInfo.Sync above all, lets the client
	// leave for one of Preferred. Nil means always. It must not block.
	MoveIf func(ServerInfo) bool
	// MoveAfter is how long MoveIf must have returned true, without a break, before the client
	// leaves. With 0 the client may leave at the first probe.
	MoveAfter time.Duration
}

// A ServerChooser decides which server a client connects to. The client calls Next from one
// goroutine, before each attempt. ctx ends when the client is closed. last is the zero Outcome
// before the first attempt. If Next returns an error, that counts as a failed attempt: the client
// waits for Choice.Delay, and the next call gets the error in last. A chooser keeps state, so use
// it for one client only.
type ServerChooser interface {
	Next(ctx context.Context, last Outcome) (Choice, error)
}

// endingOf converts an outcome for a clientcore.ServerOrder.
func endingOf(o Outcome) clientcore.Ending {
	switch {
	case o.Planned:
		return clientcore.EndPlanned
	case o.Server == "" && o.Err == nil:
		return clientcore.EndNone
	case o.Uptime >= clientcore.StableAfter:
		return clientcore.EndStable
	}
	return clientcore.EndFailed
}

// A FailBack says when a client goes back from its present server to one that its chooser prefers.
// The zero value is FailBackNever.
type FailBack struct {
	on     bool
	inSync bool // only after the present server has been in sync, or cannot be, for a time
	after  time.Duration
}

// FailBackNever keeps a client on its server until that fails.
func FailBackNever() FailBack { return FailBack{} }

// FailBackInSync lets a client go back when two conditions hold: for d, without a break, its
// present server has reported that all its synchronous peers have everything (SyncOK), and the
// preferred server can be reached. So the client does not go to a server that has not caught up,
// and does not follow one that comes and goes. A present server that is asynchronous, or does not
// replicate back (SyncOneWay), cannot report SyncOK; the client leaves it after d. The client does
// not leave a server that does not report its state, or that has no replication (SyncAlone).
func FailBackInSync(d time.Duration) FailBack { return FailBack{on: true, inSync: true, after: d} }

// FailBackAtOnce lets a client go back as soon as a preferred server can be reached, unless that
// server is known to lag. The preferred server may turn out to lack messages of a publisher
// (ErrPublishGap). Then the client returns, and tries less often.
func FailBackAtOnce() FailBack { return FailBack{on: true} }

// mayLeaveAsync and mayLeaveInSync report whether a server's state allows a client to leave it for
// another one.

func mayLeaveAsync(i ServerInfo) bool { return i.Sync.Unpaired() }

func mayLeaveInSync(i ServerInfo) bool { return i.Sync == SyncOK || i.Sync.Unpaired() }

// probePreferred and probeOther are the intervals for probing servers that the client may move to:
// preferred servers, and any server in place of an asynchronous one.
const (
	probePreferred = time.Second
	probeOther     = 5 * time.Second
)

// A listChooser chooses from a list of servers.
type listChooser struct {
	servers     []string
	prefer      bool          // prefer earlier servers of the list
	back        FailBack      // used with prefer
	minInterval time.Duration // shortest interval of probes

	mu        sync.Mutex
	order     *clientcore.ServerOrder // guarded by mu
	interval  time.Duration           // present interval of probes; guarded by mu
	justMoved bool                    // the client has just moved to a preferred server; guarded by mu
}

// NewRoundRobin returns a chooser that stays with a server until that fails and then moves to the
// next of the list. Config.Servers uses it. Dial refuses an empty list and an invalid connection
// URI.
//
// The chooser tries a server after all others if it is known to lag (SyncCatchingUp), to be
// asynchronous (SyncAsync) or not to replicate back (SyncOneWay). If the server reports such a
// state only at the logon, the chooser refuses it (ErrLagging, ErrAsync, ErrOneWay) as long as
// there are others to try. If none of these answers, the chooser accepts it. A client on a server
// that is asynchronous or does not replicate back moves to another one as soon as it can.
func NewRoundRobin(servers ...string) ServerChooser {
	return newListChooser(&listChooser{servers: servers, minInterval: probeOther})
}

// NewPriority returns a chooser that prefers servers in the given order. Like NewRoundRobin, it
// tries servers that lag or are asynchronous after the others. back says when a client goes back to
// a server that is earlier in the list than its present one. If that server refuses the client,
// the client tries less and less often. Dial refuses an empty list and an invalid connection URI.
func NewPriority(back FailBack, servers ...string) ServerChooser {
	return newListChooser(&listChooser{servers: servers, prefer: true, back: back, minInterval: probePreferred})
}

func newListChooser(c *listChooser) *listChooser {
	c.interval = c.minInterval
	c.order = clientcore.NewServerOrder(len(c.servers), c.prefer, rand.Float64)
	return c
}

var errNoServers = errors.New("no servers to choose from")

// check returns an error if the list is invalid.
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
	end, lagging := endingOf(last), c.lagging(last.Servers)
	c.adjustIntervalLocked(end)
	i, delay := c.order.Next(end, lagging)
	choice := Choice{Server: c.servers[i], Delay: time.Duration(delay), ProbeInterval: c.interval}
	if c.order.HasAlternative(lagging) {
		choice.Accept = notLagging
	}
	c.setPreferred(i, &choice)
	return choice, nil
}

// lagging reports for each server whether it is known to lag, to be asynchronous or not to
// replicate back.
func (c *listChooser) lagging(known map[string]ServerInfo) []bool {
	lagging := make([]bool, len(c.servers))
	for i, server := range c.servers {
		lagging[i] = known[server].Sync.Lags()
	}
	return lagging
}

// notLagging refuses a server whose state is worse than an unknown one.
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

// setPreferred sets the servers that the client may move to from the server with index i, and when.
func (c *listChooser) setPreferred(i int, choice *Choice) {
	switch {
	case !c.prefer:
		choice.Preferred, choice.MoveIf = slices.Delete(slices.Clone(c.servers), i, i+1), mayLeaveAsync
	case c.back.on:
		choice.Preferred, choice.MoveAfter = c.servers[:i:i], c.back.after
		if c.back.inSync {
			choice.MoveIf = mayLeaveInSync
		}
	}
}

// adjustIntervalLocked makes probes less frequent if a preferred server can be reached but refuses
// the client. Otherwise the client would leave a good server for it again and again.
func (c *listChooser) adjustIntervalLocked(end clientcore.Ending) {
	switch {
	case end == clientcore.EndPlanned:
		c.justMoved = true
		return
	case c.justMoved && end == clientcore.EndFailed:
		c.interval = min(2*c.interval, 16*c.minInterval)
	case c.justMoved:
		c.interval = c.minInterval
	}
	c.justMoved = false
}

// A dnsChooser tries the addresses of a host name in turn.
type dnsChooser struct {
	uri    *uri
	lookup func(ctx context.Context, host string) ([]string, error)

	addresses []string // looked up again whenever all have been tried
	order     *clientcore.ServerOrder
	failures  *backoff.ExponentialBackOff
}

// NewDNS returns a chooser for one connection URI whose host has several addresses. It looks them
// up again whenever all have been tried. Certificates are checked against the host name. If
// resolver is nil, it is net.DefaultResolver. The chooser is for one client. Unlike the list
// choosers, it does not look at the state of the servers. The error says that the URI is invalid,
// or that its scheme is not tcp or tcps.
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
		order: clientcore.NewServerOrder(0, false, rand.Float64), failures: clientcore.NewBackoff(),
	}, nil
}

// Next implements ServerChooser.
func (c *dnsChooser) Next(ctx context.Context, last Outcome) (Choice, error) {
	end := endingOf(last)
	if c.order.RoundDone() || end == clientcore.EndStable {
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

// lookupTimeout is the limit of a lookup while there are known addresses to try.
const lookupTimeout = time.Second

// resolve looks up the addresses. It keeps the present ones if the lookup fails.
func (c *dnsChooser) resolve(ctx context.Context) error {
	if len(c.addresses) > 0 {
		timeout, cancel := context.WithTimeout(ctx, lookupTimeout)
		defer cancel()
		ctx = timeout
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
