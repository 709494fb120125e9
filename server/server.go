// Package server runs an instance of the holdfast server inside a Go program. The command holdfastd
// is this package with a config file; package servertest runs instances inside a test.
//
//	cfg, err := server.LoadConfig("a.yaml") // or fill in a Config
//	...
//	s, err := server.Start(cfg) // the ports are bound, and the journal is open
//	...
//	<-s.Ready() // clients are served; s.Done says that the instance has ended instead
//	...
//	err = s.Shutdown(ctx) // after the outstanding acks; Close does not wait for them
//
// [Start] binds the ports and opens the journal, and fails if it cannot. The instance then catches
// up with its peers, and only after that serves clients ([Server.Ready]). An instance ends by
// itself if its disk fails: [Server.Done] is closed, and [Server.Err] has the reason.
// [Server.Status] is a snapshot for a monitor; the admin port serves it as JSON
// ([Server.AdminAddr]).
//
// A lone instance has a Name, a data directory and a client port. Two instances become a pair when
// each has the other as a [Destination]; they need a common Group and link secret ([WriteSecret]).
// At the first start of a pair neither serves clients before it has met the other, unless one is
// started with Config.Bootstrap.
//
// # Words
//
// client/GUARANTEES.md has the promises of a server, and a glossary. The words that this page uses:
//
//   - An instance is one server with its journal. Instances that replace each other are a group; two
//     that replicate to each other are a pair.
//   - The journal is the log of an instance on its disk. A record of it is a message, or stands in the
//     place of messages that were rejected or are not on this instance.
//   - A publisher is the source of a series of messages, numbered from 1: one life of a client's
//     publish store (package pubstore), or a client by its name. Its number in lists, the id, is no
//     secret.
//   - A peer is another instance of the group. A destination is a peer that this instance replicates
//     to. Acks wait for the disk of a sync destination; an async one gets the messages later.
//   - A message is safe once it is on the disks of this instance and of all sync destinations.
//   - A sync destination that has kept acks waiting for longer than its DowngradeAfter is downgraded:
//     acks go on without it. They have the level single, that is, one disk, and publishers keep the
//     messages. The destination counts again once it has caught up.
//   - Retention removes old messages. The floor of a publisher is the number up to which it has
//     removed all of them. A gap is a range of removed messages that a subscription has not seen.
//   - A decree is the declaration of an operator that instances will not return, and that messages
//     which only they had are lost ([SendControl], server/DISASTER.md). Each decree begins a new
//     incarnation of the group, which leaves the declared instances behind.
//   - A publisher has diverged if two instances have, or may have, different contents under one of its
//     numbers, as after a copy of a publish store was used. Nothing more of it is accepted.
//
// # Topics
//
// A topic is UTF-8 without control characters. Every instance refuses a publish to any other topic,
// or to a topic that begins with /AMPS, with "invalid topic". Message bodies are arbitrary bytes.
package server

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/histogram"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/logging"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

// A Server is one running instance. Its methods are safe for concurrent use.
type Server struct {
	cfg               Config
	log               *slog.Logger // its lines go through logs
	logs              *logQueue
	settings          []string // that differ from their defaults
	started           time.Time
	instance          *servercore.Instance // shared by the sessions
	destinationTopics []*topic.Set         // topics of each destination

	ports
	security
	observations
	journal *journal.Journal
	links   atomic.Pointer[replica.Links] // nil until the links are started
	space   space

	ctx      context.Context // ends when sessions must end
	cancel   context.CancelFunc
	sessions sync.WaitGroup // sessions and their goroutines
	loops    sync.WaitGroup // accept, retention, control, admin

	lifecycle
}

// observations are what operators are shown of an instance.
type observations struct {
	refusals  refusals
	events    events
	lags      lagRing
	surveys   turn // of requests that look at all publishers or subscriptions
	budgets   logBudgets
	syncTimes histogram.Histogram // of the journal
}

