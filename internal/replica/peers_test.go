package replica

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"maps"
	"net"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A peer that must not be linked is refused with a reason and dialled again slowly. The process
// goes on, and so does the link with the right peer.
func TestRefusedPeers(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(o *Options) // options of b
		dest   Destination      // destination of a
		reason string
	}{
		{"group", func(o *Options) { o.Group = "another" }, to("b"), "group"},
		{"digest", func(o *Options) { o.Digest = "another" }, to("b"), "rules"},
		{"name", func(o *Options) { o.Name = "x" }, to("b"), "expected"},
		{"our name", func(o *Options) { o.Name = "a" }, to("b"), "another instance is named"},
		{"our own address", func(o *Options) {}, Destination{Name: "b", Address: "a:9107", Sync: true}, "itself"},
		{"topics", func(o *Options) { o.Destinations[0].Topics = []string{"y"} }, to("b"), "must be equal"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a := w.start("a", tt.dest)
				b := w.instance("b", func(o *Options) {
					o.Destinations = []Destination{{Name: "a", Sync: true}} // waits for a to dial
					tt.change(o)
					if o.Name == "a" {
						o.Destinations = nil
					}
				})
				b.start()
				w.eventually("refused", func() bool {
					s := a.status("b")
					return s.State == "down" && strings.Contains(s.Reason, tt.reason) && s.Refused > 0
				})
				before := a.status("b").Refused
				pass(time.Minute)
				if n := a.status("b").Refused - before; n < 9 || n > 13 {
					t.Errorf("tried %d times in a minute, want every 5s", n)
				}
				a.publish(1, 1, 1)
				w.now("the journal goes on", func() bool { return a.l.durable(1) == 1 && a.l.Safe(1) == 0 })
				if !a.isReady() || !a.l.CatchingUp() {
					t.Error("not serving without it")
				}
			})
		})
	}
}

// All links into an instance carry the same topics.
func TestLinksIntoOneInstance(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		b := w.start("b")
		a := w.start("a", to("b"))
		w.eventually("a is linked", a.state("b", "sync"))
		d := to("b")
		d.Topics = []string{"x"}
		c := w.start("c", d)
		w.eventually("c is refused", func() bool { return strings.Contains(c.status("b").Reason, "all links into an instance") })
		if a.status("b").State != "sync" || !b.status("a").Inbound {
			t.Error("a is not linked any more")
		}
		a.close() // then c may be linked
		w.eventually("c is linked", c.state("b", "sync"))
	})
}

// One side has no address of the other. The one connection serves both directions.
func TestOnlyOneSideDials(t *testing.T) {
	for _, dialler := range []string{"a", "b"} {
		t.Run(dialler, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				dests := map[string]Destination{"a": to("b"), "b": to("a")}
				for name, d := range dests {
					if name != dialler {
						d.Address = ""
						dests[name] = d
					}
				}
				a, b := w.start("a", dests["a"]), w.start("b", dests["b"])
				w.linked(a, b)
				a.publish(1, 1, 5)
				b.publish(2, 1, 5)
				w.same(a, b)
				w.eventually("safe", func() bool { return a.l.Safe(1) == 5 && b.l.Safe(2) == 5 })
				w.Reset("a", "b")
				w.eventually("lost", func() bool { return a.l.Safe(1) == 0 })
				w.linked(a, b)
				w.eventually("safe again", func() bool { return a.l.Safe(1) == 5 })
			})
		})
	}
}

func (l *Links) countConnections() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.conns) + l.pending.count()
}

// However often connections cross, one stays.
func TestCrossingConnections(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		w.Pause("b") // both dial, and neither gets an answer before both have
		a, b := w.pair()
		pass(10 * time.Millisecond)
		w.Resume("b")
		for n := range 5 {
			w.linked(a, b)
			pass(time.Second)
			if lost := slices.Index(a.events.kinds("b"), EventPeerLost); n == 0 && lost >= 0 {
				t.Error("the end of one of two connections that crossed is told as the loss of the peer")
			}
			if a.l.countConnections() != 1 || b.l.countConnections() != 1 {
				t.Fatalf("%d connections at a, %d at b", a.l.countConnections(), b.l.countConnections())
			}
			a.publish(1, a.have(1)+1, a.have(1)+3)
			w.eventually("safe", func() bool { return a.l.Safe(1) == a.have(1) })
			w.Reset("a", "b")
		}
		if a.status("b").Refused+b.status("a").Refused > 0 {
			t.Error("crossing is counted as refusing")
		}
	})
}

