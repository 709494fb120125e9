// Package plain is the double of servers that speak the plain protocol, without
// our extensions: publishes with numbers, persisted acks, bookmark subscriptions,
// replication, by version, in memory. It follows the protocol's documentation;
// the client is tested against it.
//
// It runs in a synctest bubble, on the listeners that it is given.
package plain

import (
	"fmt"
	"net"
	"slices"
	"sync"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// An Entry is a message in a server's log.
type Entry struct {
	bookmark.Bookmark
	Topic, Body string
}

// A Group is servers that replicate to each other. An ack waits for those that
// run. It is safe for concurrent use.
type Group struct {
	mu            sync.Mutex
	servers       []*Server         // guarded by mu
	linksCut      bool              // the links are cut; guarded by mu
	healAtPublish bool              // they heal at the next publish; guarded by mu
	first         map[uint64]uint64 // the first number of each publisher; guarded by mu
	dropped       map[bookmark.Bookmark]bool
	holes         []string // guarded by mu
}

// NewGroup returns a group without servers.
func NewGroup() *Group {
	return &Group{first: make(map[uint64]uint64), dropped: make(map[bookmark.Bookmark]bool)}
}

// A Server is one server of a group.
type Server struct {
	group   *Group
	version Version
	listen  func() (net.Listener, error)
	rules   Rules

	// All guarded by the group's mu.
	log      []Entry
	have     map[uint64]uint64 // the highest number of each publisher
	sent     map[*Server]int   // so much of the log went to a peer
	ln       net.Listener      // nil: takes no clients
	dead     bool
	sessions map[*session]bool
	logons   int

	wg sync.WaitGroup
}

// Rules say which messages a server refuses, and how slow it is. The functions are called
// with a lock held, and may be nil.
type Rules struct {
	Entitled     func(topic string) bool
	Parses       func(body string) bool // it can parse the message
	ClosesAfter  bool                   // and ends a connection after one that it can't
	ReplayWindow int                    // messages of a replay between two acks; 0: any number
}

// Add starts a server of a version, which gets its listeners from listen.
func (g *Group) Add(v Version, listen func() (net.Listener, error), rules Rules) (*Server, error) {
	s := &Server{
		group: g, version: v, listen: listen, rules: rules, dead: true,
		have: make(map[uint64]uint64), sent: make(map[*Server]int), sessions: make(map[*session]bool),
	}
	g.mu.Lock()
	g.servers = append(g.servers, s)
	g.mu.Unlock()
	return s, s.Start()
}

// Close kills all servers and waits for them.
func (g *Group) Close() {
	g.mu.Lock()
	servers := slices.Clone(g.servers)
	g.mu.Unlock()
	for _, s := range servers {
		s.Kill()
	}
}

// SetLinksCut cuts the links between the servers, or heals them.
func (g *Group) SetLinksCut(apart bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.linksCut = apart
	g.replicateLocked()
}

// HealAtPublish heals the links right before the next publish is accepted. The messages
// that its client has logged on to send have been replicated by then.
func (g *Group) HealAtPublish() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.healAtPublish = true
}

// Holes returns the publishes that left numbers out.
func (g *Group) Holes() []string {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.holes)
}

// checkLocked notes a publish above have that leaves numbers out.
func (g *Group) checkLocked(s *Server, b bookmark.Bookmark) {
	if _, known := g.first[b.Publisher]; !known {
		g.first[b.Publisher] = b.Sequence
	}
	next := max(s.have[b.Publisher]+1, g.first[b.Publisher])
	for g.dropped[bookmark.Bookmark{Publisher: b.Publisher, Sequence: next}] {
		next++
	}
	if b.Sequence > next {
		g.holes = append(g.holes, fmt.Sprintf("%d|%d| comes where %d is next", b.Publisher, b.Sequence, next))
	}
}

// replicateLocked sends each server the messages of the others, and wakes the sessions.
func (g *Group) replicateLocked() {
	for _, from := range g.servers {
		for _, to := range g.servers {
			if from == to || from.dead || to.dead || g.linksCut {
				continue
			}
			for _, e := range from.log[from.sent[to]:] {
				to.appendLocked(e)
			}
			from.sent[to] = len(from.log)
		}
	}
	for _, s := range g.servers {
		for ss := range s.sessions {
			ss.wake.Set()
		}
	}
}

// settledLocked returns up to where all servers that run have a publisher.
func (g *Group) settledLocked(s *Server, publisher uint64) uint64 {
	n := s.have[publisher]
	for _, o := range g.servers {
		if !o.dead {
			n = min(n, max(o.have[publisher], g.first[publisher]-1))
		}
	}
	return n
}

// appendLocked appends a message unless the server has it.
func (s *Server) appendLocked(e Entry) {
	if e.Sequence > s.have[e.Publisher] {
		s.have[e.Publisher] = e.Sequence
		s.log = append(s.log, e)
	}
}

// Start has the server run and take clients.
func (s *Server) Start() error {
	ln, err := s.listen()
	if err != nil {
		return err
	}
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	s.ln, s.dead = ln, false
	s.group.replicateLocked()
	s.wg.Go(func() { s.acceptLoop(ln) })
	return nil
}

// Kill ends the server. Its log stays.
func (s *Server) Kill() {
	s.group.mu.Lock()
	s.dead = true
	s.group.replicateLocked()
	s.group.mu.Unlock()
	s.RefuseClients()
}

// RefuseClients ends the connections of clients, and takes no more until Start.
func (s *Server) RefuseClients() {
	s.group.mu.Lock()
	if s.ln != nil {
		s.ln.Close()
		s.ln = nil
	}
	for ss := range s.sessions {
		ss.close()
	}
	s.group.mu.Unlock()
	s.wg.Wait()
}

// Log returns the messages of the server.
func (s *Server) Log() []Entry {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	return slices.Clone(s.log)
}

// Logons returns how many logons the server has accepted.
func (s *Server) Logons() int {
	s.group.mu.Lock()
	defer s.group.mu.Unlock()
	return s.logons
}

func (s *Server) acceptLoop(ln net.Listener) {
	for {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		ss := newSession(s, nc)
		s.group.mu.Lock()
		refused := s.ln != ln
		if refused {
			ss.close()
		} else {
			s.sessions[ss] = true
			s.wg.Go(ss.readLoop)
			s.wg.Go(ss.writeLoop)
		}
		s.group.mu.Unlock()
	}
}