// ports are the listeners of an instance.
type ports struct {
	clientListener      net.Listener
	replicationListener net.Listener   // nil: there is no replication port
	adminListener       net.Listener   // nil: there is no admin port
	admin               *http.ServeMux // of the admin port
}

// security is the part of an instance that concerns users, certificates and secrets.
type security struct {
	permissions  permissionChanges
	authFailures authFailures
	audit        *auditor // nil: there is no audit log
	files        files
	origins      *http.CrossOriginProtection // of requests that act
	handshakes   handshakeSlots              // of clients
}

// Ready returns a channel that is closed when clients are served. Before that, the instance catches
// up with its peers. It waits for an absent peer until Config.RejoinTimeout. An instance that does
// not know its group yet, as at its first start, waits until it has met the group, however long
// that takes, because the group may have messages that it lacks. See Config.Bootstrap. If the
// instance ends before it serves clients, the channel stays open: wait for Done as well.
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

// AdminAddr returns the address of the admin port, nil if there is none. The port speaks HTTP and
// answers GET requests without a body:
//
//	/livez       200 while the instance runs, 503 once it has failed; no body
//	/readyz      200 while it serves clients, 503 before that, while it stops, and once its group
//	             has left it behind (Readiness.Outdated); the body is a Readiness
//	/insync      200 while it has everything that the group has acknowledged, so that the other
//	             instances can be stopped, otherwise 503; the body is an InSync
//	/status      a Status with one page of the sessions
//	/publishers  a PublisherList, one page of the publishers
//	/lag         a LagHistory: the lag of the links in the last ten minutes
//	/actions     an ActionList; a POST of an ActionRequest executes an action, and the response is
//	             an ActionReply
//	/            a page for browsers that shows all that
//
// HandleAdmin adds others: holdfastd adds /metrics, see package server/metrics.
//
// Bodies are JSON. Sessions are ordered by name, publishers by id. /status and /publishers have two
// parameters, both optional:
//
//	after  the page begins with the first name, or id, above this one; default: the first of all
//	limit  the largest number of entries; default, and at most, MaxSessionsPerPage or
//	       MaxPublishersPerPage
//
// To read the next page, pass the last name or id of a page as after, as long as
// Status.SessionsMore or PublisherList.More is true. Each page is a snapshot of its own: a session
// or publisher that comes meanwhile may be missing from the list. If limit, or after of
// /publishers, is not a number, the status code is 400.
//
// With the parameter list, /status has a page of another list, for which the other two parameters
// work in the same way:
//
//	list=publishers     the same as /publishers
//	list=subscriptions  a SubscriptionList, at most MaxSubscriptionsPerPage of them
//	list=degraded       an object with degraded, more and next: at most 100 DegradedIntervals,
//	                    newest first, each with at most 1,000 ranges
//
// For the next page of the last two, pass next as after. A response of /status has a bounded length:
// it has the newest 20 degraded intervals with 100 ranges each, and 100 diverged publishers.
// Responses of /status and /publishers are made one at a time, so that they take one processor at
// most.
//
// The server waits 5 seconds for a request and 10 seconds for the client to read the response. If
// there are more than 16 connections it closes the oldest one.
func (s *Server) AdminAddr() net.Addr { return addrOf(s.adminListener) }

// HandleAdmin adds an endpoint to the admin port, such as /metrics with the handler of package
// server/metrics. It answers GET requests without a body, under the same limits and with the same
// token as the others. A path is added once, and only if the port has none of this name: otherwise
// HandleAdmin panics, like [http.ServeMux.Handle].
func (s *Server) HandleAdmin(path string, h http.Handler) { s.admin.Handle("GET "+path, h) }

func addrOf(l net.Listener) net.Addr {
	if l == nil {
		return nil
	}
	return l.Addr()
}

