package servertest

import (
	"context"
	"net"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/server"
)

// A Pair is two instances that replicate to each other, sync both ways. As
// with an Instance, its methods are for the goroutine of the test; Addrs,
// Client, Dial and Intercept are safe for concurrent use.
type Pair struct {
	A, B *Instance
	*world
}

// NewPair starts a pair, linked and ready to serve. When the test ends, both
// are closed. Of a pair that is Stopped, A may be started alone; B, as any instance
// with an empty disk, serves nobody before it has met A.
func NewPair(t T, opts ...Option) *Pair {
	t.Helper()
	w := newWorld(t, opts)
	p := &Pair{A: newInstance(w, "a"), B: newInstance(w, "b"), world: w}
	addrA, addrB := "a:9107", "b:9107"
	if w.o.real {
		addrA, addrB = freePort(t), freePort(t)
	}
	link(p.A, addrA, "b", addrB)
	link(p.B, addrB, "a", addrA)
	p.A.cfg.Bootstrap = true // a test may start it alone
	if w.o.start {
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
		SecretKey:    linkSecret,
		Destinations: []server.Destination{{Name: peer, Address: address, Ack: "sync"}},
	}
}

// linkSecret is what the instances prove to each other.
var linkSecret = []byte("the secret of every servertest pair")[:32]

// freePort returns an address that nobody listens at just now.
func freePort(t T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatalf("servertest: %v", err)
		return ""
	}
	defer l.Close()
	return l.Addr().String()
}

// Addrs returns where clients of the pair connect, A's first: host:port.
func (p *Pair) Addrs() []string { return []string{p.A.Addr(), p.B.Addr()} }

// Client returns the configuration of a client of the pair, to be completed:
// name, servers, A first, and how to get there. The test closes the client.
func (p *Pair) Client(name string) client.Config {
	cfg := p.A.Client(name)
	cfg.Servers = append(cfg.Servers, uri(p.B.Addr()))
	return cfg
}

// Dial makes a connection, as client.Config.Dial.
func (p *Pair) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return p.A.Dial(ctx, network, address)
}

// Network returns the network of a pair that isn't Real. It is for this
// module's own tests; Partition, Stop and CutClients are for everyone.
func (p *Pair) Network() *memnet.Network { return p.net }

// AwaitReady waits until both instances serve clients.
func (p *Pair) AwaitReady() {
	p.t.Helper()
	p.A.AwaitReady()
	p.B.AwaitReady()
}

// Partition cuts the link between the two, which goes silent; clients still
// reach both. Not for Real.
func (p *Pair) Partition() {
	p.t.Helper()
	p.inMemory("Partition")
	p.net.Cut(p.A.Name(), p.B.Name())
}

// Heal ends Partition. What was on its way arrives. Not for Real.
func (p *Pair) Heal() {
	p.t.Helper()
	p.inMemory("Heal")
	p.net.Heal(p.A.Name(), p.B.Name())
}

// Intercept has f asked about the commands of the clients of both instances,
// see [Instance.Intercept]. A pair must reject alike.
func (p *Pair) Intercept(f func(Command) Verdict) {
	p.A.Intercept(f)
	p.B.Intercept(f)
}
