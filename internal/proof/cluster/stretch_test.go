package cluster_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
)

// A subscriber without our extensions, to which each message comes by itself, and one to
// which they come in stretches see the same through failovers: while they wait, while they
// replay, and with the same fields.
func TestPlainAndStretchesAlike(t *testing.T) {
	cluster.Run(t, downgradeAfter(3*time.Second), func(s *cluster.System) {
		var mu sync.Mutex
		seen := make(map[string][]string) // guarded by mu
		read := func(a *cluster.App, opts ...client.SubscribeOption) *cluster.Reader {
			return a.Handle("orders", func(m *client.Message) error {
				mu.Lock()
				defer mu.Unlock()
				seen[a.Name] = append(seen[a.Name], fmt.Sprintf("%s %s %v x%s k%s by %s, timed: %v",
					m.Topic, m.Data, m.Bookmark, m.CorrelationID, m.SOWKey, m.UserID, !m.Time.IsZero()))
				return m.Discard()
			}, append(opts, client.From(client.Epoch))...)
		}
		servers := []string{"a", "b"}
		pub := s.App("pub", servers, nil)
		readers := []*cluster.Reader{
			read(s.PlainApp("plain", servers, nil)), read(s.App("live", servers, nil)), read(s.App("other", []string{"b", "a"}, nil)),
			read(s.PlainApp("plain timed", servers, nil), client.WithTime()), read(s.App("timed", servers, nil), client.WithTime()),
		}
		last := 0
		for _, down := range []string{"a", "b"} {
			for range 3 {
				pub.PublishN("orders", last+1, last+100)
				last += 100
			}
			pub.FlushSafe()
			s.Node(down).Kill()
			pub.PublishN("orders", last+1, last+100)
			last += 100
			pub.Flush()
			s.Node(down).Start()
			s.AwaitSync()
		}
		readers = append(readers, read(s.PlainApp("plain late", servers, nil)), read(s.App("late", servers, nil)))
		want := cluster.Bodies("pub", 1, last)
		for _, r := range readers {
			if got := r.AwaitN(last); !slices.Equal(got, want) {
				t.Errorf("received %d messages, want %d in order", len(got), last)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for name, like := range map[string]string{"live": "plain", "other": "plain", "late": "plain late", "timed": "plain timed", "plain late": "plain"} {
			if !slices.Equal(seen[name], seen[like]) {
				t.Errorf("%s and %s have not seen the same: %.300q and %.300q", name, like, seen[name], seen[like])
			}
		}
	})
}
