package pair_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
	"github.com/holdfast-mq/holdfast/server"
)

// The test's own program is also the instances: what its first argument says.
func TestMain(m *testing.M) {
	if len(os.Args) == 4 {
		if be, ok := instances[os.Args[1]]; ok {
			if err := be(os.Args[3]); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
			return
		}
	}
	os.Exit(m.Run())
}

var instances = map[string]func(config string) error{"serve": serve, "hang": hang, "b-dies": bDies}

// serve is a real instance.
func serve(config string) error {
	cfg, err := server.LoadConfig(config)
	if err != nil {
		return err
	}
	s, err := server.Start(cfg)
	if err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	select {
	case <-s.Ready():
		fmt.Println("ready")
	case <-ctx.Done():
	}
	<-ctx.Done()
	return s.Shutdown(context.Background())
}

// reportTo names the variable with the address that an instance connects to
// for as long as it lives.
const reportTo = "HOLDFAST_TEST_REPORT"

// hang is an instance that never becomes ready.
func hang(string) error {
	if _, err := net.Dial("tcp", os.Getenv(reportTo)); err != nil {
		return err
	}
	select {}
}

// bDies is a real instance a; instance b ends at once.
func bDies(config string) error {
	if strings.HasSuffix(config, "b/holdfastd.yaml") {
		return errors.New("no disk for b")
	}
	return serve(config)
}

func command(instance string) []string { return []string{os.Args[0], instance} }

// An instance that ends during the start ends the start, which says why.
func TestAnInstanceDiesAtOnce(t *testing.T) {
	p, err := pair.Start(t.Context(), t.TempDir(), pair.Options{Command: command("b-dies")})
	if err == nil || !strings.Contains(err.Error(), "instance b ended by itself") || !strings.Contains(err.Error(), "no disk for b") {
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
			p, err := pair.Start(ctx, t.TempDir(), pair.Options{Command: command("hang"), Through: through})
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
	p, err := pair.Start(ctx, t.TempDir(), pair.Options{Command: command("serve")})
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
	if err := errors.Join(p[0].Ended(), p[1].Ended()); err != nil {
		t.Errorf("an end that was meant is an error: %v", err)
	}
}
