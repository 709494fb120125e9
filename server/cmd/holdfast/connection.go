package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/nats-io/nuid"

	"github.com/holdfast-mq/holdfast/client"
)

// connectionFlags are the flags of the commands that stay connected.
type connectionFlags struct {
	Server  []string      `sep:"none" env:"HOLDFAST_SERVERS" placeholder:"URI" help:"Connection URI of a server, such as tcp://127.0.0.1:9007/amps/json. Repeat for each other server of the group, or separate them by commas."`
	Name    string        `env:"HOLDFAST_NAME" placeholder:"NAME" help:"Client name, unique among the live sessions of a group of servers: two commands under one name push each other out. Default: a generated name, which a publish store keeps."`
	Timeout time.Duration `help:"Give up after this time without a usable server. Default: never."`
	Quiet   bool          `help:"Do not report connections and downgrades on standard error."`
	accessFlags
}

// splitURIs returns the connection URIs in the values of a flag, arguments or a variable. A value has
// one or several, separated by commas or blanks, as for client.ConfigFromEnv. how says how to give
// one. The error has no password.
func splitURIs(values []string, how string) ([]string, error) {
	separates := func(r rune) bool { return r == ',' || unicode.IsSpace(r) }
	uris := strings.FieldsFunc(strings.Join(values, ","), separates)
	if len(uris) == 0 {
		return nil, usageErrorf("no server is given: %s, or set HOLDFAST_SERVERS", how)
	}
	if err := (client.Config{Servers: uris}).Check(); err != nil {
		return nil, &exitError{exitUsage, err}
	}
	return uris, nil
}

// check validates the flags, and splits Server. It is called before any file is made or opened.
func (f *connectionFlags) check() (err error) {
	if f.Timeout < 0 {
		return usageErrorf("--timeout is %v: it must not be negative", f.Timeout)
	}
	if f.Server, err = splitURIs(f.Server, "give --server with its URI"); err != nil {
		return err
	}
	if err := (client.Config{Name: f.Name, Servers: f.Server}).Check(); err != nil {
		return &exitError{exitUsage, err}
	}
	return f.accessFlags.check()
}

// generatedName returns a unique client name, for a command without --name.
func generatedName() string { return "holdfast-" + nuid.Next() }

var (
	errInterrupted = errors.New("interrupted")
	errNoServer    = errors.New("no server could be used")
)

// interruptible returns a context that ends with errInterrupted at the first
// interrupt or SIGTERM. A second one ends the process at once.
func interruptible() (ctx context.Context, end context.CancelCauseFunc) {
	ctx, end = context.WithCancelCause(context.Background())
	signaled, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(signaled, func() {
		end(errInterrupted)
		stop()
	})
	return ctx, end
}

// A connection tracks the connection of a command to its servers. It reports connects
// and disconnects, and it ends the command after --timeout without a usable server.
type connection struct {
	screen  *screen
	timeout time.Duration
	cancel  context.CancelCauseFunc

	mu             sync.Mutex
	server         string      // server in use; empty: none; guarded by mu
	lastErr        error       // error of the last failed attempt; guarded by mu
	outageReported bool        // the user knows that there is no server; guarded by mu
	loggedOn       bool        // a server has accepted a logon; guarded by mu
	waitsForPeer   bool        // the server in use waits for its peer; guarded by mu
	nextReminder   time.Time   // time of the next reminder that there is no server; guarded by mu
	refusals       int         // consecutive attempts with the refusal lastRefusal; guarded by mu
	lastRefusal    error       // one of lastingRefusals; guarded by mu
	timer          *time.Timer // runs while there is no server; nil: no --timeout; guarded by mu
}

func (f *connectionFlags) newConnection(s *screen, end context.CancelCauseFunc) *connection {
	f.warn(s, f.Server)
	c := &connection{screen: s, timeout: f.Timeout, cancel: end}
	if c.timeout > 0 {
		c.timer = time.AfterFunc(c.timeout, c.onTimeout)
	}
	return c
}

func (c *connection) onTimeout() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == "" {
		err := cmp.Or(c.lastErr, errors.New("no answer yet"))
		c.cancel(fmt.Errorf("%w within %v (--timeout): %s: %w", errNoServer, c.timeout, attemptAdvice(err), err))
	}
}

// connected is the hook Connected.
func (c *connection) connected(s client.ServerInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.outageReported {
		c.screen.notify("connected to %s", s.Server)
	}
	c.server, c.outageReported, c.loggedOn = s.Server, false, true
	c.reportSyncLocked(s)
}

// serverChanged is the hook ServerChanged.
func (c *connection) serverChanged(s client.ServerInfo) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.reportSyncLocked(s)
}

// reportSyncLocked reports when the server begins to wait for its peer, so that acks
// do not come, and when it no longer does.
func (c *connection) reportSyncLocked(s client.ServerInfo) {
	apart := s.Sync == client.SyncApart
	switch {
	case apart && !c.waitsForPeer:
		c.screen.notify("%s waits for %s, which is away or behind: messages are not acknowledged until it has caught up", s.Server, strings.Join(s.Peers, " and "))
	case c.waitsForPeer && s.Sync == client.SyncOK:
		c.screen.notify("%s no longer waits for its peer", s.Server)
	}
	c.waitsForPeer = apart
}

