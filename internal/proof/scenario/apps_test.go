package scenario_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/internal/testkit/forge"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// An app is an application of a document: its process, its published messages, and the
// calls of its hooks.
type app struct {
	*cluster.App

	w         *world
	memory    bool                  // its publish store is in memory
	bookmarks *cluster.BookmarkFile // its bookmark store in a file; nil: in memory
	load      *cluster.Load         // publishing in the background
	readers   []*reader
	accepted  []string // bodies that Publish returned nil for

	mu        sync.Mutex
	connected string   // the instance that it is logged on to; guarded by mu
	calls     []string // since the last "events"; guarded by mu
	rejected  []string // bodies; guarded by mu
}

func (w *world) app(name string) *app {
	w.TB.Helper()
	a := w.apps[name]
	if a == nil {
		w.TB.Fatalf("no application %q", name)
	}
	return a
}

// publisher starts an application.
func (w *world) publisher(c *command) string {
	w.TB.Helper()
	name := c.name(0)
	if w.apps[name] != nil {
		c.fail("there is one already")
	}
	a := &app{w: w, memory: c.option("store", "file") == "memory"}
	if c.option("marks", "memory") == "file" {
		a.bookmarks = w.BookmarkFile()
	}
	window, queue := c.number("window"), c.number("queue")
	heartbeat, user := c.duration("heartbeat", "0s"), c.option("user", "")
	clientName := c.option("name", name)
	chooser := w.chooser(c)
	a.App = w.NewApp(name, c.list("servers"), func(cc *client.Config) {
		cc.Name = clientName
		cc.WindowMessages, cc.QueueMessages = window, queue
		cc.HeartbeatInterval = heartbeat
		cc.Hooks = a.hooks()
		if chooser != nil {
			cc.Servers, cc.Chooser = nil, chooser
		}
		if user != "" {
			cc.Credentials = func(context.Context, client.Challenge) (string, string, error) { return user, "", nil }
		}
		if a.memory {
			cc.PublishStore = pubstore.NewMemory(pubstore.MemoryOptions{})
		}
		if a.bookmarks != nil {
			a.bookmarks.Configure(cc)
		}
	})
	a.Options.MaxMessages, a.Options.SyncAlways = c.number("max"), c.has("sync-always")
	if victim := c.option("forges", ""); victim != "" {
		life := w.apps[victim].Store.Lives()[0].ID
		a.Options.NewLife = func() string { return forge.Name("", life) }
	}
	w.apps[name] = a
	a.Restart()
	return ""
}

// chooser returns that of a publisher with fail-back, nil for others.
func (w *world) chooser(c *command) client.ServerChooser {
	w.TB.Helper()
	servers := w.Servers(c.list("servers")...)
	switch how := c.option("fail-back", ""); how {
	case "":
		return nil
	case "never":
		return client.NewPriority(client.FailBackNever(), servers...)
	case "at-once":
		return client.NewPriority(client.FailBackAtOnce(), servers...)
	default:
		return client.NewPriority(client.FailBackInSync(c.parseDuration(how)), servers...)
	}
}

// copyApp makes a copy of a dead application's disk, on a machine of its own:
// copy one two.
func (w *world) copyApp(c *command) string {
	w.TB.Helper()
	from := w.app(c.name(0))
	a := &app{w: w, App: from.Copy(c.name(1))}
	if servers := c.list("servers"); servers != nil {
		a.Configure(func(cc *client.Config) { cc.Servers = w.Servers(servers...) })
	}
	a.Configure(func(cc *client.Config) { cc.Hooks = a.hooks() })
	w.apps[a.Name] = a
	return ""
}

// connect has a dead application connect to other instances from its next
// start on.
func (w *world) connect(c *command) string {
	w.TB.Helper()
	servers := w.Servers(c.list("servers")...)
	w.app(c.name(0)).Configure(func(cc *client.Config) { cc.Servers = servers })
	return ""
}

// crash ends the process, and with it its machine unless mode is memfs.KeepAll. Calls of
// its hooks during its end are ignored.
func (a *app) crash(mode memfs.Mode) {
	a.mu.Lock()
	calls := a.calls
	a.mu.Unlock()
	if a.bookmarks != nil {
		a.bookmarks.Kill(a.App)
	} else {
		a.Crash(mode)
	}
	a.mu.Lock()
	a.connected, a.calls = "", calls
	a.mu.Unlock()
}

// restart starts a new process, which subscribes as the one before did.
func (a *app) restart() {
	a.w.TB.Helper()
	if a.memory {
		a.Configure(func(cc *client.Config) { cc.PublishStore = pubstore.NewMemory(pubstore.MemoryOptions{}) })
	}
	a.Restart()
	for _, r := range a.readers {
		r.begin()
	}
}