// A silent connection is found lost within four intervals.
func TestHalfOpenLink(t *testing.T) {
	for _, tt := range []struct {
		name string
		cut  func(w *world)
	}{
		{"both ways", func(w *world) { w.Cut("a", "b") }},
		{"from b to a", func(w *world) { w.CutOneWay("b", "a") }},
		{"paused", func(w *world) { w.Pause("b") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a, b := w.pair()
				w.linked(a, b)
				a.publish(1, 1, 1)
				w.eventually("safe", func() bool { return a.l.Safe(1) == 1 })
				pass(time.Minute) // an idle link stays up
				if a.status("b").State != "sync" {
					t.Fatal("an idle link is lost")
				}
				tt.cut(w)
				pass(1400 * time.Millisecond)
				if a.status("b").State != "sync" {
					t.Fatal("lost after less than three intervals")
				}
				pass(600*time.Millisecond + time.Millisecond)
				if s := a.status("b"); s.State != "down" || !strings.Contains(s.Reason, "no sign") {
					t.Fatalf("not found: %+v", s)
				}
				pass(20 * time.Second)
				w.Heal("a", "b")
				w.Resume("b")
				w.linked(a, b)
				w.eventually("safe again", func() bool { return a.l.Safe(1) == 1 })
			})
		})
	}
}

// A cut after any number of bytes loses and repeats nothing.
func TestCutAnywhere(t *testing.T) {
	for bytes := int64(1); bytes < 1500; bytes += 37 {
		for _, dir := range [][2]string{{"a", "b"}, {"b", "a"}} {
			inWorld(t, func(t *testing.T, w *world) {
				w.ResetAfter(dir[0], dir[1], bytes)
				a, b := w.pair()
				a.publish(1, 1, 5)
				b.publish(2, 1, 5)
				w.linked(a, b)
				w.same(a, b)
				w.eventually("safe", func() bool { return a.l.Safe(1) == 5 && b.l.Safe(2) == 5 })
			})
		}
	}
}

// ask asks the peers and drops the early answers.
func (i *instance) ask(ctx context.Context, n Notice) Answers {
	return i.l.AskPeers(ctx, n, func(Answers) {})
}

func same(a, b Answers) bool {
	by := maps.Equal(a.HaveByPeer, b.HaveByPeer)
	a.HaveByPeer, b.HaveByPeer = nil, nil
	return by && reflect.DeepEqual(a, b)
}

func TestNotices(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", to("b"), to("c"))
		b := w.start("b", to("a"))
		w.linked(a, b)
		b.publish(7, 1, 3)
		n := Notice{ClientName: "pub", User: "u", Publisher: 7, Check: checkOf(7), LogonCounter: 4, Instance: "a"}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if got := a.ask(ctx, n); !same(got, Answers{Intact: true, Have: 3, IncomingHave: 3, HaveByPeer: map[string]uint64{"b": 3}}) {
			t.Errorf("%+v, want have 3, and not all without c", got)
		}
		if len(b.notices) != 1 || b.notices[0] != n {
			t.Errorf("b got notices %+v", b.notices)
		}
		c := w.start("c", to("a"))
		w.linked(a, c)
		if got := a.ask(ctx, n); !same(got, Answers{Intact: true, Have: 3, IncomingHave: 3, AllAnswered: true, EnoughAnswered: true, HaveByPeer: map[string]uint64{"b": 3, "c": 3}}) || len(c.notices) != 1 {
			t.Errorf("%+v, c got notices %v", got, c.notices)
		}
		other := n
		other.User = refusedUser
		if got := a.ask(ctx, other); !same(got, Answers{Intact: true, Have: 3, IncomingHave: 3, AllAnswered: true, EnoughAnswered: true, NameTaken: true, HaveByPeer: map[string]uint64{"b": 3, "c": 3}}) {
			t.Errorf("%+v for a name of another user", got)
		}
		other.User = lostUser
		if got := a.ask(ctx, other); !same(got, Answers{Intact: true, Have: 3, IncomingHave: 3, Outbid: true}) {
			t.Errorf("%+v where sessions of others stay", got)
		}
		other = n
		other.Check = checkOf(8)
		if got := a.ask(ctx, other); !same(got, Answers{Intact: true, Have: 3, IncomingHave: 3, AllAnswered: true, EnoughAnswered: true, OtherPublisher: true, HaveByPeer: map[string]uint64{"b": 3, "c": 3}}) {
			t.Errorf("%+v for the id of another publisher", got)
		}
		w.Pause("c")
		began := time.Now()
		if got := a.ask(ctx, n); !same(got, Answers{Intact: true, Have: 3, IncomingHave: 3, HaveByPeer: map[string]uint64{"b": 3}}) || time.Since(began) < 500*time.Millisecond {
			t.Errorf("%+v after %v, want an end by ctx", got, time.Since(began))
		}
		w.Resume("c")
		c.close()
		b.close()
		w.eventually("no peer is connected", func() bool { return !a.l.Reachable() })
		if got := a.ask(t.Context(), n); !same(got, Answers{}) {
			t.Errorf("%+v without a connected peer", got)
		}
	})
}

