package cluster_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
)

// A publisher without our extensions, which sends each message by itself, and one that
// sends batches have the same topic, and so have subscribers to which each message comes by
// itself and others to which they come in stretches. Through failovers, while they wait
// and while they replay, both journals are the same, and all subscribers see the same of
// each publisher, with the same fields.
func TestPlainAndStretchesAlike(t *testing.T) {
	cluster.Run(t, downgradeAfter(3*time.Second), func(s *cluster.System) {
		var mu sync.Mutex
		seen := make(map[string][]string) // guarded by mu
		read := func(a *cluster.App, opts ...client.SubscribeOption) *cluster.Reader {
			return a.Handle("orders", func(m *client.Message) error {
				mu.Lock()
				defer mu.Unlock()
				seen[a.Name] = append(seen[a.Name], fmt.Sprintf("%s %s %v x%s k%s by %s, timed: %v",
					m.Topic, m.Body, m.Bookmark, m.CorrelationID, m.SOWKey, m.UserID, !m.Time.IsZero()))
				return m.Discard()
			}, append(opts, client.From(client.Epoch))...)
		}
		servers := []string{"a", "b"}
		pubs := []*cluster.App{s.App("pub", servers, nil), s.PlainApp("old", servers, nil)}
		readers := []*cluster.Reader{
			read(s.PlainApp("plain", servers, nil)), read(s.App("live", servers, nil)), read(s.App("other", []string{"b", "a"}, nil)),
			read(s.PlainApp("plain timed", servers, nil), client.WithTime()), read(s.App("timed", servers, nil), client.WithTime()),
		}
		last := 0
		publish := func() {
			for _, pub := range pubs {
				pub.PublishN("orders", last+1, last+100)
			}
			last += 100
		}
		for _, down := range []string{"a", "b"} {
			for range 3 {
				publish()
			}
			for _, pub := range pubs {
				pub.FlushSafe()
			}
			s.Node(down).Kill()
			publish()
			for _, pub := range pubs {
				pub.Flush()
			}
			s.Node(down).Start()
			s.AwaitSync()
		}
		readers = append(readers, read(s.PlainApp("plain late", servers, nil)), read(s.App("late", servers, nil)))
		for _, r := range readers {
			got := r.AwaitN(len(pubs) * last)
			for _, pub := range pubs {
				if of := withPrefix(got, pub.Name); !slices.Equal(of, cluster.Bodies(pub.Name, 1, last)) {
					t.Errorf("received %d messages of %s, want %d in order", len(of), pub.Name, last)
				}
			}
		}
		s.Finish()
		s.CheckSame("a", "b")
		mu.Lock()
		defer mu.Unlock()
		for name, like := range map[string]string{"live": "plain", "other": "plain", "late": "plain late", "timed": "plain timed", "plain late": "plain"} {
			for _, pub := range pubs {
				one, other := withPrefix(seen[name], "orders "+pub.Name), withPrefix(seen[like], "orders "+pub.Name)
				if !slices.Equal(one, other) {
					t.Errorf("%s and %s have not seen the same: %.300q and %.300q", name, like, one, other)
				}
			}
		}
	})
}

// withPrefix returns the texts that begin so, in order.
func withPrefix(texts []string, prefix string) (some []string) {
	for _, text := range texts {
		if strings.HasPrefix(text, prefix) {
			some = append(some, text)
		}
	}
	return some
}
