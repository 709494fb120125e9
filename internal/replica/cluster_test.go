package replica

import (
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

func TestDecideCluster(t *testing.T) {
	none, x, y := journal.ClusterID{}, journal.ClusterID{1}, journal.ClusterID{2}
	for _, tt := range []struct {
		name         string
		ours, theirs Hello
		founds       bool
		want         clusterStep
	}{
		{"one group", Hello{Cluster: x}, Hello{Cluster: x}, true, clusterLink},
		{"two groups", Hello{Cluster: x}, Hello{Cluster: y}, true, clusterOther},
		{"two groups, one empty", Hello{Cluster: x}, Hello{Cluster: y, Empty: true}, true, clusterOther},
		{"it joins our group", Hello{Cluster: x}, Hello{Cluster: none, Empty: true}, true, clusterLink},
		{"it has records and no group", Hello{Cluster: x}, Hello{Cluster: none}, true, clusterOther},
		{"we join its group", Hello{Cluster: none, Empty: true}, Hello{Cluster: y}, true, clusterAdopt},
		{"we make it", Hello{Cluster: none, Empty: true}, Hello{Cluster: none, Empty: true}, true, clusterNew},
		{"the other makes it", Hello{Cluster: none, Empty: true}, Hello{Cluster: none, Empty: true}, false, clusterWait},
	} {
		if got := decideCluster(&tt.ours, &tt.theirs, tt.founds); got != tt.want {
			t.Errorf("%s: %v, want %v", tt.name, got, tt.want)
		}
	}
}

// bare adds an instance whose journal has no cluster id yet.
func (w *world) bare(name string, dests ...Destination) *instance {
	i := w.instance(name, configured(name, dests...))
	i.bare = true
	return i
}

// At a first start the instance with the smaller name makes the id, whoever dials. Both instances
// are intact.
func TestFirstStart(t *testing.T) {
	for _, dials := range []string{"a", "b", "both"} {
		t.Run(dials, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				undialled := func(name string) Destination { return Destination{Name: name, Sync: true} }
				toA, toB := to("a"), to("b")
				if dials == "a" {
					toA = undialled("a")
				}
				if dials == "b" {
					toB = undialled("b")
				}
				a, b := w.bare("a", toB), w.bare("b", toA)
				b.start()
				pass(20 * time.Second)
				if b.isReady() || b.l.Cluster() != "" {
					t.Fatal("b serves without having met a peer")
				}
				a.start()
				w.linked(a, b)
				w.now("both serve", func() bool { return a.isReady() && b.isReady() })
				if a.l.Cluster() == "" || a.l.Cluster() != b.l.Cluster() || a.l.Ledger().Cluster() != a.l.Cluster() || !a.j.Cluster().Founded || b.j.Cluster().Founded {
					t.Errorf("%+v, %+v", a.j.Cluster(), b.j.Cluster())
				}
				if !a.l.Intact() || !b.l.Intact() {
					t.Error("not intact")
				}
				if a.l.rejoining.Load() || b.l.rejoining.Load() {
					t.Error("still rejoining")
				}
			})
		})
	}
}

// Three instances that know each other and start at once make one id.
func TestFirstStartOfThree(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		c, b, a := w.bare("c", to("a"), to("b")), w.bare("b", to("a"), to("c")), w.bare("a", to("b"), to("c"))
		c.start()
		b.start()
		pass(12 * time.Second)
		if b.isReady() || c.isReady() || !c.logged("link is still down", "-bootstrap") && !b.logged("link is still down", "-bootstrap") {
			t.Error("two instances begin although a third one makes the id, or don't log that they wait")
		}
		a.start()
		for _, pair := range [][2]*instance{{a, b}, {b, c}, {a, c}} {
			w.linked(pair[0], pair[1])
		}
		for _, i := range []*instance{a, b, c} {
			if i.l.Cluster() != a.l.Cluster() || !i.l.Intact() || !i.isReady() {
				t.Errorf("%s: %+v, ready %v", i.name, i.j.Cluster(), i.isReady())
			}
		}
	})
}

