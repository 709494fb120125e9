package client_test

import (
	"context"
	"crypto/tls"
	"net"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testTimeout is the longest wait for an expected event, in virtual time.
const testTimeout = 90 * time.Second

// run runs a test on its own network, in virtual time.
func run(t *testing.T, f func(t *testing.T, n *memnet.Network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { f(t, memnet.New()) })
}

// A script is a server whose answers the test controls.
type script struct {
	t        *testing.T
	ln       net.Listener
	sessions chan *session
	wg       sync.WaitGroup
	tls      atomic.Pointer[tls.Config] // nil: no TLS
}

func listen(t *testing.T, n *memnet.Network, host string) *script {
	t.Helper()
	ln, err := n.Listen(host + ":9007")
	if err != nil {
		t.Fatal(err)
	}
	s := &script{t: t, ln: ln, sessions: make(chan *session, 100)}
	s.wg.Go(s.acceptLoop)
	t.Cleanup(s.close)
	return s
}

func (s *script) close() {
	s.ln.Close()
	s.wg.Wait()
	for {
		select {
		case ss := <-s.sessions:
			ss.close()
		default:
			return
		}
	}
}

func (s *script) acceptLoop() {
	for {
		nc, err := s.ln.Accept()
		if err != nil {
			return
		}
		if cfg := s.tls.Load(); cfg != nil {
			nc = tls.Server(nc, cfg)
		}
		ss := &session{t: s.t, nc: nc, frames: make(chan *wire.Message, 1<<16), done: make(chan struct{})}
		ss.wg.Go(ss.readLoop)
		ss.wg.Go(ss.heartbeatLoop)
		s.t.Cleanup(ss.close)
		s.sessions <- ss
	}
}

// accept waits for the next connection.
func (s *script) accept() *session {
	s.t.Helper()
	select {
	case ss := <-s.sessions:
		return ss
	case <-time.After(testTimeout):
		s.t.Fatal("the client has not connected")
		return nil
	}
}

// expectNoConnection fails the test if a client connects within d.
func (s *script) expectNoConnection(d time.Duration) {
	s.t.Helper()
	select {
	case <-s.sessions:
		s.t.Fatal("unexpected connection")
	case <-time.After(d):
	}
}

// logon accepts the next connection and its logon, with the given numbers.
func (s *script) logon(safe, have uint64) (*session, *wire.Message) {
	s.t.Helper()
	ss := s.accept()
	m := ss.expect(wire.Logon)
	ss.acceptLogon(safe, have)
	return ss, m
}

// plainLogon accepts the logon of a client as a server without our extensions that has this many of
// its messages.
func (s *script) plainLogon(have uint64) *session {
	s.t.Helper()
	ss := s.accept()
	ss.expect(wire.Logon)
	ss.acceptPlainLogon(have)
	return ss
}

// A session is the server's end of one connection.
type session struct {
	t      *testing.T
	nc     net.Conn
	frames chan *wire.Message
	done   chan struct{}
	once   sync.Once
	wg     sync.WaitGroup

	mu     sync.Mutex
	silent bool // guarded by mu
}

func (ss *session) readLoop() {
	defer close(ss.frames)
	r := wire.NewReader(ss.nc, 64<<20)
	for {
		f, err := r.Next()
		if err != nil {
			return
		}
		var m wire.Message
		if err := wire.Parse(append([]byte(nil), f...), &m); err != nil {
			ss.t.Errorf("client sent %q: %v", f, err)
			return
		}
		switch m.Command {
		case wire.Heartbeat:
		case wire.Batch:
			ss.batch(m.Body)
		default:
			ss.frames <- &m
		}
	}
}

// batch passes on the publishes of a batch.
func (ss *session) batch(rest []byte) {
	for {
		var m wire.Message
		var r record.Record
		var more bool
		var err error
		if rest, more, err = m.NextPublish(rest, &r); err != nil {
			ss.t.Errorf("client sent a batch: %v", err)
		}
		if !more {
			return
		}
		ss.frames <- &m
	}
}

func (ss *session) heartbeatLoop() {
	for {
		select {
		case <-time.After(time.Second):
		case <-ss.done:
			return
		}
		ss.mu.Lock()
		silent := ss.silent
		ss.mu.Unlock()
		if !silent {
			var h wire.HeartbeatCommand
			ss.send(h.AppendTo(nil))
		}
	}
}

func (ss *session) stopHeartbeats() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	ss.silent = true
}

