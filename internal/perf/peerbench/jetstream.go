//go:build linux

package main

import (
	"context"
	"fmt"
	"net/netip"
	"path/filepath"

	"github.com/holdfast-mq/holdfast/internal/heldport"
)

// alwaysSuffix is the suffix of the name of a contender whose servers sync before they ack.
const alwaysSuffix = " always"

// jetstreamContenders returns JetStream with each number of copies, with sync_interval
// always and with the default.
func jetstreamContenders(copies ...int) []contender {
	var all []contender
	for _, n := range copies {
		for _, suffix := range []string{alwaysSuffix, ""} {
			all = append(all, contender{
				name: fmt.Sprintf("JetStream R%d%s", n, suffix),
				run: func(ctx context.Context, s *session, dir string, j job) (sample, error) {
					return s.jetstream(ctx, dir, j, n, suffix == alwaysSuffix)
				},
			})
		}
	}
	return all
}

// A natsSpec is the specification of a server of a cluster.
type natsSpec struct {
	Name   string
	Dir    string
	Port   int   // for routes
	Routes []int // all ports of the cluster
	Always bool  // sync_interval: always
}

// A natsServer is the answer of a server whose cluster is complete.
type natsServer struct {
	Name, URL string
	Pid       int
}

// A natsJob is the specification of JetStream's client process.
type natsJob struct {
	job
	Servers []natsServer
}

// jetstream runs a job on its own cluster, with one server for each copy.
func (s *session) jetstream(ctx context.Context, dir string, j job, copies int, always bool) (sample, error) {
	c, err := s.startCluster(ctx, dir, copies, always)
	for attempt := 1; err != nil && attempt < 3 && ctx.Err() == nil; attempt++ {
		logf("retry the start of the cluster: %v", err) // routes that two servers dial at once may refuse each other
		c, err = s.startCluster(ctx, filepath.Join(dir, fmt.Sprint(attempt)), copies, always)
	}
	if err != nil {
		return nil, err
	}
	defer c.stop()
	return s.load(ctx, "nats-load", natsJob{j, c.servers})
}

// A cluster is a set of server processes and their ports.
type cluster struct {
	held      []*heldport.Port // for routes, which must be known before the first server listens
	processes []*process
	servers   []natsServer
}

// holdPorts reserves ports until the cluster's end and returns their numbers.
func (c *cluster) holdPorts(n int) (numbers []int, err error) {
	for range n {
		p, err := heldport.Hold()
		if err != nil {
			return nil, err
		}
		c.held = append(c.held, p)
		at, err := netip.ParseAddrPort(p.Address)
		if err != nil {
			return nil, err
		}
		numbers = append(numbers, int(at.Port()))
	}
	return numbers, nil
}

func (c *cluster) stop() {
	for _, p := range c.processes {
		p.kill()
	}
	for _, p := range c.held {
		p.Free()
	}
}

// startCluster starts servers with directories in dir and waits until they form a cluster.
func (s *session) startCluster(ctx context.Context, dir string, copies int, always bool) (*cluster, error) {
	c := new(cluster)
	ports, err := c.holdPorts(copies)
	if err != nil {
		c.stop()
		return nil, err
	}
	for i, port := range ports {
		name := fmt.Sprintf("n%d", i+1)
		p := s.child(ctx, "nats-server", natsSpec{name, filepath.Join(dir, name), port, ports, always})
		if err := p.startWithOutput(); err != nil {
			c.stop()
			return nil, err
		}
		c.processes = append(c.processes, p)
	}
	for _, p := range c.processes {
		var server natsServer
		if err := p.readAnswer(&server); err != nil {
			c.stop()
			return nil, err
		}
		c.servers = append(c.servers, server)
	}
	return c, nil
}