// Two instances that have lost their journals do not begin a group without the third, which has
// the remaining records.
func TestThirdKeepsItsGroup(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b, c := w.bare("a", to("b"), to("c")), w.bare("b", to("a"), to("c")), w.instance("c", configured("c", to("a"), to("b")))
		a.start()
		b.start()
		pass(2 * time.Minute)
		if a.isReady() || b.isReady() || a.l.Cluster() != "" || b.l.Cluster() != "" {
			t.Fatalf("%+v, %+v without having met c", a.j.Cluster(), b.j.Cluster())
		}
		c.start()
		c.publish(1, 1, 3)
		for _, pair := range [][2]*instance{{a, b}, {b, c}, {a, c}} {
			w.linked(pair[0], pair[1])
		}
		w.same(a, c)
		w.same(b, c)
		if id := c.l.Cluster(); a.l.Cluster() != id || b.l.Cluster() != id || !a.isReady() || !b.isReady() {
			t.Errorf("%+v, %+v, want %s", a.j.Cluster(), b.j.Cluster(), id)
		}
	})
}

// An empty instance whose peers are away serves no clients, however long that takes, and repeats
// that in its log. With Bootstrap it begins a group, which its peer joins.
func TestEmptyWaitsForItsGroup(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.bare("a", to("b"))
		a.start()
		pass(5 * time.Minute)
		if a.isReady() || a.l.Cluster() != "" {
			t.Error("it serves although it has met no peer")
		}
		if n := strings.Count(a.log.String(), "no clients are served"); n != 3 {
			t.Errorf("logged %d times in five minutes", n)
		}
		a.close()
		configure := a.set
		a.set = func(o *Options) { configure(o); o.Bootstrap = true }
		a.start()
		if a.l.Cluster() == "" || !a.l.Intact() {
			t.Errorf("%+v with Bootstrap", a.j.Cluster())
		}
		w.eventually("it serves", a.isReady)
		a.publish(1, 1, 3)
		b := w.bare("b", to("a"))
		b.start()
		w.linked(a, b)
		w.same(a, b)
		if b.l.Cluster() != a.l.Cluster() || !b.l.Intact() {
			t.Errorf("b is %+v", b.j.Cluster())
		}
		id := a.l.Cluster()
		a.kill(memfs.KeepAll)
		a.start()
		if a.l.Cluster() != id {
			t.Error("Bootstrap has changed an id")
		}
	})
}

// A wiped instance serves no clients while its peers are away. It takes over the id when it meets
// one, and is intact again when it has caught up.
func TestWipedBecomesIntact(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.bare("a", to("b")), w.bare("b", to("a"))
		a.start()
		b.start()
		w.linked(a, b)
		a.publish(1, 1, 20)
		w.same(a, b)
		id := b.l.Cluster()
		a.kill(memfs.Durable)
		a.disk = memfs.New()
		w.Cut("a", "b")
		a.start()
		pass(time.Minute)
		if a.isReady() || a.l.Intact() {
			t.Fatal("it serves although its peer is away")
		}
		w.Heal("a", "b")
		w.linked(a, b)
		w.same(a, b)
		w.eventually("it is intact", a.l.Intact)
		if c := a.j.Cluster(); c.ID.String() != id || c.Founded || !a.isReady() {
			t.Errorf("%+v", c)
		}
		if !a.logged("joins the group of its peer") || !a.logged("the journal is intact") {
			t.Error("not logged")
		}
		if err := a.j.Sync(); err != nil {
			t.Fatal(err)
		}
		a.kill(memfs.Durable)
		a.start()
		if !a.l.Intact() {
			t.Error("not intact after a restart")
		}
	})
}

