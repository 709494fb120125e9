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
	Admin          adminAddress   `arg:"" help:"Admin address of an instance, 'admin.listen' in its configuration: HOST:PORT, http://HOST:PORT, or https://HOST:PORT if it has TLS."`
	Others         []adminAddress `arg:"" name:"other" optional:"" help:"Admin addresses of other instances of its group."`
	AdminTokenFile string         `env:"HOLDFAST_ADMIN_TOKEN_FILE" placeholder:"PATH" help:"File with the token that the instances ask for. It is read at each request."`
	tlsFlags
	Watch   optionalInterval `placeholder:"INTERVAL" help:"Repeat every INTERVAL until interrupted, as in --watch=500ms. --watch alone: every 2s."`
	Timeout time.Duration    `default:"3s" help:"How long to wait for an answer."`
	All     bool             `help:"List all degraded intervals and all differing publishers, not only some."`
	Brief   bool             `xor:"form" help:"Print one line for each instance, for scripts: NAME STATE KEY=VALUE... STATE is ok, degraded (it passes by itself), wrong (look at it) or unreachable. The exit code is 0, 6, 1 or 7: that of the worst, which is wrong before unreachable before degraded. Keys: address; role: sync, async or alone; sync: its status towards its peers; in_sync: yes if the other instances can be stopped; lacks: records that a peer has yet to send to it, about; left: how long that takes; problems: their kinds, as with --json. Later versions may add keys at the end."`
	JSON    bool             `name:"json" xor:"form" help:"Print one JSON object on one line; with --watch, one each time."`
}

// Run implements the command.
func (c *statusCommand) Run(o *output) error {
	switch twice := repeated(c.addresses()); {
	case twice != "":
		return usageErrorf("%s is given twice: give each instance once", twice)
	case len(c.Others) >= maxInstances:
		return usageErrorf("%d addresses are given: at most %d are compared at once", 1+len(c.Others), maxInstances)
	case c.Timeout <= 0:
		return usageErrorf("--timeout is %v: it must be above 0", c.Timeout)
	}
	client, err := c.newClient(o)
	if err != nil {
		return err
	}
	ctx, end := interruptible()
	defer end(nil)
	if !c.Watch.set {
		return c.showOnce(ctx, o, client)
	}
	return c.watch(ctx, o, client)
}

// addresses returns the addresses of all instances.
func (c *statusCommand) addresses() []adminAddress {
	return append([]adminAddress{c.Admin}, c.Others...)
}

// maxInstances is the largest number of instances that are shown at once.
const maxInstances = 16

// repeated returns an address that is in a list twice, empty if there is none.
func repeated(list []adminAddress) adminAddress {
	for i, a := range list {
		if slices.Contains(list[:i], a) {
			return a
		}
	}
	return ""
}

// newClient returns the client for the flags. It reads the files once, so that a mistake shows at
// once.
func (c *statusCommand) newClient(o *output) (*adminClient, error) {
	if err := c.tlsFlags.check(); err != nil {
		return nil, err
	}
	cfg, err := c.tlsConfig()
	if err != nil {
		return nil, err
	}
	client := newAdminClient(c.Timeout, cfg)
	client.tokenFile = c.AdminTokenFile
	if client.tokenFile == "" {
		return client, nil
	}
	if _, err := client.token(); err != nil {
		return nil, usageErrorf("%w", err)
	}
	for _, a := range c.addresses() {
		if host, _, _ := net.SplitHostPort(a.hostPort()); !a.isHTTPS() && !isLoopback(host) {
			fmt.Fprintf(o.err, "holdfast: the token is sent to %s in the clear: use https://%s if the instance has TLS\n", a, a.hostPort())
		}
	}
	return client, nil
}

// showOnce asks the instances once and prints the report.
func (c *statusCommand) showOnce(ctx context.Context, o *output, client *adminClient) error {
	report := collectStatus(ctx, client, c.addresses(), wanted{publishers: len(c.Others) > 0 && !c.Brief, degraded: c.All})
	if c.Brief {
		report.printBrief(o)
		return report.briefError()
	}
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
		case c.JSON, c.Brief:
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
func collectStatus(ctx context.Context, client *adminClient, addresses []adminAddress, w wanted) *statusReport {
	r := &statusReport{Time: time.Now(), Instances: make([]instanceReport, len(addresses))}
	lists := make([]publisherList, len(addresses))
	var wg sync.WaitGroup
	for i, address := range addresses {
		wg.Go(func() { r.Instances[i], lists[i] = client.fetch(ctx, address, w) })
	}
	wg.Wait()
	if w.publishers {
		r.Publishers = comparePublishers(r.Instances, lists)
	}
	r.findProblems()
	return r
}

// An adminAddress is HOST:PORT of an admin endpoint, after https:// if it has TLS.
type adminAddress string

const https = "https://"

func (a adminAddress) isHTTPS() bool { return strings.HasPrefix(string(a), https) }

// hostPort returns HOST:PORT.
func (a adminAddress) hostPort() string { return strings.TrimPrefix(string(a), https) }

// url returns the URL of a path, which may have a query.
func (a adminAddress) url(path string) string {
	if a.isHTTPS() {
		return string(a) + path
	}
	return "http://" + string(a) + path
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (a *adminAddress) UnmarshalText(text []byte) error {
	address, prefix := string(text), ""
	if scheme, _, is := strings.Cut(address, "://"); is {
		u, err := url.Parse(address)
		switch {
		case err != nil:
			return fmt.Errorf("%q is not an address: %w", address, err)
		case scheme == "tcp" || scheme == "tcps":
			return fmt.Errorf("%s is an address for clients: status needs the admin address, 'admin.listen' in the configuration, such as 127.0.0.1:8085", address)
		case scheme != "http" && scheme != "https":
			return fmt.Errorf("%s: the admin endpoint uses http or https", address)
		case !slices.Contains([]string{"", "/", "/livez", "/readyz", "/status"}, u.Path) || u.RawQuery != "" || u.User != nil:
			return fmt.Errorf("%s: write %s://%s", address, scheme, u.Host)
		case scheme == "https":
			prefix = https
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
	*a = adminAddress(prefix + net.JoinHostPort(host, port))
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
