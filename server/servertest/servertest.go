// Package servertest runs servers inside a test: one, or a pair of equals, on
// a network and disks in memory, so that it works in a testing/synctest bubble
// and every fault can be made; or, with Real, on the loopback interface and in
// the test's directory.
package servertest

import (
	"context"
	"log/slog"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/memfs"
	"github.com/holdfast-mq/holdfast/internal/memnet"
	"github.com/holdfast-mq/holdfast/server"
)

// An Option changes what New and NewPair make.
type Option func(*options)

type options struct {
	real      bool
	log       bool
	configure []func(*server.Config)
	start     bool
}

// Real uses the loopback interface and the test's directory.
func Real() Option { return func(o *options) { o.real = true } }

// Logged writes the servers' log to the test's.
func Logged() Option { return func(o *options) { o.log = true } }

// Stopped doesn't start the servers: Restart does.
func Stopped() Option { return func(o *options) { o.start = false } }

// Config changes the config of each server before it starts.
func Config(change func(*server.Config)) Option {
	return func(o *options) { o.configure = append(o.configure, change) }
}

// An Instance is one server of a test. It isn't safe for concurrent use.
type Instance struct {
	t    testing.TB
	o    options
	cfg  server.Config
	net  *memnet.Network // nil: Real
	disk *memfs.FS       // nil: Real
	s    *server.Server  // nil: not running
}

// New starts one server without peers, ready to serve.
func New(t testing.TB, opts ...Option) *Instance {
	t.Helper()
	o := newOptions(opts)
	i := newInstance(t, "a", o, memnet.New())
	if o.start {
		i.Restart()
		i.AwaitReady()
	}
	return i
}

func newOptions(opts []Option) options {
	o := options{start: true}
	for _, opt := range opts {
		opt(&o)
	}
	return o
}

func newInstance(t testing.TB, name string, o options, network *memnet.Network) *Instance {
	i := &Instance{t: t, o: o}
	i.cfg = server.Config{Name: name, Data: "data"}
	if o.real {
		i.cfg.Data = filepath.Join(t.TempDir(), name)
		i.cfg.Clients.Listen = "127.0.0.1:0"
	} else {
		i.net, i.disk = network, memfs.New()
		i.cfg.Clients.Listen = name + ":9007"
	}
	if o.log {
		i.cfg.Logger = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	t.Cleanup(i.Stop)
	return i
}

// testWriter writes to a test's log.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Log(string(p))
	return len(p), nil
}

// Name returns the instance's name.
func (i *Instance) Name() string { return i.cfg.Name }

// Server returns the running server.
func (i *Instance) Server() *server.Server { return i.s }

// Disk returns the disk of an instance that isn't Real.
func (i *Instance) Disk() *memfs.FS { return i.disk }

// Configure changes the config from the next start on.
func (i *Instance) Configure(change func(*server.Config)) { change(&i.cfg) }

// Addr returns where clients connect.
func (i *Instance) Addr() string {
	if i.s != nil {
		return i.s.Addr().String()
	}
	return i.cfg.Clients.Listen
}

// Dial connects as a client that runs on a host named "client".
func (i *Instance) Dial(ctx context.Context) (net.Conn, error) { return i.DialAddr(ctx, i.Addr()) }

// DialAddr connects to another address, as Dial does.
func (i *Instance) DialAddr(ctx context.Context, address string) (net.Conn, error) {
	if i.net == nil {
		var d net.Dialer
		return d.DialContext(ctx, "tcp", address)
	}
	return i.net.Host("client").Dial(ctx, address)
}

// Start starts the server, if it doesn't run, without waiting until it is ready.
func (i *Instance) Start() error {
	cfg := i.cfg
	if i.net != nil {
		host := i.net.Host(cfg.Name)
		cfg.FS, cfg.Listen, cfg.Dial = i.disk, host.Listen, host.Dial
	}
	for _, change := range i.o.configure {
		change(&cfg)
	}
	s, err := server.Start(cfg)
	if err != nil {
		return err
	}
	i.s = s
	if i.net == nil { // the ports stay the same over restarts
		i.cfg.Clients.Listen = s.Addr().String()
	}
	return nil
}