// Messages at a peer that does not replicate here never arrive here. A notice does not wait for an
// asynchronous destination that is away.
func TestNoticeToOneWayPeer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", to("b"), Destination{Name: "c", Address: "c:9107"})
		b, c := w.start("b", to("a")), w.start("c")
		w.linked(a, b)
		w.eventually("c is linked", a.state("c", "live"))
		c.publish(7, 1, 3)
		if got := a.ask(t.Context(), Notice{Publisher: 7}); !same(got, Answers{Intact: true, Have: 3, AllAnswered: true, EnoughAnswered: true, HaveByPeer: map[string]uint64{"b": 0, "c": 3}}) {
			t.Errorf("%+v, want 3 there, and no incoming ones", got)
		}
		c.close()
		w.eventually("c is away", a.state("c", "down"))
		if got := a.ask(t.Context(), Notice{Publisher: 7}); !same(got, Answers{Intact: true, EnoughAnswered: true, HaveByPeer: map[string]uint64{"b": 0}}) {
			t.Errorf("%+v without c, want EnoughAnswered", got)
		}
	})
}

// A notice does not wait for ever if its peer goes away.
func TestNoticeOfAPeerThatDies(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		w.Cut("a", "b")
		if a.ask(t.Context(), Notice{Publisher: 1}).AllAnswered {
			t.Error("answered by a peer that was away")
		}
		lone := w.instance("z", nil)
		lone.start()
		if got := lone.ask(t.Context(), Notice{}); !same(got, Answers{AllAnswered: true, EnoughAnswered: true}) {
			t.Errorf("alone: %+v", got)
		}
	})
}

// A starting instance is ready when it has everything that its peer had (R6).
func TestReadyWhenCaughtUp(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", to("b"))
		if a.isReady() {
			t.Fatal("ready before any peer was asked")
		}
		b := w.start("b", to("a"))
		w.eventually("ready", func() bool { return a.isReady() && b.isReady() })
		b.close()
		a.publish(1, 1, 3000)
		w.SetBuffer(4 << 10)
		b.start()
		for range 100000 {
			if b.isReady() {
				break
			}
			pass(time.Millisecond)
		}
		if b.have(1) != 3000 || b.l.CatchingUp() {
			t.Errorf("ready with %d, catching up %v", b.have(1), b.l.CatchingUp())
		}
	})
}

// A peer that cannot be reached holds up the start for the timeout only.
func TestReadyWithoutPeer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", to("b"))
		pass(10*time.Second - time.Millisecond)
		if a.isReady() {
			t.Fatal("ready before the timeout")
		}
		pass(time.Millisecond)
		if !a.isReady() || !a.l.CatchingUp() || !a.logged("ERROR", "may lack messages of its peers", "b") {
			t.Fatal("not ready after the timeout, or nothing logged")
		}
		b := w.start("b", to("a"))
		b.publish(1, 1, 3)
		w.linked(a, b)
		w.eventually("caught up", func() bool { return !a.l.CatchingUp() })
	})
}

// A peer that is reachable but stalls does not hold it up for longer either.
func TestReadyWhenPeerStalls(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", to("b"))
		f := w.fake("b")
		c := f.accept()
		c.handshake(&Hello{States: []journal.PublisherState{{Publisher: 1, Have: 5, Durable: 5}}})
		c.sendHeartbeats(time.Second, 9)
		c.sendRecords(message(1, 1, "x")) // some progress
		c.sendHeartbeats(time.Second, 9)
		if a.isReady() {
			t.Fatal("ready although the peer brought something 9s ago")
		}
		c.sendHeartbeats(time.Second, 1)
		if !a.isReady() || !a.l.CatchingUp() {
			t.Error("not ready")
		}
	})
}

