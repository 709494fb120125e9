package replica

import (
	"fmt"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// publishBy appends messages of publisher p, as publish does, by a user.
func (i *instance) publishBy(user, topic string, p, from, to uint64) {
	i.w.t.Helper()
	for s := from; s <= to; s++ {
		r := message(p, s, topic)
		r.User = []byte(user)
		i.append(r)
	}
}

func (i *instance) owner(p uint64) string {
	s, _ := i.j.State(p)
	return s.Owner
}

// The owner of a publisher is on the peer's disk with its first records, whichever way they get
// there: unchanged, after a floor at a peer that knows the publisher or does not, or as a marker for
// a topic that the link does not carry.
func TestOwnersReplicate(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		onlyX := func(name string) Destination {
			d := to(name)
			d.Topics = []string{"x"}
			return d
		}
		a, b := w.start("a", onlyX("b")), w.start("b", onlyX("a"))
		w.linked(a, b)
		a.publish(1, 1, 2)
		a.publish(5, 1, 2)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 2 && a.l.Safe(5) == 2 })
		b.kill(memfs.Durable)
		a.publishBy("u1", "x", 1, 3, 3)
		a.publishBy("u2", "x", 2, 1, 1)
		a.publish(1, 4, 4)
		a.publish(9, 1, 600)
		if err := a.j.Sync(); err != nil {
			t.Fatal(err)
		}
		if n, err := a.j.Trim(journal.Retention{Bytes: 1}); err != nil || n == 0 || a.j.Floors()[1] != 4 || a.j.Floors()[2] != 1 {
			t.Fatalf("trimmed %d segments, %v", n, err)
		}
		a.publish(2, 2, 2)
		b.start()
		w.linked(a, b)
		a.publishBy("u3", "x", 3, 1, 1)
		a.publishBy("u4", "local", 4, 1, 1)
		a.publishBy("u5", "local", 5, 3, 3)
		w.eventually("b has all", func() bool {
			return b.have(1) == 4 && b.have(2) == 2 && b.have(3) == 1 && b.have(4) == 1 && b.have(5) == 3 && a.l.Safe(5) == 3
		})
		for _, crash := range []bool{false, true} {
			if crash {
				b.kill(memfs.Durable)
				b.open()
			}
			for p := range uint64(5) {
				if got, want := b.owner(p+1), fmt.Sprint("u", p+1); got != want || a.owner(p+1) != want {
					t.Errorf("publisher %d has the owner %q at b, crashed: %v; want %q", p+1, got, crash, want)
				}
			}
		}
	})
}

// A publisher that one side has forgotten gets its owner back when the other side introduces it again.
func TestOwnerOfReopenedPublisher(t *testing.T) {
	for _, owner := range []string{"", "joe"} {
		s := journal.PublisherState{Publisher: 1, Check: checkOf(1), Owner: owner, Have: 5, Floor: 5}
		l := linkTo(&Hello{States: []journal.PublisherState{s}}, nil)
		l.PeerMayForget(1)
		if gone := l.GoneMarkers([]journal.PublisherState{s}); len(gone) != 1 || string(gone[0].User) != owner {
			t.Errorf("owner %q: %+v", owner, gone)
		}
	}
}

// A side takes over the owner that the other states for a publisher that has none here. It forgets
// neither that nor its own.
func TestOwnersAreStated(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.instance("a", func(o *Options) { o.Destinations = []Destination{to("b")} }), w.instance("b", func(o *Options) { o.Destinations = []Destination{to("a")} })
		a.open()
		b.open()
		a.publishBy("joe", "x", 1, 1, 2)
		b.publish(1, 1, 2) // b has accepted the same messages without a user
		b.publishBy("ann", "x", 2, 1, 1)
		a.publish(2, 1, 1)
		a.start()
		b.start()
		w.linked(a, b)
		for _, i := range []*instance{a, b} {
			if i.owner(1) != "joe" || i.owner(2) != "ann" || i.j.Diverged(1)+i.j.Diverged(2) != 0 {
				t.Errorf("%s: owners %q and %q, diverged %v", i.name, i.owner(1), i.owner(2), i.j.AllDiverged())
			}
		}
		b.publish(1, 3, 3)
		w.eventually("safe", func() bool { return b.l.Safe(1) == 3 })
		b.kill(memfs.Durable)
		b.open()
		if b.owner(1) != "joe" {
			t.Errorf("owner %q at b after a crash", b.owner(1))
		}
	})
}

// Two users have published the same messages as one publisher, one on each side of a cut. The two
// count as two publishers with one id.
func TestTwoOwners(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.instance("a", func(o *Options) { o.Destinations = []Destination{to("b")} }), w.instance("b", func(o *Options) { o.Destinations = []Destination{to("a")} })
		a.open()
		b.open()
		a.publishBy("joe", "x", 1, 1, 2)
		b.publishBy("ann", "x", 1, 1, 2)
		a.publishBy("joe", "x", 2, 1, 2)
		a.start()
		b.start()
		w.linked(a, b)
		w.eventually("the link goes on", func() bool { return b.have(2) == 2 && b.owner(2) == "joe" })
		for _, i := range []*instance{a, b} {
			if i.j.Diverged(1) != 1 || i.j.Diverged(2) != 0 || !i.logged("DIVERGED", "another user", "publisher=1", "joe", "ann") {
				t.Errorf("%s: diverged %v", i.name, i.j.AllDiverged())
			}
		}
	})
}

