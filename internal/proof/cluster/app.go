package cluster

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// An App is an application process: a client, a publish store (on a disk of its own
// unless the configuration has another), and the events of its hooks.
type App struct {
	Name   string
	Client *client.Client
	Store  pubstore.Store
	FS     *memfs.FS // of the publish store; nil if it has none
	// Options of the store on FS, for the next Restart. The App sets the disk and BootID.
	Options pubstore.FileOptions
	// Wrap, if set, returns the store that the client gets in place of the one on FS from
	// the next Restart on.
	Wrap func(pubstore.Store) pubstore.Store

	plain  bool // its servers have none of our extensions
	system *System
	host   string
	config client.Config
	bootID string

	mu     sync.Mutex
	events []string // guarded by mu
}

// App starts an application whose client connects to the servers named, with
// a file store on a disk in memory. configure, which may be nil, changes its
// configuration; a publish store set there is used instead.
func (s *System) App(name string, servers []string, configure func(*client.Config)) *App {
	s.TB.Helper()
	a := s.NewApp(name, servers, configure)
	a.start()
	return a
}

// NewApp is App for an application that is not started: Restart starts it.
func (s *System) NewApp(name string, servers []string, configure func(*client.Config)) *App {
	a := &App{Name: name, system: s, host: name, bootID: "boot-1"}
	a.config = client.Config{
		Name:         name,
		Servers:      s.Servers(servers...),
		Logger:       s.logger(name),
		StartOffline: true,
	}
	a.config.Hooks = a.hooks()
	if configure != nil {
		configure(&a.config)
	}
	if a.config.PublishStore == nil {
		a.FS = memfs.New()
	}
	s.onClose(a.close)
	return a
}

// hooks record their calls as events.
func (a *App) hooks() client.Hooks {
	return client.Hooks{
		Connected:    func(i client.ServerInfo) { a.record("connected %s", i.Server) },
		Disconnected: func(server string, err error) { a.record("disconnected %s: %v", server, err) },
		FailedWrite:  func(e *client.RejectedError) { a.record("rejected %d: %s", e.Message.Sequence, e.Reason) },
		Downgraded:   func(on bool) { a.record("downgraded %v", on) },
		PublishGap:   func(server string) { a.record("gap %s", server) },
		LifeRenewed:  func(err error) { a.record("rolled back: %v", err) },
		HeldBack:     func(_ *client.Subscription, on bool) { a.record("waits %v", on) },
		Diverged:     func(_ *client.Subscription, err *client.DivergedError) { a.record("diverged: %v", err) },
		Gap:          func(e *client.GapError) { a.record("subscription gap %s", e.Subscription) },
	}
}

// Copy returns another machine with a copy of a dead application's disk, as an
// application that is dead too: the two are copies of one store.
func (a *App) Copy(host string) *App {
	c := &App{Name: host, Options: a.Options, system: a.system, host: host, config: a.config, bootID: a.bootID}
	c.config.Hooks = c.hooks()
	c.config.Logger = a.system.logger(host)
	c.FS = a.FS.Crash(memfs.KeepAll)
	a.FS = a.FS.Crash(memfs.KeepAll)
	a.system.onClose(c.close)
	return c
}

// start opens the store and connects.
func (a *App) start() {
	a.system.TB.Helper()
	host := a.system.Net.Host(a.host)
	a.config.Dial = func(ctx context.Context, _, address string) (net.Conn, error) {
		conn, err := host.Dial(ctx, address)
		if err == nil && a.plain {
			conn = a.system.plain(conn)
		}
		return conn, err
	}
	if a.FS != nil {
		o := testdoor.OnDisk(a.Options, a.FS)
		o.BootID = func() (string, error) { return a.bootID, nil }
		if o.SegmentBytes == 0 {
			o.SegmentBytes = 1 << 20
		}
		store, err := pubstore.OpenFile("store", o)
		if err != nil {
			a.system.TB.Fatalf("open the store of %s: %v", a.Name, err)
		}
		a.Store = store
		a.config.PublishStore = store
		if a.Wrap != nil {
			a.config.PublishStore = a.Wrap(store)
		}
	} else {
		a.Store = a.config.PublishStore
	}
	c, err := client.Dial(context.Background(), a.config)
	if err != nil {
		a.system.TB.Fatalf("start %s: %v", a.Name, err)
	}
	a.Client = c
}

func (a *App) close() {
	if a.Client == nil {
		return
	}
	a.Client.Close()
	if a.FS != nil {
		a.Store.Close()
	}
	a.Client = nil
	synctest.Wait()
}

// Kill ends the application as kill -9 does.
func (a *App) Kill() { a.Crash(memfs.KeepAll) }

// PowerCut ends the application's machine.
func (a *App) PowerCut() { a.Crash(memfs.Durable) }

// Crash ends the application, and with it its machine unless mode is memfs.KeepAll. mode
// decides the content of its disk.
func (a *App) Crash(mode memfs.Mode) {
	if mode != memfs.KeepAll {
		a.bootID += "+"
	}
	a.system.Net.Kill(a.host)
	var image *memfs.FS
	if a.FS != nil {
		image = a.FS.Crash(mode)
	}
	a.Client.Close()
	if a.FS != nil {
		a.Store.Close() // fails: its disk is gone
		a.FS = image
	}
	a.Client = nil
	synctest.Wait()
}

// Restart starts the application again after Kill or PowerCut.
func (a *App) Restart() {
	a.system.TB.Helper()
	a.start()
}

