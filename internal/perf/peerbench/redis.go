//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// redisStreams is the contender's name.
const redisStreams = "Redis streams"

const redisServer = "redis-server"

func redisMissing() bool {
	_, err := installed(redisServer)
	return err != nil
}

// A redisJob is the specification of Redis' client process.
type redisJob struct {
	job
	Primary string // address
}

// runRedis runs a job on its own primary and replica.
func runRedis(ctx context.Context, s *session, dir string, j job) (sample, error) {
	c := new(cluster)
	defer c.stop()
	ports, err := c.holdPorts(2)
	if err != nil {
		return nil, err
	}
	for i, role := range [][]string{nil, {"--replicaof", loopback, strconv.Itoa(ports[0])}} {
		p := command(ctx, redisServer, redisArgs(ports[i], role)...)
		p.name = redisServer
		if err := c.serve(p, filepath.Join(dir, strconv.Itoa(i))); err != nil {
			return nil, err
		}
		if err := p.awaitListening(ctx, address(ports[i])); err != nil {
			return nil, err
		}
	}
	return s.load(ctx, "redis-load", redisJob{j, address(ports[0])})
}

// redisArgs returns the settings of a server: the defaults, except for its address,
// syncs before each answer, no snapshots, and no delay before the first replication.
func redisArgs(port int, role []string) []string {
	return append([]string{
		"--bind", loopback, "--port", strconv.Itoa(port),
		"--appendonly", "yes", "--appendfsync", "always", "--save", "",
		"--repl-diskless-sync-delay", "0",
	}, role...)
}

var redisVersionPattern = regexp.MustCompile(`\bv=(\d+\.\d+\S*)`)

// redisVersion returns the version of the installed server.
func redisVersion() string {
	out, err := exec.Command(redisServer, "--version").Output()
	if version := redisVersionPattern.FindSubmatch(out); err == nil && version != nil {
		return string(version[1])
	}
	return unknownVersion
}

// redisConditions describes the settings and the promise of an ack.
func redisConditions(version string) string {
	return fmt.Sprintf("%s (redis-server %s, rueidis %s): a primary and a replica, appendonly yes, appendfsync always, save \"\", otherwise the defaults; "+
		"one connection sends %d XADD followed by WAIT 1 and waits for all answers, which promise that the primary has synced the messages "+
		"and the replica has them in memory (the replica also has appendfsync always, but the answer need not wait for its sync); "+
		"a failover may lose acked messages, and a retried message is stored twice; "+
		"readers XREAD from the primary, up to %d messages at once, in B4 also those not acked yet.",
		redisStreams, version, moduleVersion("github.com/redis/rueidis"), window, redisRead)
}

func address(port int) string { return fmt.Sprintf("%s:%d", loopback, port) }
