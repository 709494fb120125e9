package main_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/exitcode"
)

// The table of exit codes lists every code, and the systemd unit restarts the process accordingly.
func TestExitCodesAndUnit(t *testing.T) {
	source, err := os.ReadFile("main.go")
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^//\t *(\d+)  .*  (yes|no)$`).FindAllStringSubmatch(string(source), -1)
	var codes, final []int
	for _, row := range rows {
		code, _ := strconv.Atoi(row[1])
		codes = append(codes, code)
		if row[2] == "no" && code != exitcode.OK {
			final = append(final, code)
		}
	}
	if want := []int{exitcode.OK, exitcode.Failed, exitcode.Panic, exitcode.Disk, exitcode.Damaged, exitcode.NewerFormat, exitcode.Config}; !slices.Equal(codes, want) {
		t.Errorf("the table has %v, want %v", codes, want)
	}
	if !slices.Equal(final, exitcode.NoRestart) {
		t.Errorf("the table keeps %v down, want %v", final, exitcode.NoRestart)
	}
	unit, err := os.ReadFile("../../deploy/holdfastd@.service")
	if err != nil {
		t.Fatal(err)
	}
	section, _, _ := strings.Cut(string(unit), "[Service]")
	if !strings.Contains(section, "\nStartLimitIntervalSec=0\n") {
		t.Error("the unit gives up after some starts")
	}
	keepsDown := "\nRestartPreventExitStatus=" + strings.Trim(fmt.Sprint(exitcode.NoRestart), "[]") + "\n"
	if !strings.Contains(string(unit), keepsDown) || !strings.Contains(string(unit), "\nRestart=on-failure\n") {
		t.Errorf("the unit does not have %q with Restart=on-failure", keepsDown)
	}
}

// A damaged journal without a peer ends the instance with its own exit code.
func TestDamagedLoneExit(t *testing.T) {
	dir := t.TempDir()
	file := write(t, dir, lone)
	p := start(t, "-config", file)
	p.awaitReady()
	c := connect(t, p.addr, "pubber")
	c.publish(1, 300)
	c.publish(301, 301) // its batch begins with a note that the earlier ones are durable: damage to them is no torn tail
	p.cmd.Process.Kill()
	p.cmd.Wait()
	segment := filepath.Join(dir, "journal", "0000000000000000.log")
	b, err := os.ReadFile(segment)
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(b), "message 1")
	if at < 0 {
		t.Fatal("the segment has no message 1")
	}
	b[at] ^= 1
	if err := os.WriteFile(segment, b, 0o600); err != nil {
		t.Fatal(err)
	}
	p = start(t, "-config", file)
	if code := p.exit(); code != exitcode.Damaged || !strings.Contains(p.stderr.String(), "-accept-damage") {
		t.Errorf("exit %d, want %d; said:\n%s", code, exitcode.Damaged, p.stderr)
	}
}
