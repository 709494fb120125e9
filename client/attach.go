package client

import (
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// attachNow subscribes on the present connection if there is one and the subscription waits for
// one.
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
	id, have := s.c.newID(), s.core.Received()
	s.mu.Lock()
	done, err := s.attachLocked(cn, id, have)
	s.mu.Unlock()
	if err != nil {
		s.end(err)
	}
	return done
}

// attachLocked is called with mu held, and mu stays held until the subscribe is queued. If the
// subscription ends meanwhile, its unsubscribe is therefore queued behind the subscribe.
func (s *Subscription) attachLocked(cn *conn, id string, have clientcore.Received) (done bool, err error) {
	if !s.core.Waits() {
		return true, nil
	}
	cmd, err := s.core.Attach(&cn.at, id, have, time.Now())
	if err != nil {
		return true, err
	}
	if cn.at.Plain && !cn.at.NotFound && s.core.NotFound != "" {
		s.c.cfg.Logger.Warn("server is too old for the option bookmark_not_found, its own way counts",
			"subscription", s.id, "server", cn.info.Server, "version", cn.info.Version)
	}
	s.c.core.do(func(core *clientcore.Session) { core.Await(id) })
	if cn.request(id, s, cmd.AppendTo) {
		s.cn = cn
		return true, nil
	}
	cn.answered(id) // there will be no answer
	s.core.Lost()
	return false, nil
}

// lost implements receiver. A new connection will resume the subscription.
func (s *Subscription) lost(cn *conn, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cn == cn {
		s.cn = nil
		s.core.Lost()
	}
}

// ack implements receiver.
func (s *Subscription) ack(cn *conn, id string, m *wire.Message) error {
	var have clientcore.Received
	if m.Acks&wire.AckPersisted == 0 && m.Part == 0 {
		have = s.core.Received()
	}
	e, err := s.hear(cn, id, m, have)
	if err == nil {
		s.happen(cn, id, &e)
	}
	return err
}

// hear passes an ack to the core.
func (s *Subscription) hear(cn *conn, id string, m *wire.Message, have clientcore.Received) (e clientcore.Effect, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.cn != cn:
	case m.Acks&wire.AckPersisted != 0:
		return s.core.Mark(&cn.at, id, m)
	case m.Acks&wire.AckProcessed != 0:
		if e, err = s.core.Answer(&cn.at, id, m, have); e.Away {
			s.cn = nil
		}
	case m.Acks&wire.AckCompleted != 0:
		s.core.Completed(id)
	}
	return e, err
}

// happen applies the effect of an ack.
func (s *Subscription) happen(cn *conn, id string, e *clientcore.Effect) {
	if e.Away {
		cn.unsubscribe(id, wire.UnsubscribeCommand{SubID: id})
	}
	s.apply(e)
	if e.Answered {
		s.answer()
		cn.answered(id)
	}
	switch {
	case !e.Away:
	case under(&s.mu, s.core.Searching):
		s.startSearch()
	default:
		s.attachNow()
	}
}

// apply applies an effect to the store and the application.
func (s *Subscription) apply(e *clientcore.Effect) {
	end := e.End
	if e.Gap {
		gap := s.gap(e)
		if end == clientcore.ErrMissed {
			end = gap
		}
	}
	if err := s.core.Keep(e); err != nil {
		end = fmt.Errorf("bookmark store: %w", err)
	}
	if d := e.Diverged; d != nil {
		s.c.events.post(func() { s.c.tellDiverged(s, d) })
	}
	if on := e.Held; on || e.Freed {
		s.c.events.post(func() { s.c.tellWaits(s, on) })
	}
	if end != nil {
		s.end(inWords(end, s.topic))
	}
}

// gap reports a gap to the application. An accepted gap is also queued if the application has an
// OnGap.
func (s *Subscription) gap(e *clientcore.Effect) *GapError {
	gap := &GapError{Subscription: s.id, Topic: s.topic, Unasked: e.Unasked}
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
	s.c.events.post(func() { s.c.tellGap(gap) })
	return gap
}
