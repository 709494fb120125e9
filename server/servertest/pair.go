package servertest

import (
	"context"
	"net"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/heldport"
	"github.com/holdfast-mq/holdfast/server"
)

// A Pair is two instances that replicate to each other, synchronously in both
// directions. As with an Instance, call its methods from the goroutine of the test
// only; Addrs, Client, Dial and Intercept are safe for concurrent use.
type Pair struct {
	A, B *Instance
	*world
}

// NewPair starts a pair and returns when both instances serve clients. Both are closed when the
// test ends. If one cannot start, the test fails. In a pair made with [Unstarted], A may be started
// alone. B serves nobody before it has met A, as any instance with an empty disk.
func NewPair(t T, opts ...Option) *Pair {
	t.Helper()
	w := newWorld(t, opts)
	p := &Pair{A: newInstance(w, "a"), B: newInstance(w, "b"), world: w}
	addrA, addrB := "a:9107", "b:9107"
	if w.opts.real {
		addrA, addrB = heldport.ForTest(t), heldport.ForTest(t)
	}
	link(p.A, addrA, "b", addrB)
	link(p.B, addrB, "a", addrA)
	p.A.secureLink()
	p.B.secureLink()
	p.A.cfg.Bootstrap = true // a test may start A alone
	if w.opts.start {
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

// linkSecret is the link secret; each instance proves to the other that it knows it.
var linkSecret = []byte("the secret of every servertest pair")[:32]

// Addrs returns the addresses for clients of the pair, host:port, A's first.
func (p *Pair) Addrs() []string { return []string{p.A.Addr(), p.B.Addr()} }

// Client returns a client configuration for the pair: name, servers (A first), Dial
// and logger. The caller adds stores and other settings. The test must close the
// client that it makes of it.
func (p *Pair) Client(name string) client.Config {
	cfg := p.A.Client(name)
	cfg.Servers = append(cfg.Servers, p.uri(p.B.Addr()))
	return cfg
}

// Dial opens a connection; it is made for client.Config.Dial.
func (p *Pair) Dial(ctx context.Context, network, address string) (net.Conn, error) {
	return p.A.Dial(ctx, network, address)
}

// AwaitReady waits until both instances serve clients.
func (p *Pair) AwaitReady() {
	p.t.Helper()
	p.A.AwaitReady()
	p.B.AwaitReady()
}

// Partition cuts the link between the instances: it goes silent. Clients still
// reach both instances. Not for Real.
func (p *Pair) Partition() {
	p.t.Helper()
	p.requireInMemory("Partition")
	p.net.Cut(p.A.Name(), p.B.Name())
}

// Heal ends Partition. Bytes that were in transit arrive. Not for Real.
func (p *Pair) Heal() {
	p.t.Helper()
	p.requireInMemory("Heal")
	p.net.Heal(p.A.Name(), p.B.Name())
}

// Intercept calls f for each command that clients send to either instance; see
// [Instance.Intercept]. Both instances of a pair must reject the same commands.
func (p *Pair) Intercept(f func(Command) Action) {
	p.A.Intercept(f)
	p.B.Intercept(f)
}
