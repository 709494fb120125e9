package client

import (
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// attachNow subscribes on the present connection, if there is one and the subscription is not
// attached to one already.
func (s *Subscription) attachNow() {
	for {
		cn := s.c.connected()
		if cn == nil || s.attach(cn) {
			return
		}
	}
}

// attach subscribes on a connection, under a new id. It returns false if the connection has ended,
// and true if there is nothing more to do.
func (s *Subscription) attach(cn *conn) bool {
	id, received := s.c.newID(), s.core.Received()
	s.mu.Lock()
	done, err := s.attachLocked(cn, id, received)
	s.mu.Unlock()
	if err != nil {
		s.end(err)
	}
	return done
}

// attachLocked is called with mu held, and mu stays held until the subscribe is queued. If the
// subscription ends meanwhile, its unsubscribe is therefore queued behind the subscribe.
func (s *Subscription) attachLocked(cn *conn, id string, received clientcore.Received) (done bool, err error) {
	if !s.core.Detached() {
		return true, nil
	}
	cmd, err := s.core.Attach(&cn.server, id, received, time.Now())
	if err != nil {
		return true, err
	}
	if cn.server.Plain && !cn.server.SupportsNotFound && s.core.NotFound != "" {
		s.c.events.post(func() {
			s.c.cfg.Logger.Warn("the option bookmark_not_found is not sent: the server is too old for it",
				"subscription", s.id, "server", cn.info.Server, "version", cn.info.Version)
		})
	}
	s.c.core.do(func(core *clientcore.Session) { core.AwaitAnswer(id) })
	if cn.request(id, s, cmd.AppendTo) {
		s.cn = cn
		return true, nil
	}
	cn.subscribeAnswered(id) // there will be no answer
	s.core.ConnectionLost()
	return false, nil
}

// connLost implements receiver. A new connection will resume the subscription.
func (s *Subscription) connLost(cn *conn, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cn == cn {
		s.cn = nil
		s.core.ConnectionLost()
	}
}

// handleAck implements receiver.
func (s *Subscription) handleAck(cn *conn, id string, m *wire.Message) error {
	var received clientcore.Received
	if m.Acks&wire.AckPersisted == 0 && m.Part == 0 {
		received = s.core.Received()
	}
	e, err := s.coreAck(cn, id, m, received)
	if err == nil {
		s.applyAck(cn, id, &e)
	}
	return err
}

// coreAck passes an ack to the core and returns its effect.
func (s *Subscription) coreAck(cn *conn, id string, m *wire.Message, received clientcore.Received) (e clientcore.Effect, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cn != cn:
	case m.Acks&wire.AckPersisted != 0:
		return s.core.HandleMark(&cn.server, id, m)
	case m.Acks&wire.AckProcessed != 0:
		if e, err = s.core.HandleAnswer(&cn.server, id, m, received); e.OffWire {
			s.cn = nil
		}
	case m.Acks&wire.AckCompleted != 0:
		s.core.HandleCompleted(id)
	}
	return e, err
}

// applyAck applies the effect of an ack.
func (s *Subscription) applyAck(cn *conn, id string, e *clientcore.Effect) {
	if e.OffWire {
		cn.unsubscribe(id, wire.UnsubscribeCommand{SubID: id})
	}
	s.applyEffect(e)
	if e.Answered {
		s.signalFirstAnswer()
		cn.subscribeAnswered(id)
	}
	switch {
	case !e.OffWire:
	case withLock(&s.mu, s.core.Searching):
		s.startSearch()
	default:
		s.attachNow()
	}
}

// applyEffect applies an effect to the store and the application.
func (s *Subscription) applyEffect(e *clientcore.Effect) {
	end := e.End
	if e.Gap {
		gap := s.reportGap(e)
		if end == clientcore.ErrMissed {
			end = gap
		}
	}
	if err := s.core.Apply(e); err != nil {
		end = fmt.Errorf("bookmark store: %w", err)
	}
	if d := e.Diverged; d != nil {
		s.c.events.post(func() { s.c.reportDiverged(s, d) })
	}
	if heldBack := e.HeldBack; heldBack || e.Released {
		s.c.events.post(func() { s.c.reportHeldBack(s, heldBack) })
	}
	if end != nil {
		s.end(asCommandError(end, s.topic))
	}
}

// reportGap reports a gap to the application. An accepted gap is also queued if the application has
// an OnGap.
func (s *Subscription) reportGap(e *clientcore.Effect) *GapError {
	gap := &GapError{Subscription: s.id, Topic: s.topic, NotAsked: e.NotAsked}
	for _, g := range e.Gaps {
		gap.Gaps = append(gap.Gaps, Gap(g))
	}
	s.mu.Lock()
	s.stats.Gaps += max(len(gap.Gaps), 1)
	queued := e.End != clientcore.ErrMissed && s.onGap != nil
	if queued {
		s.queue.push(delivery{gap: gap})
	}
	s.mu.Unlock()
	if queued {
		s.ready.Set()
	}
	s.c.events.post(func() { s.c.reportGap(gap) })
	return gap
}
