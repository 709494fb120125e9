package servertest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/heldport"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/server"
)

// An Instance is one server of a test: its process, its disk and its address on
// the network. The disk and the address outlive the process. Call its methods from
// the goroutine of the test only; Addr, Client, Dial, Intercept and DelayAcks are
// safe for concurrent use. A method that cannot do its work fails the test.
type Instance struct {
	*world
	cfg  server.Config
	disk *memfs.FS      // nil: Real
	srv  *server.Server // nil: not started, or ended by the test
	taps taps
}

// New starts one lone instance, named a, and returns when it serves clients. A message
// is safe there once it is on its disk. The instance is closed when the test ends. If it
// cannot start, the test fails. Options change its configuration, or where it runs.
func New(t T, opts ...Option) *Instance {
	t.Helper()
	i := newInstance(newWorld(t, opts), "a")
	if i.opts.start {
		i.Restart()
		i.AwaitReady()
	}
	return i
}

func newInstance(w *world, name string) *Instance {
	i := &Instance{world: w}
	i.cfg = server.Config{Name: name, Data: "data", Logger: w.log}
	i.cfg.Clients.Users = w.usersPath
	if w.opts.real {
		i.cfg.Data = filepath.Join(w.t.TempDir(), name)
		i.cfg.Clients.Listen = heldport.ForTest(w.t)
	} else {
		i.disk = memfs.New()
		i.cfg.Clients.Listen = name + ":9007"
		i.cfg.Clients.Insecure, i.cfg.Admin.Insecure = w.usersPath == "", true // nobody else reaches a network in memory
	}
	i.secure()
	w.t.Cleanup(i.Close)
	return i
}

// secure gives the client port TLS, with the option TLS.
func (i *Instance) secure() {
	ca := i.opts.ca
	if ca == nil {
		return
	}
	i.cfg.Clients.TLSConfig = &tls.Config{
		Certificates: []tls.Certificate{ca.Certificate(i.cfg.Name, "localhost", "127.0.0.1")},
		ClientAuth:   tls.VerifyClientCertIfGiven, ClientCAs: ca.Pool(),
	}
}

// secureLink gives the links TLS, with the option TLS.
func (i *Instance) secureLink() {
	if ca := i.opts.ca; ca != nil {
		i.cfg.Replication.TLSConfig = &tls.Config{
			Certificates: []tls.Certificate{ca.Certificate(i.cfg.Name)}, RootCAs: ca.Pool(), ClientCAs: ca.Pool(),
		}
	}
}

// Name returns the instance's name: "a", or "b" for the second of a pair.
func (i *Instance) Name() string { return i.cfg.Name }

// Server returns the server, for methods that this package does not offer, such as Status. It is
// nil before the first start and after Close, Kill, PowerCut and Wipe. A server that has ended by
// itself is still returned.
func (i *Instance) Server() *server.Server { return i.srv }

// Configure changes the configuration, with effect from the next start on.
func (i *Instance) Configure(change func(*server.Config)) { change(&i.cfg) }

// Addr returns the address for clients, host:port. It stays the same over restarts.
func (i *Instance) Addr() string { return i.cfg.Clients.Listen }

// Client returns a client configuration for this instance alone: name, server,
// Dial and logger. The caller adds stores and other settings. The test must close
// the client that it makes of it.
func (i *Instance) Client(name string) client.Config {
	cfg := client.Config{Name: name, Servers: []string{i.uri(i.Addr())}, Dial: i.Dial, Logger: i.log}
	if i.opts.ca != nil {
		cfg.TLS = i.opts.ca.Client()
	}
	return cfg
}

// Dial opens a connection; it is made for client.Config.Dial. In memory all clients
// run on one host of their own, which reaches every address of the pair.
func (i *Instance) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	if i.net == nil {
		var d net.Dialer
		return d.DialContext(ctx, network, address)
	}
	return i.net.Host(clients).Dial(ctx, address)
}

// clients is the host in memory on which all clients run.
const clients = "client"

// isRunning reports whether the server runs. A server that has ended by itself does not.
func (i *Instance) isRunning() bool {
	if i.srv == nil {
		return false
	}
	select {
	case <-i.srv.Done():
		return false
	default:
		return true
	}
}

// requireRunning fails the test if the server does not run.
func (i *Instance) requireRunning(method string) {
	i.t.Helper()
	switch {
	case i.srv == nil:
		i.t.Fatalf("servertest: %s: %s is not running: Restart starts it", method, i.cfg.Name)
	case !i.isRunning():
		i.t.Fatalf("servertest: %s: %s has ended by itself: %v", method, i.cfg.Name, i.srv.Err())
	}
}

