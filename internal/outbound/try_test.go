package outbound

import (
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// pipe returns the two ends of a TCP connection. near can be written without blocking.
func pipe(t *testing.T) (near tryWriter, nearConn, far *net.TCPConn) {
	t.Helper()
	l, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if nearConn, err = net.DialTCP("tcp", nil, l.Addr().(*net.TCPAddr)); err != nil {
		t.Fatal(err)
	}
	if far, err = l.AcceptTCP(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nearConn.Close(); far.Close() })
	near = tryWriterOf(nearConn)
	if near == nil {
		if runtime.GOOS == "linux" || runtime.GOOS == "darwin" {
			t.Fatal("a TCP connection can't be written without blocking")
		}
		t.Skip("this system can't write without blocking")
	}
	return near, nearConn, far
}

// pattern returns n bytes of a fixed text, from the offset at.
func pattern(at, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((at + i) * 7 >> 3)
	}
	return b
}

// TryWrite takes the bytes that fit and never blocks. All of them arrive in order.
func TestTryWrite(t *testing.T) {
	w, _, far := pipe(t)
	const most = 32 << 20 // more than fits between the ends
	sent := 0
	for full := false; !full; {
		n, err := w.TryWrite(pattern(sent, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		sent += n
		full = n < 1<<20
		if sent > most {
			t.Fatal("the connection is never full")
		}
	}
	b := make([]byte, sent)
	if _, err := io.ReadFull(far, b); err != nil || string(b) != string(pattern(0, sent)) {
		t.Errorf("other bytes arrive (%v)", err)
	}
	if n, err := w.TryWrite([]byte("again")); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestTryWriteErrors(t *testing.T) {
	w, near, far := pipe(t)
	try := func(want error) {
		t.Helper()
		if n, err := w.TryWrite([]byte("x")); n != 0 || !errors.Is(err, want) {
			t.Errorf("%d, %v, want %v", n, err, want)
		}
	}
	near.SetWriteDeadline(time.Unix(1, 0))
	try(os.ErrDeadlineExceeded)
	near.SetWriteDeadline(time.Time{})
	far.SetLinger(0)
	far.Close()
	if _, err := near.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Fatal(err)
	}
	try(syscall.EPIPE)
	near.Close()
	try(net.ErrClosed)
}

// A connection that embeds a connection of the system may have its own Write.
func TestWrappedConnections(t *testing.T) {
	_, near, _ := pipe(t)
	type wrapped struct{ *net.TCPConn }
	if tryWriterOf(wrapped{near}) != nil {
		t.Error("a wrapped connection is written without its own Write")
	}
}
