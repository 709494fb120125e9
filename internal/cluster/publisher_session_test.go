package cluster_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/cluster"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// interpose starts a host between clients and an instance. tamper, called for each
// persisted ack of publishes on one connection after the other, returns what
// is passed on in its place.
func interpose(s *cluster.System, name, to string, tamper func(wire.AckMessage) []wire.AckMessage) {
	s.TB.Helper()
	host := s.Net.Host(name)
	listener, err := host.Listen(name + ":9007")
	if err != nil {
		s.TB.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := listener.Accept()
			if err != nil {
				return
			}
			running.Go(func() {
				defer near.Close()
				far, err := host.Dial(ctx, to+":9007")
				if err != nil {
					return
				}
				running.Go(func() {
					defer far.Close()
					_, _ = io.Copy(far, near) // its end is the connection's
				})
				passBack(near, far, tamper)
			})
		}
	})
	s.TB.Cleanup(func() {
		cancel()
		s.Net.Kill(name)
		running.Wait()
	})
}

// passBack passes on what comes from the instance until that ends.
func passBack(near io.Writer, far io.Reader, tamper func(wire.AckMessage) []wire.AckMessage) {
	in := wire.NewReader(far, wire.MaxFrame)
	for {
		frame, err := in.Next()
		if err != nil {
			return
		}
		var m wire.Message
		if err := wire.Parse(frame, &m); err != nil {
			return
		}
		out := append(binary.BigEndian.AppendUint32(nil, uint32(len(frame))), frame...)
		if m.Command == wire.Ack && m.Acks&wire.AckPersisted != 0 && m.HasSequence && len(m.SubID) == 0 {
			out = out[:0]
			ack := wire.AckMessage{
				Type: wire.AckPersisted, Success: string(m.Status) == wire.StatusSuccess, Reason: string(m.Reason),
				Sequence: m.Sequence, HasSequence: true, Single: string(m.Level) == wire.LevelSingle,
			}
			for _, a := range tamper(ack) {
				out = a.AppendTo(out)
			}
		}
		if _, err := near.Write(out); err != nil {
			return
		}
	}
}

// Case 20. Persisted acks arrive twice, late behind younger ones, and for more
// than was ever sent. Each counts for what it says of what was sent, and for
// nothing that is sent, or published, later (G2, R1).
func TestCase20StrangeAcks(t *testing.T) {
	for _, tc := range []struct {
		name   string
		tamper func() func(wire.AckMessage) []wire.AckMessage
	}{
		{"twice", func() func(wire.AckMessage) []wire.AckMessage {
			return func(a wire.AckMessage) []wire.AckMessage { return []wire.AckMessage{a, a} }
		}},
		{"late", func() func(wire.AckMessage) []wire.AckMessage {
			var late []wire.AckMessage
			return func(a wire.AckMessage) []wire.AckMessage {
				late = append(late, a)
				return append([]wire.AckMessage{a}, late...)
			}
		}},
		{"beyond", func() func(wire.AckMessage) []wire.AckMessage {
			return func(a wire.AckMessage) []wire.AckMessage {
				beyond := a
				beyond.Sequence += 1000
				return []wire.AckMessage{a, beyond}
			}
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			cluster.Run(t, nil, func(s *cluster.System) { strangeAcks(s, tc.tamper()) })
		})
	}
}

func strangeAcks(s *cluster.System, tamper func(wire.AckMessage) []wire.AckMessage) {
	interpose(s, "middle", "a", tamper)
	pub := s.App("pub", []string{"middle"}, func(c *client.Config) { c.WindowMessages = 4 })
	r := s.App("sub", []string{"b"}, nil).Read("orders", true, client.From(client.Epoch))
	pub.AwaitServer("middle")
	s.Cut("pub", "middle")
	pub.PublishN("orders", 1, 30) // the window keeps most of them in the store
	s.Heal("pub", "middle")
	pub.FlushSafe()

	// What is published now has not been acknowledged by whatever came before.
	s.Cut("middle", "a")
	pub.PublishN("orders", 31, 40)
	s.Pass(500 * time.Millisecond)
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if err := pub.Client.Flush(ctx); err == nil {
		s.TB.Error("flush returned for messages that have reached nobody")
	}
	if kept := pub.Store.Usage().Messages; kept != 10 {
		s.TB.Errorf("the store keeps %d of 10 messages that have reached nobody", kept)
	}
	s.Heal("middle", "a")
	pub.FlushSafe()
	want := cluster.Bodies("pub", 1, 40)
	wantBodies(s, "the subscriber", r.AwaitN(40), want)
	wantJournals(s, want)
}

