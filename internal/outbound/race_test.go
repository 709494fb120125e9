package outbound_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"math/big"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/outbound"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
)

// kinds are pairs of connected ends, by kind of connection.
var kinds = map[string]func(t *testing.T) (near, far net.Conn){
	"memnet, 1 byte":   func(t *testing.T) (near, far net.Conn) { return narrow(t, 1) },
	"memnet, 20 bytes": func(t *testing.T) (near, far net.Conn) { return narrow(t, 20) },
	"memnet":           func(t *testing.T) (near, far net.Conn) { return narrow(t, 64<<10) },
	"TCP":              tcp,
	"TLS over TCP":     func(t *testing.T) (near, far net.Conn) { return secure(t, tcp) },
	"TLS over memnet": func(t *testing.T) (near, far net.Conn) {
		return secure(t, func(t *testing.T) (near, far net.Conn) { return narrow(t, 100) })
	},
	"pipe": func(t *testing.T) (near, far net.Conn) { return net.Pipe() },
}

func narrow(t *testing.T, buffer int) (near, far net.Conn) {
	n := memnet.New()
	n.SetBuffer(buffer)
	return connect(t, n)
}

func tcp(t *testing.T) (near, far net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if near, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if far, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { near.Close(); far.Close() })
	return near, far
}

func secure(t *testing.T, pair func(*testing.T) (near, far net.Conn)) (near, far net.Conn) {
	t.Helper()
	near, far = pair(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Server(near, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}}),
		tls.Client(far, &tls.Config{InsecureSkipVerify: true})
}

// Many goroutines add output at once, some inline. Everything arrives once, in the order in which
// the source made it, and before the source's end. Nothing is left for a timer.
func TestEverythingArrives(t *testing.T) {
	for name, pair := range kinds {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			near, far := pair(t)
			r := newRig(t, near, far, outbound.Options{Timeout: time.Minute, ChunkSize: 50})
			got := make(chan []byte)
			go func() {
				all, _ := io.ReadAll(far)
				got <- all
			}()
			addFromMany(r)
			r.set(func() { r.end = io.EOF })
			r.Wake()
			if err := <-r.done; err != nil {
				t.Error(err)
			}
			near.Close()
			if all := <-got; !bytes.Equal(all, r.made.Bytes()) || len(r.parts) > 0 {
				t.Errorf("%d bytes arrived of %d, or other bytes; %d parts are left", len(all), r.made.Len(), len(r.parts))
			}
			if n := r.Pending(); n != 0 {
				t.Errorf("%d bytes are pending", n)
			}
		})
	}
}

// addFromMany adds output from several goroutines.
func addFromMany(r *rig) {
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 100 {
				r.add(fmt.Sprintf("[%d from %d]", i, g))
				if (i+g)%3 == 0 {
					r.Wake()
				} else {
					r.WriteInline()
				}
				if r.Pending() < 0 {
					r.t.Error("fewer than 0 bytes are pending")
				}
			}
		})
	}
	all.Wait()
}

// On a connection that cannot be written without blocking, Run's goroutine writes everything, and
// WriteInline does not block.
func TestBlockingConnections(t *testing.T) {
	for _, name := range []string{"TLS over memnet", "pipe"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := kinds[name](t)
				r := newRig(t, near, far, outbound.Options{})
				defer r.stop(near)
				synctest.Wait()
				for range 3 { // the other end does not read yet
					r.add("news")
					r.WriteInline()
				}
				r.read("newsnewsnews")
				r.add("more")
				r.WriteInline()
				r.read("more")
				if _, inline := r.counts(); inline > 0 {
					t.Errorf("%d calls of Fill were inline", inline)
				}
			})
		})
	}
}

// A speaker is a source that makes the same message each time it is asked to.
type speaker struct {
	w     *outbound.Writer
	speak atomic.Bool
}

func (s *speaker) Fill(b []byte, _ bool) ([]byte, time.Time, error) {
	s.w.Greeted()
	if s.speak.CompareAndSwap(true, false) {
		b = append(b, "message"...)
	}
	return b, outbound.Idle, nil
}

func TestInlineDoesNotAllocate(t *testing.T) {
	near, far := tcp(t)
	s := new(speaker)
	s.w = outbound.New(near, s, outbound.Options{Timeout: time.Minute})
	ended := make(chan error)
	go func() { ended <- s.w.Run() }()
	b := make([]byte, 7)
	if n := testing.AllocsPerRun(100, func() {
		s.speak.Store(true)
		s.w.WriteInline()
		if _, err := io.ReadFull(far, b); err != nil {
			t.Fatal(err)
		}
	}); n > 0 {
		t.Errorf("%v allocations", n)
	}
	near.Close()
	s.speak.Store(true)
	s.w.WriteInline()
	if err := <-ended; err == nil {
		t.Error("Run ends well on a closed connection")
	}
}