// Shutdown stops the server gracefully. It accepts no new logons and waits for outstanding acks,
// until the drain timeout or ctx ends, or until the peer that must acknowledge has stopped as well.
// Then it continues like Close. It returns ErrDrainTimeout if acks were still outstanding; their
// publishers keep the messages. A call after the end returns at once.
func (s *Server) Shutdown(ctx context.Context) error {
	if s.beginStop(stopDrain, nil) {
		s.log.Info("the instance stops once its outstanding acks are sent", "limit", time.Duration(s.cfg.DrainTimeout))
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(s.cfg.DrainTimeout))
	defer cancel()
	var err error
	select {
	case <-s.done:
	case <-ctx.Done():
		if !isClosed(s.done) {
			err = ErrDrainTimeout
		}
	}
	s.endDrain()
	<-s.done
	if s.acksAbandoned.Load() {
		err = ErrDrainTimeout
	}
	return err
}

// Close stops the server now: listener, client sessions, links, journal. When it returns, the
// server has ended, and every record in the journal is on disk, unless the disk has failed; the log
// says so then. The error is always nil. Close may be called again, and while Shutdown waits.
func (s *Server) Close() error {
	if s.beginStop(stopClose, nil) {
		s.log.Info("the instance stops now")
	}
	s.endDrain()
	<-s.done
	return nil
}

// stopWithError stops the server because of err. It does not wait for the end.
func (s *Server) stopWithError(err error) {
	s.beginStop(stopClose, err)
	s.log.Error("the instance stops because of an error", "error", err)
	s.endDrain()
}

// supervise serves clients once the links are ready. After a stop has begun, it ends everything in
// order, from the clients down to the journal.
func (s *Server) supervise() {
	defer close(s.done)
	defer s.logs.close()
	defer s.audit.close()
	defer s.logStopped()
	s.loops.Go(s.retention)
	s.loops.Go(s.serveControl)
	s.loops.Go(s.watchStates)
	if len(s.files.watched) > 0 || s.cfg.Authorizer != nil {
		s.loops.Go(s.watchFiles)
	}
	if s.awaitLinks() {
		s.serve()
	}
	<-s.stopping

	s.clientListener.Close()
	if s.stopMode() == stopDrain {
		s.note(EventDrain, "", "the instance stops: it takes no more publishes, and waits for acks")
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
	switch err := s.journal.Close(); {
	case err == nil:
		s.markStopped()
	case s.Err() == nil:
		s.log.Error("the journal could not be closed cleanly", "error", err)
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
	s.drained.Store(!slices.ContainsFunc(s.instance.Registry.Sessions(), isDraining))
}

// logStopped logs that the instance has stopped.
func (s *Server) logStopped() {
	switch how, took := s.stopped(); {
	case how == stopKill:
	case how == stopDrain && s.drained.Load():
		s.log.Info("the instance has stopped: every ack was sent", "duration", took)
	case how == stopDrain:
		s.log.Warn("the instance has stopped with acks outstanding: their publishers keep the messages", "duration", took)
	default:
		s.log.Info("the instance has stopped", "duration", took)
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
		s.log.Error("clients are served from a damaged journal that no peer has healed, since damage is accepted", "error", s.journal.Damage())
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
	s.note(EventReady, "", "clients are served")
	s.log.Info("serving clients", "address", s.clientListener.Addr(), "duration", time.Since(s.started))
}

// accept accepts connections until the listener is closed.
func (s *Server) accept() {
	const maxDelay = time.Second
	delay := time.Duration(0)
	var outage logging.Outage
	for {
		conn, err := s.clientListener.Accept()
		if err == nil {
			delay = 0
			if attempts, lasted := outage.End(time.Since(s.started)); attempts > 0 {
				s.log.Info("clients are accepted again", "attempts", attempts, "duration", lasted)
			}
			s.startSession(conn)
			continue
		}
		if s.isStopping() || s.ctx.Err() != nil {
			return
		}
		// Probably no file descriptor is free. Wait before the next attempt.
		delay = min(max(2*delay, 5*time.Millisecond), maxDelay)
		if outage.Fail(time.Since(s.started)) {
			s.log.Error("cannot accept clients", "error", err, "attempts", outage.Attempts())
		}
		select {
		case <-time.After(delay):
		case <-s.stopping:
			return
		}
	}
}
