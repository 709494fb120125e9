package servertest

import (
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/server"
)

// This module's own tests reach the disk and the network in memory through testdoor, since their
// types are internal. Both are nil with Real. PowerCut, Kill and Wipe replace the disk.
func init() {
	testdoor.OffersPart(func(i *Instance) *memfs.FS { return i.disk })
	testdoor.OffersPart(func(p *Pair) *memnet.Network { return p.net })
}

// A T has the methods of a test that this package uses. *testing.T, *testing.B,
// *testing.F and testing.TB implement it. Code without a test uses a [Program].
type T interface {
	Helper()
	Fatalf(format string, args ...any)
	Logf(format string, args ...any)
	Cleanup(func())
	TempDir() string
}

// An Option changes the servers that New and NewPair make: Real, Verbose, Unstarted, TLS, Users,
// Config or DowngradeAfter.
type Option func(*options)

type options struct {
	real      bool
	log       bool
	start     bool
	ca        *CA    // nil: no TLS
	users     []User // nil: any client may log on
	configure []func(*server.Config)
}

// Real uses the loopback interface and a temporary directory of the test in place
// of the network and the disks in memory. It is for measurements and for clients in
// other processes. It does not work in a bubble, and most faults are not available.
func Real() Option { return func(o *options) { o.real = true } }

// Verbose writes the log lines of the servers to the test's log, and those of the
// clients whose configuration comes from Client.
func Verbose() Option { return func(o *options) { o.log = true } }

// Unstarted makes New and NewPair return without starting the servers. It is for tests that
// configure them first ([Instance.Configure]), start one alone, or start clients before
// servers. Restart or Start starts an instance, and AwaitReady waits until it serves clients.
func Unstarted() Option { return func(o *options) { o.start = false } }

// TLS gives the servers TLS at their client ports and on their links, with certificates
// of the CA. A client need not present a certificate, but one that it presents must be
// of the CA. Client returns configurations that trust the CA; [CA.Client] makes one with
// a certificate.
func TLS(ca *CA) Option { return func(o *options) { o.ca = ca } }

// Config changes the configuration of each server at each start, after this package
// has set everything else. The package relies on the name, the addresses and the
// disk: do not change these without a good reason.
func Config(change func(*server.Config)) Option {
	return func(o *options) { o.configure = append(o.configure, change) }
}

// DowngradeAfter sets how long an instance of a pair waits for its peer before it
// goes on without it. From then on its acks say that only one server has the
// message. Without this option an instance waits for ever.
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

// A world is shared by the instances of one test.
type world struct {
	t          T
	opts       options
	net        *memnet.Network // nil: Real
	log        *slog.Logger    // nil: none
	usersPath  string          // file of the users; empty: none
	publishers *publishers
}

func newWorld(t T, opts []Option) *world {
	w := &world{t: t, opts: options{start: true}, publishers: newPublishers()}
	for _, opt := range opts {
		opt(&w.opts)
	}
	if !w.opts.real {
		w.net = memnet.New()
	}
	if w.opts.log {
		out := &testLog{t: t}
		t.Cleanup(out.end)
		w.log = slog.New(slog.NewTextHandler(out, nil))
	}
	if w.opts.users != nil {
		w.usersPath = w.usersFile(w.opts.users)
	}
	return w
}

// A testLog writes to a test's log until the test has ended. A client that was not
// closed may still log after that, when Logf would panic.
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

// requireInMemory fails the test if it runs with Real: the named method needs the
// network or the disk in memory.
func (w *world) requireInMemory(method string) {
	w.t.Helper()
	if w.net == nil {
		w.t.Fatalf("servertest: %s needs the network and disk in memory: make the servers without servertest.Real()", method)
	}
}

// awaitTimeout is the longest time for which a method waits.
const awaitTimeout = time.Minute

// await calls condition until it returns nil. It fails the test after awaitTimeout.
func (w *world) await(what string, condition func() error) {
	w.t.Helper()
	began := time.Now()
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Since(began) > awaitTimeout {
			w.t.Fatalf("servertest: waited %v for %s: %v", awaitTimeout, what, err)
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// uri returns the connection URI of a server for a client.
func (w *world) uri(address string) string {
	scheme := "tcp"
	if w.opts.ca != nil {
		scheme = "tcps"
	}
	return fmt.Sprintf("%s://%s/amps/json", scheme, address)
}
