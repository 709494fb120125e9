package memnet_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// A pair is a network with a connection from host a to host b.
type pair struct {
	*memnet.Network
	t    *testing.T
	ln   net.Listener
	a, b net.Conn
}

// inBubble runs test with a new pair in a bubble.
func inBubble(t *testing.T, test func(t *testing.T, p *pair)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		n := memnet.New()
		ln, err := n.Host("b").Listen(":9007")
		if err != nil {
			t.Fatal(err)
		}
		p := &pair{Network: n, t: t, ln: ln}
		p.a, p.b = p.connect()
		test(t, p)
	})
}

func (p *pair) connect() (a, b net.Conn) {
	p.t.Helper()
	a, err := p.Host("a").Dial(p.t.Context(), "b:9007")
	if err != nil {
		p.t.Fatal(err)
	}
	b, err = p.ln.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { a.Close(); b.Close() })
	return a, b
}

func (p *pair) write(c net.Conn, text string) {
	p.t.Helper()
	if n, err := c.Write([]byte(text)); n != len(text) || err != nil {
		p.t.Fatalf("Write(%q) = %d, %v", text, n, err)
	}
}

// read expects exactly text.
func (p *pair) wantRead(c net.Conn, text string) {
	p.t.Helper()
	got := make([]byte, len(text))
	if n, err := io.ReadFull(c, got); err != nil || string(got) != text {
		p.t.Fatalf("read %q, %v, want %q", got[:n], err, text)
	}
}

// readError expects an error and no byte.
func (p *pair) wantReadError(c net.Conn, want error) {
	p.t.Helper()
	if n, err := c.Read(make([]byte, 10)); n != 0 || !errors.Is(err, want) {
		p.t.Fatalf("Read = %d, %v, want %v", n, err, want)
	}
}

// silent expects that nothing arrives in an hour.
func (p *pair) wantSilence(c net.Conn) {
	p.t.Helper()
	c.SetReadDeadline(time.Now().Add(time.Hour))
	p.wantReadError(c, os.ErrDeadlineExceeded)
	c.SetReadDeadline(time.Time{})
}

func (p *pair) dial(timeout time.Duration) error {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.t.Context(), timeout)
	defer cancel()
	c, err := p.Host("a").Dial(ctx, "b:9007")
	if err == nil {
		c.Close()
	}
	return err
}

func TestBothDirections(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.write(p.a, "ping")
		p.wantRead(p.b, "ping")
		p.write(p.b, "pong")
		p.wantRead(p.a, "pong")
		if p.a.RemoteAddr().String() != "b:9007" || p.a.LocalAddr().String() != p.b.RemoteAddr().String() {
			t.Errorf("addresses: %v to %v, %v to %v", p.a.LocalAddr(), p.a.RemoteAddr(), p.b.LocalAddr(), p.b.RemoteAddr())
		}
		if got := p.Delivered("a", "b"); got != 4 {
			t.Errorf("Delivered = %d", got)
		}
	})
}

func TestCloseIsReadAfterTheData(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.write(p.a, "last words")
		p.a.Close()
		p.wantRead(p.b, "last words")
		p.wantReadError(p.b, io.EOF)
		p.wantReadError(p.a, net.ErrClosed)
		p.write(p.b, "x") // the first one is sent before anything is known
		if _, err := p.b.Write([]byte("y")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Write to a closed end: %v", err)
		}
	})
}

func TestCloseWithUnreadDataResets(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.write(p.a, "never read")
		p.write(p.b, "refused")
		p.b.Close()
		p.wantRead(p.a, "refused")
		p.wantReadError(p.a, syscall.ECONNRESET)
	})
}

func TestHalfClose(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.write(p.a, "question")
		if err := p.a.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := p.a.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write after CloseWrite: %v", err)
		}
		p.wantRead(p.b, "question")
		p.wantReadError(p.b, io.EOF)
		p.write(p.b, "answer")
		p.wantRead(p.a, "answer")
	})
}

func TestCloseWakesWaiters(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		var wg sync.WaitGroup
		wg.Go(func() { p.wantReadError(p.a, net.ErrClosed) })
		wg.Go(func() {
			if _, err := p.a.Write(make([]byte, 1<<20)); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Write: %v", err)
			}
		})
		wg.Go(func() {
			if _, err := p.ln.Accept(); !errors.Is(err, net.ErrClosed) {
				t.Errorf("Accept: %v", err)
			}
		})
		synctest.Wait()
		p.a.Close()
		p.ln.Close()
		wg.Wait()
	})
}

func TestBufferIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.a.SetWriteDeadline(time.Now().Add(time.Second))
		n, err := p.a.Write(make([]byte, 1<<20))
		if n != 64<<10 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write = %d, %v", n, err)
		}
		var timeout net.Error
		if !errors.As(err, &timeout) || !timeout.Timeout() {
			t.Errorf("%v is no timeout", err)
		}
		p.SetBuffer(64<<10 + 5)
		p.a.SetWriteDeadline(time.Time{})
		p.write(p.a, "12345")
	})
}

