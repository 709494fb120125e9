package replica

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
)

// FuzzFrames decodes any payload. It allocates nothing for lengths that are only announced, and
// the values stay the same when they are encoded and decoded again.
func FuzzFrames(f *testing.F) {
	for _, frame := range sampleFrames() {
		f.Add(frame[frameHeader:])
	}
	f.Add([]byte{3, 0xc6, 0x7f, 0xff, 0xff, 0xff})
	f.Add([]byte{4, 0xdd, 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, payload []byte) {
		heap.Bounded(t, len(payload), 64, 64<<10, func() {
			once, err := reencode(payload)
			if err != nil {
				return
			}
			twice, err := reencode(once)
			if err != nil || !bytes.Equal(once, twice) {
				t.Errorf("%x becomes %x, then %x %v", payload, once, twice, err)
			}
		})
	})
}

// FuzzFrameReader reads any stream, whole and byte by byte: the same frames, the same end, and no
// more memory than one step ahead of the bytes that have arrived.
func FuzzFrameReader(f *testing.F) {
	var all []byte
	for _, frame := range sampleFrames() {
		f.Add(frame)
		all = append(all, frame...)
	}
	f.Add(all)
	f.Add([]byte{0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, stream []byte) {
		read := func(r io.Reader) (frames []string, err error) {
			fr := &frameReader{r: r, limit: 1 << 30}
			for {
				payload, err := fr.next()
				if err != nil {
					return frames, err
				}
				frames = append(frames, string(payload))
			}
		}
		heap.Bounded(t, len(stream), 16, 4*readStep, func() {
			whole, err := read(bytes.NewReader(stream))
			bytewise, err2 := read(iotest.OneByteReader(bytes.NewReader(stream)))
			if !slices.Equal(whole, bytewise) || err.Error() != err2.Error() {
				t.Errorf("whole: %q, %v\nbyte by byte: %q, %v", whole, err, bytewise, err2)
			}
		})
	})
}

// FuzzPeer links an instance with a peer that sends anything, before or after a good hello, on
// connections in either direction. Each byte of the input chooses the next step. Whatever the
// steps are: the instance keeps running; it takes memory only for bytes that it is sent; it counts
// nothing as safe that it does not have; it keeps its journal valid (G3, G4) and its own
// publisher's messages unchanged; and its link with the other peer works (I12).
func FuzzPeer(f *testing.F) {
	for _, s := range peerInputs() {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, input []byte) {
		if len(input) > 2<<10 {
			return
		}
		inWorld(t, func(t *testing.T, w *world) { attack(t, w, input) })
	})
}

// The steps of a hostile peer, each with its parameters.
const (
	peerHello     = iota // kind of hello
	peerStates           // states, whether they are the last
	peerRecords          // records
	peerAck              // bookmarks
	peerNotice           // id and publisher
	peerAnswer           // id and have
	peerHeartbeat        // states
	peerRefuse           // code
	peerPayload          // length and bytes of a payload
	peerBytes            // length and bytes
	peerConnect          // whether it dials
	peerWait             // time
	peerGood             // none: a publishes, and the good peer must get it
	peerStepsEnd
)

func peerInputs() [][]byte {
	hello := []byte{peerConnect, 0, peerHello, 0, peerStates, 0, 1}
	record := func(publisher, sequence, prev, kind byte) []byte {
		return []byte{peerRecords, 1, publisher, sequence, prev, kind, 0}
	}
	good, wait := []byte{peerGood}, []byte{peerWait, 2}
	input := func(parts ...[]byte) []byte { return slices.Concat(parts...) }
	all := [][]byte{
		input(hello, record(0, 1, 0, 0), record(0, 2, 1, 0), good, wait),
		input(hello, record(0, 1, 0, 0), record(0, 1, 0, 0), record(0, 2, 1, 1)), // a message twice
		input(hello, record(0, 3, 2, 0), good),                                   // a hole
		input(hello, record(0, 4, 0, 3), record(0, 5, 4, 0)),                     // gone up to the largest number
		input(hello, []byte{peerAck, 2, 0, 4, 1, 5}, good),                       // of records that were never sent
		input(hello, []byte{peerAnswer, 3, 4, 1}, good),                          // to a notice that was never sent
		input(hello, []byte{peerNotice, 1, 1, 2, 0}, good),
		input(hello, []byte{peerHeartbeat, 1, 0, 3}, good, wait),
		input(hello, []byte{peerRefuse, 3}, good, wait),
		input([]byte{peerConnect, 0, peerHello, 1}, good, wait), // other group, digest, name
		input([]byte{peerConnect, 0, peerHello, 2}, good, wait),
		input([]byte{peerConnect, 0, peerHello, 3}, good, wait),
		input([]byte{peerConnect, 1, peerHello, 0, peerStates, 3, 0, 1, 2, 3, 4, 5, 1}, good, wait),
		input(hello, []byte{peerPayload, 6, 3, 0xc6, 0x7f, 0xff, 0xff, 0xff}, good),
		input(hello, []byte{peerPayload, 6, 4, 0xdd, 0x7f, 0xff, 0xff, 0xff}, good),
		input(hello, []byte{peerBytes, 8, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0}, good),
	}
	for _, frame := range sampleFrames() {
		payload := frame[frameHeader:]
		all = append(all, input(hello, []byte{peerPayload, byte(min(len(payload), 255))}, payload, good))
	}
	return all
}

