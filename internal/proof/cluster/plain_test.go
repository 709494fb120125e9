package cluster_test

import (
	"fmt"
	"net"
	"slices"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/proof/cluster"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server"
)

// The SDK against servers without our extensions: it publishes under its client's name
// with base+n. The base is chosen once and kept in the store. Acks let go of messages;
// after a lost connection and after a kill of the process the kept messages are sent
// again under the same numbers, and are there once (R10, R15).
func TestPlainServers(t *testing.T) {
	cluster.Run(t, nil, func(s *cluster.System) {
		pub := s.PlainApp("pub", []string{"a"}, nil)
		pub.PublishN("orders", 1, 10)
		pub.Flush()
		base := pub.Store.Lives()[0].PlainOffset
		if now := uint64(time.Now().UnixMicro()); base == 0 || base > now {
			t.Errorf("base %d, want the time, %d", base, now)
		}
		if n := pub.Store.Usage().Messages; n != 0 {
			t.Errorf("the store keeps %d messages that are acknowledged", n)
		}

		s.Net.CutOneWay("a", "pub") // the acks of these are lost
		pub.PublishN("orders", 11, 20)
		s.Advance(100 * time.Millisecond)
		s.Heal("a", "pub")
		s.Net.Reset("a", "pub")
		pub.AwaitServer("a")
		pub.PublishN("orders", 21, 30)
		pub.Flush()

		s.Net.CutOneWay("a", "pub")
		pub.PublishN("orders", 31, 40)
		s.Advance(100 * time.Millisecond)
		pub.Kill()
		s.Heal("a", "pub")
		pub.Restart()
		pub.PublishN("orders", 41, 50)
		pub.FlushSafe()
		if now := pub.Store.Lives()[0].PlainOffset; now != base {
			t.Errorf("base %d after a restart, want %d as before", now, base)
		}
		wantJournals(s, cluster.Bodies("pub", 1, 50))
		for sequence, body := range s.Node("a").Stored()[bookmark.IdentityOfName("pub").ID] {
			if want := fmt.Sprintf("%d:pub-%d", base+uint64(sequence)+1, sequence+1); body != want {
				t.Errorf("the journal has %s, want %s", body, want)
			}
		}
	})
}

// A plain server rejects messages: each is told once, later messages are delivered, and
// the rejected ones are not sent again (R14).
func TestPlainServerRejects(t *testing.T) {
	cluster.Run(t, logged("^orders$"), func(s *cluster.System) {
		pub := s.PlainApp("pub", []string{"a", "b"}, nil)
		pub.PublishN("orders", 1, 3)
		pub.PublishN("nowhere", 4, 5)
		pub.PublishN("orders", 6, 8)
		pub.Flush()
		s.Node("a").Kill()
		pub.PublishN("orders", 9, 9)
		s.Node("a").Start()
		pub.Flush()
		wantRejections(s, pub, "rejected 4: invalid topic", "rejected 5: invalid topic")
		s.AwaitSync()
		wantJournals(s, slices.Concat(cluster.Bodies("pub", 1, 3), cluster.Bodies("pub", 6, 9)))
	})
}

// The plain servers of a pair fail over, in turns, with the publisher and a subscriber
// whose process dies too. The logon at the remaining server waits until both watermarks
// agree: until its peer is back, or downgraded (R15). All messages arrive once. A
// subscriber's list of bookmarks makes the server begin too early rather than too late,
// and the server leaves out messages that the list covers (R9, R15).
func TestPlainFailover(t *testing.T) {
	for _, tt := range []struct {
		name      string
		configure func(*server.Config)
	}{
		{"sync", nil},
		{"downgraded", downgradeAfter(3 * time.Second)},
		{"downgraded late", downgradeAfter(12 * time.Second)}, // later than a logon waits
	} {
		t.Run(tt.name, func(t *testing.T) {
			cluster.Run(t, tt.configure, func(s *cluster.System) {
				pub := s.PlainApp("pub", []string{"a", "b"}, nil)
				file := s.BookmarkFile()
				sub := s.PlainApp("sub", []string{"a", "b"}, file.Configure)
				r := sub.Read("orders", true, client.From(client.Epoch), client.ID("orders"))
				live := s.PlainApp("live", []string{"b", "a"}, nil).Read("orders", true, client.From(client.Epoch))
				pub.PublishN("orders", 1, 10)
				pub.Flush()
				early := s.PlainApp("early", []string{"b", "a"}, nil) // whose bookmark stays far behind
				early.PublishN("orders", 1, 3)
				early.Flush()
				last := 10
				for _, down := range []string{"a", "b", "a"} {
					s.Node(down).Kill()
					pub.PublishN("orders", last+1, last+10)
					if tt.configure == nil {
						s.Advance(7 * time.Second)
						if st := pub.Client.Stats(); st.State == client.StateLive {
							t.Errorf("the publisher was let in to %[2]s while %[1]s is down", down, st.Server.Server)
						}
					} else {
						pub.Flush() // on one disk
					}
					s.Node(down).Start()
					s.AwaitSync()
					pub.Flush()
					last += 10
					r.AwaitN(last + 3)
				}
				file.Sync()
				wantExactly(t, r.Bodies(), cluster.Bodies("pub", 1, last), cluster.Bodies("early", 1, 3))
				if n := r.Sub.Stats().Duplicates; n > 0 {
					t.Errorf("%d came again that the list covers", n)
				}
				file.Crash(sub, nil)
				r = sub.Read("orders", true, client.From(client.MostRecent), client.ID("orders"))
				pub.PublishN("orders", last+1, last+5)
				pub.Flush()
				wantExactly(t, r.AwaitN(5), cluster.Bodies("pub", last+1, last+5))
				wantExactly(t, live.AwaitN(last+8), cluster.Bodies("pub", 1, last+5), cluster.Bodies("early", 1, 3))
				s.Finish()
				s.CheckSame("a", "b")
			})
		})
	}
}

