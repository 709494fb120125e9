//go:build !linux

package heldport

import (
	"fmt"
	"net"
)

// A Port is a port of the loopback interface that the system assigns to no process
// until Lend. (On Linux it stays held after that. Here another process can get it
// between Lend and the start of the process that listens, or while that is away.)
type Port struct {
	Address  string
	listener net.Listener
}

// Hold returns a free port.
func Hold() (*Port, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("hold a free port: %w", err)
	}
	return &Port{Address: l.Addr().String(), listener: l}, nil
}

// Lend must be called before a process listens on the port.
func (p *Port) Lend() { p.listener.Close() }

// Free releases the port.
func (p *Port) Free() { p.listener.Close() }
