package server

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/outbound"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/signal"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	frameRate     = 64 << 10         // bytes of a frame for which Limits.Frame is a second longer
	writeDeadline = 10 * time.Second // for one piece of output
	lingerTime    = time.Second      // to write the last frames, and again to let the client read them
	pieceBytes    = 256 << 10        // of one piece of output, approximately
	maxLogon      = 64 << 10         // largest first frame, bytes
)

// A session drives a servercore.Session over the connection of one client. It has three goroutines.
// One reads and executes commands. One writes acks, and the messages of subscriptions, which it
// reads from the journal: a slow subscriber is a slow reader of the journal, and subscriptions need
// no queues. One asks the peers about the logon. A session implements servercore.Driver and
// outbound.Source.
type session struct {
	srv         *Server
	core        *servercore.Session
	conn        net.Conn
	out         *outbound.Writer
	logBudget   *lineBudget // budget of the session's log
	connectedAt time.Time
	decidable   signal.Signal   // set when a waiting command may be decided
	ctx         context.Context // ends when the session begins to end
	cancel      context.CancelFunc
	asking      sync.WaitGroup // the goroutine that asks the peers

	input
	origin
}

// An input is the commands of a session as they come. It belongs to the goroutine that reads.
type input struct {
	reader  *wire.Reader
	msg     wire.Message // the present command
	frames  uint64       // number of frames read
	partial partialFrame // the frame that has begun
	late    string       // why the session ends if the present read does not end in time
	silent  string       // the same for a silent client, with the limit silence
	silence time.Duration
}

// An origin tells from where and from whom a session comes.
type origin struct {
	tls           *tlsConn // the TLS of the connection; nil: the port has none
	source        string   // network that the connection counts for
	authenticated bool     // the session has a user, or the instance has no users
}

// startSession runs a session on a new connection.
func (s *Server) startSession(conn net.Conn) {
	now, source := time.Now(), sourceNetwork(conn.RemoteAddr())
	if !s.instance.Admits(source, now) {
		s.turnAway(conn, source)
		return
	}
	conn, secure := s.withTLS(conn)
	c := &session{
		srv: s, conn: conn, connectedAt: now, decidable: signal.New(),
		origin: origin{tls: secure, source: source, authenticated: s.cfg.Authenticator == nil},
	}
	c.ctx, c.cancel = context.WithCancel(s.ctx)
	c.out = outbound.New(conn, c, outbound.Options{Timeout: writeDeadline, ChunkSize: pieceBytes})
	log, lines := s.sessionLog()
	c.logBudget = lines
	c.core = servercore.NewSession(s.instance, c, log.With("address", conn.RemoteAddr().String()), now)
	if s.isStopping() || !s.instance.Registry.Add(c.core, source) {
		c.cancel()
		s.turnAway(conn, source)
		return
	}
	s.sessions.Go(c.run)
	if s.isStopping() { // the stop may have ended all sessions before this one was added
		c.core.End("the instance stops", nil)
	}
}

// turnAway closes a connection that is above a limit. source is its network.
func (s *Server) turnAway(conn net.Conn, source string) {
	s.instance.Counts.TurnedAway.Add(1)
	conn.Close()
	if !s.isStopping() {
		s.audit.turnedAway(source, conn, "too many connections")
	}
}

// run does the TLS handshake, starts the writer, reads until the session ends, and waits for the
// writer.
func (s *session) run() {
	err := s.handshake()
	written := make(chan struct{})
	go func() {
		defer close(written)
		if err := s.out.Run(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) && s.core.State() < servercore.StateEnding {
				s.srv.instance.Counts.Slow.Add(1)
			}
			s.core.Abort(err.Error())
		}
		s.core.Release()
	}()
	if err == nil {
		err = s.read()
	}
	if _, refused := errors.AsType[*servercore.RefusedError](err); refused {
		s.auditRefusal(err)
	}
	if errors.Is(err, io.EOF) {
		s.core.Drain() // the client has closed its side but may still wait for acks
	}
	s.awaitDrained(written, err)
	s.core.End(s.endReason(err), nil)
	<-written
	s.linger(err)
	s.conn.Close()
	s.srv.instance.Registry.Remove(s.core)
	s.asking.Wait()
	s.auditEnd()
	if s.core.Reason() == servercore.ReasonEvicted {
		return // these are only counted, so that nobody can fill the log with them
	}
	s.logEnd(err)
}

