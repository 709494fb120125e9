package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	logonDeadline = 10 * time.Second // from connect to logon
	writeDeadline = 10 * time.Second // for one piece of output
	lingerTime    = time.Second      // for the last frame to be read
	maxQueued     = 8 << 20          // outbound control frames and live-only messages, bytes
	maxLogon      = 128 << 10        // first frame, bytes
)

// A session is one client connection. Its reader executes commands, its pump
// writes; what they share is guarded by mu.
type session struct {
	srv    *Server
	conn   net.Conn
	asks   interceptor // the connection, if it is one
	pump   *pump
	log    *slog.Logger
	began  time.Time
	wake   chan struct{}   // capacity 1: there is something for the pump
	moved  chan struct{}   // capacity 1: likewise, for a logon that can not be decided yet
	ctx    context.Context // ends when the session is ending
	cancel context.CancelFunc
	helper sync.WaitGroup

	// Set by the reader before the logon is answered, constant from then on.
	claim       servercore.Claim
	user        []byte // of the claim
	ext         bool
	canSequence bool
	unsequenced uint64        // publisher of what comes without a sequence
	conflation  time.Duration // least distance of persisted acks

	// The reader's own.
	reader   *wire.Reader
	msg      wire.Message
	beat     time.Duration // heartbeat interval, 0: none
	loggedOn bool
	batch    *journal.AppendBatch
	unknown  bool // a plain client that no instance knows may begin anywhere (R10)

	// appending is held while a record of this session goes into the
	// journal: fence waits for it.
	appending sync.Mutex
	fenced    bool // guarded by appending

	mu              sync.Mutex
	state           sessionState       // guarded by mu, like the rest
	why             string             // it ends
	control         []byte             // frames to write
	ops             []op               // to do between them
	live            []*liveMessage     // messages that are not logged
	liveBytes       int                // of them
	subs            map[string]*sub    // by id
	acks            servercore.AckCore // of the sequenced publisher
	single          []pendingAck       // of the unsequenced one, in order
	flushes         []pendingFlush     // in order
	answers         announcement       // of the peers
	lastUnsequenced uint64             // highest number given to what came without one
	known           bool               // logged on
	standing        string             // what an extended client was told last; empty: nothing yet
}

type sessionState uint8

const (
	sessionOpen     sessionState = iota
	sessionDraining              // reads nothing more; ends when its acks are out
	sessionEnding                // writes what is queued, then closes
	sessionDead                  // writes nothing more
)

// An op is something the pump does when it has written the control frames before it.
type op struct {
	at int // bytes of control before it
	do func(*pump)
}

// errEnding ends the reader of a session that is ending.
var errEnding = errors.New("session is ending")

// startSession runs a session with a client that has connected.
func (s *Server) startSession(conn net.Conn) {
	c := &session{
		srv: s, conn: conn,
		log:   s.log.With("client_address", conn.RemoteAddr().String()),
		began: time.Now(),
		wake:  make(chan struct{}, 1),
		moved: make(chan struct{}, 1),
		subs:  make(map[string]*sub),
		batch: s.journal.NewBatch(),
	}
	c.asks, _ = conn.(interceptor)
	c.pump = newPump(c)
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	if s.isStopping() || !s.registry.add(c) {
		c.cancel()
		s.counts.turnedAway.Add(1)
		conn.Close()
		return
	}
	s.sessions.Go(c.run)
	if s.isStopping() { // it may have missed the registry's close
		c.end("the instance stops", nil)
	}
}

// run is the session's reader; it starts the pump and waits for it.
func (s *session) run() {
	pumped := make(chan struct{})
	go func() {
		defer close(pumped)
		s.pump.run()
	}()
	err := s.read()
	if errors.Is(err, io.EOF) {
		s.drain() // the client has closed its side and may still wait for acks
	}
	s.awaitDrained(pumped, err)
	s.end(s.reasonOf(err), nil)
	<-pumped
	s.linger()
	s.conn.Close()
	s.srv.registry.remove(s, s.loggedOn)
	s.helper.Wait()
	s.log.Info("client gone", "reason", s.reason(), "after", time.Since(s.began).Round(time.Millisecond))
}

