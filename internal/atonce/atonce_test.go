package atonce_test

import (
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/atonce"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
)

// pipe returns the two ends of a connection of the system.
func pipe(t testing.TB) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	near, err = net.Dial("tcp", l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	far, err = l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func writer(t testing.TB, conn net.Conn) *atonce.Writer {
	t.Helper()
	w := atonce.New(conn)
	if w == nil {
		t.Skip("this system can't write without waiting")
	}
	return w
}

// It takes what fits and never waits; all of it arrives, in order.
func TestWrite(t *testing.T) {
	near, far := pipe(t)
	w := writer(t, near)
	const all = 32 << 20 // more than lies between the ends
	sent := 0
	for full := false; !full; {
		n, err := w.Write(pattern(sent, 1<<20))
		if err != nil {
			t.Fatal(err)
		}
		sent += n
		full = n < 1<<20
		if sent > all {
			t.Fatal("it takes for ever")
		}
	}
	read := make(chan error)
	go func() {
		b := make([]byte, sent)
		_, err := io.ReadFull(far, b)
		if err == nil && string(b) != string(pattern(0, sent)) {
			err = errors.New("other bytes have arrived")
		}
		read <- err
	}()
	if err := <-read; err != nil {
		t.Fatal(err)
	}
	if n, err := w.Write([]byte("again")); n != 5 || err != nil {
		t.Errorf("%d, %v", n, err)
	}
}

// pattern returns n bytes of a text that begins at a place.
func pattern(at, n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte((at + i) * 7 >> 3)
	}
	return b
}

func TestErrors(t *testing.T) {
	near, _ := pipe(t)
	w := writer(t, near)
	if err := near.SetWriteDeadline(time.Unix(1, 0)); err != nil {
		t.Fatal(err)
	}
	if n, err := w.Write([]byte("x")); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("after the deadline: %d, %v", n, err)
	}
	near.Close()
	if n, err := w.Write([]byte("x")); n != 0 || !errors.Is(err, net.ErrClosed) {
		t.Errorf("closed: %d, %v", n, err)
	}
}

func TestNobodyThere(t *testing.T) {
	near, far := pipe(t)
	w := writer(t, near)
	far.(*net.TCPConn).SetLinger(0)
	far.Close()
	if _, err := near.Read(make([]byte, 1)); err == nil {
		t.Fatal("there is nothing to read")
	}
	if n, err := w.Write([]byte("x")); n != 0 || err == nil {
		t.Errorf("%d, %v", n, err)
	}
}

func TestAllocations(t *testing.T) {
	near, far := pipe(t)
	w := writer(t, near)
	out, in := []byte("message"), make([]byte, 7)
	if n := testing.AllocsPerRun(100, func() {
		if n, err := w.Write(out); n < len(out) || err != nil {
			t.Fatal(n, err)
		}
		if _, err := io.ReadFull(far, in); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// A connection in memory has a way of its own, one that is wrapped has none.
func TestNew(t *testing.T) {
	n := memnet.New()
	l, err := n.Listen("a:1")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	conn, err := n.Dial(t.Context(), "a:1")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if atonce.New(conn) == nil {
		t.Error("none for memnet")
	}
	if atonce.New(struct{ net.Conn }{conn}) != nil {
		t.Error("one for a connection that it knows nothing of")
	}
}

func TestTurn(t *testing.T) {
	turn := atonce.NewTurn()
	if !turn.Try() || turn.Try() {
		t.Error("one at a time")
	}
	turn.Give()
	turn.Take()
	if turn.Try() {
		t.Error("it is taken")
	}
	turn.Give()
}
