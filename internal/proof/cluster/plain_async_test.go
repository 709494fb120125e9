package cluster_test

import (
	"testing"

	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
)

// An asynchronous instance is away. Clients without our extensions publish to
// the pair all the same: nothing they would have to wait for comes from there (R15).
func TestPlainClientWithoutTheThird(t *testing.T) {
	withThird(t, func(s *cluster.System) {
		pub := s.PlainApp("pub", []string{"a", "b"}, nil)
		pub.PublishN("orders", 1, 10)
		pub.FlushSafe()
		s.Node("c").Kill()
		s.Net.Reset("pub", "a")
		pub.PublishN("orders", 11, 20)
		pub.FlushSafe()
		s.Node("c").Start()
		s.AwaitSync()
		s.Finish()
		for _, other := range []string{"b", "c"} {
			s.CheckSame("a", other)
		}
	})
}