// Case 24. A publisher goes on publishing while what it kept is replayed to the
// instance it has moved to. No new message overtakes an old one (R1, G4).
func TestCase24PublishDuringTheReplay(t *testing.T) {
	for seed := uint64(1); seed <= 5; seed++ {
		t.Run(fmt.Sprintf("seed=%d", seed), func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 24))
			cluster.Run(t, downgradeAfter(time.Second), func(s *cluster.System) {
				publishDuringReplay(s, random)
			})
		})
	}
}

func publishDuringReplay(s *cluster.System, random *rand.Rand) {
	window := 1 + random.IntN(8) // so that the replay takes many acks
	pub := s.App("pub", []string{"a", "b"}, func(c *client.Config) { c.WindowMessages = window })
	r := s.App("sub", []string{"b"}, nil).Read("orders", true, client.From(client.Epoch))
	pub.AwaitServer("a")
	pub.PublishN("orders", 1, 20)
	pub.FlushSafe()

	s.Cut("a", "b")
	s.Cut("pub", "a")
	pub.PublishN("orders", 21, 120)
	s.Node("a").Kill()
	s.Node("b").FS.SyncDelay(time.Duration(1+random.IntN(1000)) * time.Microsecond)
	next := 121
	for end, seen := time.Now().Add(time.Minute), 0; time.Now().Before(end); {
		st := pub.Client.Stats()
		if st.State == client.Live && st.Server.Server == s.Servers("b")[0] {
			break
		}
		if st.State == client.Recovering && st.Publish.Resent > seen {
			seen = st.Publish.Resent
			pub.PublishN("orders", next, next)
			next++
		}
		s.Pass(time.Duration(random.IntN(300)) * time.Microsecond)
	}
	if next == 121 {
		s.TB.Error("nothing was published during the replay")
	}
	pub.PublishN("orders", next, next+9)
	next += 10
	s.Heal("pub", "a")
	s.Heal("a", "b")
	s.Node("a").Start()
	s.AwaitSync()
	pub.FlushSafe()
	want := cluster.Bodies("pub", 1, next-1)
	wantBodies(s, "the subscriber", r.AwaitN(len(want)), want)
	wantJournals(s, want)
}

// Case 30. A publisher goes from A to B and back to A, and again, while the
// notices of its logons are held up between the two. When they arrive, out of
// date, the newest session lives on; an older one, half open on the other
// instance, ends (R11).
func TestCase30LateNotices(t *testing.T) {
	for moves := 2; moves <= 5; moves++ {
		for _, halfOpen := range []bool{false, true} {
			t.Run(fmt.Sprintf("moves=%d/halfopen=%v", moves, halfOpen), func(t *testing.T) {
				cluster.Run(t, nil, func(s *cluster.System) { lateNotices(s, moves, halfOpen) })
			})
		}
	}
}

func lateNotices(s *cluster.System, moves int, halfOpen bool) {
	pub := s.App("pub", []string{"a", "b"}, func(c *client.Config) { c.HeartbeatInterval = 20 * time.Second })
	pub.AwaitServer("a")
	pub.PublishN("orders", 1, 5)
	pub.FlushSafe()
	s.Pass(time.Second)

	s.Cut("a", "b") // what they send arrives when it is healed
	at, other := "a", "b"
	for n := range moves {
		if halfOpen {
			// The process dies and the instance is not told.
			s.Cut("pub", at)
			pub.Kill()
			s.Heal("pub", other)
			pub.Restart()
			pub.AwaitServer(other)
		} else {
			s.Net.Reset("pub", at)
			pub.AwaitServer(other)
		}
		at, other = other, at
		pub.PublishN("orders", 6+n, 6+n)
		s.Pass(10 * time.Millisecond)
	}
	connects := pub.Client.Stats().Connects
	s.Heal("a", "b")
	s.Pass(5 * time.Second)

	pub.AwaitServer(at)
	if now := pub.Client.Stats().Connects; now != connects {
		s.TB.Errorf("the newest session did not live on: %d logons more", now-connects)
	}
	wantNoEvent(s, pub, "in use")
	for _, name := range []string{"a", "b"} {
		n := 0
		for _, session := range s.Node(name).Server.Status().Sessions {
			if session.Name == "pub" {
				n++
			}
		}
		if want := map[bool]int{true: 1}[name == at]; n != want {
			s.TB.Errorf("%d sessions of the publisher on %s, want %d", n, name, want)
		}
	}
	s.Heal("pub", other)
	pub.PublishN("orders", 6+moves, 10+moves)
	pub.FlushSafe()
	wantJournals(s, cluster.Bodies("pub", 1, 10+moves))
}
