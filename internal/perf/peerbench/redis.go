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

// A redisJob is what the process of Redis' clients is told.
type redisJob struct {
	job
	Primary string // address
}

// runRedis does a job with a primary and a replica of its own.
func runRedis(ctx context.Context, b *session, dir string, j job) (sample, error) {
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
	return b.load(ctx, "redis-load", redisJob{j, address(ports[0])})
}

// redisArgs are the settings of a server: the defaults, but for where it is,
// that it syncs before it answers, that it takes no snapshots beside that, and
// that a replica need not wait for others before it is sent what there is.
func redisArgs(port int, role []string) []string {
	return append([]string{
		"--bind", loopback, "--port", strconv.Itoa(port),
		"--appendonly", "yes", "--appendfsync", "always", "--save", "",
		"--repl-diskless-sync-delay", "0",
	}, role...)
}

var redisVersionPattern = regexp.MustCompile(`\bv=(\d+\.\d+\S*)`)

// redisVersion returns the version of the server that is installed.
func redisVersion() string {
	out, err := exec.Command(redisServer, "--version").Output()
	if version := redisVersionPattern.FindSubmatch(out); err == nil && version != nil {
		return string(version[1])
	}
	return unknownVersion
}

// redisConditions says what is measured, and what an ack promises.
func redisConditions(version string) string {
	return fmt.Sprintf("%s (redis-server %s, rueidis %s): a primary and a replica, appendonly yes, appendfsync always, save \"\", else the defaults; "+
		"one connection sends %d XADD and WAIT 1 behind them and waits for all answers, which promise that the primary has synced the messages "+
		"and the replica has them in memory (its file is synced always, too; that the answer waits for it is not promised); "+
		"a failover may lose acked messages, and a message that is sent again is there twice; "+
		"readers XREAD from the primary, %d messages at most at once, in B4 also those not acked yet.",
		redisStreams, version, moduleVersion("github.com/redis/rueidis"), window, redisRead)
}

func address(port int) string { return fmt.Sprintf("%s:%d", loopback, port) }