// A damaged journal waits for its peer for as long as it takes, and is then repaired (R8).
func TestDamagedJournalHeals(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		a.publish(1, 1, 50)
		b.publish(2, 1, 50)
		w.same(a, b)
		a.close()
		b.close()
		damage(t, a.disk, "body of 1|20")
		a.start()
		if a.j.Damage() == nil || a.have(1) >= 20 {
			t.Fatalf("not damaged: have %d", a.have(1))
		}
		pass(time.Minute)
		if a.isReady() {
			t.Fatal("ready with a damaged journal and no peer")
		}
		b.start()
		w.eventually("ready", a.isReady)
		if a.j.Damage() != nil || a.have(1) != 50 || a.have(2) != 50 {
			t.Errorf("damage %v, have %d and %d", a.j.Damage(), a.have(1), a.have(2))
		}
		w.linked(a, b)
		w.same(a, b)
	})
}

// One record is damaged on a, another on b. Both journals become complete again.
func TestBothDamaged(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		a.publish(1, 1, 30)
		b.publish(2, 1, 30)
		a.publish(3, 1, 30)
		w.same(a, b)
		want := a.text()
		a.close()
		b.close()
		damage(t, a.disk, "body of 1|20")
		damage(t, b.disk, "body of 2|10")
		a.start()
		b.start()
		w.eventually("ready", func() bool { return a.isReady() && b.isReady() })
		w.same(a, b)
		if got := a.text(); got != want {
			t.Errorf("healed to\n%s, want\n%s", got, want)
		}
	})
}

// damage flips a bit in the first copy of text on the disk.
func damage(t *testing.T, disk *memfs.FS, text string) {
	t.Helper()
	for _, name := range disk.Names() {
		content, err := disk.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if at := bytes.Index(content, []byte(text)); at >= 0 {
			disk.Flip(name, int64(at))
			return
		}
	}
	t.Fatalf("%q is not on the disk", text)
}

// A fake is a peer that sends frames that a test chooses.
type fake struct {
	w    *world
	name string
	ln   net.Listener
}

// A fakeConn is one connection of a fake.
type fakeConn struct {
	w    *world
	nc   net.Conn
	fr   frameReader
	enc  *encoder
	auth *authenticator
}

func (w *world) fake(name string) *fake {
	w.t.Helper()
	ln, err := w.Host(name).Listen(":9107")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { ln.Close() })
	return &fake{w: w, name: name, ln: ln}
}

// accept waits for the instance to dial, and reads its hello.
func (f *fake) accept() *fakeConn {
	f.w.t.Helper()
	nc, err := f.ln.Accept()
	if err != nil {
		f.w.t.Fatal(err)
	}
	f.w.t.Cleanup(func() { nc.Close() })
	c := f.w.newFakeConn(nc, false)
	c.expectOpen()
	c.sendOpen()
	c.sendProof()
	c.expect(frameProof)
	c.auth.addHello(c.expect(frameHello))
	c.expect(frameProof)
	return c
}

// dial dials an instance and does the handshake up to our hello.
func (w *world) dial(from, to string) *fakeConn {
	w.t.Helper()
	nc, err := w.Host(from).Dial(w.t.Context(), to+":9107")
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { nc.Close() })
	c := w.newFakeConn(nc, true)
	c.sendOpen()
	c.expectOpen()
	c.expect(frameProof)
	c.sendProof()
	return c
}

// newFakeConn returns a fake's connection on which nothing has been sent.
func (w *world) newFakeConn(nc net.Conn, dialled bool) *fakeConn {
	return &fakeConn{w: w, nc: nc, fr: frameReader{r: nc, limit: 4 << 20}, enc: newEncoder(),
		auth: newAuthenticator([][]byte{testSecret}, dialled, nonce{byte(len(w.instances))})}
}

// expect reads a frame, which must be of type want.
func (c *fakeConn) expect(want frameType) []byte {
	c.w.t.Helper()
	payload, err := c.fr.next()
	if err != nil {
		c.w.t.Fatal(err)
	}
	if kind, _ := decode(payload); kind != want {
		c.w.t.Fatalf("frame of type %d, want %d", kind, want)
	}
	return payload
}

