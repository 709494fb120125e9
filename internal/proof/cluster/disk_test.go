package cluster_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/server"
)

// A fault is a way for a disk to fail.
type fault struct {
	name   string
	inject func(disk *memfs.FS)
	is     error
}

// faults are the ways in which a disk fails for the process that writes to it.
func faults() []fault {
	return []fault{
		{"full", func(d *memfs.FS) { d.FailFrom(1, syscall.ENOSPC) }, syscall.ENOSPC},
		{"write fails", func(d *memfs.FS) { d.FailNth(1, syscall.EIO) }, syscall.EIO},
		{"half a write", func(d *memfs.FS) { d.ShortWriteNth(1, syscall.EIO) }, syscall.EIO},
		{"sync fails", func(d *memfs.FS) { d.FailSync(syscall.EIO) }, syscall.EIO},
	}
}

// Case 15. The disk of one instance fails under load: it is full, a write fails, an fsync
// fails. The instance stops and reports why; it does not write again records that might
// not be there. The clients go on at the other, nothing acknowledged is missing on either
// disk, and the instance comes back with the content of its disk after a power cut and
// catches up (R7, G2, G6).
func TestCase15InstanceDiskFails(t *testing.T) {
	for _, name := range []string{"a", "b"} {
		for _, f := range faults() {
			t.Run(f.name+" on "+name, func(t *testing.T) {
				cluster.Run(t, nil, func(s *cluster.System) { instanceDiskFails(t, s, s.Node(name), f) })
			})
		}
	}
}

func instanceDiskFails(t *testing.T, s *cluster.System, n *cluster.Node, f fault) {
	p, q := s.App("p", []string{"a", "b"}, nil), s.App("q", []string{"b", "a"}, nil)
	r := s.App("sub", []string{n.Name, "a", "b"}, nil).Read("orders", true, client.From(client.Epoch))
	loads := []*cluster.Load{p.Load("orders", 4*time.Millisecond), q.Load("orders", 5*time.Millisecond)}
	s.Advance(200 * time.Millisecond)
	f.inject(n.FS)
	stopsWith(t, s, n, f.is)
	for _, app := range []*cluster.App{p, q} {
		wantPrefix(s, app, durableBodies(n), n.Name)
	}
	n.PowerCut()
	for _, app := range []*cluster.App{p, q} {
		wantPrefix(s, app, n.Bodies(), n.Name)
	}
	s.Advance(time.Second)
	n.Start()
	s.AwaitSync()
	want := stopLoads(s, loads...)
	wantExactly(t, r.AwaitN(total(want)), want...)
	wantBoth(t, s, want...)
}

// stopsWith waits until an instance has stopped by itself because of its disk.
func stopsWith(t *testing.T, s *cluster.System, n *cluster.Node, cause error) {
	t.Helper()
	s.Await(n.Name+" to stop", func() bool {
		select {
		case <-n.Server.Done():
			return true
		default:
			return false
		}
	})
	var disk *server.DiskError
	if err := n.Server.Err(); !errors.As(err, &disk) || !errors.Is(err, cause) {
		t.Errorf("%s has stopped because of %v, want a *DiskError of %v", n.Name, err, cause)
	}
}

// Case 23. A record is damaged on A, and another one on B. Both instances report it, set
// aside the good records after the damage, serve no clients, and give each other the
// missing records. Then both journals are complete: everything is there once, and in
// order (R8, G3, G4, G5).
func TestCase23DamageOnBoth(t *testing.T) {
	for seed := range uint64(6) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			cluster.Run(t, func(c *server.Config) { c.Log.Segment = 64 << 10 }, func(s *cluster.System) {
				damageOnBoth(t, s, rand.New(rand.NewPCG(seed, 23)))
			})
		})
	}
}

func damageOnBoth(t *testing.T, s *cluster.System, random *rand.Rand) {
	a, b := s.Node("a"), s.Node("b")
	p, q := s.App("p", []string{"a", "b"}, nil), s.App("q", []string{"b", "a"}, nil)
	r := s.App("sub", []string{"a", "b"}, nil).Read("orders", true, client.From(client.Epoch))
	const each = 150
	for n := 1; n <= each; n += 10 {
		publishLong(s, p, "orders", n, n+9)
		publishLong(s, q, "orders", n, n+9)
	}
	p.FlushSafe()
	q.FlushSafe()
	ofA := 1 + random.IntN(each-1)
	ofB := 1 + random.IntN(each-1)
	if ofB == ofA {
		ofB++
	}
	a.Shutdown()
	b.Shutdown()
	damage(t, a, fmt.Sprintf("p-%d ", ofA))
	damage(t, b, fmt.Sprintf("%s-%d ", []string{"p", "q"}[random.IntN(2)], ofB))
	if random.IntN(2) == 0 {
		p.PublishN("orders", each+1, each+5) // on its way when they come up
	} else {
		s.Advance(time.Minute)
		p.PublishN("orders", each+1, each+5)
	}

	a.Start()
	s.Advance(time.Duration(random.IntN(10)) * time.Second)
	for _, n := range []*cluster.Node{a, b} {
		if n.Server == nil {
			n.Start()
			continue
		}
		if st := n.Server.Status(); st.Ready || st.Damage == "" {
			t.Errorf("%s: serves clients: %v, damage: %q", n.Name, st.Ready, st.Damage)
		}
	}
	s.AwaitSync()
	p.FlushSafe()
	q.FlushSafe()
	want := [][]string{cluster.Bodies("p", 1, each+5), cluster.Bodies("q", 1, each)}
	wantExactly(t, trimBodies(r.AwaitN(total(want))), want...)
	for _, n := range []*cluster.Node{a, b} {
		if st := n.Server.Status(); st.Damage != "" || st.CatchingUp {
			t.Errorf("%s: catching up: %v, damage: %q", n.Name, st.CatchingUp, st.Damage)
		}
	}
	if st := link(s, "a"); st.Diverged != 0 || st.Refused != 0 {
		t.Errorf("refused %d, diverged %d", st.Refused, st.Diverged)
	}
	s.Finish()
	s.CheckSame("a", "b")
	for _, n := range []*cluster.Node{a, b} {
		wantExactly(t, trimBodies(n.Bodies()), want...)
	}
}

// damage flips a bit of the record that holds text, which must be on the disk once.
func damage(t *testing.T, n *cluster.Node, text string) {
	t.Helper()
	for _, name := range n.FS.Names() {
		b, err := n.FS.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(b, []byte(text)); at >= 0 {
			n.FS.Flip(name, int64(at))
			return
		}
	}
	t.Fatalf("%q is not on the disk of %s", text, n.Name)
}