func (ss *session) close() {
	ss.once.Do(func() {
		close(ss.done)
		ss.nc.Close()
	})
	ss.wg.Wait()
}

func (ss *session) send(frame []byte) { ss.nc.Write(frame) }

func (ss *session) ack(a wire.AckMessage) { ss.send(a.AppendTo(nil)) }

// next returns the client's next frame, or nil if the client has closed the connection.
func (ss *session) next() *wire.Message {
	ss.t.Helper()
	select {
	case m := <-ss.frames:
		return m
	case <-time.After(testTimeout):
		ss.t.Fatal("the client has sent nothing")
		return nil
	}
}

// expect returns the client's next frame. It fails the test if that is another command.
func (ss *session) expect(c wire.Command) *wire.Message {
	ss.t.Helper()
	m := ss.next()
	if m == nil {
		ss.t.Fatalf("client closed the connection, want %v", c)
	}
	if m.Command != c {
		ss.t.Fatalf("client sent %v, want %v", m.Command, c)
	}
	return m
}

// expectNothing fails the test if the client sends anything within d.
func (ss *session) expectNothing(d time.Duration) {
	ss.t.Helper()
	select {
	case m := <-ss.frames:
		if m != nil {
			ss.t.Fatalf("client sent %v %q, want nothing", m.Command, m.Body)
		}
	case <-time.After(d):
	}
}

// expectClosed waits until the client has closed the connection.
func (ss *session) expectClosed() {
	ss.t.Helper()
	for ss.next() != nil {
	}
}

// expectPublishes expects publishes with these sequences.
func (ss *session) expectPublishes(sequences ...uint64) {
	ss.t.Helper()
	for _, s := range sequences {
		if m := ss.expect(wire.Publish); m.Sequence != s {
			ss.t.Fatalf("client sent message %d, want %d", m.Sequence, s)
		}
	}
}

const limit = 1 << 20 // largest message that scripts state

func (ss *session) acceptLogon(safe, have uint64) {
	ss.ack(wire.AckMessage{
		CommandID: "0", ClientName: "me", Type: wire.AckProcessed, Success: true,
		Sequence: safe, HasSequence: true, Bookmark: "7|0|", Version: "5.3.5.0.holdfast-test",
		Ext: true, Have: have, Max: limit,
	})
}

// acceptPlainLogon is the answer of a server without our extensions.
func (ss *session) acceptPlainLogon(s uint64) {
	ss.ack(wire.AckMessage{
		CommandID: "0", ClientName: "me", Type: wire.AckProcessed, Success: true,
		Sequence: s, HasSequence: true, Bookmark: "7|0|", Version: "5.3.5.0",
	})
}

func (ss *session) persisted(s uint64) {
	ss.ack(wire.AckMessage{Type: wire.AckPersisted, Success: true, Sequence: s, HasSequence: true})
}

func (ss *session) single(s uint64) {
	ss.ack(wire.AckMessage{Type: wire.AckPersisted, Success: true, Sequence: s, HasSequence: true, Single: true})
}

func (ss *session) reject(s uint64, reason string) {
	ss.ack(wire.AckMessage{Type: wire.AckPersisted, Reason: reason, Sequence: s, HasSequence: true})
}

// refuse ends the session with this reason.
func (ss *session) refuse(reason string) {
	ss.ack(wire.AckMessage{Type: wire.AckProcessed, Reason: reason})
	ss.close()
}