// hooks record their calls, in words that are the same in every run.
func (a *app) hooks() client.Hooks {
	return client.Hooks{
		Connected:    a.logon,
		Disconnected: a.disconnected,
		Replayed:     a.replayed,
		FailedWrite: func(e *client.RejectedError) {
			a.record("rejected %s: %s", short(e.Message.Body), e.Reason)
			a.mu.Lock()
			a.rejected = append(a.rejected, body(e.Message.Body))
			a.mu.Unlock()
		},
		Downgraded: func(on bool) {
			if on {
				a.record("acks are of one disk")
			} else {
				a.record("acks are of both disks again")
			}
		},
		PublishGap: func(server string) { a.record("refused by %s: publish gap", instance(server)) },
		Lost:       func(e *client.LostError) { a.record("lost: %d..%d", e.From, e.To) },
		LifeRenewed: func(err error) {
			what := "the store was rolled back"
			if errors.Is(err, client.ErrDiverged) {
				what = "the publisher has diverged"
			}
			a.record("%s, a new life begins", what)
		},
		Diverged: func(_ *client.Subscription, err *client.DivergedError) {
			a.record("subscription: a publisher has diverged from %d on", err.From)
		},
		HeldBack: func(s *client.Subscription, on bool) {
			if on {
				a.record("subscription waits for the second disk")
			} else {
				a.record("subscription goes on")
			}
		},
	}
}

func (a *app) logon(i client.ServerInfo) {
	a.mu.Lock()
	a.connected = instance(i.Server)
	a.mu.Unlock()
	if i.CatchingUp {
		a.record("logged on to %s, which has not caught up", instance(i.Server))
	} else {
		a.record("logged on to %s", instance(i.Server))
	}
}

// resent notes a replay. How far a load has come when that happens is not told.
func (a *app) replayed(n int) {
	if a.load != nil {
		a.record("resent some")
	} else {
		a.record("resent %d", n)
	}
}

// lost notes the end of a connection. How often an attempt to make one fails
// is left to chance, and not told.
func (a *app) disconnected(server string, err error) {
	a.mu.Lock()
	was := a.connected
	a.connected = ""
	a.mu.Unlock()
	switch {
	case errors.Is(err, client.ErrAsyncPath):
		a.record("does not move to %s: its subscriptions would follow no synchronous link", instance(server))
	case errors.Is(err, client.ErrLagging), errors.Is(err, client.ErrAsync):
		a.record("passed over %s: %s", instance(server), moveReason(err))
	case errors.Is(err, client.ErrNameInUse):
		a.record("pushed out of %s: the client name is in use", instance(server))
	case was != "":
		a.record("lost %s", was)
	}
}

// tell notes something, once if it is told again and again.
func (a *app) record(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	a.w.Log.Info(text, "host", a.Name)
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.calls); n == 0 || a.calls[n-1] != text {
		a.calls = append(a.calls, text)
	}
}

// events prints the calls of an application's hooks since the last time.
func (w *world) events(c *command) string {
	w.TB.Helper()
	w.rest()
	var b strings.Builder
	for _, name := range c.names {
		a := w.app(name)
		a.mu.Lock()
		calls := a.calls
		a.calls = nil
		a.mu.Unlock()
		if len(calls) == 0 {
			fmt.Fprintf(&b, "%s: nothing\n", name)
		}
		for _, text := range calls {
			fmt.Fprintf(&b, "%s: %s\n", name, text)
		}
	}
	return b.String()
}

// instance returns the name of an instance, of its URI.
func instance(uri string) string {
	u, err := url.Parse(uri)
	if err != nil {
		return uri
	}
	return u.Hostname()
}

// publish publishes NAME-from to NAME-to and prints the messages that were not accepted.
func (w *world) publish(c *command) string {
	w.TB.Helper()
	a, topic := w.app(c.name(0)), c.name(1)
	from, to := c.span(2)
	size, within := c.bytes("size"), c.duration("within", "2m")
	every := c.duration("every", "0s")
	var refused []string
	var why error
	for _, text := range cluster.Bodies(a.Name, from, to) {
		ctx, cancel := context.WithTimeout(context.Background(), within)
		_, err := a.Client.Publish(ctx, topic, []byte(text+strings.Repeat(" ", max(0, size-len(text)))))
		cancel()
		if err == nil {
			a.accepted = append(a.accepted, text)
		} else {
			refused, why = append(refused, text), err
		}
		if every > 0 {
			w.Advance(every)
		}
	}
	if why == nil {
		return ""
	}
	return fmt.Sprintf("%s: not taken: %s", spans(refused), reason(why))
}

