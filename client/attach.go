package client

import (
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// connect puts the subscription on the wire if it waits for that and there is
// a connection. It also runs on the application's goroutines.
func (s *Subscription) connect() {
	for {
		cn := s.c.connected()
		if cn == nil || s.attach(cn) {
			return
		}
	}
}

// attach subscribes on a connection, under a new id. It returns false if the
// connection ended meanwhile, and true if there is nothing more to do.
func (s *Subscription) attach(cn *conn) bool {
	id := cn.newID()
	s.mu.Lock()
	if s.state != detached {
		s.mu.Unlock()
		return true
	}
	if s.home != "" && s.home != cn.server && !s.opts.unreplicated && !mut.On(mut.R3SilentMove) {
		s.mu.Unlock()
		s.end(ErrNotReplicated)
		return true
	}
	s.state, s.cn, s.wireID, s.since = subscribing, cn, id, time.Now()
	heard := s.heard
	s.mu.Unlock()

	cmd := s.command(cn, id, heard)
	cn.await(id)
	if cn.request(id, s, cmd.AppendTo) {
		return true
	}
	s.lost(cn, nil)
	return false
}

func (s *Subscription) command(cn *conn, id string, heard bool) wire.SubscribeCommand {
	cmd := wire.SubscribeCommand{
		Command:   wire.Subscribe,
		CommandID: id,
		SubID:     id,
		Topic:     s.topic,
		Filter:    s.opts.filter,
		Acks:      wire.AckProcessed,
	}
	if s.marks == nil {
		if s.opts.times {
			cmd.Options = "timestamp"
		}
		return cmd
	}
	r := clientcore.Resumption{
		Ext:     !cn.plain,
		Start:   s.start,
		Heard:   heard,
		Gaps:    s.opts.gaps,
		Durable: s.opts.durable,
		Times:   s.opts.times,
	}
	r.Vector, r.Known = s.marks.Received()
	cmd.Bookmark, cmd.Options = r.Request()
	cmd.Acks |= wire.AckPersisted
	return cmd
}

// lost implements receiver: a new connection will take the subscription up.
// One that is paused stays so.
func (s *Subscription) lost(cn *conn, _ error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.cn != cn || s.state == ended {
		return
	}
	s.cn, s.wireID = nil, ""
	if s.state != overrun {
		s.state = detached
	}
	if mut.On(mut.R9ReconnectIsRestart) && s.marks != nil {
		s.marks.Release()
		_ = s.openMarks()
	}
}

// ack implements receiver.
func (s *Subscription) ack(cn *conn, id string, m *wire.Message) error {
	switch {
	case !s.runsAs(cn, id):
		return nil
	case m.Acks&wire.AckPersisted != 0:
		return s.mark(cn, m)
	case m.Acks&wire.AckProcessed == 0:
		return nil
	case failed(m):
		s.end(s.refusal(m))
		cn.answered(id)
		return nil
	}
	return s.accepted(cn, id, m)
}

// runsAs reports whether id is what the subscription has on the wire.
func (s *Subscription) runsAs(cn *conn, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cn == cn && s.wireID == id && (s.state == subscribing || s.state == active)
}

// refusal is the error of a subscription that a server refuses.
func (s *Subscription) refusal(m *wire.Message) error {
	reason := string(m.Reason)
	if s.marks == nil || len(m.Gap) == 0 && reason != reasonNotFound {
		return &CommandError{Command: "subscribe", Topic: s.topic, Reason: reason}
	}
	gaps, _ := parseGaps(m.Gap)
	return s.gapError(gaps)
}

func (s *Subscription) gapError(gaps []Gap) *GapError {
	e := &GapError{Subscription: s.id, Topic: s.topic, Gaps: gaps}
	s.mu.Lock()
	s.stats.Gaps += max(len(gaps), 1)
	s.mu.Unlock()
	s.c.post(func() { s.c.tellGap(e) })
	return e
}

// accepted takes in the answer to a subscribe: its base, if it is the first
// (R9), gaps that the application accepts, and whether it can move (R3).
func (s *Subscription) accepted(cn *conn, id string, m *wire.Message) error {
	if s.marks != nil && !cn.plain {
		if err := s.base(m); err != nil {
			return err
		}
		if len(m.Gap) > 0 {
			gaps, err := parseGaps(m.Gap)
			if err != nil {
				return fmt.Errorf("%w: %w", ErrProtocol, err)
			}
			if err := s.skip(gaps); err != nil {
				return err
			}
		}
	}
	if stays := s.settle(cn, m); !stays {
		s.end(ErrNotReplicated)
	}
	cn.answered(id)
	return nil
}

// base takes in where the server has begun: at the first subscribe the
// subscription's base. Who resumes without having received anything sends the
// same as who subscribes first, so that the server can't see what it misses;
// the base then tells it.
func (s *Subscription) base(m *wire.Message) error {
	received, known := s.marks.Received()
	if m.Bookmark == nil || len(received) > 0 {
		return nil
	}
	v, err := bookmark.ParseVector(m.Bookmark)
	if err != nil {
		return fmt.Errorf("%w: base of subscription %q: %w", ErrProtocol, s.id, err)
	}
	gaps := missedSince(v)
	switch {
	case !known:
		return s.check(s.marks.SetBase(v))
	case len(gaps) == 0:
		return nil
	case s.opts.gaps:
		return s.skip(gaps)
	}
	s.end(s.gapError(gaps))
	return nil
}

// skip notes a gap in its place in the queue. From now on it counts as shown.
func (s *Subscription) skip(gaps []Gap) error {
	e := s.gapError(gaps)
	if s.opts.onGap != nil {
		s.mu.Lock()
		s.queue.push(delivery{gap: e})
		s.mu.Unlock()
		poke(s.ready)
	}
	return s.check(s.marks.Progress(gapVector(gaps)))
}

// check ends the subscription if its store has failed.
func (s *Subscription) check(err error) error {
	if err != nil {
		s.end(fmt.Errorf("bookmark store: %w", err))
	}
	return nil
}

// mark takes in a progress mark, in its place between the messages (R9). From
// a server without vectors it says too little: its log may be ahead of what
// it has sent of the replay.
func (s *Subscription) mark(cn *conn, m *wire.Message) error {
	s.waits(string(m.Level) == wire.LevelSingle)
	if s.marks == nil || cn.plain || len(m.Bookmark) == 0 {
		return nil
	}
	v, err := bookmark.ParseVector(m.Bookmark)
	if err != nil {
		return fmt.Errorf("%w: progress of subscription %q: %w", ErrProtocol, s.id, err)
	}
	return s.check(s.marks.Progress(v))
}

// waits notes whether the server holds messages back until they are safe again (R13).
func (s *Subscription) waits(on bool) {
	s.mu.Lock()
	changed := s.stats.Waits != on
	s.stats.Waits = on
	s.mu.Unlock()
	if changed {
		s.c.post(func() { s.c.tellWaits(s, on) })
	}
}
