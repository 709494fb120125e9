package heldport

import (
	"fmt"
	"net"
	"os"
	"strconv"
	"syscall"
)

// A Port is a port of the loopback interface that the system assigns to no process
// until it is freed. A process can listen on it by its number, repeatedly: the
// socket that holds it is bound, but does not listen, and allows reuse.
type Port struct {
	Address string
	socket  int
}

// Hold returns a free port.
func Hold() (*Port, error) {
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, os.NewSyscallError("socket", err)
	}
	p := &Port{socket: fd}
	if err := p.bind(); err != nil {
		p.Free()
		return nil, fmt.Errorf("hold a free port: %w", err)
	}
	return p, nil
}

func (p *Port) bind() error {
	if err := syscall.SetsockoptInt(p.socket, syscall.SOL_SOCKET, syscall.SO_REUSEADDR, 1); err != nil {
		return os.NewSyscallError("setsockopt", err)
	}
	if err := syscall.Bind(p.socket, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return os.NewSyscallError("bind", err)
	}
	name, err := syscall.Getsockname(p.socket)
	if err != nil {
		return os.NewSyscallError("getsockname", err)
	}
	p.Address = net.JoinHostPort("127.0.0.1", strconv.Itoa(name.(*syscall.SockaddrInet4).Port))
	return nil
}

// Lend must be called before a process listens on the port.
func (p *Port) Lend() {}

// Free releases the port.
func (p *Port) Free() { syscall.Close(p.socket) }
