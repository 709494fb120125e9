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

// The test binary is also the instances, real ones and those below.
func TestMain(m *testing.M) {
	instance.Main()
	if len(os.Args) == 4 && os.Args[1] == "hang" {
		exitWith(hang())
	}
	if len(os.Args) == 4 && os.Args[1] == "start" {
		exitWith(start())
	}
	if len(os.Args) == 4 && os.Args[1] == "die" {
		exitWith(errors.New("no disk for this one"))
	}
	os.Exit(m.Run())
}

func exitWith(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

// reportTo is the environment variable with an address to which an instance stays
// connected while it lives.
const reportTo = "HOLDFAST_TEST_REPORT"

// hang is an instance that never becomes ready.
func hang() error {
	if _, err := net.Dial("tcp", os.Getenv(reportTo)); err != nil {
		return err
	}
	select {}
}

// If an instance ends during the start, Start returns an error with the reason.
func TestInstanceDiesDuringStart(t *testing.T) {
	p, err := pair.Start(t.Context(), t.TempDir(), pair.Options{Command: []string{os.Args[0], "die"}})
	if err == nil || !strings.Contains(err.Error(), "ended by itself") || !strings.Contains(err.Error(), "no disk for this one") {
		t.Errorf("the error is %v", err)
	}
	if p[0].Alive() || p[1].Alive() {
		t.Error("an instance is still running")
	}
	if err := p[0].Start(t.Context()); err == nil {
		t.Error("an instance of a closed pair starts")
	}
}

// An interrupted start ends and leaves nothing behind: an interrupt before it, while the
// configurations are written, with one instance running and with both.
func TestInterruptedStart(t *testing.T) {
	for _, tt := range []struct {
		name      string
		links     int // links configured before the interrupt
		instances int // instances running before the interrupt
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
			peerAddress := func(_, _, address string) (string, error) {
				if links++; links == tt.links && tt.instances == 0 {
					cancel()
				}
				return address, nil
			}
			if tt.links == 0 {
				cancel()
			}
			p, err := pair.Start(ctx, t.TempDir(), pair.Options{Command: []string{os.Args[0], "hang"}, PeerAddress: peerAddress})
			if !errors.Is(err, context.Canceled) || p[0].Alive() || p[1].Alive() {
				t.Errorf("a lives: %v, b lives: %v, error %v", p[0].Alive(), p[1].Alive(), err)
			}
			l.Close()
			for _, c := range <-left {
				if n, err := c.Read(make([]byte, 1)); err == nil {
					t.Errorf("an instance sent %d bytes after the end", n)
				}
			}
		})
	}
}

// accept accepts connections until the listener is closed, and cancels at the nth.
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

// An instance restarts on its own ports. One that ends by itself later is reported.
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
		t.Errorf("an intended end is an error: %v", err)
	}
	if err := p[0].Process().Kill(); err != nil { // not through the Instance
		t.Fatal(err)
	}
	for p[0].Alive() {
		runtime.Gosched()
	}
	if err := p[0].Start(ctx); err == nil || !strings.Contains(err.Error(), "ended by itself") {
		t.Errorf("an instance that has ended by itself is started again: %v", err)
	}
}
