//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

const loopback = "127.0.0.1"

// clusterTimeout is the time that servers have to form a cluster. It takes some seconds.
const clusterTimeout = 15 * time.Second

// serveNATS runs a server of a cluster. It answers when the cluster is complete, and
// serves until its parent ends it.
func serveNATS(spec []byte) error {
	var n natsSpec
	if err := json.Unmarshal(spec, &n); err != nil {
		return err
	}
	s, err := server.NewServer(n.options())
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	if !s.ReadyForConnections(stepTimeout) {
		return fmt.Errorf("not ready within %v", stepTimeout)
	}
	if err := awaitCluster(s, len(n.Routes)); err != nil {
		return err
	}
	if err := writeAnswer(natsServer{n.Name, s.ClientURL(), os.Getpid()}); err != nil {
		return err
	}
	s.WaitForShutdown()
	return errors.New("the server ended")
}

// options returns the server's defaults, with its addresses, directory and sync setting.
func (n natsSpec) options() *server.Options {
	o := &server.Options{
		ServerName: n.Name,
		Host:       loopback,
		Port:       server.RANDOM_PORT,
		NoSigs:     true,
		JetStream:  true,
		StoreDir:   n.Dir,
		SyncAlways: n.Always,
		Cluster:    server.ClusterOpts{Name: "peerbench", Host: loopback, Port: n.Port},
	}
	for _, port := range n.Routes {
		o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: fmt.Sprintf("%s:%d", loopback, port)})
	}
	return o
}

// awaitCluster waits until the meta group has all servers of the cluster and a
// leader that has heard from each of them.
func awaitCluster(s *server.Server, servers int) error {
	deadline := time.Now().Add(clusterTimeout)
	for !clusterReady(s, servers) {
		if time.Now().After(deadline) {
			return fmt.Errorf("no meta group of %d within %v", servers, clusterTimeout)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

func clusterReady(s *server.Server, servers int) bool {
	info, err := s.Jsz(nil)
	if err != nil || info.Meta == nil || info.Meta.Leader == "" || info.Meta.Size != servers {
		return false
	}
	return !s.JetStreamIsLeader() || len(s.JetStreamClusterPeers()) == servers
}
