package scenario_test

import (
	"bytes"
	"encoding/hex"
	"log/slog"
	"strings"
	"sync"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/server"
)

// A said is the log of an instance, warnings and errors.
type instanceLog struct {
	mu   sync.Mutex
	text bytes.Buffer // guarded by mu
}

func (s *instanceLog) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(b)
}

// listen keeps the log of an instance from its next start on.
func (w *world) listen(n *cluster.Node) {
	s := new(instanceLog)
	w.logs[n.Name] = s
	n.Config.Logger = slog.New(slog.NewTextHandler(s, &slog.HandlerOptions{Level: slog.LevelWarn}))
}

// said reports whether an instance has logged some words.
func (w *world) said(c *command) string {
	w.TB.Helper()
	s := w.logs[c.name(0)]
	if s == nil {
		c.fail("there is no instance %s", c.name(0))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if strings.Contains(s.text.String(), strings.Join(c.names[1:], " ")) {
		return c.name(0) + ": yes"
	}
	return c.name(0) + ": no"
}

// named gives two instances other names than those of their hosts.
func renamed(a, b string, names []string) func(*server.Config) {
	if names == nil {
		return func(*server.Config) {}
	}
	name := map[string]string{a: names[0], b: names[1]}
	return func(sc *server.Config) {
		sc.Name = name[sc.Name]
		for i := range sc.Replication.Destinations {
			d := &sc.Replication.Destinations[i]
			d.Name = name[d.Name]
		}
	}
}

// dials has a dead instance look for its peer at another's address.
func (w *world) dials(c *command) string {
	w.TB.Helper()
	w.Node(c.name(0)).Config.Replication.Destinations[0].Address = c.name(1) + ":9107"
	return ""
}

// met has a dead instance with an empty disk be one that has met a running one's
// group, and got nothing of it.
func (w *world) met(c *command) string {
	w.TB.Helper()
	b, err := hex.DecodeString(w.Node(c.name(1)).Server.Status().Cluster)
	if err != nil || len(b) == 0 {
		c.fail("%s has no cluster id: %v", c.name(1), err)
	}
	w.Node(c.name(0)).Join(journal.ClusterID(b), false)
	return ""
}