// awaitDrained waits until a session that drains has sent its acks. The
// server bounds its own drain; a client that has closed its side gets as long.
func (s *session) awaitDrained(pumped <-chan struct{}, err error) {
	if !s.isDraining() {
		return
	}
	var timeout <-chan time.Time
	if errors.Is(err, io.EOF) {
		timer := time.NewTimer(time.Duration(s.srv.cfg.DrainTimeout))
		defer timer.Stop()
		timeout = timer.C
	}
	select {
	case <-pumped:
	case <-s.ctx.Done():
	case <-timeout:
	}
}

func (s *session) reasonOf(err error) string {
	switch {
	case err == nil, errors.Is(err, io.EOF):
		return "closed by the client"
	case s.loggedOn && errors.Is(err, os.ErrDeadlineExceeded):
		return "heartbeat: nothing came for too long"
	}
	return err.Error()
}

// linger lets the client read the last frames: closing with unread bytes
// would destroy them on the way.
func (s *session) linger() {
	half, can := s.conn.(interface{ CloseWrite() error })
	if !can || s.isDead() || half.CloseWrite() != nil {
		return
	}
	if s.conn.SetReadDeadline(time.Now().Add(lingerTime)) == nil {
		_, _ = io.Copy(io.Discard, s.conn) // its end or the deadline, either will do
	}
}

// read reads and executes commands until the session ends.
func (s *session) read() error {
	defer s.batch.Notify()
	s.reader = wire.NewReader(deadlineReader{s}, maxLogon)
	if err := s.readLogon(); err != nil {
		return err
	}
	s.reader.Limit(max(int(s.srv.cfg.MaxMessage), 1<<20)) // subscribes may be longer than messages
	for {
		frame, err := s.reader.Next()
		if err == nil {
			err = s.command(frame)
		} else if _, large := errors.AsType[*wire.TooLargeError](err); large {
			err = s.tooLarge()
		}
		if err != nil {
			return err
		}
	}
}

// readLogon reads the first frame, with a limit of its own on time and length,
// and executes it.
func (s *session) readLogon() error {
	if err := s.conn.SetReadDeadline(time.Now().Add(logonDeadline)); err != nil {
		return err
	}
	for {
		frame, err := s.reader.Next()
		if err == nil {
			err = wire.Parse(frame, &s.msg)
		}
		if err != nil {
			return fmt.Errorf("no logon: %w", err)
		}
		if instead, err := s.intercepted(&s.msg); err != nil {
			return err
		} else if !instead {
			return s.first(&s.msg)
		}
	}
}

// A deadlineReader reads from a session's connection: once the client is
// logged on, for no longer than twice the heartbeat interval without a byte.
// Before it waits, who waits for what came is told.
type deadlineReader struct{ s *session }

func (r deadlineReader) Read(p []byte) (int, error) {
	r.s.batch.Notify()
	if err := r.setDeadline(); err != nil {
		return 0, err
	}
	// After the deadline: who ends the session sets its state first, then a
	// deadline that has passed.
	if r.s.isEnding() {
		return 0, errEnding
	}
	n, err := r.s.conn.Read(p)
	if err != nil && r.s.isEnding() {
		err = errEnding
	}
	return n, err
}

// setDeadline leaves that of the logon as it is.
func (r deadlineReader) setDeadline() error {
	if !r.s.loggedOn {
		return nil
	}
	var deadline time.Time
	if r.s.beat > 0 && !mut.On(mut.HeartbeatsIgnored) {
		deadline = time.Now().Add(2 * r.s.beat)
	}
	return r.s.conn.SetReadDeadline(deadline)
}

// signal wakes the pump, and a logon that waits.
func (s *session) signal() {
	for _, c := range [...]chan struct{}{s.wake, s.moved} {
		select {
		case c <- struct{}{}:
		default:
		}
	}
}

