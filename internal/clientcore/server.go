package clientcore

import (
	"maps"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Server is what a logon ack says about where a connection leads to, and what
// the server has said since.
type Server struct {
	Address    string
	Instance   string   // its name in its group; empty: it does not say
	Peers      []string // the instances it replicates to synchronously
	Plain      bool     // it lacks our extensions
	Sync       syncstatus.Status
	CatchingUp bool // it serves without having caught up with its peers (R6)
}

// serverOf returns the server at an address that has accepted a logon with m.
func serverOf(address string, m *wire.Message) Server {
	s := Server{
		Address: address, Instance: string(m.Instance), Plain: !m.IsExt(),
		Sync: syncstatus.Parse(m.Sync), CatchingUp: m.CatchingUp,
	}
	if s.CatchingUp && s.Sync == syncstatus.Unknown {
		s.Sync = syncstatus.CatchingUp
	}
	if len(m.Peers) > 0 {
		s.Peers = strings.Split(string(m.Peers), ",")
	}
	return s
}

// LeadsTo reports whether a bookmark subscription may go on at another server
// after it was on s: it is the same instance, or there is a synchronous link to
// it, or that can't be known (R3).
func (s *Server) LeadsTo(to *Server) bool {
	switch {
	case s.Instance == "" || s.Instance == to.Instance, mut.On(mut.R3AsyncMove):
		return true
	case to.Instance == "":
		return len(s.Peers) > 0 // it may be one of them
	}
	return slices.Contains(s.Peers, to.Instance)
}

// Known is what servers have said last, by the URIs that the chooser gives.
type Known map[string]Server

// Says takes in what a server says. It counts for its peers, too: what one said
// before it was left is older. The peers of one that is in sync have
// everything; those of one whose acks are single do not, one of them at least.
func (k Known) Says(uri string, s Server) {
	k[uri] = s
	for other, o := range k {
		if other == uri || o.Instance == "" || o.Sync == syncstatus.Async || !slices.Contains(s.Peers, o.Instance) {
			continue
		}
		switch s.Sync {
		case syncstatus.InSync:
			o.Sync, o.CatchingUp = syncstatus.InSync, false
		case syncstatus.Single:
			o.Sync = syncstatus.CatchingUp
		}
		k[other] = o
	}
}

// Better returns those of servers that a client may leave the present one for:
// not known to lag, and with a way for its bookmark subscriptions, which ways says.
func (k Known) Better(uris []string, ways func(to *Server) bool) []string {
	return slices.DeleteFunc(slices.Clone(uris), func(uri string) bool {
		to := k[uri]
		return to.Sync.Lags() || !ways(&to)
	})
}

// Clone returns a copy.
func (k Known) Clone() Known { return maps.Clone(k) }
