package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
	"github.com/holdfast-mq/holdfast/internal/proof/cable"
	"github.com/holdfast-mq/holdfast/internal/proof/timeline"
)

// A world is the pair with its applications and the authorities of an operator.
type world struct {
	options
	*timeline.Timeline
	dir, binary string

	pair     pair.Pair
	cables   map[string]*cable.Cable // by the name of the instance that dials
	settings settings                // for the next start of an instance
	access   access                  // for the next start of an application

	publishers  []*publisher
	subscribers []*subscriber
	outages     outages
	restricted  map[string]int // how much each publisher had published when the permissions became restrictive

	servers, clients, links *authority // present ones

	running sync.WaitGroup // goroutines that end with the context
	fault   chan error     // gets the first error of one of them
	steps   []stepResult
}

// newWorld writes the files of a pair without any protection.
func newWorld(o options, dir, binary string) (w *world, err error) {
	w = &world{options: o, Timeline: timeline.New(), dir: dir, binary: binary, cables: make(map[string]*cable.Cable),
		access: access{schemes: []string{"tcp"}}, fault: make(chan error, 1)}
	defer func() {
		if err != nil {
			w.close()
		}
	}()
	for name, to := range map[string]**authority{"servers": &w.servers, "clients": &w.clients, "links": &w.links} {
		if *to, err = newAuthority(name); err != nil {
			return w, err
		}
	}
	if w.pair, err = pair.New(dir, pair.Options{Command: []string{binary}, PeerAddress: w.lay}); err != nil {
		return w, err
	}
	for _, in := range w.pair {
		if err = w.configure(in); err != nil {
			return w, err
		}
	}
	return w, w.makeApps()
}

// lay lays the cable from an instance to its peer.
func (w *world) lay(from, _, address string) (string, error) {
	c, err := cable.New(address)
	if err != nil {
		return "", err
	}
	w.cables[from] = c
	return c.Address(), nil
}

// configure writes the present settings into the configuration of an instance.
func (w *world) configure(in *pair.Instance) error {
	return in.Configure(w.settings.config(places{
		name: in.Name, clients: in.ClientAddress, links: in.ReplicationAddress(), admin: in.AdminAddress(),
		peer: w.peer(in).Name, peerLinks: w.cables[in.Name].Address(),
	}))
}

// peer returns the other instance.
func (w *world) peer(in *pair.Instance) *pair.Instance {
	if in == w.pair[0] {
		return w.pair[1]
	}
	return w.pair[0]
}

// makeApps makes the applications. Half of them prefer b.
func (w *world) makeApps() error {
	a, b := w.pair[0].ClientAddress, w.pair[1].ClientAddress
	for _, p := range []struct {
		name, user string
		byCert     bool
		topics     []string
	}{
		{"orders-1", "orders", false, []string{"orders/eu", "orders/us"}},
		{"orders-2", "orders", false, []string{"orders/asia"}},
		{"prices", "prices", true, []string{"prices/fx", "prices/metals"}},
		{"guest", "guest", false, []string{"guest/book"}},
	} {
		app, err := newApp(w.dir, p.name, p.user, []string{a, b})
		if err != nil {
			return err
		}
		app.byCert = p.byCert
		w.publishers = append(w.publishers, newPublisher(app, p.topics...))
		a, b = b, a
	}
	for _, name := range []string{"audit", "desk"} {
		app, err := newApp(w.dir, name, name, []string{a, b})
		if err != nil {
			return err
		}
		w.subscribers = append(w.subscribers, newSubscriber(app, "^(orders|prices|guest)/"))
		a, b = b, a
	}
	w.outages.publishers = w.publishers
	return nil
}

// publisher returns the publisher with a name.
func (w *world) publisher(name string) *publisher {
	for _, p := range w.publishers {
		if p.name == name {
			return p
		}
	}
	panic("no publisher " + name)
}

// apps returns all applications.
func (w *world) apps() (all []*app) {
	for _, p := range w.publishers {
		all = append(all, p.app)
	}
	for _, s := range w.subscribers {
		all = append(all, s.app)
	}
	return all
}

// start starts the pair, the applications and the load.
func (w *world) start(ctx context.Context) error {
	if err := w.pair.Start(ctx); err != nil {
		return err
	}
	if err := w.restartApps(ctx); err != nil {
		return err
	}
	for _, p := range w.publishers {
		w.running.Go(func() {
			if err := p.publish(ctx, w.rate); err != nil {
				w.note(err)
			}
		})
	}
	w.running.Go(func() { w.outages.watch(ctx) })
	w.Printf("the pair runs without any protection, %d publishers send %d messages a second each, %d subscribers", len(w.publishers), w.rate, len(w.subscribers))
	return w.settle(ctx)
}

// note keeps the first error of the load.
func (w *world) note(err error) {
	select {
	case w.fault <- err:
	default:
	}
}

// restartApps starts all applications anew with the present access, one after the other.
func (w *world) restartApps(ctx context.Context) error {
	for _, p := range w.publishers {
		if err := p.restart(ctx, w.access); err != nil {
			return p.explain(err)
		}
	}
	for _, s := range w.subscribers {
		if err := s.restart(ctx, w.access); err != nil {
			return s.explain(err)
		}
	}
	return nil
}

// restart stops an instance and starts it with the present settings. It returns once the instance
// serves clients.
func (w *world) restart(ctx context.Context, in *pair.Instance) error {
	if err := in.Stop(); err != nil {
		return err
	}
	if err := w.configure(in); err != nil {
		return err
	}
	if err := w.setAdmin(in); err != nil {
		return err
	}
	start := time.Now()
	err := in.Start(ctx)
	w.Printf("  %s restarted, ready after %v", in.Name, time.Since(start).Round(time.Millisecond))
	return err
}

// setAdmin makes later requests of the drill to the admin port as the present settings need them.
func (w *world) setAdmin(in *pair.Instance) error {
	if !w.settings.clientTLS {
		return nil
	}
	token, err := w.read(in, tokenFile)
	in.SetAdmin(pair.Admin{TLS: trusting(w.servers), Token: strings.TrimSpace(token)})
	return err
}

// trusting returns a configuration that trusts authorities.
func trusting(all ...*authority) *tls.Config {
	pool := x509.NewCertPool()
	for _, a := range all {
		pool.AddCert(a.cert)
	}
	return &tls.Config{RootCAs: pool}
}

// holdfastd runs the binary with a subcommand.
func (w *world) holdfastd(ctx context.Context, args ...string) error {
	out, err := exec.CommandContext(ctx, w.binary, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("holdfastd %s: %w: %s", strings.Join(args, " "), err, out)
	}
	return nil
}

// file returns the path of a file of an instance.
func (w *world) file(in *pair.Instance, name string) string { return filepath.Join(in.Dir(), name) }

// close ends whatever still runs. The context must have ended.
func (w *world) close() {
	w.running.Wait()
	for _, p := range w.publishers {
		p.close()
	}
	for _, s := range w.subscribers {
		s.close()
	}
	w.pair.Close()
	for _, c := range w.cables {
		c.Close()
	}
}