// A link never refuses a record for its user: admission of clients is done by the instance that takes
// the publish.
func TestLinksTakeRecordsOfOtherUsers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		a.publishBy("joe", "x", 1, 1, 1)
		a.publishBy("ann", "x", 1, 2, 2)
		w.eventually("safe", func() bool { return a.l.Safe(1) == 2 })
		if a.owner(1) != "joe" || b.owner(1) != "joe" {
			t.Errorf("owners %q and %q", a.owner(1), b.owner(1))
		}
	})
}

// Peers tell the owner of a publisher in the answer to a notice. An owner who is not the user of the
// notice counts first.
func TestAnswersTellTheOwner(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		b.publishBy("joe", "x", 1, 1, 1)
		for p, want := range map[uint64]string{1: "joe", 2: ""} {
			if got := a.ask(t.Context(), Notice{User: "ann", Publisher: p, Check: checkOf(p)}); got.Owner != want || got.OtherPublisher {
				t.Errorf("publisher %d: %+v", p, got)
			}
		}
	})
	for answers, want := range map[string]string{"": "", " joe": "joe", "joe ": "joe", "joe ann": "ann", "ann joe": "ann", "joe joe": "joe"} {
		q := newPendingNotice()
		q.user = "joe"
		for owner := range strings.SplitSeq(answers, " ") {
			q.noteOwner(owner)
		}
		if q.Owner != want {
			t.Errorf("%q: owner %q, want %q", answers, q.Owner, want)
		}
	}
}

// A table of any owners fits into the frames of a hello, each below the limit.
func TestOwnersFitIntoStates(t *testing.T) {
	for name, owner := range map[string]func(i int) string{
		"one owner":                 func(int) string { return "joe" },
		"short owners, all another": func(i int) string { return fmt.Sprint(i) },
		"long owners, all another":  func(i int) string { return fmt.Sprintf("%0*d", record.MaxUser, i) },
	} {
		const most = 1<<63 - 1
		var left []journal.PublisherState
		for i := range statesBatch + 100 {
			left = append(left, journal.PublisherState{
				Publisher: 1<<63 + uint64(i), Check: checkOf(1), Have: most, Durable: most, Floor: most, Diverged: most, RunningCRC: 1<<32 - 1, Owner: owner(i),
			})
		}
		all, got := left, []journal.PublisherState(nil)
		for frames := 1; ; frames++ {
			f := newStatesFrame(left)
			frame := newFrame(frameStates, f)
			if left = left[len(f.states):]; len(frame)-frameHeader > statesLimit || frames > 1000 {
				t.Fatalf("%s: frame %d has %d bytes, the limit is %d", name, frames, len(frame)-frameHeader, statesLimit)
			}
			_, d := decode(frame[frameHeader:])
			read := statesFrame{states: got}
			if err := d.body(&read); err != nil || read.last != (len(left) == 0) {
				t.Fatalf("%s: last %v, %v", name, read.last, err)
			}
			if got = read.states; read.last {
				break
			}
		}
		for i := range all {
			if got[i].Owner != all[i].Owner {
				t.Fatalf("%s: state %d has the owner %q", name, i, got[i].Owner)
			}
		}
	}
}

// The owners of a hello have a bound, and a number or a length that is too large ends the connection.
func TestOwnersAreBounded(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.start("a", Destination{Name: "b", Sync: true})
		c := meet(w)
		refused := false
		for n := 0; n <= maxOwners && !refused; n += ownersBatch {
			var states []journal.PublisherState
			for i := range ownersBatch / record.MaxUser {
				states = append(states, journal.PublisherState{Publisher: uint64(n + i + 1), Owner: fmt.Sprintf("%0*d", record.MaxUser, n+i)})
			}
			c.enc.frame(frameStates, statesFrameOf(false, states))
			_, err := c.nc.Write(c.enc.finish())
			refused = err != nil
		}
		if r := c.expectRefusal(); !strings.Contains(r.Reason, "the owners of publishers in the hello") {
			t.Errorf("refused: %q", r.Reason)
		}
	})
}

// An owner that is too long, and one that the frame does not name, make a frame malformed.
func TestMalformedOwners(t *testing.T) {
	unnamed := newFrame(frameStates, newStatesFrame([]journal.PublisherState{{Publisher: 1, Owner: "joe"}}))[frameHeader:]
	unnamed[len(unnamed)-1]++
	e := newEncoder()
	e.begin(frameStates)
	e.bool(new(bool))
	e.array(1, 0, 0)
	e.string(new(strings.Repeat("u", record.MaxUser+1)))
	for want, payload := range map[string][]byte{"number 2 is above the maximum 1": unnamed, "text of 1025 bytes": e.finish()[frameHeader:]} {
		_, d := decode(payload)
		if err := d.body(new(statesFrame)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