func (c *fakeConn) expectOpen() {
	c.w.t.Helper()
	_, d := decode(c.expect(frameOpen))
	var theirs openFrame
	if err := d.body(&theirs); err != nil {
		c.w.t.Fatal(err)
	}
	c.auth.setPeerNonce(theirs.nonce)
}

func (c *fakeConn) sendOpen() {
	c.w.t.Helper()
	c.enc.frame(frameOpen, &openFrame{protocolVersion, c.auth.nonces[c.auth.index(c.auth.dialled)]})
	c.send()
}

func (c *fakeConn) sendProof() {
	c.w.t.Helper()
	c.enc.frame(frameProof, proofOf(c.auth.prove()))
	c.send()
}

// sendHello sends a hello and the proof of it.
func (c *fakeConn) sendHello(h *Hello) {
	c.w.t.Helper()
	c.enc.frame(frameHello, h)
	c.auth.addHello(c.enc.finish()[frameHeader:])
	c.send()
	c.sendProof()
}

func (c *fakeConn) send() {
	c.w.t.Helper()
	if _, err := c.nc.Write(c.enc.finish()); err != nil {
		c.w.t.Fatal(err)
	}
}

// handshake sends the hello of b, a member of the usual group, and its states.
func (c *fakeConn) handshake(h *Hello) {
	c.w.t.Helper()
	h.Name, h.Group, h.Digest, h.Outbound = "b", "g", "d", true
	if h.Cluster.IsZero() {
		h.Cluster, h.Intact = testCluster, true
	}
	c.sendHello(h)
	c.enc.frame(frameStates, newStatesFrame(h.States))
	c.send()
}

func (c *fakeConn) sendRecords(records ...*journal.Record) {
	c.w.t.Helper()
	c.enc.begin(frameRecords)
	for _, r := range records {
		c.enc.record(c.raw(r))
	}
	c.send()
}

func (c *fakeConn) raw(r *journal.Record) []byte {
	c.w.t.Helper()
	raw, err := record.Append(nil, r)
	if err != nil {
		c.w.t.Fatal(err)
	}
	return raw
}

// sendChanged sends one record after a change to its bytes.
func (c *fakeConn) sendChanged(r *journal.Record, change func(raw []byte)) {
	raw := c.raw(r)
	change(raw)
	c.enc.begin(frameRecords)
	c.enc.record(raw)
	c.send()
}

// sendHeartbeats sends n heartbeats at intervals of d.
func (c *fakeConn) sendHeartbeats(d time.Duration, n int) {
	c.w.t.Helper()
	for range n {
		pass(d)
		c.enc.frame(frameHeartbeat, &heartbeat{})
		c.send()
	}
	pass(0)
}

// expectRefusal reads until the instance refuses, and returns the refusal.
func (c *fakeConn) expectRefusal() *RefusedError {
	c.w.t.Helper()
	for {
		payload, err := c.fr.next()
		if err != nil {
			c.w.t.Fatalf("no refusal: %v", err)
		}
		if t, d := decode(payload); t == frameRefuse {
			r := new(RefusedError)
			if err := d.body(r); err != nil {
				c.w.t.Fatal(err)
			}
			return r
		}
	}
}

