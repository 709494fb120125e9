package plain

import (
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/signal"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	conflation = 10 * time.Millisecond // of acks
	turnBytes  = 64 << 10              // of deliveries between two writes
	never      = time.Hour
)

// A session is a client's connection. One goroutine reads it, one writes it;
// everything but nc and wake is guarded by the group's mu.
type session struct {
	s    *Server
	nc   net.Conn
	wake signal.Signal

	out          []byte // frames to write
	closed       bool
	closing      bool   // out is the last
	publisher    uint64 // 0: before the logon
	ackedThrough uint64 // the client knows that it is settled
	ackAgain     bool   // the watermark must be sent again
	failures     []failure
	subs         []*sub
	acksAt       time.Time // the next acks
	beat         time.Duration
	beatAt       time.Time
}

// A failure is a message that was refused.
type failure struct {
	sequence uint64
	answer
}

// A sub is a subscription.
type sub struct {
	id, cid       string
	topic         string
	acks          wire.AckType
	bookmarked    bool              // a bookmark subscription
	next          int               // in the log
	target        int               // the replay ends there
	budget        int               // messages of the replay until the next acks; 0: any number
	lastPersisted bookmark.Bookmark // the last persisted ack
	completed     bool
}

func newSession(s *Server, nc net.Conn) *session {
	return &session{s: s, nc: nc, wake: signal.New(), beat: never, beatAt: time.Now().Add(never)}
}

// close ends the connection. It is called with the group's mu held.
func (ss *session) close() {
	ss.closed = true
	ss.nc.Close()
	ss.wake.Set()
}

func (ss *session) readLoop() {
	r := wire.NewReader(ss.nc, wire.MaxFrame)
	var m wire.Message
	g := ss.s.group
	for {
		frame, err := r.Next()
		if err == nil {
			err = wire.Parse(frame, &m)
		}
		g.mu.Lock()
		if err != nil || ss.closed {
			ss.close()
			delete(ss.s.sessions, ss)
			g.mu.Unlock()
			return
		}
		if !ss.closing {
			ss.execute(&m)
		}
		g.mu.Unlock()
		ss.wake.Set()
	}
}

// execute executes a command. It and all that it calls run with the group's mu held.
func (ss *session) execute(m *wire.Message) {
	switch m.Command {
	case wire.Logon:
		ss.logon(m)
	case wire.Publish, wire.DeltaPublish:
		ss.publish(m)
	case wire.Subscribe:
		ss.subscribe(m)
	case wire.Unsubscribe:
		ss.subs = slices.DeleteFunc(ss.subs, func(b *sub) bool { return b.id == string(m.SubID) })
	case wire.Heartbeat:
		if d, ok := beatInterval(m.Options); ok {
			ss.beat, ss.beatAt = d, time.Now().Add(d)
			ss.ack(wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Success: true})
		}
	}
}

// beatInterval returns the interval at which a client asks for heartbeats, false if it
// does not.
func beatInterval(options []byte) (interval time.Duration, asked bool) {
	number, asked := strings.CutPrefix(string(options), "start,")
	seconds, err := strconv.ParseUint(number, 10, 32)
	return time.Duration(seconds) * time.Second, asked && err == nil && seconds > 0
}

func (ss *session) ack(a wire.AckMessage) { ss.out = a.AppendTo(ss.out) }

func (ss *session) logon(m *wire.Message) {
	ss.publisher = bookmark.IdentityOfName(string(m.ClientName)).ID
	have := ss.s.have[ss.publisher]
	ss.ackedThrough = have
	ss.s.logons++
	ss.ack(wire.AckMessage{
		CommandID: string(m.CommandID), ClientName: string(m.ClientName), Type: wire.AckProcessed, Success: true,
		Reason: ss.s.version.greeting, Version: ss.s.version.Text,
		Sequence: have, HasSequence: true, Bookmark: bookmark.Bookmark{Publisher: ss.publisher, Sequence: have}.String(),
	})
}

