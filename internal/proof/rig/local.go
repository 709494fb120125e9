package rig

import (
	"context"
	"os"
	"path/filepath"
	"time"

	"github.com/holdfast-mq/holdfast/server"
)

// WithPair starts a pair of servers in this process, with their journals below a new
// directory, and calls do with that directory and the URIs of the servers. It then
// stops the servers and removes the directory.
func WithPair(ctx context.Context, do func(ctx context.Context, dir string, servers []string) error) error {
	dir, err := os.MkdirTemp("", "holdfast-pair-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	// The instances are equals: each replicates synchronously to the other. Only b
	// knows an address to dial; a waits for the connection of b.
	a, err := server.Start(localInstance("a", dir, server.Destination{Name: "b"}))
	if err != nil {
		return err
	}
	defer a.Close()
	b, err := server.Start(localInstance("b", dir, server.Destination{Name: "a", Address: a.ReplicationAddr().String()}))
	if err != nil {
		return err
	}
	defer b.Close()
	return do(ctx, dir, []string{"tcp://" + a.Addr().String() + "/amps/json", "tcp://" + b.Addr().String() + "/amps/json"})
}

func localInstance(name, dir string, peer server.Destination) server.Config {
	return server.Config{
		Name: name, Group: "pair", Data: filepath.Join(dir, name),
		Clients: server.ClientPort{Listen: "127.0.0.1:0"},
		Replication: &server.Replication{
			Listen:       "127.0.0.1:0",
			Destinations: []server.Destination{peer},
		},
		RejoinTimeout: server.Duration(time.Second),
	}
}
