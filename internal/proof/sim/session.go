package sim

import (
	"errors"
	"log/slog"
	"time"

	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A session drives a servercore.Session over a simulated connection. It
// implements servercore.Driver.
type session struct {
	i         *instance
	conn      *endpoint
	core      *servercore.Session
	in        frameReader
	waiting   [][]byte      // packets that came before they could be executed
	outputDue bool          // Fill has something to do
	nextAt    time.Duration // when it has by time alone
	tickAt    time.Duration // when to decide again
	closed    bool
	ownFrames frameReader // to read our own output

	poll         replica.Poll  // of the peers; nil: they are not asked
	answered     bool          // the session has heard of enough of them
	pollDeadline time.Duration // then the answers that have come must do
}

// discardLog is the log of all sessions.
var discardLog = slog.New(slog.DiscardHandler)

// accept begins a session with a client that has connected to the client port.
// The port is bound before it is served: until then the client's frames wait.
func (i *instance) accept(s *endpoint) {
	c := &session{i: i, conn: s}
	c.core = servercore.NewSession(i.shared, c, discardLog, i.w.clock())
	if !i.shared.Registry.Add(c.core, "") {
		s.close()
		return
	}
	s.lastHeard, c.in.onError = i.w.now, c.endOnError
	s.onPacket = func(packet any) { c.onPacket(packet.([]byte)) }
	s.onLost = func(cause error) { c.core.Abort(cause.Error()) }
	i.sessions = append(i.sessions, c)
}

// onPacket executes the frames of a packet, or keeps them until the instance
// serves and no command waits.
func (s *session) onPacket(packet []byte) {
	s.i.wake()
	if !s.i.serving || s.core.Deciding() {
		s.waiting = append(s.waiting, packet)
		return
	}
	var batch []byte // the rest of a batch
	rest := s.in.each(packet, func(m *wire.Message) bool {
		switch {
		case m.Command == wire.Batch:
			batch = s.executeBatch(m)
		case s.authenticate(m):
			s.endOnError(s.core.Execute(m, 0))
		}
		return s.canExecute()
	})
	if len(batch)+len(rest) > 0 {
		s.waiting = append(s.waiting, append(batch, rest...))
	}
	s.core.Notify()
	s.decide()
}

// canExecute reports whether the session executes the next command now.
func (s *session) canExecute() bool {
	return s.core.State() == servercore.StateOpen && !s.core.Deciding()
}

// executeBatch executes the publishes of a batch, and returns a batch of those that it keeps.
func (s *session) executeBatch(m *wire.Message) (kept []byte) {
	b := s.core.Batch(m)
	for s.canExecute() {
		s.endOnError(b.TakeRun())
		p, size, err := b.Next()
		if p == nil || err != nil {
			s.endOnError(err)
			return nil
		}
		s.endOnError(s.core.Execute(p, size))
	}
	if len(b.Rest()) == 0 {
		return nil
	}
	kept = append(wire.BeginBatch(nil), b.Rest()...)
	wire.EndBatch(kept, 0)
	return kept
}

// endOnError ends a session whose reader has failed.
func (s *session) endOnError(err error) {
	if err != nil {
		s.core.End(err.Error(), nil)
	}
}

// decide decides the command that waits if there is one, or looks again later.
func (s *session) decide() {
	w := s.i.w
	if !s.core.Deciding() || s.core.State() != servercore.StateOpen {
		return
	}
	known := s.core.LoggedOn()
	s.endOnError(s.core.Decide(w.clock()))
	s.core.Notify()
	if s.core.Deciding() {
		s.i.alarm(&s.tickAt, servercore.LogonTick, 'l', s.decide)
		return
	}
	if i, ok := s.core.Info(); ok && !known && i.Publisher != 0 {
		// The number in the logon ack is decided now. The ack leaves with the
		// next turn, when the link that it counts on may have ended.
		safe, _ := s.i.links.Watermarks(i.Publisher)
		w.oracle.acked(s.i, i.Publisher, safe)
	}
	s.executeWaiting()
}

// searchOrAttach executes the frames that were kept.
func (s *session) executeWaiting() {
	early := s.waiting
	s.waiting = nil
	for _, packet := range early {
		s.onPacket(packet)
	}
}

// Wake implements servercore.Driver.
func (s *session) Wake() {
	s.outputDue = true
	s.i.wake()
}

// AcksDue implements servercore.Driver: now and then the acks are written by
// the bearer of the news, as the server does where the connection takes them.
func (s *session) AcksDue() {
	if s.i.w.net.IntN(2) == 0 {
		s.Wake()
		return
	}
	out, more := s.core.FillAcks(nil, s.i.w.clock())
	s.write(out)
	if more {
		s.Wake()
	}
}

// StateChanged implements servercore.Driver.
func (s *session) StateChanged(servercore.State) {}

// AskPeers implements servercore.Driver.
func (s *session) AskPeers() {
	s.i.w.after(0, &s.i.process, 'Q', s.pollPeers)
}

func (s *session) pollPeers() {
	s.poll, s.answered, s.pollDeadline = s.i.links.Ask(s.core.Notice()), false, s.i.w.now+servercore.NoticeTimeout
	s.i.w.after(servercore.NoticeTimeout, &s.i.process, 'q', s.checkAnswers)
	s.checkAnswers()
}

// checkAnswers looks whether the peers have answered, or too long have not.
func (s *session) checkAnswers() {
	if s.poll == nil {
		return
	}
	w := s.i.w
	answers, enough, done := s.poll(w.now >= s.pollDeadline || s.core.State() >= servercore.StateEnding)
	if !done {
		if enough && !s.answered {
			s.answered = true
			s.core.AddAnswers(answers)
		}
		return
	}
	s.poll = nil
	if !s.core.AddAnswers(answers) {
		w.after(servercore.NoticePause, &s.i.process, 'Q', s.pollPeers)
	}
}

// turn writes the output that is due and reports whether there is more.
func (s *session) turn() (busy bool) {
	s.checkAnswers()
	s.decide()
	if s.closed || !s.outputDue {
		return false
	}
	out, more, ended := s.core.Fill(nil, s.i.w.clock())
	s.write(out)
	s.outputDue = more
	switch {
	case ended:
		s.close()
		return false
	case !more:
		s.i.alarm(&s.nextAt, s.core.Next(s.i.w.clock()), 'T', s.Wake)
	}
	return more
}

// write sends frames, and reports their acks to the oracle.
func (s *session) write(out []byte) {
	if len(out) == 0 {
		return
	}
	if i, _ := s.core.Info(); i.Publisher != 0 || s.i.access != nil {
		s.ownFrames.each(out, func(m *wire.Message) bool {
			switch {
			case m.Command == wire.Publish:
				s.i.w.oracle.checkDelivery(s, string(m.Topic))
			case string(m.Reason) == wire.ReasonPermissionsDiffer:
				s.i.w.counts.Access.Differ++
			}
			if i.Publisher != 0 && m.HasSequence && string(m.Status) == wire.StatusSuccess && len(m.Level) == 0 {
				s.i.w.oracle.acked(s.i, i.Publisher, m.Sequence)
			}
			return true
		})
	}
	s.conn.send(out)
}

// close ends the session for good.
func (s *session) close() {
	s.closed = true
	s.core.Release()
	s.i.shared.Registry.Remove(s.core)
	s.conn.close()
}

var errSilent = errors.New("heartbeat: nothing came for too long")

// checkHeartbeat ends the session if the client is silent.
func (s *session) checkHeartbeat() {
	if silence := s.core.Silence(); silence > 0 && s.i.w.now-s.conn.lastHeard >= silence {
		s.endOnError(errSilent)
	}
}
