package cluster_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
)

// A single message costs two syncs side by side and no more time: at each step the bearer
// of the news wakes the next one. No message on its way waits for a heartbeat, also where
// a connection accepts little at once.
func TestSingleMessageTakesTwoSyncs(t *testing.T) {
	for _, buffer := range []int{1, 30, 64 << 10} {
		t.Run(fmt.Sprint("buffer of ", buffer), func(t *testing.T) {
			cluster.Run(t, nil, func(s *cluster.System) {
				s.Net.SetBuffer(buffer)
				pubs := []*cluster.App{s.App("p", []string{"a", "b"}, nil), s.App("q", []string{"b", "a"}, nil)}
				for _, pub := range pubs {
					pub.PublishN("orders", 1, 1)
					pub.FlushSafe()
				}
				for i := 2; i <= 20; i++ {
					start := time.Now()
					pub := pubs[i%2]
					pub.PublishN("orders", i, i)
					pub.Flush()
					if took := time.Since(start); took > cluster.SyncTime {
						t.Errorf("message %d was settled after %v, a sync takes %v", i, took, cluster.SyncTime)
					}
				}
				s.Finish()
				s.CheckSame("a", "b")
			})
		})
	}
}
