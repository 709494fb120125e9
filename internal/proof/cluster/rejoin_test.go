package cluster_test

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/server"
)

// Retention has removed the first messages of publishers when one instance comes back
// with an empty disk. It is told which messages are gone, and the running CRC there: ever
// after, through restarts of both, the instances agree that they have the same messages
// (R2, R11).
func TestRejoinBehindTheFloorIsNoDivergence(t *testing.T) {
	cluster.Run(t, func(c *server.Config) {
		c.Log.Segment = 64 << 10
		c.Log.RetainBytes = 128 << 10
	}, func(s *cluster.System) {
		a, b := s.Node("a"), s.Node("b")
		p, q := s.App("p", []string{"a", "b"}, nil), s.App("q", []string{"b", "a"}, nil)
		sent := 0
		publish := func() {
			for range 10 {
				publishLong(s, p, "orders", sent+1, sent+10)
				publishLong(s, q, "orders", sent+1, sent+10)
				sent += 10
			}
			p.FlushSafe()
			q.FlushSafe()
		}
		publish()
		publish()
		testdoor.Inside(a.Server).Trim() // segments that the instance has not removed by itself
		if a.Server.Publishers(0, 1).Publishers[0].Floor == 0 {
			t.Fatal("nothing was removed: the test proves nothing")
		}
		b.Kill()
		b.Wipe()
		b.Start()
		s.AwaitSync()
		publish()
		for _, n := range []*cluster.Node{b, a} {
			n.Restart()
			s.AwaitSync()
			p.PublishN("orders", sent+1, sent+5)
			q.PublishN("orders", sent+1, sent+5)
			sent += 5
			p.FlushSafe()
			q.FlushSafe()
			s.Advance(5 * time.Second) // heartbeats have compared
		}
		for _, name := range []string{"a", "b"} {
			if st := link(s, name); st.Diverged != 0 || st.Refused != 0 {
				t.Errorf("%s: refused %d, diverged %d", name, st.Refused, st.Diverged)
			}
		}
	})
}