// Times between reminders that no server can be used.
const (
	firstReminderDelay = 5 * time.Second
	reminderInterval   = 30 * time.Second
)

// disconnected is the hook Disconnected. It reports the first failed attempt of an
// outage, and a later one now and then.
func (c *connection) disconnected(server string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lastErr = &client.ConnectError{Server: server, Err: err}
	c.countRefusalLocked(err)
	if c.server != "" && c.timer != nil {
		c.timer.Reset(c.timeout)
	}
	switch now := time.Now(); {
	case !c.outageReported:
		if isPermissionsDiffer(err) || tlsAdvice(err) != "" {
			err = fmt.Errorf("%w; %s", err, attemptAdvice(err))
		}
		c.screen.notify("%s: %v; trying the servers in turn", server, err)
		c.nextReminder = now.Add(firstReminderDelay)
	case now.After(c.nextReminder):
		c.screen.notify("%v yet, still trying (--timeout sets a limit): %s: %v", errNoServer, attemptAdvice(err), c.lastErr)
		c.nextReminder = now.Add(reminderInterval)
	}
	c.server, c.outageReported = "", true
}

// attemptAdvice says what to do about a failed attempt to use a server.
func attemptAdvice(err error) string {
	if isPermissionsDiffer(err) {
		return "the user may not publish this there, but another server may allow it, or may have done so until it went away less than a minute ago; " +
			"the message is kept and sent again: give all servers the same file of users"
	}
	return cmp.Or(tlsAdvice(err), "check that one runs there and that the port is that of 'clients.listen'")
}

// isPermissionsDiffer reports whether a server has ended the session because the user may not publish
// a message and the permissions of its peer are others, or not known.
func isPermissionsDiffer(err error) bool {
	refusal, is := errors.AsType[*client.CommandError](err)
	return is && refusal.Reason == "permissions differ"
}

// lastingRefusals are refusals that end a command when they come three times in a row. A client
// would retry for ever, but the user of a command can choose another name or password.
var lastingRefusals = []error{client.ErrNameInUse, client.ErrNotAuthenticated, client.ErrNotEntitled, client.ErrOtherOwner, client.ErrServerNotProven}

// countRefusalLocked counts the refusals of one kind in a row, and ends the command at the third.
func (c *connection) countRefusalLocked(err error) {
	i := slices.IndexFunc(lastingRefusals, func(refusal error) bool { return errors.Is(err, refusal) })
	switch {
	case i < 0:
		c.refusals, c.lastRefusal = 0, nil
		return
	case c.lastRefusal != lastingRefusals[i]:
		c.refusals, c.lastRefusal = 0, lastingRefusals[i]
	}
	if c.refusals++; c.refusals == 3 {
		if c.loggedOn && errors.Is(err, client.ErrNotAuthenticated) {
			err = fmt.Errorf("%w (it accepted the user before: the user was removed or has other credentials now)", err)
		}
		c.cancel(err)
	}
}

// serverText returns the server in use, or a text that says that there is none.
func (c *connection) serverText() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return cmp.Or(c.server, "no server answers")
}

// hooks returns the hooks for the client.
func (c *connection) hooks() client.Hooks {
	return client.Hooks{
		Connected:     c.connected,
		Disconnected:  c.disconnected,
		ServerChanged: c.serverChanged,
		PublishGap: func(server string) {
			c.screen.notify("%s lacks messages that were already acknowledged: publishing there waits until it has caught up", server)
		},
		Downgraded: func(on bool) {
			if on {
				c.screen.notify("one server is away: messages are on one disk only, and the store keeps them until both have them")
			} else {
				c.screen.notify("both servers have all messages again")
			}
		},
		HeldBack: func(_ *client.Subscription, on bool) {
			if on {
				c.screen.notify("one server is away: new messages are on one disk only and are held back (--fully-durable)")
			}
		},
	}
}

// dial starts a client. When the client ends, the command ends with its error.
func (c *connection) dial(ctx context.Context, config client.Config) (*client.Client, error) {
	started, err := client.Dial(ctx, config)
	if err != nil {
		return nil, err
	}
	go func() {
		<-started.Done()
		c.cancel(started.Err())
	}()
	return started, nil
}

// causeOf returns the cause of ctx instead of err if ctx has ended. A nil err stays nil.
func causeOf(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); err != nil && cause != nil {
		return cause
	}
	return err
}

// connectionError adds advice for the user to an error of a command that stays
// connected.
func (i identity) connectionError(ctx context.Context, err error) error {
	err = causeOf(ctx, err)
	if errors.Is(err, client.ErrNameInUse) {
		return &exitError{exitInUse, fmt.Errorf("client name %q is in use by another process: stop that process, or choose another --name", i.name)}
	}
	return i.accessError(err)
}
