package sim

import (
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// Times of a search, as the client has them.
const (
	searchPause   = time.Second
	searchTimeout = 10 * time.Second // after which a side session is left
)

// A search is the side sessions of a subscriber whose server has removed messages.
type search struct {
	known clientcore.ServerReports
	next  int // instance to visit

	conn       *endpoint // nil: none
	in         frameReader
	core       *clientcore.SideSession
	serverInfo clientcore.Server
	subscribed bool // the subscribe was sent
}

// searchOrAttach begins a search, or subscribes again.
func (s *subscriber) searchOrAttach() {
	if !s.sub.Searching() {
		s.attach()
		return
	}
	s.search = search{known: make(clientcore.ServerReports)}
	s.w.counts.Searches++
	s.visitNext()
}

// visitNext visits the next instance, unless the search is over.
func (s *subscriber) visitNext() {
	w, q := s.w, &s.search
	servers := w.instances[:2]
	e, over := s.sub.ConcludeSearch(s.sub.Received(), q.known, len(servers), w.clock())
	if over {
		q.known = nil
		s.applyEffect("", &e)
		s.attach()
		return
	}
	if q.next == len(servers) {
		q.next = 0
		w.after(searchPause, &s.process, 'q', s.visitNext)
		return
	}
	i := servers[q.next]
	q.next++
	if at, ok := q.known[i.name]; ok && !s.sub.SearchIncludes(&at) {
		s.visitNext()
		return
	}
	s.visit(i)
}

// visit begins a side session.
func (s *subscriber) visit(i *instance) {
	w, q := s.w, &s.search
	if !w.reachable(s.name, i.name) || !w.reachable(i.name, s.name) || !i.alive || i.stopped {
		w.after(dialTimeout, &s.process, 'q', s.visitNext)
		return
	}
	ours := w.connect(&s.process, &i.process, i.accept)
	q.conn, q.in, q.subscribed = ours, frameReader{}, false
	ours.onPacket = func(packet any) { s.onSidePacket(ours, i.name, packet.([]byte)) }
	ours.onLost = func(error) { s.leaveSide(ours) }
	q.core = clientcore.NewSideSession(i.name, "", "")
	logon := q.core.Credentials(s.user, "")
	ours.send(logon.AppendTo(nil))
	s.watchSide(ours)
}

// watchSide leaves a side session on which nothing comes.
func (s *subscriber) watchSide(on *endpoint) {
	s.w.after(searchTimeout, &s.process, 'Q', func() {
		switch {
		case s.search.conn != on:
		case s.w.now-on.lastHeard >= searchTimeout:
			s.leaveSide(on)
		default:
			s.watchSide(on)
		}
	})
}

func (s *subscriber) onSidePacket(on *endpoint, name string, packet []byte) {
	s.search.in.each(packet, func(m *wire.Message) bool {
		if s.search.conn == on {
			s.onSideFrame(name, m)
		}
		if s.search.conn == on && s.search.subscribed && s.sub.SideDone() {
			s.leaveSide(on)
		}
		return s.search.conn == on
	})
	s.handleQueued()
}

func (s *subscriber) onSideFrame(name string, m *wire.Message) {
	q := &s.search
	switch {
	case q.subscribed && (m.Command == wire.Publish || len(m.SubID) > 0):
		s.onFrameFrom(&q.serverInfo, m)
	case m.Command == wire.Ack && string(m.CommandID) == "0":
		e, err := q.core.HandleAck(m)
		if err != nil || e.Kind != clientcore.EventAccepted {
			s.leaveSide(q.conn)
			return
		}
		q.serverInfo = q.core.Server()
		q.known[name] = q.serverInfo
		if !s.sub.ShouldAsk(&q.serverInfo, s.w.clock()) {
			s.leaveSide(q.conn)
			return
		}
		s.ids++
		cmd := s.sub.Ask(&q.serverInfo, fmt.Sprint(s.ids), s.sub.Received(), s.w.clock())
		q.subscribed = true
		q.conn.send(cmd.AppendTo(nil))
	}
}

// leaveSide ends a side session.
func (s *subscriber) leaveSide(on *endpoint) {
	q := &s.search
	if q.conn != on {
		return
	}
	on.close()
	q.conn = nil
	if q.subscribed {
		s.sub.SideEnded(s.w.clock())
	}
	s.visitNext()
}