func (ss *session) publish(m *wire.Message) {
	s, g := ss.s, ss.s.group
	if g.healAtPublish {
		g.healAtPublish, g.linksCut = false, false
		g.replicateLocked()
	}
	e := Entry{Topic: string(m.Topic), Body: string(m.Body)}
	e.Publisher, e.Sequence = ss.publisher, m.Sequence
	switch {
	case s.rules.Parses != nil && !s.rules.Parses(e.Body):
		g.dropped[e.Bookmark] = true
		a := wire.AckMessage{Type: wire.AckProcessed, Reason: "parse error"}
		if s.version.namesCommand {
			a.CommandID = string(m.CommandID)
		}
		ss.ack(a)
		ss.closing = s.rules.ClosesAfter
		return
	case e.Sequence <= s.have[e.Publisher]:
		if ss.ackAgain = s.version.duplicate.reason == ""; !ss.ackAgain {
			ss.ackNumber(e.Sequence, s.version.duplicate)
		}
		return
	}
	g.checkLocked(s, e.Bookmark)
	if s.rules.Entitled != nil && !s.rules.Entitled(e.Topic) {
		s.have[e.Publisher] = e.Sequence
		ss.failures = append(ss.failures, failure{e.Sequence, s.version.notEntitled})
		g.dropped[e.Bookmark] = true
		return
	}
	s.appendLocked(e)
	g.replicateLocked()
}

// ackNumber answers one message.
func (ss *session) ackNumber(sequence uint64, a answer) {
	m := wire.AckMessage{Type: wire.AckPersisted, Success: a.success, Reason: a.reason, Sequence: sequence, HasSequence: true}
	if a.success {
		m.MessageBookmark = bookmark.Bookmark{Publisher: ss.publisher, Sequence: sequence}
	}
	ss.ack(m)
}

func (ss *session) subscribe(m *wire.Message) {
	b := &sub{id: string(m.SubID), cid: string(m.CommandID), topic: string(m.Topic), acks: m.Acks, bookmarked: m.Bookmark != nil}
	b.target, b.budget = len(ss.s.log), ss.s.rules.ReplayWindow
	answer := wire.AckMessage{CommandID: b.cid, SubID: b.id, Type: wire.AckProcessed}
	answer.Reason = ss.setStart(b, m)
	if answer.Success = answer.Reason == ""; answer.Success {
		ss.subs = append(ss.subs, b)
	}
	ss.ack(answer)
}

// setStart sets where a subscription begins. It returns why it is refused.
func (ss *session) setStart(b *sub, m *wire.Message) (refused string) {
	lost, ok := ss.s.version.missingBookmark(m.Options)
	if !ok {
		return wire.ReasonInvalidOptions
	}
	b.next = len(ss.s.log)
	if !b.bookmarked {
		return ""
	}
	start, err := bookmark.ParseStart(m.Bookmark)
	switch {
	case err != nil:
		return wire.ReasonInvalidBookmark
	case start.Kind == bookmark.Epoch:
		b.next = 0
	case start.Kind == bookmark.List:
		return ss.s.seek(b, start.List, lost)
	}
	return ""
}

// seek has a subscription begin after the bookmark that is earliest in the log.
func (s *Server) seek(b *sub, list []bookmark.Bookmark, lost string) (refused string) {
	at := slices.IndexFunc(s.log, func(e Entry) bool { return slices.Contains(list, e.Bookmark) })
	switch {
	case at >= 0:
		b.next = at + 1
	case lost == "fail":
		return wire.ReasonInvalidBookmark
	case lost == "epoch":
		b.next = 0
	}
	return ""
}

