package servertest

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/server"
)

// A T is what this package needs of a test: *testing.T, *testing.B, *testing.F
// and testing.TB are one, and where there is no test a [Program] is.
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Cleanup(func())
	TempDir() string
}

// An Option changes what New and NewPair make.
type Option func(*options)

type options struct {
	real      bool
	log       bool
	start     bool
	configure []func(*server.Config)
}

// Real uses the loopback interface and the test's directory in place of a
// network and disks in memory. It is for measuring, and for clients in other
// processes; it does not work in a bubble, and most faults can't be made.
func Real() Option { return func(o *options) { o.real = true } }

// Logged writes what the servers log to the test's log, and what the clients
// log whose configuration comes from Client.
func Logged() Option { return func(o *options) { o.log = true } }

// Stopped doesn't start the servers: Restart does.
func Stopped() Option { return func(o *options) { o.start = false } }

// Config changes the configuration of each server at each start, after
// everything else has been set. Change its name, its addresses and its disk
// only if you know what follows.
func Config(change func(*server.Config)) Option {
	return func(o *options) { o.configure = append(o.configure, change) }
}

// DowngradeAfter is how long the one of a pair waits for the other before acks
// go on without it, saying that they come from one server only. Without it an
// instance waits for ever.
func DowngradeAfter(d time.Duration) Option {
	return Config(func(cfg *server.Config) {
		if cfg.Replication == nil {
			return
		}
		for i := range cfg.Replication.Destinations {
			cfg.Replication.Destinations[i].DowngradeAfter = server.Duration(d)
		}
	})
}

// A world is what the instances of a test have in common.
type world struct {
	t          T
	o          options
	net        *memnet.Network // nil: Real
	log        *slog.Logger    // nil: none
	publishers *publishers
}

func newWorld(t T, opts []Option) *world {
	w := &world{t: t, o: options{start: true}, publishers: newPublishers()}
	for _, opt := range opts {
		opt(&w.o)
	}
	if !w.o.real {
		w.net = memnet.New()
	}
	if w.o.log {
		out := &testLog{t: t}
		t.Cleanup(out.end)
		w.log = slog.New(slog.NewTextHandler(out, nil))
	}
	return w
}

// A testLog writes to a test's log until the test has ended: a client that was
// not closed may go on.
type testLog struct {
	mu    sync.Mutex
	t     T
	ended bool // guarded by mu
}

func (l *testLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.ended {
		l.t.Logf("%s", strings.TrimSuffix(string(p), "\n"))
	}
	return len(p), nil
}

func (l *testLog) end() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.ended = true
}

// inMemory fails the test if what it calls needs the network or disk in memory.
func (w *world) inMemory(what string) {
	w.t.Helper()
	if w.net == nil {
		w.t.Fatalf("servertest: %s needs the network and disk in memory: make the servers without servertest.Real()", what)
	}
}

// patience is how long anything may take that the test waits for.
const patience = time.Minute

// await asks until what is missing is nothing, and fails the test if that
// takes too long.
func (w *world) await(what string, missing func() error) {
	w.t.Helper()
	began := time.Now()
	for {
		err := missing()
		if err == nil {
			return
		}
		if time.Since(began) > patience {
			w.t.Fatalf("servertest: waited %v for %s: %v", patience, what, err)
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// uri is a server's address as a client wants it.
func uri(address string) string { return fmt.Sprintf("tcp://%s/amps/json", address) }
