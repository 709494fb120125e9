//go:build linux

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A facility is something of the system that faults are made of.
type facility string

const (
	filtering facility = "nft"
	random    facility = "nft numgen"
	rejecting facility = "nft reject"
	shaping   facility = "tc tbf"
	injecting facility = "strace inject"
	loops     facility = "loop devices with ext4"
)

// findFacilities tries each facility and returns why those fail that do. The
// network must have been made.
func findFacilities(dir string) map[facility]error {
	missing := make(map[facility]error)
	for f, try := range map[facility]func() error{
		filtering: func() error { return tryFilter(cutAll()) },
		random:    func() error { return tryFilter(lose(1)) },
		rejecting: func() error { return tryFilter(resetAll()) },
		shaping:   tryThrottle,
		injecting: tryInject,
		loops:     func() error { return tryLoop(filepath.Join(dir, "try")) },
	} {
		if err := try(); err != nil {
			missing[f] = fmt.Errorf("%s: %s", f, strings.ReplaceAll(err.Error(), "\n", " "))
		}
	}
	return missing
}

func tryFilter(r rules) error {
	if err := filter(hostA, r); err != nil {
		return err
	}
	return filter(hostA, rules{})
}

func tryThrottle() error {
	if err := throttle(hostA, 1000); err != nil {
		return err
	}
	return throttle(hostA, 0)
}

// tryInject runs a command whose every write fails.
func tryInject() error {
	return runTool("strace", "-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", "inject=fsync:error=EIO:delay_enter=1", "true")
}

func tryLoop(dir string) error {
	defer os.RemoveAll(dir)
	d, err := newDisk(dir, false)
	if err != nil {
		return err
	}
	return d.detach()
}
