package servercore

import "github.com/holdfast-mq/holdfast/internal/wire"

// An unloggedMessage is one that is not logged: it goes to those who are subscribed
// right now. Sessions share it.
type unloggedMessage struct {
	topic, body, correlation, user []byte
}

func (m *unloggedMessage) size() int { return len(m.topic) + len(m.body) + len(m.correlation) + 64 }

// queueUnlogged queues a message that is not logged. A client that does not read
// is ended, since nothing could bring it back later.
func (s *Session) queueUnlogged(m *unloggedMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state >= StateEnding {
		return
	}
	if !s.account.take(s.box.message(m)) {
		s.slowLocked()
	}
	s.driver.Wake()
}

// deliverUnlogged writes a message that is not logged to the subscriptions without
// a bookmark that match.
func (s *Session) deliverUnlogged(m *unloggedMessage) {
	w := &s.writer
	w.ids = w.ids[:0]
	add := func(b *sub) {
		if b.Bookmark {
			return
		}
		if len(w.ids) > 0 {
			w.ids = append(w.ids, ',')
		}
		w.ids = append(w.ids, b.ID...)
	}
	for _, b := range w.table.Match(m.topic) {
		add(b)
	}
	for _, b := range w.behind {
		if len(b.alone.Match(m.topic)) > 0 {
			add(b)
		}
	}
	if len(w.ids) == 0 {
		return
	}
	d := wire.Delivery{Topic: m.topic, SubIDs: w.ids, CorrelationID: m.correlation, UserID: m.user, Body: m.body}
	w.out = d.AppendTo(w.out)
}
