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
// are held until Close, so that no other process gets one while an instance is away.
type Pair [2]*Instance

// Options are the settings of a pair.
type Options struct {
	// Command runs an instance when "--config" and a file are appended: the result of
	// Build, or a program that does the same. When this process ends, the standard
	// input of the instance is closed, and on Linux the instance is killed.
	Command []string
	// DowngradeAfter is the time that either instance waits for the other. Default 2s.
	DowngradeAfter time.Duration
	// PeerAddress returns the address under which one instance reaches the replication
	// port of the other, such as that of a proxy. Default: the port's own address.
	PeerAddress func(from, to, address string) (string, error)
	// Stderr opens the standard error of each process. Default: its log file.
	Stderr func() (*os.File, error)
	// Security gives the pair TLS and a user. Nil: clients and links without TLS, any client may
	// log on.
	Security *Security
	// Config is appended to the configuration of each instance.
	Config string
	// Clients and Replication are lines of the sections with these names. Files that they name are
	// relative to the directory of an instance, "a" or "b". Default of Clients: "insecure: true".
	Clients, Replication []string
}

// New writes the configurations of a pair below dir.
func New(dir string, o Options) (p Pair, err error) {
	if o.DowngradeAfter == 0 {
		o.DowngradeAfter = 2 * time.Second
	}
	if len(o.Clients) == 0 {
		o.Clients = []string{"insecure: true"}
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
	if in.security = o.Security; in.security != nil {
		if err := in.security.write(in); err != nil {
			return err
		}
		o.Clients, o.Replication = secureClients, secureLinks
	}
	config := fmt.Sprintf(configuration, in.Name, in.ClientAddress, section(o.Clients), in.ports[replicationPort].Address, section(o.Replication),
		peer.Name, at, o.DowngradeAfter, in.admin)
	return os.WriteFile(in.config(), []byte(config+o.Config), 0o644)
}

// section returns lines of a section of the configuration.
func section(lines []string) (text string) {
	for _, line := range lines {
		text += "  " + line + "\n"
	}
	return text
}

const configuration = `name: %s
group: pair
data: ./journal
clients:
  listen: %s
%sreplication:
  listen: %s
  secret: link.key
%s  destinations:
    - name: %s
      address: %s
      ack: sync
      downgrade_after: %v
admin:
  listen: %s
  insecure: true
rejoin_timeout: 3s
`

// Start makes a pair with New, starts it and waits until the instances are in sync
// with each other. After an error no instance is running.
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

// Start starts both instances and waits until they are in sync with each other. It
// returns an error if one ends by itself.
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

// AwaitSync waits until the instances are in sync with each other. It returns an
// error if one ends by itself.
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
			return fmt.Errorf("wait for the pair to be in sync: %w", context.Cause(ctx))
		}
	}
	return nil
}

// Close kills the running instances and releases the ports of both.
func (p Pair) Close() {
	for _, in := range p {
		if in != nil {
			in.Close()
		}
	}
}

// URIs returns the connection URIs for clients.
func (p Pair) URIs() []string { return []string{p[0].URI(), p[1].URI()} }
