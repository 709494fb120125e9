package server

import (
	"bytes"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A liveMessage is one that is not logged: it goes to those who are subscribed
// right now. Sessions share it.
type liveMessage struct {
	topic, body, correlation, user []byte
}

func (m *liveMessage) size() int { return len(m.topic) + len(m.body) + len(m.correlation) + 64 }

// publishLive hands a message that is not logged to all sessions with subscriptions.
func (s *Server) publishLive(m *wire.Message, user string) {
	live := &liveMessage{
		topic: bytes.Clone(m.Topic), body: bytes.Clone(m.Body),
		correlation: bytes.Clone(m.CorrelationID), user: []byte(user),
	}
	for _, c := range s.registry.list(&s.registry.subscribers) {
		c.queueLive(live)
	}
}

// queueLive queues a message that is not logged. A client that does not read
// is ended, since nothing could bring it back later.
func (s *session) queueLive(m *liveMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state >= sessionEnding {
		return
	}
	s.live = append(s.live, m)
	s.liveBytes += m.size()
	if s.liveBytes > maxQueued {
		s.slowLocked()
	}
	s.signal()
}

// deliverLive sends a message that is not logged to the subscriptions without
// a bookmark that match.
func (p *pump) deliverLive(m *liveMessage) {
	p.ids = p.ids[:0]
	add := func(b *sub) {
		if b.Bookmark {
			return
		}
		if len(p.ids) > 0 {
			p.ids = append(p.ids, ',')
		}
		p.ids = append(p.ids, b.ID...)
	}
	for _, b := range p.table.Match(m.topic) {
		add(b)
	}
	for _, b := range p.behind {
		if len(b.alone.Match(m.topic)) > 0 {
			add(b)
		}
	}
	if len(p.ids) == 0 {
		return
	}
	d := wire.Delivery{Topic: m.topic, SubIDs: p.ids, CorrelationID: m.correlation, UserID: m.user, Body: m.body}
	p.out = d.AppendTo(p.out)
}
