//go:build !unix

package pair

import (
	"errors"
	"os"
	"os/exec"
)

// HasSignals reports whether processes can get signals on this system.
const HasSignals = false

var errNoSignals = errors.New("no signals on this system")

// terminate kills: this system has no gentle form.
func terminate(p *os.Process) error { return p.Kill() }
func suspend(*os.Process) error     { return errNoSignals }
func resume(*os.Process) error      { return errNoSignals }

// Detach does nothing: this system has no process groups.
func Detach(*exec.Cmd) {}

// interrupt kills: this system has no gentle form.
func interrupt(p *os.Process) error { return p.Kill() }
