package server_test

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/heldport"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/smalldisk"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server"
)

// A smallPair is two instances on real disks, linked over loopback.
type smallPair struct {
	t       *testing.T
	dirs    map[string]string // by name
	servers map[string]*server.Server

	mu    sync.Mutex
	ports map[string]string // addresses by configured name; guarded by mu
}

func (p *smallPair) listen(name string) (net.Listener, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ports[name] == "" {
		p.ports[name] = heldport.ForTest(p.t)
	}
	return net.Listen("tcp", p.ports[name])
}

func (p *smallPair) dial(ctx context.Context, name string) (net.Conn, error) {
	p.mu.Lock()
	at := p.ports[name]
	p.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, "tcp", at)
}

func (p *smallPair) start(name, peer string) {
	p.t.Helper()
	s, err := server.Start(server.Config{
		Name: name, Group: "g", Data: p.dirs[name], Clients: server.ClientPort{Listen: name + ":9007", Insecure: true},
		Log: server.LogConfig{Segment: 512 << 10},
		Replication: &server.Replication{Listen: name + ":9107", SecretKey: []byte("the secret of the pair on small disks")[:32], Destinations: []server.Destination{
			{Name: peer, Address: peer + ":9107", DowngradeAfter: server.Duration(time.Second)},
		}},
		RejoinTimeout: server.Duration(2 * time.Second),
		Listen:        p.listen, Dial: p.dial, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		p.t.Fatalf("start %s: %v", name, err)
	}
	p.servers[name] = s
	p.t.Cleanup(testdoor.Inside(s).Kill)
}

func (p *smallPair) uri(name string) string { return "tcp://" + p.ports[name+":9007"] + "/amps/json" }

// The disks of both instances, or of one, have 40 MiB, and another program fills the rest. Both are
// killed and start again on the full disk. Once there is space, both have every published message,
// and a subscriber gets each once and in order.
func TestOnRealFullDisk(t *testing.T) {
	smalldisk.Run(t, "40m", func(dir string) {
		for name, elsewhere := range map[string]string{"both": dir, "one": t.TempDir()} {
			t.Run(name, func(t *testing.T) {
				pairOnFullDisk(t, dir, map[string]string{"a": filepath.Join(dir, name, "a"), "b": filepath.Join(elsewhere, name, "b")})
			})
			if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func pairOnFullDisk(t *testing.T, dir string, dirs map[string]string) {
	p := &smallPair{t: t, dirs: dirs, servers: make(map[string]*server.Server), ports: make(map[string]string)}
	p.start("a", "b")
	p.start("b", "a")
	config := client.Config{Name: "pub", Servers: []string{p.uri("a"), p.uri("b")}, PublishStore: pubstore.NewMemory(pubstore.MemoryOptions{})}
	pub, err := client.Dial(t.Context(), config)
	must(t, err)
	defer pub.Close()
	config.Name, config.PublishStore = "sub", nil
	sub, err := client.Dial(t.Context(), config)
	must(t, err)
	defer sub.Close()
	s, err := sub.Subscribe(t.Context(), "orders", client.From(client.Epoch))
	must(t, err)
	published := 0
	publish := func(n int) {
		for range n {
			_, err := pub.Publish(t.Context(), "orders", fmt.Appendf(nil, "%-10240d", published))
			must(t, err)
			published++
		}
	}

	received := make(chan error, 1)
	go func() { received <- inOrder(t.Context(), s, 1200) }()
	publish(1000)
	must(t, pub.FlushSafe(t.Context()))
	smalldisk.Fill(t, dir)
	publish(200) // retention makes room for them, or they are refused for now
	for _, name := range []string{"a", "b"} {
		testdoor.Inside(p.servers[name]).Kill()
	}
	rest := smalldisk.Fill(t, dir)
	p.start("a", "b")
	p.start("b", "a")
	must(t, os.Remove(rest))
	must(t, pub.FlushSafe(t.Context()))
	must(t, <-received)
}

// inOrder receives count messages and checks that each comes once and in order.
func inOrder(ctx context.Context, s *client.Subscription, count int) error {
	next := 0
	for m, err := range s.Messages(ctx) {
		if err != nil {
			return err
		}
		if want := fmt.Sprintf("%-10240d", next); string(m.Body) != want {
			return fmt.Errorf("message %.20q came in place of %d", m.Body, next)
		}
		if next++; next == count {
			return nil
		}
	}
	return fmt.Errorf("ended after %d", next)
}