// Restart starts the server after Kill or Stop.
func (i *Instance) Restart() {
	i.t.Helper()
	if err := i.Start(); err != nil {
		i.t.Fatalf("start %s: %v", i.cfg.Name, err)
	}
}

// AwaitReady waits until the server serves clients.
func (i *Instance) AwaitReady() {
	i.t.Helper()
	select {
	case <-i.s.Ready():
	case <-i.s.Done():
		i.t.Fatalf("%s has ended: %v", i.cfg.Name, i.s.Err())
	case <-time.After(time.Minute):
		i.t.Fatalf("%s is not ready after a minute", i.cfg.Name)
	}
}

// Kill ends the server as kill -9 would. What it wrote is still there.
func (i *Instance) Kill() {
	if i.net != nil {
		i.net.Kill(i.cfg.Name)
	}
	i.s.Kill()
	i.s = nil
	if i.disk != nil {
		i.disk = i.disk.Crash(memfs.KeepAll)
	}
}

// PowerCut ends the server as the machine's death would: what was not synced is gone.
func (i *Instance) PowerCut() {
	i.net.Kill(i.cfg.Name)
	durable := i.disk.Crash(memfs.Durable)
	i.s.Kill()
	i.s, i.disk = nil, durable
}

// Stop ends the server in order, if it runs.
func (i *Instance) Stop() {
	if i.s != nil {
		i.s.Close()
		i.s = nil
	}
}

// Wipe replaces the disk of a server that doesn't run by an empty one.
func (i *Instance) Wipe() {
	i.t.Helper()
	if i.s != nil || i.disk == nil {
		i.t.Fatal("only an instance in memory that doesn't run can be wiped")
	}
	i.disk = memfs.New()
}

// Have returns the highest sequence of a publisher in the journal.
func (i *Instance) Have(publisher uint64) uint64 { return i.s.Have(publisher) }

// Messages returns what the journal holds of a topic, in its order.
func (i *Instance) Messages(topic string) []server.Message {
	i.t.Helper()
	all, err := i.s.Messages(topic)
	if err != nil {
		i.t.Fatalf("read the journal of %s: %v", i.cfg.Name, err)
	}
	return all
}

// A Pair is two instances that replicate to each other, sync both ways.
type Pair struct {
	A, B *Instance
	net  *memnet.Network // nil: Real
}

// NewPair starts a pair, ready to serve. Without a change of config neither
// is ever downgraded.
func NewPair(t testing.TB, opts ...Option) *Pair {
	t.Helper()
	o := newOptions(opts)
	p := &Pair{net: memnet.New()}
	p.A, p.B = newInstance(t, "a", o, p.net), newInstance(t, "b", o, p.net)
	addrA, addrB := "a:9107", "b:9107"
	if o.real {
		p.net = nil
		addrA, addrB = freePort(t), freePort(t)
	}
	link(p.A, addrA, "b", addrB)
	link(p.B, addrB, "a", addrA)
	if o.start {
		p.A.Restart()
		p.B.Restart()
		p.A.AwaitReady()
		p.B.AwaitReady()
	}
	return p
}

func link(i *Instance, listen, peer, address string) {
	i.cfg.Group = "pair"
	i.cfg.Replication = &server.Replication{
		Listen:       listen,
		Destinations: []server.Destination{{Name: peer, Address: address, Ack: "sync"}},
	}
}

// freePort returns an address that nobody listens at just now.
func freePort(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// Addrs returns where clients of the pair connect.
func (p *Pair) Addrs() []string { return []string{p.A.Addr(), p.B.Addr()} }

// Dial connects to an address as a client that runs on a host named "client".
func (p *Pair) Dial(ctx context.Context, address string) (net.Conn, error) {
	return p.A.DialAddr(ctx, address)
}

// Network returns the network of a pair that isn't Real, for other faults.
func (p *Pair) Network() *memnet.Network { return p.net }

// Partition cuts the link between the two; clients still reach both.
func (p *Pair) Partition() { p.net.Cut("a", "b") }

// Heal mends it.
func (p *Pair) Heal() { p.net.Heal("a", "b") }
