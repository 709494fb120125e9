//go:build !unix

package pair

import (
	"errors"
	"os"
	"os/exec"
)

// HasSignals says whether a process can be stopped and continued here.
const HasSignals = false

var errNoSignals = errors.New("no signals on this system")

// terminate has no gentle form here.
func terminate(p *os.Process) error { return p.Kill() }
func suspend(*os.Process) error     { return errNoSignals }
func resume(*os.Process) error      { return errNoSignals }

// Detach is for systems with process groups.
func Detach(*exec.Cmd) {}

// interrupt has no gentle form here.
func interrupt(p *os.Process) error { return p.Kill() }