// acceptSubscribe expects a subscribe and accepts it with a base.
func (ss *session) acceptSubscribe(base string) *wire.Message {
	ss.t.Helper()
	m := ss.expect(wire.Subscribe)
	ss.ack(wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Success: true, Bookmark: base, SubID: string(m.SubID)})
	return m
}

// deliver sends messages of publisher 5 to a subscription.
func (ss *session) deliver(sub *wire.Message, sequences ...uint64) {
	for _, s := range sequences {
		d := wire.Delivery{Topic: sub.Topic, SubIDs: sub.SubID, Body: []byte(body(s))}
		d.Bookmark.Publisher, d.Bookmark.Sequence = 5, s
		ss.send(d.AppendTo(nil))
	}
}

// mark sends a progress mark.
func (ss *session) mark(sub *wire.Message, vector string) {
	ss.ack(wire.AckMessage{Type: wire.AckPersisted, Success: true, SubID: string(sub.SubID), Bookmark: vector})
}

func body(s uint64) string { return "body " + strconv.FormatUint(s, 10) }

// config returns a configuration for servers on these hosts.
func config(n *memnet.Network, hosts ...string) client.Config {
	cfg := client.Config{
		Name:         "me",
		StartOffline: true,
		Dial: func(ctx context.Context, _, address string) (net.Conn, error) {
			return n.Dial(ctx, address)
		},
	}
	for _, h := range hosts {
		cfg.Servers = append(cfg.Servers, "tcp://"+h+":9007/amps/json")
	}
	return cfg
}

// start starts a client and closes it at the end of the test.
func start(t *testing.T, cfg client.Config) *client.Client {
	t.Helper()
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func publish(t *testing.T, c *client.Client, sequences ...uint64) {
	t.Helper()
	for _, want := range sequences {
		s, err := c.Publish(t.Context(), "orders", []byte(body(want)))
		if err != nil {
			t.Fatal(err)
		}
		if s != want {
			t.Fatalf("published as %d, want %d", s, want)
		}
	}
}

// subscribe subscribes in the background, because the test plays the server meanwhile.
func subscribe(t *testing.T, c *client.Client, opts ...client.SubscribeOption) func() (*client.Subscription, error) {
	type result struct {
		s   *client.Subscription
		err error
	}
	done := make(chan result, 1)
	ctx := testContext(t)
	go func() {
		s, err := c.Subscribe(ctx, "orders", opts...)
		done <- result{s, err}
	}()
	return func() (*client.Subscription, error) {
		r := <-done
		return r.s, r.err
	}
}

func must(t *testing.T, f func() (*client.Subscription, error)) *client.Subscription {
	t.Helper()
	s, err := f()
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// testContext returns a context for calls that must end in time.
func testContext(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), testTimeout)
	t.Cleanup(cancel)
	return ctx
}

// read reads n messages in one loop and discards them.
func read(t *testing.T, s *client.Subscription, n int) []string {
	t.Helper()
	var got []string
	if n == 0 {
		return got
	}
	for m, err := range s.Messages(testContext(t)) {
		if err != nil {
			t.Errorf("after %q: %v", got, err)
			return got
		}
		got = append(got, string(m.Body))
		if err := m.Discard(); err != nil {
			t.Error(err)
		}
		if len(got) == n {
			break
		}
	}
	return got
}

// bodies returns the result of read for these sequences.
func bodies(sequences ...uint64) []string {
	var list []string
	for _, s := range sequences {
		list = append(list, body(s))
	}
	return list
}

// sequenceRange returns from, from+1, … to.
func sequenceRange(from, to uint64) []uint64 {
	var list []uint64
	for s := from; s <= to; s++ {
		list = append(list, s)
	}
	return list
}

func hasOption(m *wire.Message, option string) bool {
	for o := range strings.SplitSeq(string(m.Options), ",") {
		if o == option {
			return true
		}
	}
	return false
}