// An instance becomes intact when it has everything that an intact peer had, not earlier, and not
// by a peer that is not intact itself. Its answers to notices report the same.
func TestIntactByAnIntactPeer(t *testing.T) {
	states := []journal.PublisherState{{Publisher: 1, Have: 3, Durable: 3}}
	for _, peerIntact := range []bool{true, false} {
		inWorld(t, func(t *testing.T, w *world) {
			a := w.bare("a", to("b"))
			a.start()
			c := w.fake("b").accept()
			c.handshake(&Hello{Cluster: testCluster, Intact: peerIntact, States: states})
			c.sendRecords(message(1, 1, "x"), message(1, 2, "x"))
			pass(time.Millisecond)
			if a.l.Cluster() != testCluster.String() || a.have(1) != 2 {
				t.Fatalf("%+v, has %d", a.j.Cluster(), a.have(1))
			}
			if a.l.Intact() || a.l.hello(nil).Intact || c.ask(&Notice{Publisher: 1}).intact {
				t.Error("intact, and message 3 is missing")
			}
			c.sendRecords(message(1, 3, "x"))
			pass(time.Millisecond)
			if a.l.Intact() != peerIntact || a.l.hello(nil).Intact != peerIntact || c.ask(&Notice{Publisher: 1}).intact != peerIntact {
				t.Errorf("intact is %v, at the peer %v", a.l.Intact(), peerIntact)
			}
		})
	}
}

// ask sends a notice and returns the answer.
func (c *fakeConn) ask(n *Notice) (a noticeAnswer) {
	c.w.t.Helper()
	c.enc.frame(frameNotice, &noticeFrame{7, *n})
	c.send()
	for {
		payload, err := c.fr.next()
		if err != nil {
			c.w.t.Fatal(err)
		}
		if kind, d := decode(payload); kind == frameAnswer {
			if err := d.body(&a); err != nil {
				c.w.t.Fatal(err)
			}
			return a
		}
	}
}

// A typing error in an address makes an instance of one group dial the other group. Nothing is
// replicated, and both log the reason with both ids. The peer's own link stays.
func TestOtherCluster(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.bare("a", to("b")), w.bare("b", to("a"))
		a.start()
		b.start()
		w.linked(a, b)
		a.publish(1, 1, 3)
		w.same(a, b)
		other := w.instance("staging", configured("b", to("a")))
		configure := other.set
		other.set = func(o *Options) { o.Name = "b"; configure(o) }
		other.start() // makes an id of its own
		other.publish(2, 1, 3)
		pass(20 * time.Second)
		if a.have(2) != 0 || b.have(2) != 0 || other.have(1) != 0 {
			t.Fatalf("replicated: %d, %d, %d", a.have(2), b.have(2), other.have(1))
		}
		if !up(a.status("b")) || !a.status("b").OtherCluster || a.status("b").Refused == 0 {
			t.Errorf("%+v", a.status("b"))
		}
		for _, i := range []*instance{a, other} {
			if !i.logged("level=ERROR", "another cluster", a.l.Cluster()[:8], testCluster.Short()) {
				t.Errorf("%s doesn't log it", i.name)
			}
		}
		s := other.status("a")
		if s.State != "down" || !s.OtherCluster || !strings.Contains(s.Reason, "refused by the peer: two clusters") {
			t.Errorf("%+v", s)
		}
		other.close()
		pass(observationShown)
		if a.status("b").OtherCluster {
			t.Error("shown although it has gone")
		}
	})
}

// A disk is lost, and the unit file still has the flag to begin a group. The instance begins a
// group of its own beside its peer's, and serves no clients.
func TestBootstrapWasWrong(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.start("a", to("b")), w.start("b", to("a"))
		w.linked(a, b)
		b.publish(1, 1, 3)
		w.same(a, b)
		a.kill(memfs.Durable)
		a.disk, a.bare = memfs.New(), true
		configure := a.set
		a.set = func(o *Options) { configure(o); o.Bootstrap = true }
		a.start()
		pass(time.Minute)
		b.close()
		pass(5 * time.Minute)
		if a.isReady() || a.have(1) != 0 {
			t.Error("a serves clients or has the record")
		}
		for _, i := range []*instance{a, b} {
			if !i.logged("level=ERROR", `stop \"a\", whose journal is empty`, "without -bootstrap, which was wrong there") {
				t.Errorf("%s doesn't log it", i.name)
			}
		}
	})
}
