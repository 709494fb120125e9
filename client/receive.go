package client

import (
	"fmt"
	"runtime"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// message implements receiver.
func (s *Subscription) message(cn *conn, id string, m *wire.Message) error {
	return s.arrive(cn, id, m, nil)
}

// tooLarge implements receiver. A message that is not taken because of the
// connection, the queue or the bookmark store is not too large either.
func (s *Subscription) tooLarge(cn *conn, id string, m *wire.Message, long *FrameTooLargeError) error {
	e := *long
	e.Subscription = s.id
	return s.arrive(cn, id, m, &e)
}

// arrive takes in a message, or ends the subscription with tooLarge if m is only the header of it.
func (s *Subscription) arrive(cn *conn, id string, m *wire.Message, tooLarge *FrameTooLargeError) error {
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
	v := s.admit(cn, id, b, size)
	fresh := s.core.Receive(v, b)
	switch v {
	case clientcore.Refuse:
		return nil
	case clientcore.Pause:
		cn.unsubscribe(id, wire.UnsubscribeCommand{SubID: id})
		s.mu.Lock()
		s.answerLocked() // a search may precede the answer
		s.mu.Unlock()
		s.c.events.post(func() { s.c.tellPaused(s) })
		return nil
	case clientcore.TooSlow:
		s.end(ErrSlowConsumer)
		return nil
	case clientcore.Crowd:
		s.end(s.tooMany())
		return nil
	}
	if fresh && tooLarge != nil {
		s.end(tooLarge)
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case !fresh:
		s.stats.Duplicates++
	case s.core.Queues():
		s.pushLocked(m, b, size)
		s.ready.Set()
	}
	return nil
}

func (s *Subscription) tooMany() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.core.TooMany()
}

// admit decides about a message. Only the reader adds to the queue, so that there
// is still room afterwards.
func (s *Subscription) admit(cn *conn, id string, b Bookmark, size int) clientcore.Verdict {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core.Place() != nil {
		s.giveWayLocked(cn, size)
	}
	if s.cn != cn {
		return clientcore.Refuse
	}
	v := s.core.Arrives(id, b, !s.queue.full(size))
	switch v {
	case clientcore.Pause:
		s.stats.Overruns++
		s.cn = nil
	case clientcore.Full:
		far := s.queue.Len() >= blockFactor*s.queue.maxMessages || s.queue.bytes+size > blockFactor*s.queue.maxBytes
		if v = s.core.Overfull(far, time.Now()); v == clientcore.Oldest {
			s.dropLocked(size)
		}
	}
	return v
}

// dropLocked makes room for a message in place of the oldest.
func (s *Subscription) dropLocked(size int) {
	for s.queue.full(size) {
		d, _ := s.queue.pop()
		s.queue.recycle(d.m)
		s.stats.Dropped++
	}
}

// yields is how often the reader gives way to an application that is as fast as
// it is, some microseconds in all, before it takes a full queue for an overrun,
// which costs the way to the server and back. It waits for nobody (R12).
const yields = 64

// giveWayLocked lets the application run while the queue is full. It gives up
// mu meanwhile.
func (s *Subscription) giveWayLocked(cn *conn, size int) {
	for n := 0; (n < yields || waitsPlanted(cn)) && s.queue.full(size) && s.cn == cn; n++ {
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
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