// logEnd logs the end of the session, after the reader returned err. A connection that is closed
// without a logon, such as a probe of the port, is no event for the log, and a refused logon has its
// line already.
func (s *session) logEnd(err error) {
	log, reason, took, left := s.core.Log(), s.core.Reason(), time.Since(s.connectedAt), s.logBudget.unreported()
	_, refused := errors.AsType[*servercore.RefusedError](err)
	switch {
	case s.core.LoggedQuietly() && reason == wire.ReasonDiskFull:
	case s.core.LoggedOn():
		log.Info("client gone", "reason", reason, "duration", took, "left_out", left)
	case refused, err == nil, errors.Is(err, servercore.ErrEnding), errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		log.Debug("a connection without a logon has ended", "reason", reason, "duration", took)
	default:
		log.Warn("a connection has failed before its logon", "reason", reason, "duration", took)
	}
}

// awaitDrained waits until a draining session has sent its acks. If the server drains, the server
// limits the wait. If the client has closed its side, DrainTimeout limits it.
func (s *session) awaitDrained(written <-chan struct{}, err error) {
	if s.core.State() != servercore.StateDraining {
		return
	}
	var timeout <-chan time.Time
	if errors.Is(err, io.EOF) {
		timeout = time.After(time.Duration(s.srv.cfg.DrainTimeout))
	}
	select {
	case <-written:
	case <-s.ctx.Done():
	case <-timeout:
	}
}

// read reads and executes commands until the session ends.
func (s *session) read() error {
	defer s.core.Notify()
	if err := s.conn.SetReadDeadline(s.logonDeadline()); err != nil {
		return err
	}
	s.reader = wire.NewReader(deadlineReader{s}, maxLogon)
	s.reader.OnResize(s.core.ChargeInput)
	for {
		frame, err := s.reader.Next()
		switch {
		case err == nil:
			s.frames++
			size := len(frame)
			s.srv.instance.Counts.ReceivedBytes.Add(uint64(size))
			if err = s.executeFrame(frame); err == nil {
				err = s.pause(size)
			}
		case !s.core.LoggedOn():
			err = noLogon(err)
		case isTooLarge(err):
			err = s.tooLarge()
		}
		if err == nil && s.core.Deciding() {
			err = s.awaitDecision()
		}
		if err != nil {
			return err
		}
	}
}

// logonDeadline returns the time by which the client must have logged on.
func (s *session) logonDeadline() time.Time {
	return s.connectedAt.Add(time.Duration(s.srv.cfg.Limits.Logon))
}

// pause waits if the user sends more than it may.
func (s *session) pause(bytes int) error {
	wait := s.core.Pause(bytes, time.Now())
	if wait == 0 {
		return nil
	}
	s.core.Notify() // the records before the pause must not wait
	select {
	case <-s.ctx.Done():
		return servercore.ErrEnding
	case <-s.srv.stopping:
		return servercore.ErrEnding
	case <-time.After(wait):
	}
	return nil
}

func isTooLarge(err error) bool {
	_, large := errors.AsType[*wire.TooLargeError](err)
	return large
}

// executeFrame parses and executes one command.
func (s *session) executeFrame(frame []byte) error {
	if err := wire.Parse(frame, &s.msg); err != nil {
		return fmt.Errorf("malformed command: %w", err)
	}
	if s.msg.Command == wire.Batch {
		return s.executeBatch()
	}
	if !s.authenticated && s.msg.Command == wire.Logon {
		if err := s.authenticate(); err != nil {
			return err
		}
	}
	return s.execute(&s.msg, len(frame))
}

