//go:build linux

package main

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// notInstalled returns the names of the contenders that are not installed.
func (bm benchmark) notInstalled() (names []string) {
	for _, c := range bm.contenders {
		if c.notInstalled() {
			names = append(names, c.name)
		}
	}
	return names
}

// skippedLine returns a line that counts the selected contenders that are not installed.
func skippedLine(results []result) string {
	var names []string
	for _, r := range results {
		names = append(names, r.notInstalled...)
	}
	slices.Sort(names)
	if names = slices.Compact(names); len(names) == 0 {
		return "0 skipped."
	}
	return fmt.Sprintf("%d skipped, not installed: %s.", len(names), strings.Join(names, ", "))
}

// installed returns the path of a command. It looks in dirs before the search path.
func installed(command string, dirs ...string) (path string, err error) {
	for _, dir := range dirs {
		if path, err := exec.LookPath(filepath.Join(dir, command)); err == nil {
			return path, nil
		}
	}
	return exec.LookPath(command)
}
