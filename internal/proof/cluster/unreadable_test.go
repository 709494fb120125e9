package cluster_test

import (
	"errors"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/server"
)

// An instance can't read its disk when a subscription begins there. That is
// no refusal, which would end the subscription: it begins elsewhere (G6, R7).
func TestSubscribeWhereTheDiskCantBeRead(t *testing.T) {
	segments := func(c *server.Config) { c.Log.Segment = 64 << 10 }
	cluster.Run(t, segments, func(s *cluster.System) {
		pub := s.App("pub", []string{"a"}, nil)
		publishLong(s, pub, "orders", 1, 100)
		s.Advance(time.Second)
		since := time.Now()
		s.Advance(time.Second)
		publishLong(s, pub, "orders", 101, 200)
		pub.FlushSafe()
		sub := s.App("sub", []string{"b", "a"}, nil)
		sub.AwaitServer("b")
		s.Node("b").FS.FailReadNth(1, errors.New("input/output error"))
		r := sub.Read("orders", true, client.From(client.At(since)))
		wantExactly(t, trimBodies(r.AwaitN(100)), cluster.Bodies("pub", 101, 200))
		sub.AwaitServer("a")
	})
}
