//go:build linux

package main

import (
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/nats-io/nats-server/v2/server"
	nats "github.com/nats-io/nats.go"
	"golang.org/x/sys/unix"
)

// conditions describes the conditions of the measurement.
func conditions(dir string, o options) string {
	return strings.Join(append([]string{
		fmt.Sprintf("Medians of %s in turns, in parentheses holdfast's figure over the peer's.", plural(o.Runs, "run")),
		fmt.Sprintf("%s, %s, Linux %s, %s, load %s at the start.", plural(runtime.NumCPU(), "core"), fileSystem(dir), kernel(), runtime.Version(), loadAverage()),
		fmt.Sprintf("Bodies of %d bytes of JSON; %s in B1 and B3.", o.Size, plural(o.Messages, "message")),
		fmt.Sprintf("holdfast and the bare pipeline: two copies, acked when both are synced (fdatasync, in groups), %d messages in flight;", bareWindow),
		fmt.Sprintf("holdfast's publisher keeps a pubstore.File, and downgrade_after is %v.", downgradeAfter),
		fmt.Sprintf("JetStream (nats-server %s, nats.go %s): R2 and R3 are two and three file-stored copies on as many servers,", server.VERSION, nats.Version),
		fmt.Sprintf("\"always\" is with sync_interval: always, the others with its default, %d messages in flight, ordered consumers.", window),
	}, peerConditions(o)...), " ")
}

// peerConditions describes the installed ones of the optional peers.
func peerConditions(o options) (all []string) {
	if o.includes(redisStreams) && !redisMissing() {
		all = append(all, redisConditions(redisVersion()))
	}
	if o.includes(rabbitQuorum) && !rabbitMissing() {
		all = append(all, rabbitConditions(rabbitVersion()))
	}
	return all
}

// moduleVersion returns the version of a module in this binary.
func moduleVersion(path string) string {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, m := range info.Deps {
			if m.Path == path {
				return strings.TrimPrefix(m.Version, "v")
			}
		}
	}
	return unknownVersion
}

const unknownVersion = "of an unknown version"

func kernel() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return unknownVersion
	}
	return unix.ByteSliceToString(u.Release[:])
}

// loadAverage returns the load of the last minute. If it is above 0.2 or so, other
// processes were at work.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	average, _, _ := strings.Cut(string(text), " ")
	return average
}

// fileSystem returns the type of the file system that holds dir.
func fileSystem(dir string) string {
	text, err := os.ReadFile("/proc/self/mounts")
	if err != nil {
		return "an unknown file system"
	}
	var longest, kind string
	for mount := range strings.Lines(string(text)) {
		fields := strings.Fields(mount)
		if len(fields) < 3 {
			continue
		}
		if at := fields[1]; within(dir, at) && len(at) >= len(longest) {
			longest, kind = at, fields[2]
		}
	}
	return kind
}

// within reports whether dir is the directory at or below it.
func within(dir, at string) bool {
	return at == "/" || dir == at || strings.HasPrefix(dir, at+"/")
}

// checkOnDisk returns an error if dir is in memory, where a sync costs nothing.
func checkOnDisk(dir string) error {
	if kind := fileSystem(dir); kind == "tmpfs" || kind == "ramfs" {
		return fmt.Errorf("%s is in memory (%s), where syncs cost nothing: choose a -dir on a disk", dir, kind)
	}
	return nil
}
