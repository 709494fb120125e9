package atonce_test

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/atonce"
)

// looks are how long is looked: not at all, too short for what comes, and long enough.
var looks = []time.Duration{0, time.Nanosecond, time.Minute}

// All that is sent is read, in order, then the end.
func TestRead(t *testing.T) {
	for _, look := range looks {
		near, far := pipe(t)
		r := atonce.NewReader(near)
		const all = 1 << 20
		go func() {
			for sent := 0; sent < all; sent += 1 << 12 {
				far.Write(pattern(sent, 1<<12))
			}
			far.Close()
		}()
		got, b := 0, make([]byte, 5000)
		for {
			n, err := r.Read(b, look)
			if string(b[:n]) != string(pattern(got, n)) {
				t.Fatalf("look %v: other bytes behind %d", look, got)
			}
			got += n
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatalf("look %v: %v", look, err)
			}
		}
		if got != all {
			t.Errorf("look %v: %d bytes, want %d", look, got, all)
		}
	}
}

func TestReadErrors(t *testing.T) {
	for _, look := range looks {
		near, far := pipe(t)
		r := atonce.NewReader(near)
		near.SetReadDeadline(time.Unix(1, 0))
		if n, err := r.Read(make([]byte, 1), look); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("look %v, after the deadline: %d, %v", look, n, err)
		}
		near.SetReadDeadline(time.Time{})
		far.(*net.TCPConn).SetLinger(0)
		far.Close()
		if n, err := r.Read(make([]byte, 1), look); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("look %v, nobody there: %d, %v", look, n, err)
		}
		near.Close()
		if n, err := r.Read(make([]byte, 1), look); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("look %v, closed: %d, %v", look, n, err)
		}
	}
}

// A deadline that passes while nothing comes ends the wait behind the look.
func TestReadDeadline(t *testing.T) {
	near, _ := pipe(t)
	r := atonce.NewReader(near)
	near.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	_, err := r.Read(make([]byte, 1), time.Millisecond)
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("%v is no timeout", err)
	}
}

// A wrapped connection has its own Read.
type wrapped struct{ *net.TCPConn }

func (wrapped) Read([]byte) (int, error) { return 0, errOwn }

var errOwn = errors.New("its own")

func TestReadOfWrapped(t *testing.T) {
	near, far := pipe(t)
	far.Write([]byte("x"))
	r := atonce.NewReader(wrapped{near.(*net.TCPConn)})
	if _, err := r.Read(make([]byte, 1), time.Minute); err != errOwn {
		t.Errorf("%v", err)
	}
}

func TestReadAllocations(t *testing.T) {
	near, far := pipe(t)
	r := atonce.NewReader(near)
	b := make([]byte, 1)
	for _, look := range looks {
		if n := testing.AllocsPerRun(100, func() {
			far.Write(b)
			if _, err := r.Read(b, look); err != nil {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("look %v: %v allocations", look, n)
		}
	}
}
