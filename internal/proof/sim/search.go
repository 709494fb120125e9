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

	side  *side // nil: none
	in    frames
	on    *clientcore.SideSession
	at    clientcore.Server
	asked bool // the subscribe was sent
}

// searchOrAttach begins a search, or subscribes again.
func (s *subscriber) searchOrAttach() {
	if !s.sub.Searching() {
		s.attach()
		return
	}
	s.search = search{known: make(clientcore.ServerReports)}
	s.w.counts.Searches++
	s.tour()
}

// tour visits the next instance, unless the search is over.
func (s *subscriber) tour() {
	w, q := s.w, &s.search
	servers := w.instances[:2]
	e, over := s.sub.ConcludeSearch(s.sub.Received(), q.known, len(servers), w.clock())
	if over {
		q.known = nil
		s.happen("", &e)
		s.attach()
		return
	}
	if q.next == len(servers) {
		q.next = 0
		w.after(searchPause, &s.process, 'q', s.tour)
		return
	}
	i := servers[q.next]
	q.next++
	if at, is := q.known[i.name]; is && !s.sub.SearchIncludes(&at) {
		s.tour()
		return
	}
	s.visit(i)
}

// visit begins a side session.
func (s *subscriber) visit(i *instance) {
	w, q := s.w, &s.search
	if !w.reachable(s.name, i.name) || !w.reachable(i.name, s.name) || !i.alive || i.stopped {
		w.after(dialTimeout, &s.process, 'q', s.tour)
		return
	}
	ours := w.connect(&s.process, &i.process, i.accept)
	q.side, q.in, q.asked = ours, frames{}, false
	ours.take = func(packet any) { s.onSidePacket(ours, i.name, packet.([]byte)) }
	ours.lost = func(error) { s.leaveSide(ours) }
	q.on = clientcore.NewSideSession(i.name, "", "")
	logon := q.on.Credentials("", "")
	ours.send(logon.AppendTo(nil))
	s.watchSide(ours)
}

// watchSide leaves a side session on which nothing comes.
func (s *subscriber) watchSide(on *side) {
	s.w.after(searchTimeout, &s.process, 'Q', func() {
		switch {
		case s.search.side != on:
		case s.w.now-on.heard >= searchTimeout:
			s.leaveSide(on)
		default:
			s.watchSide(on)
		}
	})
}

func (s *subscriber) onSidePacket(on *side, name string, packet []byte) {
	s.search.in.each(packet, func(m *wire.Message) bool {
		if s.search.side == on {
			s.onSideFrame(name, m)
		}
		if s.search.side == on && s.search.asked && s.sub.SideDone() {
			s.leaveSide(on)
		}
		return s.search.side == on
	})
	s.handle()
}

func (s *subscriber) onSideFrame(name string, m *wire.Message) {
	q := &s.search
	switch {
	case q.asked && (m.Command == wire.Publish || len(m.SubID) > 0):
		s.onFrameFrom(&q.at, m)
	case m.Command == wire.Ack && string(m.CommandID) == "0":
		e, err := q.on.HandleAck(m)
		if err != nil || e.Kind != clientcore.EventAccepted {
			s.leaveSide(q.side)
			return
		}
		q.at = q.on.Server()
		q.known[name] = q.at
		if !s.sub.ShouldAsk(&q.at, s.w.clock()) {
			s.leaveSide(q.side)
			return
		}
		s.ids++
		cmd := s.sub.Ask(&q.at, fmt.Sprint(s.ids), s.sub.Received(), s.w.clock())
		q.asked = true
		q.side.send(cmd.AppendTo(nil))
	}
}

// leaveSide ends a side session.
func (s *subscriber) leaveSide(on *side) {
	q := &s.search
	if q.side != on {
		return
	}
	on.close()
	q.side = nil
	if q.asked {
		s.sub.SideEnded(s.w.clock())
	}
	s.tour()
}
