//go:build unix

package outbound

import (
	"errors"
	"syscall"

	"golang.org/x/sys/unix"
)

// A rawConn is a TCP or Unix connection of the operating system.
type rawConn struct {
	conn  syscall.RawConn
	write func(fd uintptr) (done bool) // made once, because a closure for each call would allocate

	b   []byte
	n   int
	err error
}

// newRawConn returns nil for a connection that is closed.
func newRawConn(conn syscall.Conn) tryWriter {
	rc, err := conn.SyscallConn()
	if err != nil {
		return nil
	}
	r := &rawConn{conn: rc}
	r.write = r.writeOnce
	return r
}

// TryWrite implements tryWriter.
func (r *rawConn) TryWrite(b []byte) (n int, err error) {
	r.b, r.n, r.err = b, 0, nil
	err = r.conn.Write(r.write)
	r.b = nil
	if err == nil {
		err = r.err
	}
	return r.n, err
}

// writeOnce does one write. It always returns true, because the runtime must not wait until the
// socket is ready.
func (r *rawConn) writeOnce(fd uintptr) (done bool) {
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
