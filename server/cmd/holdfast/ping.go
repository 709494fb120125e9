package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/client"
)

// pingCommand is "ping".
type pingCommand struct {
	URI      []string      `arg:"" optional:"" name:"uri" env:"HOLDFAST_SERVERS" help:"Connection URIs of servers, such as tcp://127.0.0.1:9007/amps/json."`
	Count    int           `default:"1" placeholder:"N" help:"Number of pings to each server; 0: until interrupted."`
	Interval time.Duration `default:"1s" help:"Time between pings."`
	Timeout  time.Duration `default:"5s" help:"How long to wait for an answer."`
	JSON     bool          `name:"json" help:"Print one JSON object per answer, each on a line."`
	Name     string        `placeholder:"NAME" help:"Client name to log on with. On servers with users it must be one that the user may have, and that no session has: it would end that session. Default: a generated name."`
	accessFlags
}

// A pingResult is the result of asking one server: its answer, or the error.
type pingResult struct {
	Server     string            `json:"server"` // its URI, without a password
	Up         bool              `json:"up"`
	Error      string            `json:"error,omitempty"`
	LogonMS    float64           `json:"logon_ms,omitempty"` // from dialing to the end of the logon; first answer only
	RoundMS    float64           `json:"round_trip_ms,omitempty"`
	Version    string            `json:"version,omitempty"`
	Extended   bool              `json:"extended"`              // the server knows holdfast's extensions to the protocol
	Instance   string            `json:"instance,omitempty"`    // its name in its group
	Sync       client.SyncStatus `json:"sync,omitzero"`         // its sync status with its peers
	Peers      []string          `json:"peers,omitempty"`       // instances that it replicates to synchronously
	Carried    []string          `json:"carried,omitempty"`     // patterns of the topics it replicates synchronously; absent: all
	CatchingUp bool              `json:"catching_up"`           // it serves but has not caught up with its peers
	MaxMessage int               `json:"max_message,omitempty"` // bytes
}

// Help returns the text for --help.
func (*pingCommand) Help() string {
	return `Logs on to each server on its port for clients, and prints the round-trip time, its
version, and its sync status with its peers.

Exit codes: 0 all servers answered, 1 a server did not answer, 2 usage.`
}

// Run implements the command.
func (c *pingCommand) Run(o *output) error {
	if err := c.check(); err != nil {
		return err
	}
	config := client.Config{Name: cmp.Or(c.Name, generatedName())}
	if err := c.configure(&config); err != nil {
		return err
	}
	c.warn(newScreen(o.err, false), c.URI)
	ctx, end := interruptible()
	defer end(nil)
	targets := make([]*target, len(c.URI))
	for i, uri := range c.URI {
		targets[i] = &target{uri: uri, timeout: c.Timeout, config: config, who: identity{c.user([]string{uri}), config.Name}}
		defer targets[i].close()
	}
	var failed error
	for n := 0; ctx.Err() == nil && (c.Count == 0 || n < c.Count); n++ {
		if n > 0 && !pause(ctx, c.Interval) {
			break
		}
		for _, p := range pingAll(ctx, targets) {
			if !p.Up {
				failed = errFault
			}
			if err := c.print(o, p); err != nil {
				return err
			}
		}
	}
	return failed
}

func (c *pingCommand) check() error {
	switch {
	case c.Count < 0:
		return usageErrorf("--count is %d: it must not be negative", c.Count)
	case c.Interval < 0:
		return usageErrorf("--interval is %v: it must not be negative", c.Interval)
	case c.Timeout <= 0:
		return usageErrorf("--timeout is %v: it must be above 0", c.Timeout)
	}
	var err error
	if c.URI, err = splitURIs(c.URI, "give its URI"); err != nil {
		return err
	}
	if err := (client.Config{Name: c.Name, Servers: c.URI}).Check(); err != nil {
		return &exitError{exitUsage, err}
	}
	return c.accessFlags.check()
}

func pause(ctx context.Context, d time.Duration) (over bool) {
	select {
	case <-time.After(d):
		return true
	case <-ctx.Done():
		return false
	}
}

// pingAll pings all targets concurrently. It returns the results in their order.
func pingAll(ctx context.Context, targets []*target) []pingResult {
	answers := make([]pingResult, len(targets))
	var all sync.WaitGroup
	for i, t := range targets {
		all.Go(func() { answers[i] = t.ping(ctx) })
	}
	all.Wait()
	return answers
}

func (c *pingCommand) print(o *output, p pingResult) error {
	if c.JSON {
		return o.printJSON(p)
	}
	o.printf("%v\n", p)
	return nil
}

