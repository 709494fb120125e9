package cluster_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/server"
)

// smallSegments gives instances segments that many of fit on a small disk.
func smallSegments(change ...func(*server.Config)) func(*server.Config) {
	return func(sc *server.Config) {
		sc.Log.Segment, sc.MaxMessage = 256<<10, 32<<10
		for _, c := range change {
			c(sc)
		}
	}
}

const smallDisk = 8 << 20

// publishMuch publishes n messages of a KiB and has each hundred settled.
func publishMuch(pub *cluster.App, from, n int) {
	for i := range n {
		pub.Publish("orders", fmt.Sprintf("pub-%d%s", from+i, strings.Repeat(".", 1<<10)))
		if i%100 == 99 {
			pub.Flush()
		}
	}
}

// More is published than the disks hold, under default retention: the oldest
// messages go, and no instance dies of a full disk (R2, R7).
func TestRetentionIsBoundByTheDisk(t *testing.T) {
	cluster.Run(t, smallSegments(), func(s *cluster.System) {
		for _, n := range []string{"a", "b"} {
			s.Node(n).FS.SetCapacity(smallDisk)
		}
		pub := s.App("pub", []string{"a", "b"}, nil)
		publishMuch(pub, 1, 16_000)
		pub.FlushSafe()
		for _, n := range []string{"a", "b"} {
			st := s.Node(n).Server.Status()
			if st.JournalBytes > smallDisk || st.Full || st.DiskFull > 0 || st.Sync.String() != "sync" {
				t.Errorf("%s: %+v", n, st)
			}
		}
	})
}

// The peer is away and default retention would keep everything. It is given up when the
// disk is nearly full, and told which messages are gone when it is back (R5, hard case
// 31).
func TestAbsentPeerIsGivenUpBeforeTheDiskIsFull(t *testing.T) {
	cluster.Run(t, smallSegments(downgradeAfter(time.Second)), func(s *cluster.System) {
		pub := s.App("pub", []string{"a"}, nil)
		s.Node("a").FS.SetCapacity(smallDisk)
		publishMuch(pub, 1, 100)
		s.Node("b").Kill()
		publishMuch(pub, 101, 16_000)
		a := s.Node("a").Server.Status()
		if a.JournalBytes > smallDisk || !a.Links[0].GivenUp {
			t.Errorf("%+v", a)
		}
		s.Node("b").Start()
		s.AwaitSync()
		pub.FlushSafe()
		pub.Publish("orders", "back")
		pub.FlushSafe()
		s.Finish()
		for _, n := range []string{"a", "b"} {
			if got := s.Node(n).Bodies(); got[len(got)-1] != "back" {
				t.Errorf("%s ends with %.20q", n, got[len(got)-1])
			}
		}
	})
}

// Nothing may be removed: the peer is there and lacks it, or other files take the space.
// Publishes are refused for now, which leaves no record and loses nothing, and
// subscriptions go on. Then there is space again (R7, R14).
func TestPublishesAreRefusedForNow(t *testing.T) {
	cluster.Run(t, smallSegments(), func(s *cluster.System) {
		pub := s.App("pub", []string{"a", "b"}, nil)
		sub := s.App("sub", []string{"a"}, nil)
		r := sub.Read("orders", true)
		pub.PublishN("orders", 1, 50)
		pub.FlushSafe()
		for _, n := range []string{"a", "b"} {
			d := s.Node(n).FS
			d.SetCapacity(100 << 20)
			free, _, err := d.Space("data")
			if err != nil {
				t.Fatal(err)
			}
			d.WriteFile("others", make([]byte, free-200<<10))
		}
		s.Await("a and b to be full", func() bool {
			return s.Node("a").Server.Status().Full && s.Node("b").Server.Status().Full
		})
		pub.PublishN("orders", 51, 60)
		s.Advance(time.Minute)
		for _, n := range []string{"a", "b"} {
			st := s.Node(n).Server.Status()
			if !st.Ready || st.DiskFull == 0 || st.Published > 50 || st.Refused > 0 {
				t.Errorf("%s: %+v", n, st)
			}
		}
		if moves := len(sub.Client.Stats().Moves); moves > 1 {
			t.Errorf("the subscriber was moved %d times", moves)
		}
		for _, n := range []string{"a", "b"} {
			s.Node(n).FS.WriteFile("others", nil)
		}
		pub.FlushSafe()
		r.AwaitN(60)
		wantJournals(s, cluster.Bodies("pub", 1, 60))
	})
}

// fillDisk fills an instance's disk with other files, up to the given free bytes.
func fillDisk(s *cluster.System, n *cluster.Node, leave int64) {
	n.FS.SetCapacity(64 << 20)
	n.FS.WriteFile("others", nil)
	free, _, err := n.FS.Space("data")
	if err != nil {
		s.TB.Fatal(err)
	}
	n.FS.WriteFile("others", make([]byte, free-leave))
}

// dieOfAFullDisk publishes to instances whose disks others have filled until they have died.
func dieOfAFullDisk(s *cluster.System, pub *cluster.App, nodes ...*cluster.Node) {
	for _, n := range nodes {
		fillDisk(s, n, 16<<10)
	}
	for range 600 {
		pub.Publish("orders", strings.Repeat(".", 1<<10))
	}
	for _, n := range nodes {
		s.Await(n.Name+" to die", func() bool {
			select {
			case <-n.Server.Done():
				return true
			default:
				return false
			}
		})
		n.PowerCut()
		fillDisk(s, n, 0)
	}
}

// Other files fill the disks of both instances, and both die. They start again, on the
// space of their reserve files, trim, and go on; all acknowledged messages are there
// (R7).
func TestBothStartOnFullDisks(t *testing.T) {
	cluster.Run(t, smallSegments(), func(s *cluster.System) {
		a, b := s.Node("a"), s.Node("b")
		pub := s.App("pub", []string{"a", "b"}, nil)
		publishMuch(pub, 1, 12_000)
		pub.FlushSafe()
		dieOfAFullDisk(s, pub, a, b)
		a.Start()
		b.Start()
		s.AwaitSync()
		pub.FlushSafe()
		publishMuch(pub, 1, 1000)
		pub.FlushSafe()
		for _, n := range []*cluster.Node{a, b} {
			if st := n.Server.Status(); st.Full || st.DiskFree < 64<<20/20 {
				t.Errorf("%s: %+v", n.Name, st)
			}
			if _, err := n.FS.ReadFile("data/reserve"); err != nil {
				t.Error(err)
			}
		}
	})
}

// A lone instance trims before it opens its journal, so that a full disk is no
// hindrance even without a reserve file.
func TestLoneInstanceStartsOnAFullDisk(t *testing.T) {
	cluster.Run(t, smallSegments(), func(s *cluster.System) {
		c := s.Add("c", smallSegments(func(sc *server.Config) { sc.Replication, sc.Group = nil, "" }))
		c.Start()
		pub := s.App("pub", []string{"c"}, nil)
		publishMuch(pub, 1, 8000)
		dieOfAFullDisk(s, pub, c)
		if err := c.FS.Remove("data/reserve"); err != nil {
			t.Fatal(err)
		}
		fillDisk(s, c, 0)
		c.Start()
		publishMuch(pub, 1, 1000)
		pub.FlushSafe()
		if st := c.Server.Status(); st.Full {
			t.Errorf("%+v", st)
		}
	})
}