// executeBatch executes the publishes of a batch. If one must wait, all after it wait as well.
func (s *session) executeBatch() error {
	_, intercepts := s.conn.(interceptor)
	for b := s.core.Batch(&s.msg); ; {
		if !intercepts {
			if err := b.TakeRun(); err != nil {
				return err
			}
		}
		m, size, err := b.Next()
		if m == nil || err != nil {
			return err
		}
		if err := s.execute(m, size); err != nil {
			return err
		}
		if s.core.Deciding() {
			if err := s.awaitDecision(); err != nil {
				return err
			}
		}
		if failpoint.On(failpoint.AnyRateInBatch) {
			continue
		}
		if err := s.pause(0); err != nil { // a batch may have thousands that are not entitled
			return err
		}
	}
}

func (s *session) execute(m *wire.Message, size int) error {
	if handled, err := s.intercept(m); err != nil || handled {
		return err
	}
	return s.core.Execute(m, size)
}

// tooLarge rejects a frame that is longer than the server's limit. It reads the header and skips
// the body (R14).
func (s *session) tooLarge() error {
	header, err := s.reader.NextTooLarge()
	if err == nil {
		err = wire.Parse(header, &s.msg)
	}
	if err != nil {
		return fmt.Errorf("frame too large: %w", err)
	}
	return s.core.TooLarge(&s.msg)
}

// awaitDecision waits until the logon is decided, or until the held publish may be appended. After
// that, commands may be longer than a logon.
func (s *session) awaitDecision() error {
	for {
		if err := s.core.Decide(time.Now()); err != nil {
			return err
		}
		if !s.core.Deciding() {
			s.reader.SetMax(max(int(s.srv.cfg.MaxMessage), wire.MinFrame)) // a subscribe may be longer than a message
			return nil
		}
		if err := s.awaitChange(); err != nil {
			return err
		}
	}
}

// awaitChange waits until a waiting command may be decided, for LogonTick at the longest.
func (s *session) awaitChange() error {
	select {
	case <-s.ctx.Done():
		return servercore.ErrEnding
	case <-s.srv.stopping:
		return servercore.ErrEnding
	case <-s.decidable:
	case <-time.After(servercore.LogonTick):
	}
	return nil
}

// Wake implements servercore.Driver.
func (s *session) Wake() {
	s.out.Wake()
	s.decidable.Set()
}

// AcksDue implements servercore.Driver.
func (s *session) AcksDue() {
	s.decidable.Set()
	s.out.WriteInline()
}

// AskPeers implements servercore.Driver.
func (s *session) AskPeers() { s.asking.Go(s.askPeers) }

// askPeers sends the notice of the logon until all peers have answered (R11).
func (s *session) askPeers() {
	for {
		ctx, cancel := context.WithTimeout(s.ctx, servercore.NoticeTimeout)
		answers := s.srv.links.Load().AskPeers(ctx, s.core.Notice(), func(a replica.Answers) { s.core.AddAnswers(a) })
		cancel()
		if s.core.AddAnswers(answers) {
			return
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(servercore.NoticePause):
		}
	}
}

// StateChanged implements servercore.Driver. It wakes the reader with a deadline in the past.
func (s *session) StateChanged(state servercore.State) {
	past := time.Unix(1, 0)
	_ = s.conn.SetReadDeadline(past) // fails only if the connection is closed
	switch state {
	case servercore.StateEnding:
		s.cancel()
		s.out.Finish(time.Now().Add(lingerTime))
	case servercore.StateDead:
		s.cancel()
		s.out.Finish(past)
	}
}

// errDead ends the output of an aborted session.
var errDead = errors.New("session is dead")

// Fill implements outbound.Source.
func (s *session) Fill(b []byte, inline bool) (out []byte, next time.Time, err error) {
	now, before := time.Now(), len(b)
	defer func() { s.srv.instance.Counts.SentBytes.Add(uint64(max(len(out)-before, 0))) }()
	if inline {
		out, more := s.core.FillAcks(b, now)
		if more {
			return out, outbound.Again, nil
		}
		return out, outbound.Idle, nil
	}
	s.out.Greeted()
	out, more, ended := s.core.Fill(b, now)
	switch {
	case ended && s.core.State() == servercore.StateDead:
		return out, outbound.Idle, errDead
	case ended:
		return out, outbound.Idle, io.EOF
	case more:
		return out, outbound.Again, nil
	}
	return out, now.Add(s.core.Next(now)), nil
}