// String returns the result on one line.
func (p pingResult) String() string {
	if !p.Up {
		return p.Server + "  no answer: " + p.Error
	}
	text := fmt.Sprintf("%s  round trip %.2f ms", p.Server, p.RoundMS)
	if p.LogonMS > 0 {
		text += fmt.Sprintf(", logon %.2f ms", p.LogonMS)
	}
	if p.Instance != "" {
		text += "; instance " + quoteIfNeeded(p.Instance)
	}
	text += "; version " + quoteIfNeeded(p.Version)
	if !p.Extended {
		return text + "; without holdfast's extensions"
	}
	return text + p.syncText()
}

// pingSyncTexts are the texts for the values of a sync status; PEERS stands for the names of the peers.
var pingSyncTexts = map[client.SyncStatus]string{
	client.SyncOK:         "; in sync with PEERS",
	client.SyncApart:      "; PEERS is away or behind: acks wait until it has caught up",
	client.SyncSingle:     "; PEERS is downgraded: acks are single (one disk)",
	client.SyncCatchingUp: "; has not caught up with PEERS",
	client.SyncAsync:      "; no synchronous peer: acks are single (one disk)",
	client.SyncOneWay:     "; does not replicate back to a peer whose acks wait for it",
	client.SyncAlone:      "; no peers",
	client.SyncStopping:   "; stopping",
}

// syncText describes the server's sync status and the topics that it replicates.
func (p pingResult) syncText() string {
	text := strings.ReplaceAll(pingSyncTexts[p.Sync], "PEERS", strings.Join(p.Peers, " and "))
	if p.Carried != nil {
		text += "; replicates synchronously only " + quoteIfNeeded(strings.Join(p.Carried, " "))
	}
	return text
}

// A target is a server to ping, with a connection of its own.
type target struct {
	uri     string
	timeout time.Duration
	config  client.Config // name, user and TLS
	who     identity
	client  *client.Client // nil: not connected
}

// ping asks the server once. After a failure the next call opens a new connection.
func (t *target) ping(ctx context.Context) pingResult {
	ctx, end := context.WithCancelCause(ctx)
	defer end(nil)
	limit := time.AfterFunc(t.timeout, func() { end(errNoAnswer) })
	defer limit.Stop()
	began := time.Now()
	first := t.client == nil
	var err error
	if first {
		config := t.config
		config.Servers = []string{t.uri}
		config.Hooks.Disconnected = func(_ string, err error) { end(err) } // do not retry
		t.client, err = client.Dial(ctx, config)
	}
	logon := time.Since(began)
	began = time.Now()
	if err == nil {
		err = t.roundTrip(ctx)
	}
	if err != nil {
		t.close()
		return pingResult{Server: t.redactedURI(), Error: t.explain(causeOf(ctx, err))}
	}
	p := t.result()
	p.RoundMS = milliseconds(time.Since(began))
	if first {
		p.LogonMS = milliseconds(logon)
	}
	return p
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// roundTrip sends a command without side effects and waits for the answer.
func (t *target) roundTrip(ctx context.Context) error {
	for _, err := range t.client.Execute(ctx, client.Command{Name: "flush"}) {
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *target) result() pingResult {
	s := t.client.Stats().Server
	p := pingResult{Server: s.Server, Up: true, Version: s.Version, Extended: s.Extended, Instance: s.Instance,
		Peers: s.Peers, Sync: s.Sync, CatchingUp: s.CatchingUp, MaxMessage: s.MaxMessage}
	if s.Partial {
		p.Carried = append([]string{}, s.CarriedTopics...)
	}
	return p
}

func (t *target) close() {
	if t.client != nil {
		t.client.Close()
		t.client = nil
	}
}

// errNoAnswer says that no answer came in time.
var errNoAnswer = errors.New("no answer in time")

// explain returns the reason why the server did not answer, with advice for the user.
func (t *target) explain(err error) string {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return "nothing listens there: start the server, or use the port of its 'clients.listen'"
	case errors.Is(err, errNoAnswer):
		return fmt.Sprintf("nothing received within %v (--timeout): its process is stopped, its machine is unreachable, "+
			"or the port is not that of 'clients.listen'", t.timeout)
	case closedAtOnce(err) && strings.HasPrefix(t.uri, "tcps:"):
		return err.Error() // the client names the reason
	case closedAtOnce(err):
		return fmt.Sprintf("%v: the listener there does not speak the client protocol: use the port of 'clients.listen', with tcps:// if it requires TLS", err)
	}
	if advice := tlsAdvice(err); advice != "" {
		return fmt.Sprintf("%v: %s", err, advice)
	}
	return t.who.accessError(err).Error()
}

// redactedURI returns the URI without its password.
func (t *target) redactedURI() string {
	u, err := url.Parse(t.uri)
	if err != nil {
		return "a server" // not reached: Config.Check has accepted the URI
	}
	return u.Redacted()
}