func TestDeadlines(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		start := time.Now()
		p.a.SetReadDeadline(start.Add(3 * time.Second))
		p.wantReadError(p.a, os.ErrDeadlineExceeded)
		if d := time.Since(start); d != 3*time.Second {
			t.Errorf("gave up after %v", d)
		}
		p.write(p.b, "late")
		p.wantReadError(p.a, os.ErrDeadlineExceeded) // it stays passed
		p.a.SetReadDeadline(time.Time{})
		p.wantRead(p.a, "late")

		p.a.SetDeadline(start) // passed when it is set
		p.wantReadError(p.a, os.ErrDeadlineExceeded)
		if _, err := p.a.Write([]byte("x")); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write: %v", err)
		}

		p.a.SetReadDeadline(time.Time{})
		var wg sync.WaitGroup
		wg.Go(func() { p.wantReadError(p.a, os.ErrDeadlineExceeded) })
		synctest.Wait()
		p.a.SetReadDeadline(time.Now()) // reaches a Read that waits
		wg.Wait()
	})
}

func TestReadChunk(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.SetReadChunk(3)
		p.write(p.a, "12345")
		buf := make([]byte, 10)
		for _, want := range []string{"123", "45"} {
			if n, err := p.b.Read(buf); err != nil || string(buf[:n]) != want {
				t.Errorf("Read = %q, %v, want %q", buf[:n], err, want)
			}
		}
	})
}

func TestAllBytesInOrder(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.SetBuffer(1000)
		p.SetReadChunk(77)
		r := rand.New(rand.NewPCG(1, 2))
		sent := make([]byte, 100_000)
		for i := range sent {
			sent[i] = byte(r.Uint32())
		}
		var wg sync.WaitGroup
		wg.Go(func() {
			for rest := sent; len(rest) > 0; {
				n := min(r.IntN(3000), len(rest))
				p.write(p.a, string(rest[:n]))
				rest = rest[n:]
			}
			p.a.Close()
		})
		got, err := io.ReadAll(p.b)
		wg.Wait()
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("read %d bytes, %v", len(got), err)
		}
	})
}

func TestListenAndDialErrors(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		for addr, want := range map[string]error{
			"b:9008": syscall.ECONNREFUSED,
			"c:9007": syscall.ECONNREFUSED,
		} {
			if _, err := p.Dial(t.Context(), addr); !errors.Is(err, want) {
				t.Errorf("Dial(%s): %v, want %v", addr, err, want)
			}
		}
		if _, err := p.Dial(t.Context(), "nowhere"); err == nil {
			t.Error("Dial without a port is no error")
		}
		if _, err := p.Listen("b:9007"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("second Listen: %v", err)
		}
		if _, err := p.Host("b").Listen("a:1"); !errors.Is(err, syscall.EADDRNOTAVAIL) {
			t.Errorf("Listen at another host's address: %v", err)
		}
		ln, err := p.Host("b").Listen("127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		c, err := p.Dial(t.Context(), ln.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		ln.Close() // not accepted
		p.wantReadError(c, syscall.ECONNRESET)
		c.Close()
		if _, err := p.Dial(t.Context(), ln.Addr().String()); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("Dial after Close: %v", err)
		}
	})
}

func TestBacklogIsBounded(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		var err error
		dialled := 0
		for ; err == nil; dialled++ {
			err = p.dial(time.Second)
		}
		if dialled != 129 || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%d dialled, %v", dialled, err)
		}
		p.ln.Close()
	})
}

func TestCut(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.write(p.a, "before")
		p.Cut("a", "b")
		p.write(p.a, "meanwhile")
		p.wantRead(p.b, "before")
		p.wantSilence(p.b)
		if err := p.dial(time.Minute); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("dial across a cut: %v", err)
		}
		p.a.Close()
		p.wantSilence(p.b)
		p.Heal("a", "b")
		p.wantRead(p.b, "meanwhile")
		p.wantReadError(p.b, io.EOF)
	})
}

func TestDialWaitsForHeal(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.CutOneWay("b", "a")
		time.AfterFunc(30*time.Second, func() { p.Heal("a", "b") })
		start := time.Now()
		if err := p.dial(time.Minute); err != nil || time.Since(start) != 30*time.Second {
			t.Errorf("dial: %v after %v", err, time.Since(start))
		}
	})
}

func TestCutOneWay(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.CutOneWay("a", "b")
		p.write(p.a, "lost for now")
		p.wantSilence(p.b)
		p.write(p.b, "still here")
		p.wantRead(p.a, "still here")
	})
}

