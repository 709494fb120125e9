//go:build !linux

package heldport

import (
	"fmt"
	"net"
)

// A Port is a port of the loopback interface that the system gives to nobody
// until a process is started that listens on it. (On Linux it stays held while
// that process is away. Here it can be lost in the moment between.)
type Port struct {
	Address string
	holder  net.Listener
}

// Hold returns a port that nobody uses.
func Hold() (*Port, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("hold a free port: %w", err)
	}
	return &Port{Address: l.Addr().String(), holder: l}, nil
}

// Lend is called before a process is to listen on the port.
func (p *Port) Lend() { p.holder.Close() }

// Free gives the port back to the system.
func (p *Port) Free() { p.holder.Close() }
