package clientcore

import (
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Server describes the server of a connection, by its logon ack and its later
// reports.
type Server struct {
	Address    string
	Version    string
	Instance   string   // its name in its group; empty: it does not say
	Peers      []string // the instances it replicates to synchronously
	Plain      bool     // it lacks our extensions
	NotFound   bool     // it lacks them, and knows the option bookmark_not_found
	Sync       syncstatus.Status
	CatchingUp bool // it serves without having caught up with its peers (R6)
	Longest    int  // command that it takes, in bytes, if it takes no vector in parts; 0: any
	MaxMessage int  // largest message in bytes, 0 if it does not say
	Carries    bool // it replicates the topics in Carried only; false: all, or it does not replicate
	Carried    []string
}

// serverOf returns the server at an address that has accepted a logon with m.
func serverOf(address string, m *wire.Message) Server {
	s := Server{
		Address: address, Version: string(m.Version), Instance: string(m.Instance), Peers: list(m.Peers),
		Plain: !m.IsExt(), Sync: syncstatus.Parse(m.Sync), CatchingUp: m.CatchingUp,
		MaxMessage: int(min(m.Max, 1<<31-1)), Carries: m.HasCarried, Carried: list(m.Carried),
	}
	if s.Plain {
		s.Longest, s.NotFound = wire.MaxFrame, knowsNotFound(s.Version)
	}
	if s.CatchingUp && s.Sync == syncstatus.Unknown {
		s.Sync = syncstatus.CatchingUp
	}
	return s
}

// list returns the texts of a comma list.
func list(text []byte) []string {
	if len(text) == 0 {
		return nil
	}
	return strings.Split(string(text), ",")
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

// Known has the last report of each server, by the URI that the chooser gave.
type Known map[string]Server

// Says handles the report of a server. It replaces older reports of the server's
// peers, too: if the server is in sync, its peers have everything; if its acks
// are single, at least one peer does not.
func (k Known) Says(uri string, s Server) {
	k[uri] = s
	for other, o := range k {
		if other == uri || o.Instance == "" || o.Sync.Unpaired() || !slices.Contains(s.Peers, o.Instance) {
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

// Better returns the servers of a list that a client may move to: they are not
// known to lag, and ways says that bookmark subscriptions may go on there.
func (k Known) Better(uris []string, ways func(to *Server) bool) []string {
	return slices.DeleteFunc(slices.Clone(uris), func(uri string) bool {
		to := k[uri]
		return to.Sync.Lags() || !ways(&to)
	})
}