// Configure gives a dead application another configuration for its next Restart.
func (a *App) Configure(configure func(*client.Config)) { configure(&a.config) }

// Publish publishes bodies to a topic; it must not fail.
func (a *App) Publish(topic string, bodies ...string) {
	a.system.TB.Helper()
	ctx, cancel := a.system.Context()
	defer cancel()
	for _, body := range bodies {
		if _, err := a.Client.Publish(ctx, topic, []byte(body)); err != nil {
			a.system.TB.Fatalf("%s: publish %q: %v", a.Name, body, err)
		}
	}
}

// PublishN publishes NAME-from to NAME-to.
func (a *App) PublishN(topic string, from, to int) {
	a.system.TB.Helper()
	a.Publish(topic, Bodies(a.Name, from, to)...)
}

// Bodies returns NAME-from to NAME-to.
func Bodies(name string, from, to int) []string {
	var bodies []string
	for n := from; n <= to; n++ {
		bodies = append(bodies, fmt.Sprintf("%s-%d", name, n))
	}
	return bodies
}

// Flush waits until everything published is settled, FlushSafe until it is safe.
func (a *App) Flush() {
	a.system.TB.Helper()
	a.flush("flush", a.Client.Flush)
}

// FlushSafe waits until everything published is safe.
func (a *App) FlushSafe() {
	a.system.TB.Helper()
	a.flush("flush safe", a.Client.FlushSafe)
}

func (a *App) flush(call string, flush func(context.Context) error) {
	a.system.TB.Helper()
	ctx, cancel := a.system.Context()
	defer cancel()
	if err := flush(ctx); err != nil {
		a.system.TB.Fatalf("%s: %s: %v", a.Name, call, err)
	}
}

// AwaitServer waits until the client is live on an instance.
func (a *App) AwaitServer(name string) {
	a.system.TB.Helper()
	a.system.Await(a.Name+" to be live on "+name, func() bool {
		st := a.Client.Stats()
		return st.State == client.StateLive && st.Server.Server == a.system.Servers(name)[0]
	})
}

func (a *App) record(format string, args ...any) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.events = append(a.events, fmt.Sprintf(format, args...))
	a.system.Log.Info(fmt.Sprintf(format, args...), "host", a.Name)
}

// Events returns the events that the hooks were told.
func (a *App) Events() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return append([]string(nil), a.events...)
}

// A Reader is an application's loop over a subscription.
type Reader struct {
	Sub *client.Subscription

	app  *App
	done chan struct{}
	stop context.CancelFunc

	mu     sync.Mutex
	bodies []string            // bodies, in order; guarded by mu
	marks  []client.MessageRef // guarded by mu
	err    error               // guarded by mu
}

// Read subscribes and reads in a goroutine of its own until the end of the
// scenario, discarding each message at once if discard is set.
func (a *App) Read(topic string, discard bool, opts ...client.SubscribeOption) *Reader {
	a.system.TB.Helper()
	return a.Handle(topic, func(m *client.Message) error {
		if discard {
			return m.Discard()
		}
		return nil
	}, opts...)
}

// Handle is Read with a function for each message, which runs on the reader's goroutine
// after the message was noted. The first error stays.
func (a *App) Handle(topic string, f func(*client.Message) error, opts ...client.SubscribeOption) *Reader {
	a.system.TB.Helper()
	r, err := a.TryHandle(topic, f, opts...)
	if err != nil {
		a.system.TB.Fatalf("%s: subscribe to %q: %v", a.Name, topic, err)
	}
	return r
}

// TryHandle is Handle for a subscription that may be refused.
func (a *App) TryHandle(topic string, f func(*client.Message) error, opts ...client.SubscribeOption) (*Reader, error) {
	ctx, cancel := a.system.Context()
	defer cancel()
	sub, err := a.Client.Subscribe(ctx, topic, opts...)
	if err != nil {
		return nil, err
	}
	r := &Reader{Sub: sub, app: a, done: make(chan struct{})}
	loop, stop := context.WithCancel(context.Background())
	r.stop = stop
	go r.loop(loop, f)
	a.system.onClose(func() { stop(); <-r.done })
	return r, nil
}

func (r *Reader) loop(ctx context.Context, f func(*client.Message) error) {
	defer close(r.done)
	for m, err := range r.Sub.Messages(ctx) {
		r.mu.Lock()
		if err == nil {
			r.bodies = append(r.bodies, string(m.Body))
			r.marks = append(r.marks, m.Ref())
		}
		r.mu.Unlock()
		if err == nil {
			err = f(m)
		}
		if err != nil {
			r.setError(err)
		}
	}
}

func (r *Reader) setError(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.err == nil {
		r.err = err
	}
}

// Bodies returns the bodies received so far, in order.
func (r *Reader) Bodies() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]string(nil), r.bodies...)
}

// Marks returns the references of the messages received so far, in order.
func (r *Reader) Marks() []bookmarkstore.MessageRef {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]client.MessageRef(nil), r.marks...)
}

// Err returns the error that ended the loop, or of a discard.
func (r *Reader) Err() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// Stop ends the loop and waits for it.
func (r *Reader) Stop() {
	r.stop()
	<-r.done
}

// AwaitN waits until n messages were received, and a little longer for one too many.
func (r *Reader) AwaitN(n int) []string {
	r.app.system.TB.Helper()
	r.app.system.Await(fmt.Sprintf("%s to receive %d messages", r.app.Name, n), func() bool {
		return len(r.Bodies()) >= n || r.Err() != nil
	})
	r.app.system.Advance(50 * time.Millisecond)
	return r.Bodies()
}