// ownPublisher is the publisher of the instance under attack. Its peers know it, and the fuzzer
// cannot guess it.
const ownPublisher = 0x5eed_0f_600d_5eed

// An attacker is the state of one run of FuzzPeer.
type attacker struct {
	t     *testing.T
	w     *world
	a, c  *instance // a is under attack, c is the good peer
	ln    net.Listener
	input []byte
	conns []net.Conn
	auth  *authenticator // of the newest connection; nil: it has failed
	enc   *encoder
	sent  int
	own   uint64 // messages that a has published
}

func attack(t *testing.T, w *world, input []byte) {
	x := &attacker{t: t, w: w, input: input, enc: newEncoder()}
	ln, err := w.Listen("b:9107")
	if err != nil {
		t.Fatal(err)
	}
	x.ln = ln
	defer func() {
		ln.Close()
		for _, c := range x.conns {
			c.Close()
		}
	}()
	x.a, x.c = w.start("a", to("b"), to("c")), w.start("c", to("a"))
	w.linked(x.a, x.c)
	x.good()
	began := time.Now()
	used := heap.Allocated(func() {
		for len(x.input) > 0 {
			x.step()
		}
		synctest.Wait()
	})
	// a's own messages take memory as well, and so does every second of heartbeats and dialling.
	limit := uint64(64*x.sent+8<<20+len(x.conns)*(256<<10)) + x.own*(16<<10) + uint64(time.Since(began).Seconds())*(16<<10)
	if used > limit {
		t.Errorf("%d bytes on %d connections took %d bytes of memory, want no more than %d", x.sent, len(x.conns), used, limit)
	}
	x.good()
	for _, s := range x.a.j.States() {
		safe, settled := x.a.l.Safe(s.Publisher), x.a.l.Settled(s.Publisher)
		if safe > s.Have || settled > s.Have || safe > settled {
			t.Errorf("publisher %d: have %d, safe %d, settled %d", s.Publisher, s.Have, safe, settled)
		}
	}
	x.checkOwn()
}

// number takes one byte off the input and returns a number below n.
func (x *attacker) number(n int) int {
	if len(x.input) == 0 {
		return 0
	}
	b := x.input[0]
	x.input = x.input[1:]
	return int(b) % n
}

func (x *attacker) publisher() uint64 { return []uint64{1, 2, 3, 1<<64 - 1, 0}[x.number(5)] }

func (x *attacker) sequence() uint64 {
	return []uint64{0, 1, 2, 3, 4, 1<<64 - 1, 1<<64 - 2, 1 << 63, 1e9}[x.number(9)]
}

func (x *attacker) state() journal.PublisherState {
	s := journal.PublisherState{Publisher: x.publisher(), Have: x.sequence()}
	s.Durable, s.Floor, s.RunningCRC = x.sequence(), x.sequence(), uint32(x.number(256))
	s.Owner = x.owner()
	return s
}

func (x *attacker) owner() string {
	return []string{"", "", "u", "v", strings.Repeat("w", 1024)}[x.number(5)]
}

// several returns the results of a few calls of f.
func several[T any](x *attacker, f func() T) []T {
	var all []T
	for range x.number(8) {
		all = append(all, f())
	}
	return all
}

func (x *attacker) bookmark() bookmark.Bookmark {
	return bookmark.Bookmark{Publisher: x.publisher(), Sequence: x.sequence()}
}

