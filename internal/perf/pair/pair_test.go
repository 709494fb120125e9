package pair_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
	"github.com/holdfast-mq/holdfast/internal/testkit/instance"
)

// The test's own program is also the instances, real ones and these.
func TestMain(m *testing.M) {
	instance.Main()
	if len(os.Args) == 4 && os.Args[1] == "hang" {
		fail(hang())
	}
	if len(os.Args) == 4 && os.Args[1] == "start" {
		fail(start())
	}
	if len(os.Args) == 4 && os.Args[1] == "die" {
		fail(errors.New("no disk for this one"))
	}
	os.Exit(m.Run())
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// reportTo names the variable with the address that an instance connects to
// for as long as it lives.
const reportTo = "HOLDFAST_TEST_REPORT"

// hang is an instance that never becomes ready.
func hang() error {
	if _, err := net.Dial("tcp", os.Getenv(reportTo)); err != nil {
		return err
	}
	select {}
}

// An instance that ends during the start ends the start, which says why.
func TestAnInstanceDiesAtOnce(t *testing.T) {
	p, err := pair.Start(t.Context(), t.TempDir(), pair.Options{Command: []string{os.Args[0], "die"}})
	if err == nil || !strings.Contains(err.Error(), "ended by itself") || !strings.Contains(err.Error(), "no disk for this one") {
		t.Errorf("the error is %v", err)
	}
	if p[0].Alive() || p[1].Alive() {
		t.Error("an instance is left")
	}
	if err := p[0].Start(t.Context()); err == nil {
		t.Error("an instance of a closed pair starts")
	}
}

// A start that is interrupted ends, and leaves nothing: before it, while the
// configurations are written, with one instance there and with both.
func TestInterruptedStart(t *testing.T) {
	for _, tt := range []struct {
		name      string
		links     int // that are laid before
		instances int // that run before
	}{{"before", 0, 0}, {"the first configuration", 1, 0}, {"the second configuration", 2, 0}, {"an instance", 2, 1}, {"both instances", 2, 2}} {
		t.Run(tt.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			t.Setenv(reportTo, l.Addr().String())
			left := make(chan []net.Conn, 1)
			go func() { left <- accept(l, tt.instances, cancel) }()
			links := 0
			through := func(_, _, address string) (string, error) {
				if links++; links == tt.links && tt.instances == 0 {
					cancel()
				}
				return address, nil
			}
			if tt.links == 0 {
				cancel()
			}
			p, err := pair.Start(ctx, t.TempDir(), pair.Options{Command: []string{os.Args[0], "hang"}, PeerAddress: through})
			if !errors.Is(err, context.Canceled) || p[0].Alive() || p[1].Alive() {
				t.Errorf("a lives: %v, b lives: %v, error %v", p[0].Alive(), p[1].Alive(), err)
			}
			l.Close()
			for _, c := range <-left {
				if n, err := c.Read(make([]byte, 1)); err == nil {
					t.Errorf("an instance says %d bytes after the end", n)
				}
			}
		})
	}
}

// accept takes connections until the listener is closed, and cancels with the nth.
func accept(l net.Listener, n int, cancel func()) (conns []net.Conn) {
	for {
		c, err := l.Accept()
		if err != nil {
			return conns
		}
		if conns = append(conns, c); len(conns) == n {
			cancel()
		}
	}
}

// An instance comes back at its own ports; one that ends by itself later is told, too.
func TestRestart(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := pair.Start(ctx, t.TempDir(), pair.Options{Command: instance.Command()})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if err := errors.Join(p[0].Kill(), p[0].Start(ctx), p.AwaitSync(ctx)); err != nil {
		t.Fatal(err)
	}
	if err := p[1].Stop(); err != nil {
		t.Error(err)
	}
	if err := errors.Join(p[0].UnexpectedExit(), p[1].UnexpectedExit()); err != nil {
		t.Errorf("an end that was meant is an error: %v", err)
	}
	if err := p[0].Process().Kill(); err != nil { // nobody asked for it
		t.Fatal(err)
	}
	for p[0].Alive() {
		runtime.Gosched()
	}
	if err := p[0].Start(ctx); err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Errorf("an instance that has ended by itself is started again: %v", err)
	}
}