// send queues an ack.
func (s *session) send(a *wire.AckMessage) {
	s.mu.Lock()
	s.sendLocked(a)
	s.mu.Unlock()
	s.signal()
}

func (s *session) sendLocked(a *wire.AckMessage) {
	if s.state >= sessionEnding {
		return
	}
	s.control = a.AppendTo(s.control)
	if len(s.control) > maxQueued {
		s.slowLocked()
	}
}

// do queues an op behind the frames queued so far.
func (s *session) do(f func(*pump)) {
	s.mu.Lock()
	if s.state < sessionEnding {
		s.ops = append(s.ops, op{len(s.control), f})
	}
	s.mu.Unlock()
	s.signal()
}

// slowLocked ends the session of a client that does not read.
func (s *session) slowLocked() {
	s.srv.counts.slow.Add(1)
	s.becomeLocked(sessionDead, "slow client")
}

// end ends the session: what is queued is written, then last, if there is one.
func (s *session) end(why string, last *wire.AckMessage) {
	s.mu.Lock()
	if s.state < sessionEnding && last != nil {
		s.control = last.AppendTo(s.control)
	}
	s.becomeLocked(sessionEnding, why)
	s.mu.Unlock()
}

// cut ends the session of a client that can't be written to.
func (s *session) cut(why string) {
	s.mu.Lock()
	s.becomeLocked(sessionDead, why)
	s.mu.Unlock()
}

// drain makes the session end when its outstanding acks are out.
func (s *session) drain() {
	s.mu.Lock()
	s.becomeLocked(sessionDraining, "drained")
	s.mu.Unlock()
}

// abandon ends the session as the death of the process would.
func (s *session) abandon() {
	s.mu.Lock()
	s.becomeLocked(sessionDead, "killed")
	s.mu.Unlock()
	if tcp, is := s.conn.(interface{ SetLinger(int) error }); is {
		_ = tcp.SetLinger(0) // closing anyway
	}
	s.conn.Close()
}

// becomeLocked changes the state, which only goes forward. It wakes the reader
// by a deadline that has passed, the pump by its channel, and whoever waits.
func (s *session) becomeLocked(state sessionState, why string) {
	if state <= s.state {
		return
	}
	if s.why == "" || s.state == sessionDraining {
		s.why = why
	}
	if s.state < sessionEnding && state >= sessionEnding {
		s.cancel()
	}
	s.state = state
	past := time.Unix(1, 0)
	_ = s.conn.SetReadDeadline(past) // an error means it is closed
	switch state {
	case sessionEnding:
		_ = s.conn.SetWriteDeadline(time.Now().Add(lingerTime))
	case sessionDead:
		_ = s.conn.SetWriteDeadline(past)
	}
	s.signal()
}

func (s *session) currentState() sessionState {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

// isEnding reports whether nothing more is to be read.
func (s *session) isEnding() bool   { return s.currentState() != sessionOpen }
func (s *session) isDraining() bool { return s.currentState() == sessionDraining }
func (s *session) isDead() bool     { return s.currentState() == sessionDead }

func (s *session) reason() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.why
}

// fence ends a session whose name has gone to another one (R11). It tells the
// client first. When it returns the session appends nothing more.
func (s *session) fence() {
	s.end(wire.ReasonNameInUse, &wire.AckMessage{Type: wire.AckProcessed, Reason: wire.ReasonNameInUse})
	s.appending.Lock()
	s.fenced = true
	s.appending.Unlock()
}

// status describes the session, false if it is not logged on.
func (s *session) status() (SessionStatus, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		return SessionStatus{}, false
	}
	return SessionStatus{
		Name: s.claim.Name, User: s.claim.User, Address: s.conn.RemoteAddr().String(), Since: s.began,
		Extended: s.ext, Publisher: s.claim.Publisher, Subscriptions: len(s.subs),
	}, true
}
