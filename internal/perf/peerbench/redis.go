//go:build linux

package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
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
	Primary string   // address
	Await   []string // command that returns when both servers have what was sent before
}

// runRedis does a job with a primary and a replica of its own.
func runRedis(ctx context.Context, b *bench, dir string, j job) (sample, error) {
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
		if err := p.listens(ctx, address(ports[i])); err != nil {
			return nil, err
		}
	}
	return b.load(ctx, "redis-load", redisJob{j, address(ports[0]), redisAwait(redisVersion())})
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

// redisAwait is the strongest command that a version has to wait for a replica.
func redisAwait(version string) []string {
	var major, minor int
	fmt.Sscanf(version, "%d.%d", &major, &minor)
	if major > 7 || major == 7 && minor >= 2 {
		return []string{"WAITAOF", "1", "1", "0"}
	}
	return []string{"WAIT", "1", "0"}
}

var redisSays = regexp.MustCompile(`\bv=(\d+\.\d+\S*)`)

// redisVersion returns the version of the server that is installed.
func redisVersion() string {
	out, err := exec.Command(redisServer, "--version").Output()
	if version := redisSays.FindSubmatch(out); err == nil && version != nil {
		return string(version[1])
	}
	return unknownVersion
}

// redisConditions says what is measured, and what an ack promises.
func redisConditions(version string) string {
	await := redisAwait(version)
	promise := "promises that the primary has synced it and the replica has it in memory: the replica syncs its own file always, " +
		"too, but no answer says that it has"
	if await[0] == "WAITAOF" {
		promise = "promises that both have synced it"
	}
	return fmt.Sprintf("%s (redis-server %s, rueidis %s): a primary and a replica, appendonly yes, appendfsync always, save \"\", else the defaults; "+
		"one connection sends %d XADD with %s behind them and waits for all answers, which %s; neither keeps an acked message "+
		"through every failover, and nothing tells a message that is sent again; readers XREAD from the primary, %d messages at most at once, also those not acked yet.",
		redisStreams, version, moduleVersion("github.com/redis/rueidis"), window, strings.Join(await[:len(await)-1], " "), promise, redisRead)
}

func address(port int) string { return fmt.Sprintf("%s:%d", loopback, port) }