// Start starts the instance, which must not be running. It is for tests of starts
// that fail: it returns the error, where Restart would fail the test. It does not
// wait until the instance serves clients.
func (i *Instance) Start() error {
	if i.isRunning() {
		return errors.New("servertest: " + i.cfg.Name + " is running already")
	}
	cfg := i.config()
	cfg.Listen = i.listenFunc(cfg)
	s, err := server.Start(cfg)
	if err != nil {
		return err
	}
	i.srv = s
	if addr := s.Addr().String(); i.cfg.Clients.Listen != addr {
		i.cfg.Clients.Listen = addr // a free port stays the same over restarts
	}
	return nil
}

// config returns the configuration of a start.
func (i *Instance) config() server.Config {
	cfg := i.cfg
	if i.net != nil {
		host := i.net.Host(cfg.Name)
		cfg = testdoor.OnDisk(cfg, i.disk)
		cfg.Listen, cfg.Dial = host.Listen, host.Dial
	}
	if cfg.Listen == nil {
		cfg.Listen = func(address string) (net.Listener, error) { return net.Listen("tcp", address) }
	}
	for _, change := range i.opts.configure {
		change(&cfg)
	}
	return cfg
}

// Restart starts the instance with the present configuration, on the disk that it has
// now. If it is running, Restart closes it first. If the start fails, so does the test;
// Start returns the error instead.
//
// Restart does not wait until the instance serves clients: clients keep trying, and
// AwaitReady waits. An instance whose peer is away serves after RejoinTimeout, 10 s by
// default. An instance of a pair with an empty disk, as after Wipe, does not serve
// before it has met its peer.
func (i *Instance) Restart() {
	i.t.Helper()
	i.Close()
	if err := i.Start(); err != nil {
		i.t.Fatalf("servertest: start %s: %v", i.cfg.Name, err)
	}
}

// AwaitReady waits until the instance serves clients, for a minute at most.
func (i *Instance) AwaitReady() {
	i.t.Helper()
	i.requireRunning("AwaitReady")
	select {
	case <-i.srv.Ready():
	case <-i.srv.Done():
		i.t.Fatalf("servertest: %s has ended by itself: %v", i.cfg.Name, i.srv.Err())
	case <-time.After(awaitTimeout):
		i.t.Fatalf("servertest: %s is not ready after %v", i.cfg.Name, awaitTimeout)
	}
}

// AwaitEnd waits until the instance has ended by itself, as it does when its disk
// fails, and returns the error. It waits a minute at most. Restart starts the
// instance again.
func (i *Instance) AwaitEnd() error {
	i.t.Helper()
	if i.srv == nil {
		i.t.Fatalf("servertest: AwaitEnd: %s is not running: it was ended by the test, not by itself", i.cfg.Name)
		return nil
	}
	select {
	case <-i.srv.Done():
	case <-time.After(awaitTimeout):
		i.t.Fatalf("servertest: %s still runs after %v", i.cfg.Name, awaitTimeout)
	}
	return i.srv.Err()
}

// Close stops the instance cleanly: it writes its journal to disk and ends the
// connections of its clients. If the instance is not running, Close does nothing.
func (i *Instance) Close() {
	if i.srv == nil {
		return
	}
	if i.net != nil {
		i.net.Resume(i.cfg.Name)
	}
	i.srv.Close()
	i.srv = nil
}

// Kill ends the instance as kill -9 would. Everything that it wrote is still on its
// disk, synced or not. If the instance is not running, Kill does nothing.
func (i *Instance) Kill() { i.crash(memfs.KeepAll) }

// PowerCut ends the instance as a power failure of its machine would: data that was
// not synced to its disk is lost. It loses such data also if the instance is not
// running. Not for Real.
func (i *Instance) PowerCut() {
	i.t.Helper()
	i.requireInMemory("PowerCut")
	i.crash(memfs.Durable)
}

// crash ends the process. The mode decides which data stays on its disk.
func (i *Instance) crash(mode memfs.Mode) {
	image := i.disk
	if i.net != nil {
		i.net.Kill(i.cfg.Name)
		image = i.disk.Crash(mode)
	}
	if i.srv != nil {
		testdoor.Inside(i.srv).Kill()
		i.srv = nil
	}
	i.disk = image
}

// Wipe gives the instance an empty disk, as if the old one had been lost. If it is
// running, Wipe kills it first. Restart then starts it with the empty disk.
func (i *Instance) Wipe() {
	i.t.Helper()
	i.Kill()
	i.cfg.Bootstrap = false // its group exists already
	if i.disk != nil {
		i.disk = memfs.New()
		return
	}
	if err := os.RemoveAll(i.cfg.Data); err != nil {
		i.t.Fatalf("servertest: wipe %s: %v", i.cfg.Name, err)
	}
}

func (i *Instance) String() string {
	state := "not running"
	if i.isRunning() {
		state = "running"
	}
	return fmt.Sprintf("%s at %s, %s", i.cfg.Name, i.Addr(), state)
}
