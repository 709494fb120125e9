// Package server is the reference server: an instance with a journal, links to
// its peers and sessions with clients. It assembles internal/journal,
// internal/replica and internal/servercore and speaks the client protocol of
// internal/wire. Its promises are in client/GUARANTEES.md, whose rules the
// comments cite.
//
// A session is an object of internal/servercore. Two goroutines drive it here:
// one reads commands and has them executed, the other writes acks and, as a
// reader of the journal, the messages of subscriptions. A slow subscriber is thus
// a slow reader of the journal, and there is no queue per subscription.
//
// A topic is UTF-8 without control characters. A publish to another one is
// refused with "invalid topic", by every instance alike, as is one to a topic
// that begins with /AMPS. Bodies are any bytes.
package server

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

// A Server is one running instance. Safe for concurrent use.
type Server struct {
	cfg      Config
	log      *slog.Logger
	instance *servercore.Instance // what the sessions share
	carried  []*topic.Set         // topics of each destination

	clients net.Listener
	peers   net.Listener // nil: nobody dials us
	admin   net.Listener // nil: none
	journal *journal.Journal
	links   atomic.Pointer[replica.Links] // nil until they are started
	space   space
	refused refusals
	lines   lineBudget // of what sessions log

	ctx      context.Context // ends when sessions must
	cancel   context.CancelFunc
	sessions sync.WaitGroup // sessions and their helpers
	loops    sync.WaitGroup // accept, retention, admin

	lifecycle
}

// Ready is closed when clients are served: the links have caught up, or gave up waiting (R6).
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Done is closed when the server has ended, for whatever reason.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err returns why the server ended by itself: a *DiskError, for one. It is nil
// while it runs and after Shutdown or Close.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Addr returns where clients connect.
func (s *Server) Addr() net.Addr { return s.clients.Addr() }

// ReplicationAddr returns where peers connect, nil if they don't.
func (s *Server) ReplicationAddr() net.Addr { return addrOf(s.peers) }

// AdminAddr returns where the admin endpoints are, nil if there are none. They
// answer a GET without a body, the first one with a code alone, the others with
// JSON: a [Readiness], the [Status] with a page of its sessions, and a
// [PublisherList]. A page has those with names or ids above after, limit of them
// at most. A request has 5 seconds to come, its answer 10 to be read, and of more
// than 16 connections the oldest is closed.
//
//	/livez       200 while the instance runs, 503 once it has failed
//	/readyz      200 while it serves clients, 503 before, while it stops, and once it is outdated
//	/status      200, 400 if limit is no number (?after=NAME&limit=N)
//	/publishers  200, 400 if after or limit is no number (?after=ID&limit=N)
func (s *Server) AdminAddr() net.Addr { return addrOf(s.admin) }

func addrOf(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Shutdown ends the server in order: no new logons, outstanding acks until
// the drain timeout or ctx ends, or the peer that has to give them has stopped as
// well, then as Close. It returns ErrDrainTimeout if acks were still outstanding.
func (s *Server) Shutdown(ctx context.Context) error {
	s.begin(stopDrain, nil)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.cfg.DrainTimeout))
	defer cancel()
	var err error
	select {
	case <-s.done:
	case <-ctx.Done():
		err = ErrDrainTimeout
	}
	s.hasten()
	<-s.done
	if s.cut.Load() {
		err = ErrDrainTimeout
	}
	return err
}

// Close ends the server now: listener, client sessions, links, journal. What
// is in the journal is on disk when it returns.
func (s *Server) Close() error {
	s.begin(stopClose, nil)
	s.hasten()
	<-s.done
	return nil
}

// Kill ends the server as kill -9 would: nothing more is written or sent.
func (s *Server) Kill() {
	s.begin(stopKill, ErrKilled)
	s.hasten()
	<-s.done
}

// fail ends the server because of err. It doesn't wait.
func (s *Server) fail(err error) {
	s.log.Error("the instance stops", "error", err)
	s.begin(stopClose, err)
	s.hasten()
}

