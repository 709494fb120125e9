// Package server is the reference server: an instance with a journal, links to its peers, and
// sessions with clients. It combines internal/journal, internal/replica and internal/servercore,
// and it speaks the client protocol of internal/wire. Its promises are in client/GUARANTEES.md;
// comments cite the rules there by their numbers.
//
// A session is an object of internal/servercore, driven by goroutines of this package. One reads
// and executes commands. One writes acks, and the messages of subscriptions, which it reads from
// the journal. A third one asks the peers about the logon. A slow subscriber is therefore a slow
// reader of the journal, and subscriptions need no queues.
//
// A topic is UTF-8 without control characters. Every instance refuses a publish to any other topic,
// or to a topic that begins with /AMPS, with "invalid topic". Message bodies are arbitrary bytes.
package server

import (
	"context"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

// A Server is one running instance. It is safe for concurrent use.
type Server struct {
	cfg               Config
	log               *slog.Logger
	instance          *servercore.Instance // shared by the sessions
	destinationTopics []*topic.Set         // topics of each destination

	clientListener      net.Listener
	replicationListener net.Listener // nil: there is no replication port
	adminListener       net.Listener // nil: there is no admin port
	journal             *journal.Journal
	links               atomic.Pointer[replica.Links] // nil until the links are started
	space               space
	refusals            refusals
	permissions         permissionChanges
	audit               *auditor // nil: there is no audit log
	authFailures        authFailures
	logBudget           lineBudget // log budget of all sessions together

	ctx      context.Context // ends when sessions must end
	cancel   context.CancelFunc
	sessions sync.WaitGroup // sessions and their goroutines
	loops    sync.WaitGroup // accept, retention, control, admin

	lifecycle
}

// Ready returns a channel that is closed when clients are served. Before that, the instance catches
// up with its peers. It waits for an absent peer until Config.RejoinTimeout. An instance that does
// not know its group yet, as at its first start, waits until it has met the group, however long
// that takes (R6). See Config.Bootstrap.
func (s *Server) Ready() <-chan struct{} { return s.ready }

// Done returns a channel that is closed when the server has ended, for any reason.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err returns why the server ended by itself, for example a *DiskError. It is nil while the server
// runs and after Shutdown or Close.
func (s *Server) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// Addr returns the address of the client port.
func (s *Server) Addr() net.Addr { return s.clientListener.Addr() }

// ReplicationAddr returns the address of the replication port, nil if there is none.
func (s *Server) ReplicationAddr() net.Addr { return addrOf(s.replicationListener) }

// AdminAddr returns the address of the admin port, nil if there is none.
//
// Each endpoint answers a GET without a body. /livez sends only a status code; the others send
// JSON: a [Readiness], a [Status] with a page of the sessions, and a [PublisherList]. A page has
// the sessions with names, or the publishers with ids, above after, at most limit of them. The
// server waits 5 seconds for a request and 10 seconds for the client to read the response. If
// there are more than 16 connections it closes the oldest one.
//
//	/livez       200 while the instance runs, 503 once it has failed
//	/readyz      200 while it serves clients, 503 before, while it stops, and once it is outdated
//	/status      200, 400 if limit is not a number (?after=NAME&limit=N)
//	/publishers  200, 400 if after or limit is not a number (?after=ID&limit=N)
func (s *Server) AdminAddr() net.Addr { return addrOf(s.adminListener) }

func addrOf(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Shutdown stops the server gracefully. It accepts no new logons and waits for outstanding acks,
// until the drain timeout or ctx ends, or until the peer that must acknowledge has stopped as well.
// Then it continues like Close. It returns ErrDrainTimeout if acks were still outstanding.
func (s *Server) Shutdown(ctx context.Context) error {
	s.beginStop(stopDrain, nil)
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.cfg.DrainTimeout))
	defer cancel()
	var err error
	select {
	case <-s.done:
	case <-ctx.Done():
		err = ErrDrainTimeout
	}
	s.endDrain()
	<-s.done
	if s.acksAbandoned.Load() {
		err = ErrDrainTimeout
	}
	return err
}

// Close stops the server now: listener, client sessions, links, journal. When it returns, every
// record in the journal is on disk. The error is always nil.
func (s *Server) Close() error {
	s.beginStop(stopClose, nil)
	s.endDrain()
	<-s.done
	return nil
}

// stopWithError stops the server because of err. It does not wait for the end.
func (s *Server) stopWithError(err error) {
	s.log.Error("the instance stops", "error", err)
	s.beginStop(stopClose, err)
	s.endDrain()
}

