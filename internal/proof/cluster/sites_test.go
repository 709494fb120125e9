package cluster_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/server"
)

// withSites runs a scenario on two sites, a b and c d: in sync with each other
// inside, asynchronously across.
func withSites(t *testing.T, scenario func(*cluster.System)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		s := cluster.New(t)
		across := func(others ...string) func(*server.Config) {
			return func(c *server.Config) {
				for _, other := range others {
					c.Replication.Destinations = append(c.Replication.Destinations,
						server.Destination{Name: other, Address: other + ":9107", Ack: "async"})
				}
			}
		}
		var nodes []*cluster.Node
		for _, n := range []struct{ name, peer, far, further string }{
			{"a", "b", "c", "d"}, {"b", "a", "d", "c"}, {"c", "d", "a", "b"}, {"d", "c", "b", "a"},
		} {
			nodes = append(nodes, s.Add(n.name, across(n.far, n.further), n.peer))
		}
		for _, n := range nodes {
			n.Start()
		}
		s.AwaitSync()
		scenario(s)
		s.Finish()
	})
}

// Case 18 between two sites, each of which is in sync with itself. A site is
// lost. A publisher goes on at the other one; a bookmark subscription does not
// follow it there, goes on when one instance of its own site is back, and has
// missed nothing.
func TestCase18TwoSites(t *testing.T) {
	withSites(t, func(s *cluster.System) {
		everywhere := []string{"a", "b", "c", "d"}
		pub := s.App("pub", everywhere, nil)
		sub := s.App("sub", everywhere, nil)
		bold := s.App("bold", everywhere, nil)
		careful := sub.Read("orders", true, client.From(client.Epoch))
		told := bold.Read("orders", true, client.From(client.Epoch), client.AllowUnreplicated())
		pub.PublishN("orders", 1, 20)
		pub.FlushSafe()
		wantExactly(t, careful.AwaitN(20), cluster.Bodies("pub", 1, 20))
		wantExactly(t, told.AwaitN(20), cluster.Bodies("pub", 1, 20))

		s.Node("a").Kill()
		sub.AwaitServer("b")
		s.Node("b").Kill()
		pub.PublishN("orders", 21, 40)
		pub.FlushSafe() // on both of the other site
		wantExactly(t, told.AwaitN(40), cluster.Bodies("pub", 1, 40))
		s.Advance(time.Minute)
		st := sub.Client.Stats()
		if st.State == client.StateLive || st.AsyncRefusals == 0 {
			t.Errorf("the subscriber is %v, %d refusals, %v", st.State, st.AsyncRefusals, st.LastFailure)
		}
		if len(careful.Bodies()) != 20 || careful.Err() != nil {
			t.Errorf("it got %d messages, %v", len(careful.Bodies()), careful.Err())
		}

		s.Node("b").Start()
		sub.AwaitServer("b")
		s.Node("a").Start()
		s.AwaitSync()
		pub.PublishN("orders", 41, 60)
		pub.FlushSafe()
		wantExactly(t, careful.AwaitN(60), cluster.Bodies("pub", 1, 60))
		wantExactly(t, told.AwaitN(60), cluster.Bodies("pub", 1, 60))
		s.Finish()
		for _, other := range []string{"b", "c", "d"} {
			s.CheckSame("a", other)
		}
	})
}
