package server

import (
	"time"

	"github.com/holdfast-mq/holdfast/internal/atonce"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	pieceBytes  = 256 << 10 // of output, written at once
	turnRecords = 512       // of one follower, before the others have their turn
)

// A pump is a session's writer. Everything that goes to the client passes
// here: control frames, persisted acks, and the messages of subscriptions,
// which it reads from the journal itself. It belongs to who has the turn: its
// goroutine, or who brings the news that acks are due and sends them by itself.
type pump struct {
	s      *session
	mine   atonce.Turn    // held by who works with the rest
	atOnce *atonce.Writer // nil: only the pump's goroutine sends
	out    []byte         // to be written at the end of the round
	idle   time.Duration  // how long there will be nothing to do

	ackOuts []servercore.AckOut // scratch

	control []byte // taken from the session, swapped with it
	ops     []op
	live    []*liveMessage

	// Subscriptions at the end of the journal share one follower and get one
	// frame; the others have one each.
	shared     *journal.Follower // nil: none is live
	table      topic.Table[*sub] // the live ones
	unfinished bool              // a live one has not completed its replay
	behind     []*sub
	turn       []*sub // scratch of deliver
	rec        journal.Record
	match      []*sub
	ids        []byte

	lastWrite time.Time
	lastAck   time.Time
	held      bool          // persisted acks wait for their distance
	stood     string        // the standing that the client knows
	stoodAt   time.Time     // when it was told of a change
	late      bool          // another change waits for its distance
	beat      time.Duration // heartbeat interval, 0: none
	timer     *time.Timer
}

func newPump(s *session) *pump {
	return &pump{
		s: s, mine: atonce.NewTurn(), atOnce: atonce.New(s.conn),
		lastWrite: time.Now(), timer: time.NewTimer(time.Hour),
	}
}

// run writes until the session has ended.
func (p *pump) run() {
	for {
		more, ended := p.round()
		switch {
		case ended:
			p.mine.Take() // for good
			p.close()
			return
		case !more:
			p.wait()
		}
	}
}

// round does what there is to do. more says that there is more, ended that the
// session has ended.
func (p *pump) round() (more, ended bool) {
	p.mine.Take()
	defer p.mine.Give()
	state := p.takeControl()
	if state == sessionDead {
		return false, true
	}
	if state != sessionEnding {
		p.standing()
		p.acks()
		more = p.deliver()
		p.marks()
		p.heartbeat()
	}
	if err := p.flush(); err != nil {
		p.s.cut("write: " + err.Error())
		return false, true
	}
	p.idle = p.untilNext()
	return more, state == sessionEnding || state == sessionDraining && p.drained()
}

// acksNow sends the persisted acks that are due on the goroutine that brings
// the news, as far as the connection takes them at once: to wake the pump's
// would take longer. It does not block. Whatever else there is, is left to the
// pump.
func (p *pump) acksNow() {
	if p.atOnce == nil || !p.mine.Try() {
		p.s.signal()
		return
	}
	defer p.mine.Give()
	if len(p.out) > 0 || !p.s.quiet() {
		p.s.signal()
		return
	}
	p.acks()
	if err := p.flushAtOnce(); err != nil {
		p.s.cut("write: " + err.Error())
	}
	if p.held || len(p.out) > 0 {
		p.s.signal()
	}
}

// quiet reports whether the session is open and nothing is queued for the pump.
func (s *session) quiet() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known && s.state == sessionOpen && len(s.control)+len(s.ops)+len(s.live) == 0
}

// close ends what the pump holds open.
func (p *pump) close() {
	p.timer.Stop()
	p.stopShared()
	for _, sub := range p.behind {
		sub.stop()
	}
	p.s.srv.registry.subscribes(p.s, false, false)
}

// takeControl appends the queued control frames to the output and does the
// ops between them.
func (p *pump) takeControl() sessionState {
	s := p.s
	s.mu.Lock()
	p.control, s.control = s.control, p.control[:0]
	p.ops, s.ops = s.ops, p.ops[:0]
	p.live, s.live = s.live, p.live[:0]
	s.liveBytes = 0
	state := s.state
	s.mu.Unlock()

	written := 0
	for _, o := range p.ops {
		p.out = append(p.out, p.control[written:o.at]...)
		written = o.at
		o.do(p)
	}
	p.out = append(p.out, p.control[written:]...)
	clear(p.ops)
	if cap(p.control) > pieceBytes {
		p.control = nil
	}
	for _, m := range p.live {
		p.deliverLive(m)
	}
	clear(p.live)
	return state
}

// ack appends an ack to the output.
func (p *pump) ack(a *wire.AckMessage) { p.out = a.AppendTo(p.out) }

// heartbeat says that we live if nothing else did.
func (p *pump) heartbeat() {
	if p.beat > 0 && len(p.out) == 0 && time.Since(p.lastWrite) >= p.beat {
		p.out = (&wire.HeartbeatCommand{}).AppendTo(p.out)
	}
}

// flush writes the output, in pieces that each have their deadline.
func (p *pump) flush() error {
	if len(p.out) == 0 {
		return nil
	}
	for rest := p.out; len(rest) > 0; {
		piece := rest[:min(len(rest), pieceBytes)]
		if err := p.s.prepareWrite(); err != nil {
			return err
		}
		if _, err := p.s.conn.Write(piece); err != nil {
			return err
		}
		rest = rest[len(piece):]
	}
	p.lastWrite = time.Now()
	if cap(p.out) > 4*pieceBytes {
		p.out = nil
	}
	p.out = p.out[:0]
	return nil
}

// flushAtOnce writes what the connection takes, and keeps the rest.
func (p *pump) flushAtOnce() error {
	if len(p.out) == 0 {
		return nil
	}
	if err := p.s.prepareWrite(); err != nil {
		return err
	}
	n, err := p.atOnce.Write(p.out)
	p.lastWrite = time.Now()
	p.out = append(p.out[:0], p.out[n:]...)
	return err
}

// prepareWrite sets the deadline of the next write; a session that is ending
// has set its own.
func (s *session) prepareWrite() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state >= sessionEnding {
		return nil
	}
	return s.conn.SetWriteDeadline(time.Now().Add(writeDeadline))
}

// untilNext returns how long there is nothing to do, if nothing happens.
func (p *pump) untilNext() time.Duration {
	next := time.Hour
	if p.beat > 0 {
		next = min(next, p.beat-time.Since(p.lastWrite))
	}
	return max(min(next, p.untilMark(), p.untilAck(), p.untilStanding()), 0)
}

// wait waits until there is something to do.
func (p *pump) wait() {
	p.timer.Reset(p.idle)
	select {
	case <-p.s.wake:
	case <-p.timer.C:
	}
}

// drained reports whether nothing is owed to the client any more.
func (p *pump) drained() bool {
	s := p.s
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.acks.Outstanding() && len(s.single) == 0 && len(s.flushes) == 0 && len(s.control) == 0
}