// A record that cannot be appended ends the link with the reason. The second time in a row the link
// counts as down and is tried again slowly (R2).
func TestRefusedRecords(t *testing.T) {
	for _, tt := range []struct {
		name   string
		send   func(c *fakeConn)
		code   refuseCode
		reason string
	}{
		{"hole", func(c *fakeConn) { c.sendRecords(message(1, 2, "x"), message(1, 4, "x")) }, refuseRecord, "hole"},
		{"not a record", func(c *fakeConn) {
			c.enc.begin(frameRecords)
			c.enc.record([]byte("nonsense"))
			c.send()
		}, refuseRecord, "record"},
		{"not a frame", func(c *fakeConn) {
			c.enc.begin(frameAck)
			c.enc.array(1<<30, 0, 0)
			c.send()
		}, refuseRecord, "malformed"},
		{"unknown frame", func(c *fakeConn) { c.enc.begin(99); c.send() }, refuseRecord, "unknown type"},
		{"a message that leaves out others", func(c *fakeConn) {
			r := &journal.Record{Kind: journal.Tombstone, Publisher: 1, Sequence: 4, Prev: 1, Topic: []byte("t")}
			c.sendChanged(r, func(raw []byte) { raw[0] = byte(journal.Message) })
		}, refuseRecord, "message 4 after predecessor 1"},
		{"content that does not match its checksum", func(c *fakeConn) {
			c.sendChanged(message(1, 1, "x"), func(raw []byte) { raw[len(raw)-1]++ })
		}, refuseRecord, "is damaged"},
		{"a number above the highest", func(c *fakeConn) {
			c.enc.frame(frameAck, vectorFrameOf([]bookmark.Bookmark{{Publisher: 1, Sequence: 1 << 63}}))
			c.send()
		}, refuseRecord, "above 2^63-1"},
		{"a marker above the highest number", func(c *fakeConn) {
			c.sendChanged(&journal.Record{Kind: journal.Gone, Publisher: 1, Sequence: 1}, func(raw []byte) { binary.LittleEndian.PutUint64(raw[16:], 1<<63) })
		}, refuseRecord, "not between 1 and 2^63-1"},
		{"damaged on the way", func(c *fakeConn) {
			c.enc.frame(frameAck, vectorFrameOf([]bookmark.Bookmark{bm(1, 1)}))
			b := c.enc.finish()
			b[len(b)-1] ^= 1
			c.nc.Write(b)
		}, refuseRecord, "checksum"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inWorld(t, func(t *testing.T, w *world) {
				a := w.instance("a", func(o *Options) { o.Destinations = []Destination{to("b")} })
				a.open()
				a.publish(1, 1, 1)
				a.start()
				f := w.fake("b")
				for range 2 {
					c := f.accept()
					c.handshake(&Hello{})
					tt.send(c)
					r := c.expectRefusal()
					if r.Code != tt.code || !strings.Contains(r.Reason, tt.reason) {
						t.Fatalf("refused with %d %q", r.Code, r.Reason)
					}
					c.nc.Close()
				}
				w.eventually("down", a.state("b", "down"))
				s := a.status("b")
				if !strings.Contains(s.Reason, tt.reason) || s.Refused != 2 || s.Diverged != 0 {
					t.Errorf("status %+v", s)
				}
				if !a.logged("ERROR", "counts as down") {
					t.Error("nothing logged")
				}
				began := time.Now()
				f.accept()
				if d := time.Since(began); d < 4*time.Second {
					t.Errorf("tried again after %v", d)
				}
			})
		})
	}
}

// A refusal reaches a peer that had stopped reading, after the frame that is being sent. Without
// the refusal the peer would try again as if the link had been lost.
func TestRefusalBehindAFrame(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", to("b"))
		c := w.fake("b").accept()
		c.handshake(&Hello{})
		w.now("linked", func() bool { return up(a.status("b")) })
		long := message(1, 1, "x")
		long.Body = bytes.Repeat([]byte("x"), 900<<10) // more than the connection accepts
		a.append(long)
		c.sendRecords(message(2, 2, "x")) // a hole
		pass(0)
		if r := c.expectRefusal(); r.Code != refuseRecord || !strings.Contains(r.Reason, "hole") {
			t.Errorf("refused with %d %q", r.Code, r.Reason)
		}
	})
}

// The other direction: the peer refuses a record of ours.
func TestRefusedByPeer(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", to("b"))
		a.publish(1, 1, 1)
		f := w.fake("b")
		for range 2 {
			c := f.accept()
			c.handshake(&Hello{})
			c.enc.frame(frameRefuse, &RefusedError{Code: refuseRecord, Reason: "don't like it"})
			c.send()
			w.eventually("down", a.state("b", "down"))
		}
		if s := a.status("b"); s.Reason != "refused by the peer: don't like it" || s.Refused != 2 {
			t.Errorf("status %+v", s)
		}
		began := time.Now()
		f.accept()
		if d := time.Since(began); d < 4*time.Second {
			t.Errorf("tried again after %v", d)
		}
	})
}