// take takes a number off the input, and then that many bytes.
func (x *attacker) take() []byte {
	n := min(x.number(256), len(x.input))
	taken := x.input[:n]
	x.input = x.input[n:]
	return taken
}

func (x *attacker) step() {
	switch x.number(peerStepsEnd) {
	case peerHello:
		x.hello()
	case peerStates:
		x.frame(func(e *encoder) {
			states := several(x, x.state)
			e.frame(frameStates, statesFrameOf(x.number(2) == 1, states))
		})
	case peerRecords:
		x.frame(x.records)
	case peerAck:
		x.frame(func(e *encoder) { e.frame(frameAck, vectorFrameOf(several(x, x.bookmark))) })
	case peerNotice:
		x.frame(func(e *encoder) {
			n := &Notice{ClientName: []string{"", "n", "m"}[x.number(3)], User: []string{"", refusedUser}[x.number(2)], Publisher: x.publisher()}
			n.LogonCounter, n.Instance = x.sequence(), "b"
			e.frame(frameNotice, &noticeFrame{x.sequence(), *n})
		})
	case peerAnswer:
		x.frame(func(e *encoder) {
			e.frame(frameAnswer, &noticeAnswer{x.sequence(), x.sequence(), ledger.Reply{NameTaken: x.number(2) == 1, OtherPublisher: x.number(2) == 1, Outbid: x.number(2) == 1}, x.number(2) == 1, false, journal.GroupClock{Now: x.sequence()}, x.owner()})
		})
	case peerHeartbeat:
		x.frame(func(e *encoder) {
			e.frame(frameHeartbeat, &heartbeat{damaged: x.number(8) == 7, more: x.number(8) == 7, moved: several(x, x.state), groupClock: journal.GroupClock{Now: x.sequence(), Forgotten: x.sequence()}, wall: x.sequence()})
		})
	case peerRefuse:
		x.frame(func(e *encoder) {
			e.frame(frameRefuse, &RefusedError{Code: refuseCode(x.number(6)), Reason: string(x.take())})
		})
	case peerPayload:
		payload := x.take()
		frame := binary.BigEndian.AppendUint32(nil, uint32(len(payload)))
		frame = binary.BigEndian.AppendUint32(frame, crc32.Checksum(payload, crc32.MakeTable(crc32.Castagnoli)))
		x.write(append(frame, payload...))
	case peerBytes:
		x.write(x.take())
	case peerConnect:
		x.connect(x.number(2) == 0)
	case peerWait:
		pass([]time.Duration{0, time.Millisecond, time.Second, 11 * time.Second}[x.number(4)])
	case peerGood:
		x.good()
	}
}

// hello sends a good hello, or one with something wrong.
func (x *attacker) hello() {
	h := &Hello{Name: "b", Run: 9, Group: "g", Digest: "d", Outbound: true, Sync: true, Cluster: testCluster, Intact: true}
	switch x.number(12) {
	case 1:
		h.Name = "a"
	case 2:
		h.Group = "another"
	case 3:
		h.Digest = "another"
	case 4:
		x.auth = nil
	case 5:
		h.Topics = []string{"x"}
	case 6:
		h.Name = "stranger"
	case 7:
		h.Outbound = false
	case 8:
		h.Damaged = true
	case 9:
		h.Name, h.Run = "a", x.a.l.o.Run
	case 10:
		h.Cluster[0]++
	case 11:
		h.Cluster, h.Empty = journal.ClusterID{}, x.number(2) == 0
	}
	x.frame(func(e *encoder) { e.frame(frameHello, h) })
	if x.auth == nil {
		x.frame(func(e *encoder) { e.frame(frameProof, proofOf(make([]byte, macBytes))) })
		return
	}
	x.enc.frame(frameHello, h)
	x.auth.addHello(x.enc.finish()[frameHeader:])
	x.frame(func(e *encoder) { e.frame(frameProof, proofOf(x.auth.prove())) })
}

func (x *attacker) records(e *encoder) {
	e.begin(frameRecords)
	for range x.number(8) {
		r := &journal.Record{
			Publisher: x.publisher(), Sequence: x.sequence(), Prev: x.sequence(),
			Kind: journal.Message + journal.Kind(x.number(5)), Body: []byte{byte(x.number(256))}, Topic: []byte("x"),
		}
		switch r.Kind {
		case journal.Message:
		case journal.Tombstone:
			r.Reason, r.Body = r.Body, nil
		default:
			r.Body, r.Topic = nil, nil
		}
		raw, err := record.Append(nil, r)
		if err != nil {
			raw = []byte(err.Error())
		}
		e.record(raw)
	}
}

