package clientcore

import (
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Server describes a server, from its logon ack and its later reports.
type Server struct {
	Address          string
	Version          string
	Instance         string   // its name in its group; empty if it does not report one
	Peers            []string // the instances to which it replicates synchronously
	Plain            bool     // it lacks our extensions
	SupportsNotFound bool     // it is plain and supports the option bookmark_not_found
	Sync             syncstatus.Status
	CatchingUp       bool // it serves before it has caught up with its peers (R6)
	MaxCommand       int  // longest command in bytes that a plain server takes; 0: no limit, because vectors are sent in parts
	MaxMessage       int  // largest message in bytes; 0 if it does not report one
	HasCarried       bool // it replicates only the topics in Carried; false: all topics, or it does not replicate
	Carried          []string
}

// serverOf describes the server at an address that accepted a logon with the ack m.
func serverOf(address string, m *wire.Message) Server {
	s := Server{
		Address: address, Version: string(m.Version), Instance: string(m.Instance), Peers: splitList(m.Peers),
		Plain: !m.IsExt(), Sync: syncstatus.Parse(m.Sync), CatchingUp: m.CatchingUp,
		MaxMessage: int(min(m.Max, 1<<31-1)), HasCarried: m.HasCarried, Carried: splitList(m.Carried),
	}
	if s.Plain {
		s.MaxCommand, s.SupportsNotFound = wire.MaxFrame, supportsNotFound(s.Version)
	}
	if s.CatchingUp && s.Sync == syncstatus.Unknown {
		s.Sync = syncstatus.CatchingUp
	}
	return s
}

// splitList returns the items of a comma list.
func splitList(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(text), ",")
}

// LeadsTo reports whether a bookmark subscription that was on s may continue at another server
// (R3). It may if that server is the same instance or a synchronous peer of s, or if s does not
// name its instance. If only the other server does not name its instance, it may if s has
// synchronous peers.
func (s *Server) LeadsTo(to *Server) bool {
	switch {
	case s.Instance == "" || s.Instance == to.Instance, failpoint.On(failpoint.R3AsyncMove):
		return true
	case to.Instance == "":
		return len(s.Peers) > 0 // it may be one of the peers
	}
	return slices.Contains(s.Peers, to.Instance)
}

// ServerReports has the last report of each server, by the URI from the chooser.
type ServerReports map[string]Server

// Record records a report of a server. It also corrects older reports of the server's peers: if
// the server is in sync, its peers have everything; if its acks are single, each of its peers
// counts as catching up, because the report does not say which one lacks messages.
func (r ServerReports) Record(uri string, s Server) {
	r[uri] = s
	for peerURI, peer := range r {
		if peerURI == uri || peer.Instance == "" || peer.Sync.Unpaired() || !slices.Contains(s.Peers, peer.Instance) {
			continue
		}
		switch s.Sync {
		case syncstatus.InSync:
			peer.Sync, peer.CatchingUp = syncstatus.InSync, false
		case syncstatus.Single:
			peer.Sync = syncstatus.CatchingUp
		}
		r[peerURI] = peer
	}
}

// Better returns the servers in uris to which a client may move. They are not known to lag, and
// canMoveTo reports that bookmark subscriptions may continue there.
func (r ServerReports) Better(uris []string, canMoveTo func(to *Server) bool) []string {
	return slices.DeleteFunc(slices.Clone(uris), func(uri string) bool {
		to := r[uri]
		return to.Sync.Lags() || !canMoveTo(&to)
	})
}
