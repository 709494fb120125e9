package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/alecthomas/kong"

	"github.com/holdfast-mq/holdfast/internal/visible"
)

// statusCommand is "status".
type statusCommand struct {
	Admin   adminAddress     `arg:"" help:"Admin address of an instance, 'admin.listen' in its configuration: HOST:PORT or http://HOST:PORT."`
	Peer    adminAddress     `arg:"" optional:"" help:"Admin address of its peer."`
	Watch   optionalInterval `placeholder:"INTERVAL" help:"Repeat every INTERVAL until interrupted, as in --watch=500ms. --watch alone: every 2s."`
	Timeout time.Duration    `default:"3s" help:"How long to wait for an answer."`
	All     bool             `help:"List all degraded intervals and all differing publishers, not only some."`
	JSON    bool             `name:"json" help:"Print one JSON object on one line; with --watch, one each time."`
}

// Run implements the command.
func (c *statusCommand) Run(o *output) error {
	switch {
	case c.Admin == c.Peer:
		return usageErrorf("%s is given twice: give the peer's admin address, or only one address", c.Admin)
	case c.Timeout <= 0:
		return usageErrorf("--timeout is %v: it must be above 0", c.Timeout)
	}
	ctx, end := interruptible()
	defer end(nil)
	client := newAdminClient(c.Timeout)
	if !c.Watch.set {
		return c.showOnce(ctx, o, client)
	}
	return c.watch(ctx, o, client)
}

// showOnce asks the instances once and prints the report.
func (c *statusCommand) showOnce(ctx context.Context, o *output, client *adminClient) error {
	addresses := []adminAddress{c.Admin}
	if c.Peer != "" {
		addresses = append(addresses, c.Peer)
	}
	report := collectStatus(ctx, client, addresses)
	return o.report(c.JSON, report.Well, report, func() { report.print(o, c.All) })
}

// watch asks the instances at each interval until ctx ends. It returns the result of
// the last round. On a terminal it redraws the screen.
func (c *statusCommand) watch(ctx context.Context, o *output, client *adminClient) (last error) {
	tick := time.NewTicker(c.Watch.interval)
	defer tick.Stop()
	for {
		var screen strings.Builder
		err := c.showOnce(ctx, &output{&screen, o.err}, client)
		if ctx.Err() != nil {
			return last // the interrupt ended the requests: their errors are not about the instances
		}
		last = err
		text := screen.String()
		switch {
		case c.JSON:
		case isTerminal(o.out):
			text = redraw(visible.Text(text))
		default:
			text += "\n"
		}
		if _, err := io.WriteString(unescaped(o.out), text); err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return last
		}
	}
}

// redraw returns text that overwrites the content of the terminal without flicker.
func redraw(text string) string {
	const home, restOfLine, restOfScreen = "\x1b[H", "\x1b[K", "\x1b[J"
	return home + strings.ReplaceAll(text, "\n", restOfLine+"\n") + restOfScreen
}

// collectStatus asks the instances concurrently, compares their publishers, and lists
// the problems.
func collectStatus(ctx context.Context, client *adminClient, addresses []adminAddress) *statusReport {
	r := &statusReport{Time: time.Now(), Instances: make([]instanceReport, len(addresses))}
	lists := make([]publisherList, len(addresses))
	var wg sync.WaitGroup
	for i, address := range addresses {
		wg.Go(func() { r.Instances[i], lists[i] = client.fetch(ctx, address, len(addresses) > 1) })
	}
	wg.Wait()
	if len(addresses) > 1 {
		r.Publishers = comparePublishers(r.Instances, lists)
	}
	r.findProblems()
	return r
}

// An adminAddress is HOST:PORT of an admin endpoint.
type adminAddress string

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *adminAddress) UnmarshalText(text []byte) error {
	address := string(text)
	if scheme, _, is := strings.Cut(address, "://"); is {
		u, err := url.Parse(address)
		switch {
		case err != nil:
			return fmt.Errorf("%q is not an address: %w", address, err)
		case scheme == "tcp" || scheme == "tcps":
			return fmt.Errorf("%s is an address for clients: status needs the admin address, 'admin.listen' in the configuration, such as 127.0.0.1:8085", address)
		case scheme != "http":
			return fmt.Errorf("%s: the admin endpoint uses http", address)
		case !slices.Contains([]string{"", "/", "/livez", "/readyz", "/status"}, u.Path) || u.RawQuery != "" || u.User != nil:
			return fmt.Errorf("%s: write http://%s", address, u.Host)
		}
		address = u.Host
	}
	host, port, err := net.SplitHostPort(address)
	if _, isDuration := time.ParseDuration(address); isDuration == nil {
		return fmt.Errorf("%q is not an address: write an interval as --watch=%s", address, address)
	}
	if err != nil || port == "" {
		return fmt.Errorf("%q is not an address: write HOST:PORT, such as 127.0.0.1:8085", address)
	}
	if host == "" {
		host = "localhost"
	}
	*a = adminAddress(net.JoinHostPort(host, port))
	return nil
}

// optionalInterval is an interval flag whose value is optional.
type optionalInterval struct {
	set      bool
	interval time.Duration
}

// IsBool implements kong.BoolMapperValue: the flag may stand without a value.
func (e *optionalInterval) IsBool() bool { return true }

// Decode implements kong.MapperValue.
func (e *optionalInterval) Decode(ctx *kong.DecodeContext) error {
	*e = optionalInterval{set: true, interval: 2 * time.Second}
	if ctx.Scan.Peek().Type != kong.FlagValueToken {
		return nil
	}
	text := ctx.Scan.Pop().String()
	interval, err := time.ParseDuration(text)
	if err != nil || interval < 50*time.Millisecond {
		return fmt.Errorf("%q is not an interval of at least 50ms, such as 500ms or 2s", text)
	}
	e.interval = interval
	return nil
}
