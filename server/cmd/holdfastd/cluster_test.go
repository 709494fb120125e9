package main_test

import (
	"fmt"
	"runtime"
	"strings"
	"syscall"
	"testing"
)

// writeGroupConfig writes the configuration of an instance with one peer.
func writeGroupConfig(t *testing.T, name, peer, address, rejoin string) (file string) {
	t.Helper()
	return write(t, t.TempDir(), fmt.Sprintf("name: %s\ngroup: g\ndata: journal\nclients: {listen: \"127.0.0.1:0\"}\nrejoin_timeout: %s\n"+
		"replication: {listen: \"127.0.0.1:0\", destinations: [{name: %s, address: %q}]}\n", name, rejoin, peer, address))
}

// replication reads the first line of standard output and returns the replication address in it.
func (p *process) replication() (address string) {
	p.t.Helper()
	for field := range strings.FieldsSeq(p.line()) {
		if text, is := strings.CutPrefix(field, "replication="); is {
			address = text
		}
	}
	return address
}

// wantStopped ends a process and checks that it has served no client until then.
func (p *process) wantStopped() {
	p.t.Helper()
	p.signal(syscall.SIGTERM)
	if code := p.exit(); code != 0 {
		p.t.Errorf("exit %d; log:\n%s", code, p.stderr)
	}
}

// An instance that starts for the first time without its peer serves nobody and says why, unless it
// is started with -bootstrap. An instance of another group with a mistyped address is refused, and
// both log it.
func TestGroups(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no signals between processes there")
	}
	const nobody = "127.0.0.1:1"
	production := writeGroupConfig(t, "a", "b", nobody, "10ms")
	waits := start(t, "-config", production)
	waits.replication()
	waits.stderr.await(t, "no clients are served")
	waits.wantStopped()

	a := start(t, "-config", production, "-bootstrap")
	address := a.replication()
	if line := a.line(); !strings.HasPrefix(line, "ready ") {
		t.Fatalf("said %q", line)
	}
	staging := start(t, "-config", writeGroupConfig(t, "b", "a", address, "1h"), "-bootstrap")
	staging.replication()
	for _, p := range []*process{a, staging} {
		p.stderr.await(t, "two clusters")
	}
	staging.wantStopped()
	a.wantStopped()
}