// supervise serves clients once the links are ready. After a stop has begun, it ends everything in
// order, from the clients down to the journal.
func (s *Server) supervise() {
	defer close(s.done)
	defer s.audit.close()
	s.loops.Go(s.retention)
	s.loops.Go(s.serveControl)
	if s.awaitLinks() {
		s.serve()
	}
	<-s.stopping

	s.clientListener.Close()
	if s.stopMode() == stopDrain {
		s.drain()
	}
	if s.stopMode() == stopKill {
		s.journal.Kill()
		s.eachSession(killSession)
	}
	defer s.sessions.Wait()
	s.endSessions()
	if s.stopMode() == stopDrain {
		select { // keep the links as long as a stopping peer waits for acks
		case <-s.links.Load().Drained():
		case <-s.drainEnd:
		}
	}
	s.loops.Wait()
	s.links.Load().Close()
	if s.replicationListener != nil {
		s.replicationListener.Close()
	}
	if s.stopMode() == stopKill {
		s.journal.Kill()
		return
	}
	if err := s.journal.Close(); err != nil && s.Err() == nil {
		s.log.Error("cannot close the journal cleanly", "error", err)
	}
	s.instance.Close()
}

// eachSession calls end for every session.
func (s *Server) eachSession(end func(*servercore.Session)) {
	for _, c := range s.instance.Registry.Sessions() {
		end(c)
	}
}

// drain waits until no session has outstanding acks, until drainEnd is closed, or until the peer
// that must acknowledge has stopped as well.
func (s *Server) drain() {
	peersStopped := s.links.Load().Drain()
	s.eachSession((*servercore.Session).Drain)
	ended := s.sessionsEnded()
	select {
	case <-ended:
	case <-s.drainEnd:
	case <-peersStopped:
		select {
		case <-ended:
		case <-time.After(peerStoppedGrace):
		case <-s.drainEnd:
		}
		if slices.ContainsFunc(s.instance.Registry.Sessions(), isDraining) {
			s.acksAbandoned.Store(true)
		}
	}
}

// peerStoppedGrace is the time that sessions without outstanding acks get to end.
const peerStoppedGrace = 250 * time.Millisecond

func isDraining(c *servercore.Session) bool { return c.State() == servercore.StateDraining }

// endSessions ends all sessions. They have stopGrace to write and read their last frames; then
// their connections are closed. After another stopGrace it returns: a session that is still working
// will find the journal closed.
func (s *Server) endSessions() {
	s.cancel()
	s.eachSession((*servercore.Session).Stop)
	ended := s.sessionsEnded()
	if failpoint.On(failpoint.DWaitsForAll) {
		<-ended
	}
	for range 2 {
		select {
		case <-ended:
			return
		case <-time.After(stopGrace):
			s.eachSession(closeSession)
		}
	}
}

// stopGrace is the time for sessions to end when the instance stops, and again after their
// connections were closed.
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

// awaitLinks waits until clients may be served (R6). It returns false if the server must stop.
func (s *Server) awaitLinks() bool {
	var giveUp <-chan time.Time
	if s.cfg.AcceptDamage && s.journal.Damage() != nil && s.links.Load().Cluster() != "" { // without a cluster id the journal would begin another group
		giveUp = time.After(time.Duration(s.cfg.RejoinTimeout))
	}
	select {
	case <-s.links.Load().Ready():
	case <-giveUp:
		s.log.Error("serving a damaged journal that no peer has healed, since damage is accepted", "damage", s.journal.Damage())
		if err := s.journal.FinishMerge(); err != nil {
			s.stopWithError(&DiskError{err})
			return false
		}
	case <-s.stopping:
		return false
	}
	return true
}

// serve begins to accept clients.
func (s *Server) serve() {
	s.loops.Go(s.accept)
	close(s.ready)
	s.log.Info("serving clients", "name", s.cfg.Name, "address", s.clientListener.Addr())
}

// accept accepts connections until the listener is closed.
func (s *Server) accept() {
	const maxDelay = time.Second
	delay := time.Duration(0)
	for {
		conn, err := s.clientListener.Accept()
		if err == nil {
			delay = 0
			s.startSession(conn)
			continue
		}
		if s.isStopping() || s.ctx.Err() != nil {
			return
		}
		// Probably no file descriptor is free. Wait before the next attempt.
		delay = min(max(2*delay, 5*time.Millisecond), maxDelay)
		s.log.Error("cannot accept a client", "error", err, "retry_in", delay)
		select {
		case <-time.After(delay):
		case <-s.stopping:
			return
		}
	}
}
