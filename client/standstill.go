package client

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/logging"
)

// A standstill watches whether servers acknowledge what the application publishes: the connection
// may be accepted again and again, and no message with it. It belongs to the session goroutine.
type standstill struct {
	state   logging.Reminder // messages wait, and none has been settled since it began
	told    bool
	life    string // present life of the store
	settled uint64 // highest sequence of the life that is settled
	most    int    // messages that have waited at a time
	errs    []*ConnectError
}

// errNoAcks is the reason of a standstill while the client is connected.
var errNoAcks = errors.New("the server is connected and does not acknowledge messages")

// failed notes why a server takes no publishes.
func (s *standstill) failed(e *ConnectError) {
	if len(s.errs) < maxTold || e.in(s.errs) {
		s.errs = replaceLast(s.errs, e)
	}
}

// in reports whether a list has an error of the same server.
func (e *ConnectError) in(list []*ConnectError) bool {
	for _, other := range list {
		if other.Server == e.Server {
			return true
		}
	}
	return false
}

// waiting is what the store keeps for servers: messages that no server has acknowledged. All are
// from first to last, where a few may have been rejected.
type waiting struct {
	messages    int
	first, last uint64
}

// waitingMessages returns the messages of the present life that wait, and the life and its highest
// settled sequence.
func (c *Client) waitingMessages() (w waiting, life string, settled uint64) {
	lives := c.store.Lives()
	if len(lives) == 0 {
		return w, "", 0
	}
	l := lives[len(lives)-1]
	settled = max(l.Acked, withCore(c.core, func(s *clientcore.Session) uint64 { return s.Publisher().Settled(l.ID) }))
	if settled < l.Last && l.Kept > 0 {
		w = waiting{messages: int(min(uint64(l.Kept), l.Last-settled)), first: settled + 1, last: l.Last}
	}
	return w, l.ID, settled
}

// checkPublishing begins, reminds of or ends a standstill.
func (c *Client) checkPublishing() {
	s, now := &c.log.standstill, c.log.now()
	w, life, settled := c.waitingMessages()
	if w.messages == 0 || life != s.life || settled != s.settled {
		lasted := s.state.End(now)
		if s.told {
			c.cfg.Logger.Info("publishing goes on after a standstill", "duration", lasted, "messages", s.most)
		}
		*s = standstill{life: life, settled: settled}
	}
	if w.messages == 0 {
		return
	}
	s.most = max(s.most, w.messages)
	s.state.BeginOutage(now)
	if !s.state.Remind(now) {
		return
	}
	s.told = true
	servers, reason := s.reasons(c.log.connectedFor(now))
	c.cfg.Logger.Error("publishing stands still: no server acknowledges messages, and they wait in the publish store",
		"duration", s.state.Since(now), "reason", reason, "servers", servers, "messages", w.messages, "first", w.first, "last", w.last)
}

// reasons returns the servers that were tried since the standstill began, and why they take
// nothing. server is the connected one, and lasts tells for how long it was connected.
func (s *standstill) reasons(server string, lasts time.Duration) (servers []string, reason string) {
	if server != "" && lasts >= clientcore.StableAfter {
		s.failed(&ConnectError{Server: server, Err: errNoAcks})
	}
	servers = serversOf(s.errs)
	var texts []string
	same := true
	for _, e := range s.errs {
		texts = append(texts, fmt.Sprintf("%s: %v", e.Server, e.Err))
		same = same && e.Err.Error() == s.errs[0].Err.Error()
	}
	if same && len(texts) > 0 {
		return servers, s.errs[0].Err.Error()
	}
	return servers, strings.Join(texts, "; ")
}