// supervise serves when the links are ready and, when told to stop, ends
// everything in order, top to bottom.
func (s *Server) supervise() {
	defer close(s.done)
	s.loops.Go(s.retention)
	s.loops.Go(s.obeyOrders)
	if s.awaitLinks() {
		s.serve()
	}
	<-s.stopping

	s.clients.Close()
	if s.stopHow() == stopDrain {
		s.drain()
	}
	if s.stopHow() == stopKill {
		s.journal.Kill()
		s.eachSession(abandon)
	}
	defer s.sessions.Wait()
	s.endSessions()
	if s.stopHow() == stopDrain {
		select { // until the peers that stop as well wait for no acks
		case <-s.links.Load().Drained():
		case <-s.hurry:
		}
	}
	s.loops.Wait()
	s.links.Load().Close()
	if s.peers != nil {
		s.peers.Close()
	}
	if s.stopHow() == stopKill {
		s.journal.Kill()
		return
	}
	if err := s.journal.Close(); err != nil && s.Err() == nil {
		s.log.Error("the journal did not close in order", "error", err)
	}
	s.instance.Close()
}

// eachSession ends all sessions in some way.
func (s *Server) eachSession(end func(*servercore.Session)) {
	for _, c := range s.instance.Registry.Sessions() {
		end(c)
	}
}

// drain waits until no session has acks outstanding, a hurry, or until the peer that
// has to acknowledge has stopped as well.
func (s *Server) drain() {
	deserted := s.links.Load().Drain()
	s.eachSession((*servercore.Session).Drain)
	ended := s.sessionsEnded()
	select {
	case <-ended:
	case <-s.hurry:
	case <-deserted:
		select {
		case <-ended:
		case <-time.After(desertedGrace):
		case <-s.hurry:
		}
		if slices.ContainsFunc(s.instance.Registry.Sessions(), isDraining) {
			s.cut.Store(true)
		}
	}
}

// desertedGrace is for sessions that wait for no ack, and have only to end.
const desertedGrace = 250 * time.Millisecond

func isDraining(c *servercore.Session) bool { return c.State() == servercore.StateDraining }

// endSessions ends all sessions: they write and read their last frames for a moment,
// and are cut off then. It waits for a moment more: a session that is still at work
// finds the journal closed.
func (s *Server) endSessions() {
	s.cancel()
	s.eachSession((*servercore.Session).Stop)
	ended := s.sessionsEnded()
	if mut.On(mut.DWaitsForAll) {
		<-ended
	}
	for range 2 {
		select {
		case <-ended:
			return
		case <-time.After(stopGrace):
			s.eachSession(cutOff)
		}
	}
}

// stopGrace is how long sessions may take to end when the instance stops, and again
// when they are cut off.
const stopGrace = 400 * time.Millisecond

// sessionsEnded returns a channel that is closed when no session is left.
func (s *Server) sessionsEnded() <-chan struct{} {
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		s.sessions.Wait()
	}()
	return ended
}

// awaitLinks waits until clients may be served (R6), false if it is to stop.
func (s *Server) awaitLinks() bool {
	var giveUp <-chan time.Time
	if s.cfg.AcceptDamage && s.journal.Damage() != nil && s.links.Load().Cluster() != "" { // without, it would be another group's
		giveUp = time.After(time.Duration(s.cfg.RejoinTimeout))
	}
	select {
	case <-s.links.Load().Ready():
	case <-giveUp:
		s.log.Error("serving a damaged journal that no peer has healed, as told", "damage", s.journal.Damage())
		if err := s.journal.Healed(); err != nil {
			s.fail(&DiskError{err})
			return false
		}
	case <-s.stopping:
		return false
	}
	return true
}

// serve begins to take clients.
func (s *Server) serve() {
	s.loops.Go(s.accept)
	close(s.ready)
	s.log.Info("serving clients", "name", s.cfg.Name, "address", s.clients.Addr())
}

// accept takes connections until the listener is closed.
func (s *Server) accept() {
	const longest = time.Second
	delay := time.Duration(0)
	for {
		conn, err := s.clients.Accept()
		if err == nil {
			delay = 0
			s.startSession(conn)
			continue
		}
		if s.isStopping() || s.ctx.Err() != nil {
			return
		}
		// Out of file descriptors, most likely: don't spin.
		delay = min(max(2*delay, 5*time.Millisecond), longest)
		s.log.Error("accepting a client", "error", err, "again_in", delay)
		select {
		case <-time.After(delay):
		case <-s.stopping:
			return
		}
	}
}