func TestCutAfter(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.CutAfter("a", "b", 3)
		p.write(p.b, "the other way doesn't count")
		p.write(p.a, "12")
		p.write(p.a, "345")
		p.wantRead(p.b, "123")
		p.wantSilence(p.b)
		p.write(p.b, "gone too")
		p.wantRead(p.a, "the other way doesn't count")
		p.wantSilence(p.a)
		p.Heal("a", "b")
		p.wantRead(p.b, "45")
	})
}

func TestResetAfter(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.ResetAfter("a", "b", 3)
		p.write(p.a, "12345")
		p.wantRead(p.b, "123")
		p.wantReadError(p.b, syscall.ECONNRESET)
		p.wantReadError(p.a, syscall.ECONNRESET)
		p.a, p.b = p.connect()
		p.write(p.a, "again")
		p.wantRead(p.b, "again")
	})
}

func TestEndAfter(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.FinAfter("a", "b", 3)
		p.write(p.a, "12345")
		p.wantRead(p.b, "123")
		p.wantReadError(p.b, io.EOF)
		if _, err := p.a.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("Write: %v", err)
		}
		p.write(p.b, "the other way is open")
		p.wantRead(p.a, "the other way is open")
		p.a, p.b = p.connect()
		p.write(p.a, "again")
		p.wantRead(p.b, "again")
	})
}

func TestResetEvery(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.ResetEvery("a", "b", 3)
		for range 3 {
			p.write(p.a, "12345")
			p.wantRead(p.b, "123")
			p.wantReadError(p.b, syscall.ECONNRESET)
			p.a, p.b = p.connect()
		}
		p.Heal("a", "b")
		p.write(p.a, "12345")
		p.wantRead(p.b, "12345")
	})
}

func TestReset(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.write(p.a, "lost")
		p.Reset("b", "a")
		p.wantReadError(p.b, syscall.ECONNRESET)
		p.wantReadError(p.a, syscall.ECONNRESET)
		if _, err := p.a.Write([]byte("x")); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("Write: %v", err)
		}
	})
}

func TestKill(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		old := p.Host("b")
		p.write(p.b, "sent")
		p.Kill("b")
		p.wantReadError(p.b, net.ErrClosed)
		if _, err := p.ln.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("Accept: %v", err)
		}
		p.wantRead(p.a, "sent")
		p.wantReadError(p.a, io.EOF)
		if err := p.dial(time.Second); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("dial: %v", err)
		}
		if _, err := old.Listen(":9007"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a killed process listens: %v", err)
		}
		if _, err := old.Dial(t.Context(), "a:1"); !errors.Is(err, net.ErrClosed) {
			t.Errorf("a killed process dials: %v", err)
		}
		ln, err := p.Host("b").Listen(":9007")
		if err != nil {
			t.Fatal(err)
		}
		p.ln = ln
		p.connect()
		p.Kill("never seen")
	})
}

func TestKillBehindACut(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.Cut("a", "b")
		p.Kill("b")
		p.write(p.a, "x")
		p.wantSilence(p.a)
		p.Heal("a", "b")
		p.wantReadError(p.a, syscall.ECONNRESET)
	})
}

func TestPause(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.Pause("b")
		p.b.SetReadDeadline(time.Now().Add(time.Minute))
		var wg sync.WaitGroup
		wg.Go(func() { p.wantRead(p.b, "kept") })
		wg.Go(func() { p.write(p.b, "from the dead") })
		wg.Go(func() {
			c, err := p.ln.Accept()
			if err != nil {
				t.Error(err)
				return
			}
			c.Close()
		})
		p.write(p.a, "kept")
		if err := p.dial(time.Second); err != nil {
			t.Errorf("the kernel of a stopped process didn't answer: %v", err)
		}
		p.b.SetReadDeadline(time.Time{})
		p.wantSilence(p.a)
		p.Resume("b")
		wg.Wait()
		p.wantRead(p.a, "from the dead")
	})
}

func TestKillPaused(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		p.Pause("b")
		var wg sync.WaitGroup
		wg.Go(func() { p.wantReadError(p.b, net.ErrClosed) })
		synctest.Wait()
		p.Kill("b")
		wg.Wait()
		p.wantReadError(p.a, io.EOF)
	})
}

// Many ends at once, for the race detector.
func TestConcurrently(t *testing.T) {
	inBubble(t, func(t *testing.T, p *pair) {
		var wg sync.WaitGroup
		wg.Go(func() {
			for c, err := p.ln.Accept(); err == nil; c, err = p.ln.Accept() {
				wg.Go(func() {
					defer c.Close()
					io.Copy(c, c)
				})
			}
		})
		var dialers sync.WaitGroup
		for range 8 {
			dialers.Go(func() {
				c, err := p.Dial(t.Context(), "b:9007")
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				for range 50 {
					c.SetDeadline(time.Now().Add(time.Second))
					p.write(c, "echo")
					p.wantRead(c, "echo")
				}
			})
		}
		dialers.Wait()
		p.ln.Close()
		wg.Wait()
	})
}
