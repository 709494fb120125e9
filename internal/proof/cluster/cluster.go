// Package cluster runs a whole system in memory, in a testing/synctest bubble: instances
// of the server, publisher and subscriber applications, on a network and on disks that
// fail on demand. At the end it checks the guarantees for journals (client/GUARANTEES.md
// G3, G4, G5).
package cluster

import (
	"bytes"
	"context"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testkit/loglines"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/server"
)

// A System is instances and applications on one network. It is for one
// goroutine, in a bubble.
type System struct {
	TB  testing.TB
	Net *memnet.Network
	Log *slog.Logger

	lines   *loglines.Recorder // compares the lines of instances and clients with server/LOGS.md
	nodes   []*Node
	closers []func() // of the applications
}

// Run runs a scenario in a bubble, on a pair of instances a and b that
// replicate synchronously, set up by configure, which may be nil. When the
// scenario returns, everything still running is closed and the journals are
// verified.
func Run(t *testing.T, configure func(*server.Config), scenario func(s *System)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := New(t)
		s.Pair(configure)
		scenario(s)
		s.Finish()
	})
}

// New returns a system without instances.
func New(t testing.TB) *System {
	s := &System{TB: t, Net: memnet.New(), Log: slog.New(slog.DiscardHandler)}
	if testing.Verbose() {
		s.Log = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelInfo}))
	}
	var err error
	if s.lines, err = loglines.NewRecorder("../../..", s.Log.Handler(), "host"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.checkLines)
	t.Cleanup(s.close) // of a scenario that has failed
	return s
}

// logger returns the logger of an instance or client on a host.
func (s *System) logger(host string) *slog.Logger { return slog.New(s.lines).With("host", host) }

// checkLines fails the test if a line of the log is not as server/LOGS.md says.
func (s *System) checkLines() {
	for _, fault := range s.lines.Faults() {
		s.TB.Errorf("log: %s", fault)
	}
}

// testWriter writes a log to a test.
type testWriter struct{ t testing.TB }

func (w testWriter) Write(b []byte) (int, error) {
	w.t.Logf("%s", bytes.TrimRight(b, "\n"))
	return len(b), nil
}

// Pair adds and starts a and b, and returns when both serve clients and are in sync.
func (s *System) Pair(configure func(*server.Config)) {
	s.TB.Helper()
	a, b := s.Add("a", configure, "b"), s.Add("b", configure, "a")
	a.Start()
	b.Start()
	s.AwaitSync()
}

// Add adds an instance that replicates synchronously to its peers. Its
// clients connect to NAME:9007. It is not started yet.
func (s *System) Add(name string, configure func(*server.Config), peers ...string) *Node {
	n := &Node{Name: name, FS: memfs.New(), system: s}
	n.Config = server.Config{
		Name:          name,
		Group:         "pair",
		Data:          "data",
		Clients:       server.ClientPort{Listen: name + ":9007", Insecure: true},
		Replication:   &server.Replication{Listen: name + ":9107", SecretKey: linkSecret},
		RejoinTimeout: server.Duration(2 * time.Second),
		Logger:        s.logger(name),
	}
	n.Config.Log.Segment = 1 << 20
	for _, peer := range peers {
		n.Config.Replication.Destinations = append(n.Config.Replication.Destinations,
			server.Destination{Name: peer, Address: peer + ":9107", Ack: "sync"})
	}
	if len(peers) == 0 {
		n.Config.Replication.Peers = []string{"a", "b"} // which feed it
	}
	if configure != nil {
		configure(&n.Config)
	}
	n.FS.SetSyncDelay(SyncTime)
	s.nodes = append(s.nodes, n)
	return n
}

// linkSecret is the secret of the links.
var linkSecret = []byte("the secret of the proof's cluster")[:32]

// SyncTime is the time of an fsync of an instance.
const SyncTime = 200 * time.Microsecond

// Node returns the instance of that name.
func (s *System) Node(name string) *Node {
	s.TB.Helper()
	i := slices.IndexFunc(s.nodes, func(n *Node) bool { return n.Name == name })
	if i < 0 {
		s.TB.Fatalf("no instance %q", name)
	}
	return s.nodes[i]
}

// AwaitSync returns when every running instance is ready and all their links
// to running peers are in sync.
func (s *System) AwaitSync() {
	s.TB.Helper()
	s.Await("the instances to be in sync", func() bool {
		for _, n := range s.nodes {
			if n.Server != nil && !n.inSync() {
				return false
			}
		}
		return true
	})
}

// waitTimeout is how long anything may take, in virtual time.
const waitTimeout = 2 * time.Minute

// Await returns when condition holds. It is asked every few virtual milliseconds.
func (s *System) Await(description string, condition func() bool) {
	s.TB.Helper()
	for start := time.Now(); ; {
		synctest.Wait()
		if condition() {
			return
		}
		if time.Since(start) > waitTimeout {
			s.TB.Fatalf("waited %v for %s", waitTimeout, description)
		}
		s.Advance(2 * time.Millisecond)
	}
}

// Advance lets virtual time pass.
func (s *System) Advance(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// Context returns a context that ends after the bound.
func (s *System) Context() (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.Background(), waitTimeout)
}

// Servers returns the addresses of instances as a client wants them.
func (s *System) Servers(names ...string) []string {
	var servers []string
	for _, name := range names {
		servers = append(servers, "tcp://"+name+":9007/amps/json")
	}
	return servers
}

// Cut cuts the link between two instances, or an application and an instance.
func (s *System) Cut(a, b string) { s.Net.Cut(a, b) }

// Heal ends a cut.
func (s *System) Heal(a, b string) { s.Net.Heal(a, b) }

// onClose has f called at the end, before the instances stop.
func (s *System) onClose(f func()) { s.closers = append(s.closers, f) }

// Finish closes applications and instances and verifies the journals: each
// for itself (G3, G4), and if all instances were running, that those of one
// group hold the same messages (G5).
func (s *System) Finish() {
	s.TB.Helper()
	s.close()
	for _, n := range s.nodes {
		n.Verify()
	}
}

// close closes everything that still runs.
func (s *System) close() {
	for _, f := range slices.Backward(s.closers) {
		f()
	}
	s.closers = nil
	for _, n := range s.nodes {
		n.Stop()
	}
}

// CheckSame fails unless two instances hold the same messages of every publisher, in the same order.
func (s *System) CheckSame(a, b string) {
	s.TB.Helper()
	ja, jb := s.Node(a).Stored(), s.Node(b).Stored()
	for publisher, messages := range ja {
		if !slices.Equal(messages, jb[publisher]) {
			s.TB.Errorf("publisher %d:\n%s has %s\n%s has %s", publisher, a, strings.Join(messages, " "), b, strings.Join(jb[publisher], " "))
		}
	}
	for publisher, messages := range jb {
		if _, known := ja[publisher]; !known {
			s.TB.Errorf("publisher %d: %s has nothing, %s has %s", publisher, a, b, strings.Join(messages, " "))
		}
	}
}