// Two processes use one name with plain servers: the later logon wins, the
// loser is told, and waits longer each time (R11, R15).
func TestPlainNameInUse(t *testing.T) {
	cluster.Run(t, nil, func(s *cluster.System) {
		one := s.PlainApp("one", []string{"a"}, setGatewayName)
		one.AwaitServer("a")
		two := s.PlainApp("two", []string{"b"}, setGatewayName)
		s.Advance(10 * time.Minute)
		told := pushedOut(one) + pushedOut(two)
		if told < 10 || told > 30 {
			t.Errorf("the two were pushed out %d times in ten minutes, want about 20", told)
		}
	})
}

// A rawClient is a client of the plain protocol that sends frames. It keeps published
// messages only as long as its test does.
type rawClient struct {
	s    *cluster.System
	name string
	conn net.Conn
	r    *wire.Reader
}

// dialRaw connects to an instance, without logging on.
func dialRaw(s *cluster.System, name, server string) *rawClient {
	s.TB.Helper()
	ctx, cancel := s.Context()
	defer cancel()
	conn, err := s.Net.Host(name).Dial(ctx, server+":9007")
	if err != nil {
		s.TB.Fatal(err)
	}
	s.TB.Cleanup(func() { conn.Close() })
	return &rawClient{s, name, conn, wire.NewReader(conn, wire.MaxFrame)}
}

func (c *rawClient) send(frame []byte) {
	c.s.TB.Helper()
	if _, err := c.conn.Write(frame); err != nil {
		c.s.TB.Fatal(err)
	}
}

// next returns the next ack, false if none comes within d or ever.
func (c *rawClient) next(d time.Duration) (m wire.Message, ok bool) {
	c.s.TB.Helper()
	if err := c.conn.SetReadDeadline(time.Now().Add(d)); err != nil {
		return m, false
	}
	frame, err := c.r.Next()
	if err != nil {
		return m, false
	}
	if err := wire.Parse(slices.Clone(frame), &m); err != nil {
		c.s.TB.Fatal(err)
	}
	return m, true
}

// logOn sends a logon.
func (c *rawClient) logOn() {
	c.s.TB.Helper()
	l := wire.LogonCommand{CommandID: "0", ClientName: c.name, MessageType: "json", Acks: wire.AckProcessed, Version: "1.0:raw"}
	c.send(l.AppendTo(nil))
}

// in returns the number in the logon ack, which must come within a minute.
func (c *rawClient) awaitLogon() uint64 {
	c.s.TB.Helper()
	m, ok := c.next(time.Minute)
	if !ok || m.Acks != wire.AckProcessed || string(m.Status) != wire.StatusSuccess {
		c.s.TB.Fatalf("%s: logon: %v, %q %q", c.name, ok, m.Status, m.Reason)
	}
	return m.Sequence
}

// waits fails if the logon is answered within d.
func (c *rawClient) wantNoLogon(d time.Duration) {
	c.s.TB.Helper()
	if m, ok := c.next(d); ok {
		c.s.TB.Fatalf("%s: the logon was answered with %d %q, want nothing yet", c.name, m.Sequence, m.Reason)
	}
}

// publish sends NAME-from to NAME-to under these sequences.
func (c *rawClient) publish(from, to int) {
	c.s.TB.Helper()
	for n, body := range cluster.Bodies(c.name, from, to) {
		p := wire.PublishCommand{Topic: "orders", Acks: wire.AckPersisted, Sequence: uint64(from + n), Body: []byte(body)}
		c.send(p.AppendTo(nil))
	}
}

// persisted waits until everything up to n is acknowledged.
func (c *rawClient) awaitPersisted(n uint64) {
	c.s.TB.Helper()
	for {
		m, ok := c.next(time.Minute)
		if !ok || m.Acks != wire.AckPersisted || string(m.Status) != wire.StatusSuccess || m.Sequence > n {
			c.s.TB.Fatalf("%s: persisted: %v, %d %q %q, want %d", c.name, ok, m.Sequence, m.Status, m.Reason, n)
		}
		if m.Sequence == n {
			return
		}
	}
}

