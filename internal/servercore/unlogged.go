package servercore

import (
	"slices"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// An unloggedMessage is a message on a topic that is not logged. It goes to the subscriptions that
// exist right now. Sessions share it.
type unloggedMessage struct {
	topic, body, correlation, headers, user []byte
}

func (m *unloggedMessage) size() int {
	return len(m.topic) + len(m.body) + len(m.correlation) + len(m.headers) + 64
}

// queueUnlogged queues a message that is not logged. The session of a client that does not read
// ends, because the message could not be delivered later.
func (s *Session) queueUnlogged(m *unloggedMessage) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.state < StateEnding && !s.account.add(s.box.addUnlogged(m)) {
		s.endSlowLocked()
	}
	s.driver.Wake()
}

// deliverUnlogged writes an unlogged message to the matching subscriptions that have no bookmark.
func (s *Session) deliverUnlogged(m *unloggedMessage) {
	w := &s.writer
	if !s.mayRead(m.topic) {
		return
	}
	w.match = append(w.match[:0], w.table.Match(m.topic)...)
	for _, b := range w.behind {
		w.match = append(w.match, b.alone.Match(m.topic)...)
	}
	w.match = slices.DeleteFunc(w.match, func(b *sub) bool { return b.Bookmark })
	if len(w.match) == 0 {
		return
	}
	w.listIDs(w.match)
	d := wire.Delivery{Topic: m.topic, SubIDs: w.ids, UserID: m.user, Body: m.body}
	d.CorrelationID, d.Headers = s.deliverable(m.correlation, m.headers)
	w.out = d.AppendTo(w.out)
}