func (ss *session) writeLoop() {
	timer := time.NewTimer(never)
	defer timer.Stop()
	var out []byte
	for {
		ss.s.group.mu.Lock()
		if !ss.closing {
			ss.fill(time.Now())
		} else if len(ss.out) == 0 {
			ss.close()
		}
		out, ss.out = ss.out, out[:0]
		closed, wait := ss.closed, min(time.Until(ss.beatAt), time.Until(ss.acksAt))
		if ss.acksAt.IsZero() {
			wait = time.Until(ss.beatAt)
		}
		ss.s.group.mu.Unlock()
		if closed {
			return
		}
		if len(out) > 0 {
			if _, err := ss.nc.Write(out); err != nil {
				return // the reader sees it, too
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-ss.wake:
		case <-timer.C:
		}
	}
}

// fill appends the output that is due.
func (ss *session) fill(now time.Time) {
	busy := len(ss.out) > 0
	for _, b := range ss.subs {
		ss.deliver(b)
	}
	if due := !ss.acksAt.IsZero() && !now.Before(ss.acksAt); due {
		ss.acksAt = time.Time{}
		ss.sendPersisted()
		for _, b := range ss.subs {
			ss.sendSubscriptionAck(b)
		}
	}
	if ss.acksAt.IsZero() && ss.acksOwed() {
		ss.acksAt = now.Add(conflation)
	}
	if len(ss.out) == 0 && !busy && !now.Before(ss.beatAt) {
		var h wire.HeartbeatCommand
		ss.out = h.AppendTo(ss.out)
	}
	if len(ss.out) > 0 {
		ss.beatAt = now.Add(ss.beat)
	}
}

// acksOwed reports whether acks are to be sent.
func (ss *session) acksOwed() bool {
	if ss.ackAgain || len(ss.failures) > 0 || ss.publisher != 0 && ss.s.group.settledLocked(ss.s, ss.publisher) > ss.ackedThrough {
		return true
	}
	return slices.ContainsFunc(ss.subs, func(b *sub) bool {
		return b.next < b.target && ss.s.rules.ReplayWindow > 0 || b.wantsPersisted() && b.lastPersisted != ss.s.newest()
	})
}

// wantsPersisted reports whether persisted acks of the subscription were asked for.
func (b *sub) wantsPersisted() bool { return b.bookmarked && b.acks&wire.AckPersisted != 0 }

// newest returns the newest bookmark that all servers that run have.
func (s *Server) newest() bookmark.Bookmark {
	for _, e := range slices.Backward(s.log) {
		if e.Sequence <= s.group.settledLocked(s, e.Publisher) {
			return e.Bookmark
		}
	}
	return bookmark.Bookmark{}
}

// sendPersisted reports the settled messages of the publisher: successes in one number,
// and each failure after the successes before it.
func (ss *session) sendPersisted() {
	settled := ss.s.group.settledLocked(ss.s, ss.publisher)
	for len(ss.failures) > 0 && ss.failures[0].sequence <= settled+1 {
		f := ss.failures[0]
		if ss.failures = ss.failures[1:]; f.sequence-1 > ss.ackedThrough {
			ss.ackNumber(f.sequence-1, answer{success: true})
		}
		ss.ackNumber(f.sequence, f.answer)
		ss.ackedThrough = max(ss.ackedThrough, f.sequence)
	}
	if settled > ss.ackedThrough || ss.ackAgain {
		ss.ackedThrough, ss.ackAgain = max(ss.ackedThrough, settled), false
		ss.ackNumber(ss.ackedThrough, answer{success: true})
	}
}

// sendSubscriptionAck sends the persisted ack of a subscription: the newest of the log, however
// far the replay is.
func (ss *session) sendSubscriptionAck(b *sub) {
	b.budget = ss.s.rules.ReplayWindow
	newest := ss.s.newest()
	if !b.wantsPersisted() || newest == b.lastPersisted {
		return
	}
	b.lastPersisted = newest
	a := wire.AckMessage{Type: wire.AckPersisted, Success: true, SubID: b.id, Bookmark: newest.String()}
	if ss.s.version.markID {
		a.CommandID = b.cid
	}
	ss.ack(a)
}

// deliver reads on in the log for a subscription.
func (ss *session) deliver(b *sub) {
	limited := ss.s.rules.ReplayWindow > 0
	for b.next < len(ss.s.log) && len(ss.out) < turnBytes {
		replays := b.next < b.target
		if replays && limited && b.budget == 0 {
			return
		}
		e := ss.s.log[b.next]
		b.next++
		if e.Topic != b.topic {
			continue
		}
		if replays && limited {
			b.budget--
		}
		d := wire.Delivery{Topic: []byte(e.Topic), SubIDs: []byte(b.id), Body: []byte(e.Body)}
		if b.bookmarked {
			d.Bookmark = e.Bookmark
		}
		ss.out = d.AppendTo(ss.out)
	}
	if b.bookmarked && b.next >= b.target && !b.completed && b.acks&wire.AckCompleted != 0 {
		b.completed = true
		ss.ack(wire.AckMessage{CommandID: b.cid, Type: wire.AckCompleted, Success: true, SubID: b.id, Bookmark: ss.s.newest().String()})
	}
}
