package server

import (
	"errors"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// An Event is something that happened to an instance, for its status. The log has more of them, and
// more about each.
type Event struct {
	Number  uint64    `json:"number"`            // counts the events of the process, from 1
	Time    time.Time `json:"time"`              // of the last one of Count
	Kind    string    `json:"kind"`              // a constant such as EventPeerLost; later versions may have more
	Subject string    `json:"subject,omitempty"` // the peer or the user that it is about; empty: the instance
	Text    string    `json:"text"`              // description, one line
	Count   int       `json:"count"`             // of equal events, each within a minute of the one before
}

// Kinds of an Event.
const (
	EventStarted      = "started"                // the process has opened its journal
	EventReady        = "ready"                  // clients are served
	EventPeerBack     = replica.EventPeerBack    // the link to a peer is up
	EventPeerLost     = replica.EventPeerLost    // the link to a peer is down
	EventSingleBegan  = replica.EventSingleBegan // acks do not wait for a peer any more
	EventSingleEnded  = replica.EventSingleEnded // acks wait for a peer again
	EventCatchUpDone  = replica.EventCatchUpDone // a peer has caught up with this instance; without a subject: this instance has
	EventGivenUp      = replica.EventGivenUp     // no more messages are kept for an absent peer
	EventDrain        = "drain"                  // the stop has begun, and waits for acks
	EventPublishGap   = "publish_gap"            // a publisher was refused because the instance lacks its acknowledged messages
	EventDiskLow      = "disk_low"               // the disk is nearly full: publishes are refused
	EventDiskOK       = "disk_ok"                // the disk has space again
	EventUserRefused  = "user_refused"           // a logon was refused; repeats may be of other users
	EventOperator     = "operator"               // an operator's request was executed
	maxEvents         = 256
	maxEventText      = 200 // bytes of a text, and of a subject
	eventRepeatWindow = time.Minute
)

// events are the newest events of an instance. They are safe for concurrent use.
type events struct {
	mu   sync.Mutex
	ring [maxEvents]Event // guarded by mu, like n; event n is at (n-1) % maxEvents
	n    uint64           // events so far
}

// add adds an event, or counts it if it repeats the newest one. Refused logons of all users repeat
// each other, so that a stranger cannot push all other events out.
func (e *events) add(kind, subject, text string, now time.Time) {
	event := Event{Time: now, Kind: kind, Subject: truncate(subject, maxEventText), Text: truncate(text, maxEventText), Count: 1}
	e.mu.Lock()
	defer e.mu.Unlock()
	last := e.at(e.n)
	repeats := last.Kind == kind && (kind == EventUserRefused || last.Subject == event.Subject && last.Text == event.Text)
	if repeats && now.Sub(last.Time) < eventRepeatWindow {
		event.Count += last.Count
	} else {
		e.n++
	}
	event.Number = e.n
	*e.at(e.n) = event
}

// at returns the place of an event in the ring.
func (e *events) at(number uint64) *Event { return &e.ring[(number+maxEvents-1)%maxEvents] }

// recent returns the newest events, the oldest first.
func (e *events) recent() []Event {
	e.mu.Lock()
	defer e.mu.Unlock()
	list := make([]Event, 0, min(e.n, maxEvents))
	for n := e.n - min(e.n, maxEvents); n < e.n; n++ {
		list = append(list, *e.at(n + 1))
	}
	return list
}

// note adds an event that happens now.
func (s *Server) note(kind, subject, text string) { s.events.add(kind, subject, text, s.wallClock()) }

// noteLinkEvent adds an event of the links.
func (s *Server) noteLinkEvent(e replica.Event) { s.note(e.Kind, e.Peer, e.Text) }

// noteRefused notes a refusal of a client that cannot recover by itself.
func (s *Server) noteRefused(reason string) {
	s.refusals.add(reason)
	if reason == wire.ReasonPublishGap {
		s.note(EventPublishGap, "", "a publisher was refused: this instance lacks messages that were acknowledged to it as safe")
	}
}

// noteLogonRefused notes a refused logon with the reason that the client is told.
func (s *Server) noteLogonRefused(user string, cause error) {
	reason := wire.ReasonAuthFailure
	if refused, ok := errors.AsType[*servercore.RefusedError](cause); ok {
		reason = refused.Reason
	}
	if reason != wire.ReasonPublishGap { // which has an event of its own
		s.note(EventUserRefused, user, "a logon was refused: "+reason)
	}
}

// wallClock returns the time of the instance's wall clock.
func (s *Server) wallClock() time.Time {
	if s.cfg.Now != nil {
		return s.cfg.Now()
	}
	return time.Now()
}
