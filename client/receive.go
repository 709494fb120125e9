package client

import (
	"fmt"
	"runtime"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// message implements receiver.
func (s *Subscription) message(cn *conn, id string, m *wire.Message) error {
	if m.Command != wire.Publish && m.Command != wire.DeltaPublish {
		return nil
	}
	var b Bookmark
	if len(m.Bookmark) > 0 {
		var err error
		if b, err = bookmark.Parse(m.Bookmark); err != nil {
			return fmt.Errorf("%w: message of subscription %q: %w", ErrProtocol, s.id, err)
		}
	}
	size := len(m.Body) + messageOverhead
	switch s.admit(cn, id, size) {
	case refused:
		return nil
	case beyond:
		s.pause(cn, id, b)
		return nil
	case tooSlow:
		s.end(ErrSlowConsumer)
		return nil
	}
	fresh := s.marks == nil || b.IsZero() || s.marks.Receive(b)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !fresh:
		s.stats.Duplicates++
	case s.state == subscribing || s.state == active:
		s.pushLocked(m, b, size)
		poke(s.ready)
	}
	return nil
}

// A verdict is what becomes of a message that arrives.
type verdict uint8

const (
	taken   verdict = iota
	refused         // not for what is on the wire now
	beyond          // a bookmark subscription's queue is full
	tooSlow         // the policy has had enough
)

// admit decides whether there is room for a message. Only the reader adds to
// the queue, so that the room is still there afterwards.
func (s *Subscription) admit(cn *conn, id string, size int) verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.marks != nil {
		s.giveWayLocked(cn, id, size)
	}
	if !s.onWireLocked(cn, id) {
		return refused
	}
	if !s.queue.full(size) {
		s.over = time.Time{}
		return taken
	}
	if s.marks == nil {
		return s.enforceLocked(size)
	}
	if mut.On(mut.R12ReaderWaits) {
		return s.waitLocked(cn, size)
	}
	// While there is something in the queue: the application finds out when it
	// has emptied it.
	s.state, s.cn, s.wireID = overrun, nil, ""
	s.stats.Overruns++
	return beyond
}

// onWireLocked reports whether what comes on a connection under an id is for the
// subscription as it is now.
func (s *Subscription) onWireLocked(cn *conn, id string) bool {
	return s.cn == cn && s.wireID == id && (s.state == subscribing || s.state == active)
}

// yields is how often the reader gives way to an application that is as fast as
// it is, some microseconds in all, before it takes a full queue for an overrun,
// which costs the way to the server and back. It waits for nobody (R12).
const yields = 64

// giveWayLocked lets the application run while the queue is full. It gives up
// mu meanwhile.
func (s *Subscription) giveWayLocked(cn *conn, id string, size int) {
	for n := 0; n < yields && s.queue.full(size) && s.onWireLocked(cn, id); n++ {
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
}

// waitLocked is a planted bug: it waits for room in the queue.
func (s *Subscription) waitLocked(cn *conn, size int) verdict {
	for s.queue.full(size) && s.state == active {
		s.mu.Unlock()
		stopped := false
		select {
		case <-time.After(time.Millisecond):
		case <-cn.stop:
			stopped = true
		}
		s.mu.Lock()
		if stopped {
			return refused
		}
	}
	return taken
}

// enforceLocked applies the policy of a subscription without bookmark.
func (s *Subscription) enforceLocked(size int) verdict {
	switch s.opts.policy.kind {
	case policyDropOldest:
		for s.queue.full(size) {
			d, _ := s.queue.pop()
			s.queue.recycle(d.m)
			s.stats.Dropped++
		}
		return taken
	case policyFail:
		return tooSlow
	}
	if s.over.IsZero() {
		s.over = time.Now()
	}
	if time.Since(s.over) > s.opts.policy.wait ||
		s.queue.Len() >= blockFactor*s.queue.maxMessages || s.queue.bytes+size > blockFactor*s.queue.maxBytes {
		return tooSlow
	}
	return taken
}

func (s *Subscription) pushLocked(w *wire.Message, b Bookmark, size int) {
	m := s.queue.message()
	m.sub, m.Bookmark = s, b
	m.Topic = s.topic
	if string(w.Topic) != s.topic {
		m.Topic = s.texts.Of(w.Topic)
	}
	m.Data = append(m.Data, w.Body...)
	if len(w.SOWKey) > 0 {
		m.SOWKey = string(w.SOWKey)
	}
	if len(w.CorrelationID) > 0 {
		m.CorrelationID = string(w.CorrelationID)
	}
	if len(w.UserID) > 0 {
		m.UserID = s.texts.Of(w.UserID)
	}
	if len(w.Timestamp) > 0 {
		m.Time = parseTime(w.Timestamp)
	}
	s.heard = true
	s.queue.push(delivery{m: m, size: size})
}

// parseTime returns the zero time for what is not one: a text for people.
func parseTime(text []byte) time.Time {
	t, err := bookmark.ParseTime(text)
	if err != nil {
		return time.Time{}
	}
	return t
}

// pause takes a bookmark subscription off the wire because its queue was full.
// What arrives from now on is dropped, marks included: received stays at the
// last message kept, and the server's log is the buffer (R12).
func (s *Subscription) pause(cn *conn, id string, b Bookmark) {
	if mut.On(mut.R12TailCounts) {
		s.marks.Receive(b)
	}
	cn.unsubscribe(id, wire.UnsubscribeCommand{SubID: id})
	s.c.post(func() { s.c.tellPaused(s) })
}
