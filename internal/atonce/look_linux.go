package atonce

import (
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// A look reads from a connection of the system.
type look struct {
	conn syscall.RawConn
	read func(fd uintptr) (done bool) // made once: a closure a call would be an allocation

	b     []byte
	until time.Time
	n     int
	err   error
}

// newLooker returns nil if conn is not one of the system's itself: what has one
// within may have a Read of its own.
func newLooker(conn net.Conn) looker {
	var c syscall.Conn
	switch conn := conn.(type) {
	case *net.TCPConn:
		c = conn
	case *net.UnixConn:
		c = conn
	default:
		return nil
	}
	rc, err := c.SyscallConn()
	if err != nil {
		return nil
	}
	l := &look{conn: rc}
	l.read = l.try
	return l
}

// lookAndRead implements looker.
func (l *look) lookAndRead(b []byte, look time.Duration) (n int, err error) {
	l.b, l.until, l.n, l.err = b, time.Now().Add(look), 0, nil
	err = l.conn.Read(l.read)
	l.b = nil
	if err == nil {
		err = l.err
	}
	switch {
	case err != nil:
		return l.n, fmt.Errorf("read: %w", err)
	case l.n == 0 && len(b) > 0:
		return 0, io.EOF
	}
	return l.n, nil
}

// try is called again when the socket is ready, if it says that it is not done.
func (l *look) try(fd uintptr) (done bool) {
	for {
		n, err := unix.Read(int(fd), l.b)
		switch {
		case err == nil:
			l.n = n
			return true
		case errors.Is(err, unix.EINTR):
		case !errors.Is(err, unix.EAGAIN):
			l.err = err
			return true
		case !time.Now().Before(l.until):
			return false
		default:
			yield()
		}
	}
}

// yield lets the goroutines of this process run, then the other processes. The
// scheduler is told of the call: it may take as long as they do.
func yield() {
	runtime.Gosched()
	syscall.Syscall(unix.SYS_SCHED_YIELD, 0, 0, 0)
}
