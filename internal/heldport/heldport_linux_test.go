package heldport_test

import (
	"net"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/holdfast-mq/holdfast/internal/heldport"
)

// The system assigns a held port to no socket, whether a process has listened on it
// before or not. A socket that names the port can listen on it.
func TestHold(t *testing.T) {
	p, err := heldport.Hold()
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := bindWithin(t, p.Address); err != unix.EADDRINUSE {
			t.Errorf("the system gives the port to a listener: %v", err)
		}
		if err := connectWithin(t, p.Address); err != unix.EADDRNOTAVAIL {
			t.Errorf("the system gives the port to a connection: %v", err)
		}
		if c, err := net.Dial("tcp", p.Address); err == nil {
			t.Errorf("%v answers although no process listens", c.RemoteAddr())
		}
		l, err := net.Listen("tcp", p.Address)
		if err != nil {
			t.Fatal(err)
		}
		l.Close()
	}
	p.Free()
	if err := bindWithin(t, p.Address); err != nil {
		t.Errorf("a freed port cannot be bound: %v", err)
	}
}

// within returns a socket to which the system can assign only the port of an address.
func within(t *testing.T, address string) (socket int) {
	t.Helper()
	_, text, _ := net.SplitHostPort(address)
	port, _ := strconv.Atoi(text)
	socket, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.SetsockoptInt(socket, unix.IPPROTO_IP, unix.IP_LOCAL_PORT_RANGE, port|port<<16); err != nil {
		unix.Close(socket)
		t.Skipf("a socket can't be bound to a range of ports here: %v", err) // before Linux 6.3
	}
	return socket
}

func bindWithin(t *testing.T, address string) error {
	socket := within(t, address)
	defer unix.Close(socket)
	return unix.Bind(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}})
}

// connectWithin connects to a listener from that port.
func connectWithin(t *testing.T, address string) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	socket := within(t, address)
	defer unix.Close(socket)
	return unix.Connect(socket, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: l.Addr().(*net.TCPAddr).Port})
}
