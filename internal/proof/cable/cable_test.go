package cable

import (
	"io"
	"net"
	"testing"
)

// echo is a server that sends its input back.
func echo(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				io.Copy(c, c)
				c.Close()
			}()
		}
	}()
	return l.Addr().String()
}

// passes reports whether a new connection through the cable brings bytes back.
func passes(t *testing.T, p *Cable) (net.Conn, bool) {
	t.Helper()
	c, err := net.Dial("tcp", p.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.Write([]byte("hello")); err != nil {
		return c, false
	}
	var b [5]byte
	_, err = io.ReadFull(c, b[:])
	return c, err == nil && string(b[:]) == "hello"
}

// A cut ends open connections and refuses new ones; after the repair they pass again.
func TestCable(t *testing.T) {
	p, err := New(echo(t))
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	c, ok := passes(t, p)
	if !ok {
		t.Fatal("nothing comes through")
	}
	p.SetCut(true)
	if n, err := c.Read(make([]byte, 1)); err == nil {
		t.Errorf("read %d bytes over a cut cable", n)
	}
	if _, ok := passes(t, p); ok {
		t.Error("a new connection passes a cut cable")
	}
	p.SetCut(false)
	if _, ok := passes(t, p); !ok {
		t.Error("nothing comes through when it is mended")
	}
}