// Two contents of an identity that is too old for a direct comparison show in the running CRC, at
// the hello and later (R11).
func TestDivergence(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.instance("a", func(o *Options) { o.Destinations = []Destination{to("b")} })
		b := w.instance("b", func(o *Options) { o.Destinations = []Destination{to("a")} })
		a.open()
		b.open()
		a.publish(1, 1, 3)
		b.publishTo("other", 1, 1, 3)
		a.start()
		b.start()
		w.linked(a, b)
		if a.status("b").Diverged != 1 || b.status("a").Diverged != 1 || !a.logged("DIVERGED", "publisher=1") {
			t.Errorf("diverged %d and %d", a.status("b").Diverged, b.status("a").Diverged)
		}
		pass(10 * time.Second)
		if a.status("b").Diverged != 1 {
			t.Error("counted again and again")
		}
	})
}

func TestDivergenceByHeartbeat(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", to("b"))
		f := w.fake("b")
		c := f.accept()
		c.handshake(&Hello{})
		a.publish(1, 1, 3)
		c.enc.frame(frameHeartbeat, &heartbeat{moved: []journal.PublisherState{{Publisher: 1, Have: 2, RunningCRC: 1}}})
		c.send()
		pass(0)
		if a.status("b").Diverged != 0 {
			t.Fatal("compared at different numbers")
		}
		c.enc.frame(frameHeartbeat, &heartbeat{moved: []journal.PublisherState{{Publisher: 1, Have: 3, RunningCRC: 1}}})
		c.send()
		pass(0)
		if a.status("b").Diverged != 1 || !a.logged("DIVERGED") {
			t.Error("not found")
		}
	})
}

// Whatever bytes arrive at the port of a link, the connection is closed and nothing else happens.
func TestStrangersOnThePort(t *testing.T) {
	long := binary.BigEndian.AppendUint32(nil, 1<<31)
	for _, in := range []string{
		"", "GET / HTTP/1.1\r\n\r\n", string(make([]byte, 100)), string(long) + "aaaaaaaaaaa",
		string(sampleFrames()["ack"]), string(sampleFrames()["hello"]), string(sampleFrames()["hello"]) + string(sampleFrames()["ack"]),
	} {
		inWorld(t, func(t *testing.T, w *world) {
			a := w.start("a")
			nc, err := w.Host("s").Dial(t.Context(), "a:9107")
			if err != nil {
				t.Fatal(err)
			}
			defer nc.Close()
			if _, err := nc.Write([]byte(in)); err != nil {
				t.Fatal(err)
			}
			began := time.Now()
			_, _ = io.Copy(io.Discard, nc)
			if d := time.Since(began); d > 3*time.Second {
				t.Errorf("%q: closed after %v", in, d)
			}
			w.eventually("forgotten", func() bool { return a.l.countConnections() == 0 })
			if a.l.Reachable() {
				t.Errorf("%q became a peer", in)
			}
		})
	}
}

// Connections that send nothing do not keep a peer out, not even those from its own address.
func TestTooManyStrangers(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a := w.start("a", Destination{Name: "b", Sync: true})
		dialAll := func(from string) {
			for range 2 * maxStrangers {
				nc, err := w.Host(from).Dial(t.Context(), "a:9107")
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
			}
			w.now("bounded", func() bool { return a.l.countConnections() <= maxStrangers })
		}
		began := time.Now()
		dialAll("s")
		c := w.dial("b", "a")
		dialAll("s")
		c.handshake(&Hello{Run: 1}) // it was not the one that was closed
		w.now("linked", a.state("b", "sync"))
		c.nc.Close()
		w.now("down", a.state("b", "down"))
		dialAll("b")
		b := w.start("b", to("a"))
		w.now("linked", func() bool { return up(a.status("b")) && up(b.status("a")) })
		if took := time.Since(began); took > 0 {
			t.Errorf("linked after %v", took)
		}
		pass(strangerTimeout)
		if n := a.l.countConnections(); n != 1 {
			t.Errorf("%d connections after all strangers are gone", n)
		}
	})
}

// Close waits for all goroutines and is not held up by a peer that sends nothing.
func TestCloseIsQuick(t *testing.T) {
	inWorld(t, func(t *testing.T, w *world) {
		a, b := w.pair()
		w.linked(a, b)
		w.Pause("b")
		a.publish(1, 1, 1)
		began := time.Now()
		if err := a.l.Close(); err != nil {
			t.Error(err)
		}
		if d := time.Since(began); d > 0 {
			t.Errorf("closing took %v", d)
		}
		w.Resume("b")
		if err := a.l.Close(); err != nil {
			t.Errorf("closed again: %v", err)
		}
	})
}