// reason returns an error in words that are the same in every run.
func reason(err error) string {
	var failed *pubstore.FailedError
	var large *client.TooLargeError
	switch {
	case errors.As(err, &large):
		return fmt.Sprintf("message too large, at most %d bytes", large.Max)
	case errors.As(err, &failed):
		return "the publish store has failed: " + rootCause(failed)
	case errors.Is(err, client.ErrNameInUse):
		return client.ErrNameInUse.Error()
	case errors.Is(err, pubstore.ErrFull):
		return "the publish store is full"
	}
	return err.Error()
}

// rootCause returns the text of the innermost error.
func rootCause(err error) string {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err.Error()
		}
		err = inner
	}
}

// load publishes in the background: load p orders every=4ms.
func (w *world) load(c *command) string {
	w.TB.Helper()
	a := w.app(c.name(0))
	a.load = a.Load(c.name(1), c.duration("every", "5ms"))
	return ""
}

// stopLoad ends loads.
func (w *world) stopLoad(c *command) string {
	w.TB.Helper()
	for _, name := range c.names {
		a := w.app(name)
		a.accepted = a.load.Stop()
	}
	return ""
}

// flush waits until everything published is settled, or with "safe" safe.
func (w *world) flush(c *command) string {
	w.TB.Helper()
	within := c.duration("within", "2m")
	var b strings.Builder
	for _, name := range c.names {
		if name == "safe" {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), within)
		a, what := w.app(name), "settled"
		flush := a.Client.Flush
		if c.has("safe") {
			what, flush = "safe", a.Client.FlushSafe
		}
		err := flush(ctx)
		cancel()
		var left *client.PendingError
		switch {
		case err == nil:
			fmt.Fprintf(&b, "%s: all %s\n", name, what)
		case errors.As(err, &left):
			fmt.Fprintf(&b, "%s: after %v %d messages are not %s\n", name, within, left.Messages, what)
		default:
			fmt.Fprintf(&b, "%s: %s\n", name, reason(err))
		}
	}
	return b.String()
}

// ended prints the errors that ended clients or subscriptions, if any did.
func (w *world) ended(c *command) string {
	w.TB.Helper()
	w.rest()
	var b strings.Builder
	for _, name := range c.names {
		if w.app(name).Client.Stats().State != client.StateClosed {
			fmt.Fprintf(&b, "%s: no\n", name)
			continue
		}
		_, err := w.app(name).Client.Publish(context.Background(), "orders", []byte("too late"))
		fmt.Fprintf(&b, "%s: %s\n", name, reason(err))
	}
	return b.String()
}

// where prints the instances that applications are live on.
func (w *world) where(c *command) string {
	w.TB.Helper()
	w.rest()
	var b strings.Builder
	for _, name := range c.names {
		switch st := w.app(name).Client.Stats(); st.State {
		case client.StateLive:
			fmt.Fprintf(&b, "%s: on %s\n", name, instance(st.Server.Server))
		case client.StateClosed:
			fmt.Fprintf(&b, "%s: stopped\n", name)
		default:
			fmt.Fprintf(&b, "%s: nowhere\n", name)
		}
	}
	return b.String()
}

// moves prints the servers of applications, and why they left them. Failed attempts in
// between are left to chance, and not printed.
func (w *world) moves(c *command) string {
	w.TB.Helper()
	w.rest()
	var b strings.Builder
	for _, name := range c.names {
		for _, m := range w.app(name).Client.Stats().Moves {
			if m.From == "" {
				fmt.Fprintf(&b, "%s: began on %s%s\n", name, instance(m.To), passedOver(m))
			} else {
				fmt.Fprintf(&b, "%s: from %s to %s: %s%s\n", name, instance(m.From), instance(m.To), moveReason(m.Err), passedOver(m))
			}
		}
	}
	return b.String()
}

// passed returns the servers that were passed over.
func passedOver(m client.Move) string {
	var text string
	for _, e := range m.Failed {
		if why := moveReason(e.Err); why != lostConnection && e.Server != m.To {
			text += fmt.Sprintf(", not %s: %s", instance(e.Server), why)
		}
	}
	return text
}

const lostConnection = "connection lost"

// moveReason returns why a client has left a server, in words that are the same in every run.
func moveReason(err error) string {
	for _, typed := range []error{
		client.ErrServerStopping, client.ErrPreferred, client.ErrPublishGap, client.ErrNameInUse,
		client.ErrLagging, client.ErrAsync, client.ErrOneWay, client.ErrAsyncPath, client.ErrOldIncarnation,
	} {
		if errors.Is(err, typed) {
			return typed.Error()
		}
	}
	return lostConnection
}

// body returns a body without its padding.
func body(b []byte) string { return strings.TrimSpace(string(b)) }

// short returns the number of a body, or the body if it has none.
func short(b []byte) string {
	text := body(b)
	if _, n, ok := number(text); ok {
		return fmt.Sprint(n)
	}
	return text
}

// away is how long anything may take to be accepted before a document goes on.
const acceptTimeout = 5 * time.Second
