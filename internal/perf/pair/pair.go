package pair

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/heldport"
)

// A Pair is two instances that replicate synchronously to each other. Its ports
// are held until Close, so that nobody else gets one while an instance is away.
type Pair [2]*Instance

// Options say what a pair is made of.
type Options struct {
	// Command runs an instance when "--config" and its file are added: what
	// Build returns, or a program that does the same. Its standard input ends when
	// this process does; on Linux it is killed then.
	Command []string
	// DowngradeAfter is how long either waits for the other. Default 2s.
	DowngradeAfter time.Duration
	// PeerAddress returns the address at which a peer's replication port is to be
	// reached. Default: its own.
	PeerAddress func(from, to, address string) (string, error)
	// Stderr opens the standard error of each process. Default: its log file.
	Stderr func() (*os.File, error)
	// Config is added to the configurations.
	Config string
}

// New writes the configurations of a pair below dir.
func New(dir string, o Options) (p Pair, err error) {
	if o.DowngradeAfter == 0 {
		o.DowngradeAfter = 2 * time.Second
	}
	defer func() {
		if err != nil {
			p.Close()
		}
	}()
	for i, name := range []string{"a", "b"} {
		if p[i], err = newInstance(name, filepath.Join(dir, name), o.Command); err != nil {
			return p, err
		}
		if o.Stderr != nil {
			p[i].openLog = o.Stderr
		}
	}
	for i, in := range p {
		if err := in.configure(p[1-i], o); err != nil {
			return p, err
		}
	}
	return p, nil
}

// The ports of an instance.
const (
	clientPort = iota
	replicationPort
	adminPort
	ports
)

func newInstance(name, dir string, command []string) (*Instance, error) {
	in := &Instance{Name: name, dir: dir, command: command}
	in.openLog = func() (*os.File, error) {
		return os.OpenFile(in.Log(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
	}
	for range ports {
		p, err := heldport.Hold()
		if err != nil {
			in.Close()
			return nil, err
		}
		in.ports = append(in.ports, p)
	}
	in.ClientAddress, in.admin = in.ports[clientPort].Address, in.ports[adminPort].Address
	return in, os.MkdirAll(dir, 0o755)
}

// configure writes the instance's configuration.
func (in *Instance) configure(peer *Instance, o Options) (err error) {
	at := peer.ports[replicationPort].Address
	if o.PeerAddress != nil {
		if at, err = o.PeerAddress(in.Name, peer.Name, at); err != nil {
			return err
		}
	}
	if err := os.WriteFile(filepath.Join(in.dir, "link.key"), []byte(strings.Repeat("5e", 32)), 0o600); err != nil {
		return err
	}
	config := fmt.Sprintf(configuration, in.Name, in.ClientAddress, in.ports[replicationPort].Address, peer.Name, at, o.DowngradeAfter, in.admin)
	return os.WriteFile(in.config(), []byte(config+o.Config), 0o644)
}

const configuration = `name: %s
group: pair
data: ./journal
clients:
  listen: %s
replication:
  listen: %s
  secret: link.key
  destinations:
    - name: %s
      address: %s
      ack: sync
      downgrade_after: %v
admin:
  listen: %s
rejoin_timeout: 3s
`

// Start makes a pair as New does, starts it and returns when both instances are
// in sync with each other. After an error none runs.
func Start(ctx context.Context, dir string, o Options) (Pair, error) {
	p, err := New(dir, o)
	if err == nil {
		err = p.Start(ctx)
	}
	if err != nil {
		p.Close()
	}
	return p, err
}

// Start starts both instances and returns when they are in sync with each
// other, or one has ended.
func (p Pair) Start(ctx context.Context) error {
	for _, in := range p {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		if _, err := in.Spawn(); err != nil {
			return err
		}
	}
	return p.AwaitSync(ctx)
}

// AwaitSync returns when both instances are in sync with each other, or one has
// ended though nobody ended it.
func (p Pair) AwaitSync(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !p[0].InSync() || !p[1].InSync() {
		for _, in := range p {
			if err := in.UnexpectedExit(); err != nil {
				return err
			}
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return fmt.Errorf("the pair did not come into sync: %w", context.Cause(ctx))
		}
	}
	return nil
}

// Close ends what runs of the pair as kill -9 does, for good.
func (p Pair) Close() {
	for _, in := range p {
		if in != nil {
			in.Close()
		}
	}
}

// URIs returns the instances' addresses as a client takes them.
func (p Pair) URIs() []string { return []string{p[0].URI(), p[1].URI()} }
