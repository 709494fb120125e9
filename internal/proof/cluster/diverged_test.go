package cluster_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
)

// events counts the events of an application that have a text in them.
func events(app *cluster.App, text string) (n int) {
	for _, e := range app.Events() {
		if strings.Contains(e, text) {
			n++
		}
	}
	return n
}

// Case 38. Two copies of a store are in use on the two sides of a cut, and both sides
// acknowledge alone. When the cut is healed the pair finds it and sets that one publisher
// apart (R11). The pair is in sync for all others, whose acks are of two disks.
// Subscriptions go on and are told once. Each copy is told once, goes on in a new life,
// and learns that the outcome of all messages in its store is unknown.
func TestCase38DivergedPublisher(t *testing.T) {
	cluster.Run(t, downgradeAfter(2*time.Second), func(s *cluster.System) {
		first := s.App("one", []string{"a"}, nil)
		first.PublishN("orders", 1, 5)
		first.FlushSafe()
		s.Advance(time.Second) // until its disk has let them go, too
		first.Kill()
		one, two, late := follow(first), follow(first.Copy("two")), follow(first.Copy("late"))
		two.app.Configure(func(c *client.Config) { c.Servers = s.Servers("b") })
		other := s.App("other", []string{"a"}, nil)
		sure := s.App("sure", []string{"b"}, nil)
		durable := sure.Read("orders", true, client.From(client.Epoch), client.FullyDurable())
		moving := s.App("moving", []string{"a", "b"}, nil)
		moves := moving.Read("orders", true, client.From(client.Epoch))
		wantBodies(s, "the fully durable subscription", durable.AwaitN(5), cluster.Bodies("one", 1, 5))
		s.Advance(2 * time.Second) // heartbeats compare

		s.Cut("a", "b")
		one.app.Restart()
		two.app.Restart()
		one.publish(s, 6, 8)
		two.publish(s, 6, 8)
		other.PublishN("orders", 1, 3)
		for _, app := range []*cluster.App{one.app, two.app, other} {
			app.Flush()
		}
		moves.AwaitN(11)
		publisher := publisherID(one.app)
		s.Heal("a", "b")
		s.Await("both copies to be told", func() bool {
			return events(one.app, "rolled back") == 1 && events(two.app, "rolled back") == 1
		})
		two.app.Kill() // or the two would contend for the name for ever
		s.AwaitSync()
		other.PublishN("orders", 4, 6)
		other.FlushSafe()
		for _, f := range []*fate{one, two} {
			if events(f.app, "has diverged: from its message 6 on") == 0 {
				t.Errorf("%s was told %q", f.app.Name, f.app.Events())
			}
			want := len(f.accepted)
			if len(f.rejected) != want || events(f.app, "outcome unknown") != want {
				t.Errorf("%s: of %q it was told that they are unknown: %q", f.app.Name, f.accepted, f.rejected)
			}
		}
		got := durable.AwaitN(14)
		for _, body := range slices.Concat(cluster.Bodies("one", 1, 5), cluster.Bodies("two", 6, 8), cluster.Bodies("other", 1, 6)) {
			if !slices.Contains(got, body) {
				t.Errorf("the fully durable subscription lacks %s", body)
			}
		}
		one.publish(s, 10, 12)
		one.app.FlushSafe()

		s.Cut("moving", "a")
		s.Net.Reset("moving", "a")
		moving.AwaitServer("b")
		one.publish(s, 13, 13)
		want := slices.Concat(cluster.Bodies("one", 1, 8), cluster.Bodies("other", 1, 6), cluster.Bodies("one", 10, 13))
		moves.AwaitN(len(want))
		if got := moves.Bodies(); !sameSet(got, want) {
			t.Errorf("the subscription that moved has %q", got)
		}
		for _, app := range []*cluster.App{sure, moving} {
			if n := events(app, "diverged: "); n != 1 {
				t.Errorf("%s was told %d times: %q", app.Name, n, app.Events())
			}
		}
		for _, name := range []string{"a", "b"} {
			s.Node(name).Restart()
		}
		s.AwaitSync()
		for _, name := range []string{"a", "b"} {
			d := s.Node(name).Server.Status().Diverged
			if len(d) != 1 || d[0].Publisher != publisher || d[0].From != 6 {
				t.Errorf("%s lists %+v", name, d)
			}
		}
		one.app.Kill()
		for _, name := range []string{"a", "b"} { // the pair must not tell it before it has published
			s.Cut("late", name)
		}
		late.app.Restart()
		late.publish(s, 6, 6)
		for _, name := range []string{"a", "b"} {
			s.Heal("late", name)
		}
		s.Await("the late copy to be told", func() bool { return events(late.app, "rolled back") == 1 })
		late.publish(s, 7, 7)
		late.app.FlushSafe()
		if !slices.Equal(late.rejected, []string{"late-6"}) {
			t.Errorf("the late copy was told of %q", late.rejected)
		}
		s.Finish()
		for _, body := range []string{"one-13", "other-6", "late-7"} {
			for _, name := range []string{"a", "b"} {
				if !slices.Contains(s.Node(name).Bodies(), body) {
					t.Errorf("%s lacks %s", name, body)
				}
			}
		}
	})
}

func sameSet(a, b []string) bool {
	a, b = slices.Clone(a), slices.Clone(b)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b)
}
