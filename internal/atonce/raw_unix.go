//go:build unix

package atonce

import (
	"errors"
	"fmt"
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// A raw is a connection of the system.
type raw struct {
	conn  syscall.RawConn
	write func(fd uintptr) (done bool) // made once: a closure a call would be an allocation

	b   []byte
	n   int
	err error
}

// newRaw returns nil if conn is none of the system's.
func newRaw(conn net.Conn) taker {
	c, is := conn.(syscall.Conn)
	if !is {
		return nil
	}
	rc, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	r := &raw{conn: rc}
	r.write = r.try
	return r
}

// TryWrite implements taker.
func (r *raw) TryWrite(b []byte) (n int, err error) {
	r.b, r.n, r.err = b, 0, nil
	err = r.conn.Write(r.write)
	r.b = nil
	if err == nil {
		err = r.err
	}
	if err != nil {
		return r.n, fmt.Errorf("write: %w", err)
	}
	return r.n, nil
}

// try is called once: it never has the caller wait until the socket is ready.
func (r *raw) try(fd uintptr) (done bool) {
	for {
		n, err := unix.Write(int(fd), r.b)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case errors.Is(err, unix.EAGAIN):
		case err != nil:
			r.err = err
		default:
			r.n = n
		}
		return true
	}
}