// turnedAway waits for the publish gap that ends the session.
func (c *rawClient) wantPublishGap() {
	c.s.TB.Helper()
	m, ok := c.next(time.Minute)
	if !ok || m.Acks != wire.AckProcessed || string(m.Reason) != wire.ReasonPublishGap || m.HasSequence {
		c.s.TB.Fatalf("%s: %v, %q %q, want a publish gap", c.name, ok, m.Status, m.Reason)
	}
	if _, ok := c.next(time.Minute); ok {
		c.s.TB.Fatalf("%s: the session goes on behind a publish gap", c.name)
	}
}

// A client of the plain protocol publishes on a pair. Its acks are two disks;
// when its instance dies, its logon at the other waits until that one has no
// longer two numbers for it: until the peer is back (R15).
func TestPlainClientFailover(t *testing.T) {
	cluster.Run(t, nil, func(s *cluster.System) {
		c := dialRaw(s, "old", "a")
		c.logOn()
		if n := c.awaitLogon(); n != 0 {
			t.Errorf("first logon: %d", n)
		}
		c.publish(1, 5)
		c.awaitPersisted(5)

		s.Node("b").Kill()
		c.publish(6, 8)
		if m, ok := c.next(5 * time.Second); ok {
			t.Fatalf("%d is acknowledged by one disk", m.Sequence)
		}
		s.Node("a").Kill()
		s.Node("b").Start()
		s.Node("b").AwaitReady()
		c = dialRaw(s, "old", "b")
		c.logOn()
		c.wantNoLogon(10 * time.Second)
		s.Node("a").Start()
		if n := c.awaitLogon(); n != 8 {
			t.Errorf("logon when both are there: %d, want 8 as a has it", n)
		}
		c.publish(9, 12)
		c.awaitPersisted(12)
		s.AwaitSync()
		wantJournals(s, cluster.Bodies("old", 1, 12))
	})
}

// Two instances lose each other. One acknowledges alone to a plain client, which lets go
// and moves to the other. There its logon waits until the peer is downgraded, and the
// client is turned away, since its last messages are not there. When the link is healed
// it is let in with the right number (R4, R15).
func TestPlainClientDowngrade(t *testing.T) {
	cluster.Run(t, downgradeAfter(3*time.Second), func(s *cluster.System) {
		c := dialRaw(s, "old", "a")
		c.logOn()
		c.awaitLogon()
		c.publish(1, 5)
		c.awaitPersisted(5)

		s.Advance(time.Second) // b is told that a has it, too
		s.Cut("a", "b")
		c.publish(6, 8)
		c.awaitPersisted(8) // one disk, a plain client is not told
		c = dialRaw(s, "old", "b")
		c.logOn()
		c.wantNoLogon(2 * time.Second)
		if n := c.awaitLogon(); n != 5 {
			t.Errorf("logon at the one that lags: %d, want 5", n)
		}
		c.publish(9, 9)
		c.wantPublishGap()

		c = dialRaw(s, "old", "b")
		c.logOn()
		if n := c.awaitLogon(); n != 5 {
			t.Errorf("logon at the one that lags: %d, want 5", n)
		}
		c.conn.Close()
		s.Heal("a", "b")
		s.AwaitSync()
		c = dialRaw(s, "old", "b")
		c.logOn()
		if n := c.awaitLogon(); n != 8 {
			t.Errorf("logon behind the heal: %d, want 8", n)
		}
		c.publish(9, 12)
		c.awaitPersisted(12)
		wantJournals(s, cluster.Bodies("old", 1, 12))
	})
}

// A plain client with a store of its own moves while the link is cut, with its
// unacknowledged messages, and the other instance gets the same ones from its peer later:
// they are there once. A publisher that no instance knows is let in while no peer can be
// asked (R1, R15).
func TestPlainClientReplays(t *testing.T) {
	cluster.Run(t, nil, func(s *cluster.System) {
		known := dialRaw(s, "known", "a")
		known.logOn()
		known.awaitLogon()
		known.publish(1, 3)
		known.awaitPersisted(3)
		s.Cut("a", "b")
		s.Advance(5 * time.Second)
		unknown := dialRaw(s, "unknown", "a")
		unknown.logOn()
		unknown.awaitLogon()
		known.publish(4, 6)
		unknown.publish(1, 6)

		s.Advance(time.Second)
		known, unknown = dialRaw(s, "known", "b"), dialRaw(s, "unknown", "b")
		known.logOn()
		unknown.logOn()
		if n := unknown.awaitLogon(); n != 0 {
			t.Errorf("a publisher unknown here is told %d", n)
		}
		unknown.publish(1, 8)
		known.wantNoLogon(10 * time.Second)
		s.Heal("a", "b")
		if n := known.awaitLogon(); n != 6 {
			t.Errorf("a publisher known here is told %d, want 6", n)
		}
		known.publish(7, 9)
		known.awaitPersisted(9)
		unknown.awaitPersisted(8)
		s.Finish()
		s.CheckSame("a", "b")
		wantExactly(t, s.Node("b").Bodies(), cluster.Bodies("known", 1, 9), cluster.Bodies("unknown", 1, 8))
	})
}