func (x *attacker) frame(encode func(e *encoder)) {
	encode(x.enc)
	x.write(bytes.Clone(x.enc.finish()))
}

// connect dials the instance, or accepts the connection that it dials.
func (x *attacker) connect(dials bool) {
	if len(x.conns) >= 8 {
		return
	}
	if dials {
		nc, err := x.w.Host("b").Dial(x.t.Context(), "a:9107")
		if err != nil {
			x.t.Fatal(err)
		}
		x.use(nc, true)
		return
	}
	dialled := make(chan net.Conn, 1)
	go func() {
		nc, err := x.ln.Accept()
		if err != nil {
			nc = nil
		}
		dialled <- nc
	}()
	if nc := <-dialled; nc != nil { // the instance dials again and again
		x.use(nc, false)
	}
}

func (x *attacker) use(nc net.Conn, dialled bool) {
	x.conns = append(x.conns, nc)
	c := x.w.newFakeConn(nc, dialled)
	if x.auth = c.auth; c.tryHandshake() != nil {
		x.auth = nil
	}
	go io.Copy(io.Discard, nc)
}

// tryHandshake does everything before our hello, unless the instance has given up.
func (c *fakeConn) tryHandshake() error {
	if c.auth.dialled {
		c.enc.frame(frameOpen, &openFrame{protocolVersion, c.auth.nonces[0]})
		c.nc.Write(c.enc.finish())
	}
	for want := range 4 {
		payload, err := c.fr.next()
		if err != nil {
			return err
		}
		t, d := decode(payload)
		switch {
		case want == 0 && t == frameOpen:
			if theirs := new(openFrame); d.body(theirs) == nil {
				c.auth.setPeerNonce(theirs.nonce)
			}
			if !c.auth.dialled {
				c.enc.frame(frameOpen, &openFrame{protocolVersion, c.auth.nonces[1]})
				c.nc.Write(c.enc.finish())
				c.enc.frame(frameProof, proofOf(c.auth.prove()))
				c.nc.Write(c.enc.finish())
			}
		case want == 1 && t == frameProof && c.auth.dialled:
			c.enc.frame(frameProof, proofOf(c.auth.prove()))
			_, err := c.nc.Write(c.enc.finish())
			return err
		case want == 2 && t == frameHello:
			c.auth.addHello(payload)
		}
	}
	return nil
}

// write sends bytes on the newest connection. It ignores whether they are taken.
func (x *attacker) write(b []byte) {
	if len(x.conns) == 0 {
		x.connect(true)
	}
	nc := x.conns[len(x.conns)-1]
	nc.SetWriteDeadline(time.Now().Add(time.Second))
	n, _ := nc.Write(b)
	x.sent += n
	synctest.Wait()
}

// good publishes a message, which the good peer must have at once.
func (x *attacker) good() {
	x.t.Helper()
	began := time.Now()
	x.own++
	x.a.append(message(ownPublisher, x.own, "x"))
	synctest.Wait()
	if have := x.c.have(ownPublisher); have != x.own || time.Since(began) > 0 {
		x.t.Errorf("the other peer has %d of %d after %v", have, x.own, time.Since(began))
	}
}

// checkOwn checks that both instances hold a's messages unchanged.
func (x *attacker) checkOwn() {
	x.t.Helper()
	for _, i := range []*instance{x.a, x.c} {
		f := i.j.Follow(0, journal.Appended)
		next := uint64(1)
		var r journal.Record
		for {
			ok, err := f.Next(&r)
			if err != nil {
				x.t.Error(err)
			}
			if !ok {
				break
			}
			if r.Publisher != ownPublisher {
				continue
			}
			if want := fmt.Sprintf("body of %d|%d", uint64(ownPublisher), next); r.Sequence != next || string(r.Body) != want {
				x.t.Errorf("%s has %d with %q, want %q", i.name, r.Sequence, r.Body, want)
			}
			next++
		}
		f.Close()
		if next != x.own+1 {
			x.t.Errorf("%s has %d of %d messages", i.name, next-1, x.own)
		}
	}
}
