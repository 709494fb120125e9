package clientcore

import (
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Server is where a connection leads to, as its logon ack says.
type Server struct {
	Address  string
	Instance string   // its name in its group; empty: it does not say
	Peers    []string // the instances it replicates to synchronously
	Plain    bool     // it lacks our extensions
}

// ServerOf returns the server at an address that answered a logon with m.
func ServerOf(address string, m *wire.Message) Server {
	s := Server{Address: address, Instance: string(m.Instance), Plain: !m.IsExt()}
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
