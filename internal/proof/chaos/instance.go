//go:build linux

package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/exitcode"
)

// An instance is one holdfastd of the pair.
type instance struct {
	process
	dir        string // holds its configuration and log
	disk       *disk  // holds its journal
	fsyncDelay string // unless empty, each fsync of its next lives is delayed, in microseconds
}

const (
	clientPort  = 9007
	replicaPort = 9107
	adminPort   = 8085
)

// configuration is of an instance that replicates synchronously to its peer.
// Segments are small, so that a full disk is met soon and there are many of them.
const configuration = `name: %s
group: pair
data: ./disk/journal
clients:
  listen: %s:%d
  insecure: true
replication:
  listen: %s:%d
  secret: link.key
  destinations:
    - name: %s
      address: %s:%d
      ack: sync
      downgrade_after: 1s
admin:
  listen: %s:%d
  insecure: true
log:
  segment: 512KiB
rejoin_timeout: 3s
drain_timeout: 3s
`

// newInstance makes the disk and the configuration of an instance.
func newInstance(host, peer, dir, binary string, plainDisk bool, fail func(error)) (*instance, error) {
	in := &instance{dir: filepath.Join(dir, host)}
	var err error
	if in.disk, err = newDisk(in.dir, plainDisk); err != nil {
		return nil, err
	}
	secret := strings.Repeat("5e", 32) // each instance has a copy; the network is ours
	if err := os.WriteFile(filepath.Join(in.dir, "link.key"), []byte(secret), 0o600); err != nil {
		return nil, err
	}
	config := filepath.Join(in.dir, "holdfastd.yaml")
	in.process = process{
		name: host, host: host, onUnexpectedEnd: fail,
		log: filepath.Join(in.dir, "holdfastd.log"),
		args: func() []string {
			line := []string{binary, "-config", config}
			if in.fsyncDelay != "" { // -D: the instance stays our child
				line = append(append(straceLine(filepath.Join(in.dir, "strace.out"), "delay_enter="+in.fsyncDelay), "-D"), line...)
			}
			return line
		},
	}
	text := fmt.Sprintf(configuration, host, address(host), clientPort, address(host), replicaPort,
		peer, address(peer), replicaPort, adminAddress(host), adminPort)
	return in, os.WriteFile(config, []byte(text), 0o644)
}

func (in *instance) journal() string { return filepath.Join(in.disk.mount, "journal") }

// serverURI is where clients connect to the instance on host.
func serverURI(host string) string {
	return fmt.Sprintf("tcp://%s:%d/amps/json", address(host), clientPort)
}

// startReady starts the instance and returns when it serves clients.
func (in *instance) startReady(ctx context.Context) error {
	ready := make(chan struct{}, 1)
	err := in.start(func(line string) {
		if strings.HasPrefix(line, "ready") {
			ready <- struct{}{}
		}
	})
	if err != nil {
		return err
	}
	select {
	case <-ready:
		return nil
	case <-in.ended():
		return fmt.Errorf("instance %s ended before it was ready; its log is %s", in.name, in.log)
	case <-time.After(stepTimeout):
		return fmt.Errorf("instance %s was not ready within %v", in.name, stepTimeout)
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// stop ends the instance in good order.
func (in *instance) stop() error {
	in.expectEnd()
	if err := in.signal(syscall.SIGTERM); err != nil {
		return err
	}
	return in.awaitExit(0)
}

// A linkStatus is the status of a link to the peer.
type linkStatus struct{ State, Ack string }

// A status is the status that an instance reports.
type status struct {
	Ready    bool
	Stopping bool
	Outdated string
	Links    []linkStatus
	Full     bool // publishes are refused, the disk is nearly full
}

// status asks the instance; ready: it serves. ok is false if it does not answer.
func (in *instance) status() (s status, ready, ok bool) {
	client := http.Client{Timeout: time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(fmt.Sprintf("http://%s:%d/status", adminAddress(in.host), adminPort))
	if err != nil {
		return s, false, false
	}
	defer response.Body.Close()
	err = json.NewDecoder(io.LimitReader(response.Body, 1<<20)).Decode(&s)
	return s, s.Ready && !s.Stopping && s.Outdated == "", err == nil
}

// inSync reports whether the instance serves and its link to the peer counts and is in sync.
func (in *instance) inSync() bool {
	s, ready, ok := in.status()
	return ok && ready && len(s.Links) == 1 && s.Links[0] == linkStatus{"sync", "counting"}
}

// awaitFull returns when the instance refuses publishes since its disk is full,
// or, false, has ended because of that.
func (in *instance) awaitFull() (refuses bool, err error) {
	return in.awaitEither(true)
}

// awaitRoom returns when the instance takes publishes again; false: it does not run.
func (in *instance) awaitRoom() (runs bool, err error) {
	return in.awaitEither(false)
}

// awaitEither returns when the instance says that its disk is full, or not, or
// has ended with the exit code of a disk.
func (in *instance) awaitEither(full bool) (said bool, err error) {
	deadline := time.After(stepTimeout)
	for {
		if s, _, ok := in.status(); ok && s.Full == full {
			return true, nil
		}
		select {
		case <-in.ended():
			return false, in.awaitExit(exitcode.Disk)
		case <-deadline:
			return false, fmt.Errorf("%s did not report within %v that its disk is full: %v; its log is %s", in.name, stepTimeout, full, in.log)
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// awaitSync returns when both instances are in sync with each other.
func awaitSync(ctx context.Context, pair [2]*instance) error {
	deadline := time.After(2 * stepTimeout)
	for !pair[0].inSync() || !pair[1].inSync() {
		select {
		case <-time.After(10 * time.Millisecond):
		case <-deadline:
			return errors.New("the pair did not come into sync")
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}

// lastLines returns the end of a file, for a failure.
func lastLines(file string, n int) []string {
	f, err := os.Open(file)
	if err != nil {
		return nil
	}
	defer f.Close()
	var lines []string
	for scan := bufio.NewScanner(f); scan.Scan(); {
		lines = append(lines, scan.Text())
		if len(lines) > n {
			lines = lines[1:]
		}
	}
	return lines
}
