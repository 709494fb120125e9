//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
)

// rabbitQuorum is the contender's name.
const rabbitQuorum = "RabbitMQ quorum queue"

const (
	rabbitServer = "rabbitmq-server"
	epmd         = "epmd" // gives Erlang's nodes the addresses of the others
	rabbitNodes  = 3
)

// rabbitDir is the directory of the server in packages. The command of the same name
// on Debian's path runs it as another user.
const rabbitDir = "/usr/lib/rabbitmq/bin"

func rabbitMissing() bool {
	_, server := installed(rabbitServer, rabbitDir)
	_, names := installed(epmd)
	return server != nil || names != nil
}

// A rabbitJob is the specification of RabbitMQ's client process.
type rabbitJob struct {
	job
	Nodes []string // addresses
}

// runRabbit runs a job on its own cluster.
func runRabbit(ctx context.Context, s *session, dir string, j job) (sample, error) {
	c := new(cluster)
	defer c.stop()
	nodes, err := c.startRabbit(ctx, dir)
	if err != nil {
		return nil, err
	}
	return s.load(ctx, "rabbit-load", rabbitJob{j, nodes})
}

// startRabbit starts nodes that know each other, and an epmd. It returns the nodes'
// addresses when all accept clients. A node does that once it is in the cluster.
func (c *cluster) startRabbit(ctx context.Context, dir string) (addresses []string, err error) {
	ports, err := c.holdPorts(1 + 2*rabbitNodes)
	if err != nil {
		return nil, err
	}
	mapper, clients, links := ports[0], ports[1:1+rabbitNodes], ports[1+rabbitNodes:]
	if err := writeRabbitFiles(dir); err != nil {
		return nil, err
	}
	names := command(ctx, epmd, "-address", loopback, "-port", strconv.Itoa(mapper))
	names.name = epmd
	if err := c.serve(names, dir); err != nil {
		return nil, err
	}
	if err := names.awaitListening(ctx, address(mapper)); err != nil {
		return nil, err
	}
	for i := range rabbitNodes {
		node := filepath.Join(dir, strconv.Itoa(i+1))
		p, err := rabbitCommand(ctx)
		if err != nil {
			return nil, err
		}
		if err := c.serve(p, node, rabbitEnv(dir, node, i, mapper, clients[i], links[i])...); err != nil {
			return nil, err
		}
	}
	for i, p := range c.processes[1:] {
		addresses = append(addresses, address(clients[i]))
		if err := p.awaitListening(ctx, addresses[i]); err != nil {
			return nil, err
		}
	}
	return addresses, nil
}

// rabbitCommand returns a node that replaces its start script, so that a kill ends the
// node.
func rabbitCommand(ctx context.Context) (*process, error) {
	server, err := installed(rabbitServer, rabbitDir)
	if err != nil {
		return nil, err
	}
	p := command(ctx, server, "-noinput")
	p.name = rabbitServer
	return p, nil
}

func rabbitNode(i int) string { return fmt.Sprintf("n%d@localhost", i+1) }

// writeRabbitFiles writes the common files of the nodes: a cookie, an empty list of
// plugins, and default settings with the nodes' names.
func writeRabbitFiles(dir string) error {
	config := "cluster_formation.peer_discovery_backend = classic_config\n"
	for i := range rabbitNodes {
		config += fmt.Sprintf("cluster_formation.classic_config.nodes.%d = %s\n", i+1, rabbitNode(i))
	}
	for name, text := range map[string]string{"rabbitmq.conf": config, "plugins": "[].\n", ".erlang.cookie": rand.Text()} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o400); err != nil {
			return err
		}
	}
	return nil
}

// rabbitEnv returns an environment that keeps a node from the files, ports and names of
// the system's RabbitMQ.
func rabbitEnv(dir, node string, i, mapper, clients, links int) []string {
	return []string{
		"HOME=" + dir, "ERL_CRASH_DUMP_SECONDS=0",
		fmt.Sprintf("ERL_EPMD_PORT=%d", mapper),
		"ERL_FLAGS=-start_epmd false", // an epmd that a node starts would be left behind
		"RABBITMQ_ALLOW_INPUT=1",      // makes the script replace itself by the node
		"RABBITMQ_CONF_ENV_FILE=/dev/null",
		"RABBITMQ_CONFIG_FILE=" + filepath.Join(dir, "rabbitmq.conf"),
		"RABBITMQ_ADVANCED_CONFIG_FILE=" + filepath.Join(dir, "none"),
		"RABBITMQ_ENABLED_PLUGINS_FILE=" + filepath.Join(dir, "plugins"),
		"RABBITMQ_NODENAME=" + rabbitNode(i),
		"RABBITMQ_NODE_IP_ADDRESS=" + loopback,
		fmt.Sprintf("RABBITMQ_NODE_PORT=%d", clients),
		fmt.Sprintf("RABBITMQ_DIST_PORT=%d", links),
		"RABBITMQ_MNESIA_BASE=" + node,
		"RABBITMQ_LOG_BASE=" + node,
		"RABBITMQ_LOGS=-",
		"RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS=-kernel inet_dist_use_interface {127,0,0,1}",
	}
}

var rabbitVersionPattern = regexp.MustCompile(`rabbitmq_server-([^/]+)`)

// rabbitVersion returns the version of the installed server from the name of its
// directory. The server itself takes seconds to print it.
func rabbitVersion() string {
	server, err := installed(rabbitServer, rabbitDir)
	if err == nil {
		server, err = filepath.EvalSymlinks(server)
	}
	if version := rabbitVersionPattern.FindStringSubmatch(server); err == nil && version != nil {
		return version[1]
	}
	return unknownVersion
}

// rabbitConditions describes the settings and the promise of an ack.
func rabbitConditions(version string) string {
	return fmt.Sprintf("%s (rabbitmq-server %s, amqp091-go %s): %d nodes with the defaults, persistent messages, %d confirms outstanding, "+
		"each of which promises that a majority has synced the message; in B3 one consumer, connected to the leader, empties a filled queue "+
		"(prefetch %d, %d messages per ack), since a queue cannot be read twice.",
		rabbitQuorum, version, moduleVersion("github.com/rabbitmq/amqp091-go"), rabbitNodes, window, window, window/4)
}
