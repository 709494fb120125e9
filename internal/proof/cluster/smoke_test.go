package cluster_test

import (
	"slices"
	"testing"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
)

// One message goes from Publish to two disks to a subscriber on the other instance.
func TestJourney(t *testing.T) {
	cluster.Run(t, nil, func(s *cluster.System) {
		pub := s.App("pub", []string{"a", "b"}, nil)
		sub := s.App("sub", []string{"b"}, nil)
		r := sub.Read("orders", true, client.From(client.Epoch))
		pub.PublishN("orders", 1, 10)
		pub.FlushSafe()
		if got, want := r.AwaitN(10), cluster.Bodies("pub", 1, 10); !slices.Equal(got, want) {
			t.Errorf("received %v, want %v", got, want)
		}
		s.Finish()
		s.CheckSame("a", "b")
	})
}

// The publisher's instance is killed under load; the publisher goes on at the other (case 1).
func TestKillOfThePublishersInstance(t *testing.T) {
	cluster.Run(t, nil, func(s *cluster.System) {
		pub := s.App("pub", []string{"a", "b"}, nil)
		sub := s.App("sub", []string{"a", "b"}, nil)
		r := sub.Read("orders", true, client.From(client.Epoch))
		pub.AwaitServer("a")
		pub.PublishN("orders", 1, 100)
		s.Node("a").Kill()
		pub.PublishN("orders", 101, 200)
		pub.AwaitServer("b")
		s.Node("a").Start()
		s.AwaitSync()
		pub.FlushSafe()
		if got, want := r.AwaitN(200), cluster.Bodies("pub", 1, 200); !slices.Equal(got, want) {
			t.Errorf("received %v, want %v", got, want)
		}
		s.Finish()
		s.CheckSame("a", "b")
	})
}
