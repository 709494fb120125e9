package client

import (
	"fmt"
	"runtime"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// message implements receiver. A message that is not taken because of the
// connection, the queue or the bookmark store is not too large either.
func (s *Subscription) message(cn *conn, id string, m *wire.Message, tooLarge *FrameTooLargeError) error {
	if m.Command != wire.Publish && m.Command != wire.DeltaPublish {
		return nil
	}
	run := cn.in.run[:1]
	if err := run[0].setMessage(m); err != nil {
		return fmt.Errorf("%w: message of subscription %q: %w", ErrProtocol, s.id, err)
	}
	s.arrive(cn, id, run, tooLarge)
	return nil
}

// arrived implements receiver.
func (s *Subscription) arrived(cn *conn, id string, run []arrival) { s.arrive(cn, id, run, nil) }

// arrive takes in messages, runMost at most: those together that the subscription simply takes.
func (s *Subscription) arrive(cn *conn, id string, run []arrival, tooLarge *FrameTooLargeError) {
	for len(run) > 0 {
		taken, v := s.admit(cn, id, run)
		fresh := uint64(0) // a bit for each that is to be queued
		for i := range taken {
			if s.core.Receive(clientcore.Take, run[i].bookmark) {
				fresh |= 1 << i
			}
		}
		if fresh != 0 && tooLarge != nil {
			e := *tooLarge
			e.Subscription = s.id
			s.end(&e)
			return
		}
		s.push(run[:taken], fresh)
		run = run[taken:]
		if v != clientcore.Take {
			s.core.Receive(v, run[0].bookmark)
			s.refuse(cn, id, v)
			run = run[1:]
		}
	}
}

// refuse does what follows from a verdict other than to take a message.
func (s *Subscription) refuse(cn *conn, id string, v clientcore.Verdict) {
	switch v {
	case clientcore.Pause:
		cn.unsubscribe(id, wire.UnsubscribeCommand{SubID: id})
		s.answer() // a search may precede the answer
		s.c.events.post(func() { s.c.tellPaused(s) })
	case clientcore.TooSlow:
		s.end(ErrSlowConsumer)
	case clientcore.Crowd:
		s.end(under(&s.mu, s.core.TooMany))
	}
}

// push queues those of a run whose bit is set; the others have come before.
func (s *Subscription) push(run []arrival, fresh uint64) {
	s.mu.Lock()
	queued := false
	for i := range run {
		switch {
		case fresh&(1<<i) == 0:
			s.stats.Duplicates++
		case s.core.Queues():
			s.pushLocked(&run[i])
			queued = true
		}
	}
	s.mu.Unlock()
	if queued {
		s.ready.Set()
	}
}

// admit decides about messages that come together: the first taken of them are taken. v
// is the verdict about the one behind these, or Take if none is decided yet. Only the
// reader adds to the queue, so that there is still room afterwards.
func (s *Subscription) admit(cn *conn, id string, run []arrival) (taken int, v clientcore.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core.Place() != nil {
		s.giveWayLocked(cn, run)
	}
	if s.cn != cn {
		return 0, clientcore.Refuse
	}
	bytes := 0 // of those that are taken
	for taken < len(run) {
		a := &run[taken]
		fits := s.queue.fits(taken, bytes, a.size())
		if taken > 0 && mut.On(mut.R12RunUnbounded) {
			fits = true
		}
		if !fits && taken > 0 {
			break // these first
		}
		if v = s.core.Arrives(id, a.bookmark, fits); v != clientcore.Take {
			if v = s.weighLocked(v, a.size()); v != clientcore.Take {
				return taken, v
			}
		}
		bytes += a.size()
		taken++
	}
	return taken, clientcore.Take
}

// weighLocked does what belongs to a verdict other than Take, and returns Take for a
// message that is taken all the same.
func (s *Subscription) weighLocked(v clientcore.Verdict, size int) clientcore.Verdict {
	switch v {
	case clientcore.Pause:
		s.stats.Overruns++
		s.cn = nil
	case clientcore.Full:
		far := s.queue.Len() >= blockFactor*s.queue.maxMessages || s.queue.bytes+size > blockFactor*s.queue.maxBytes
		if v = s.core.Overfull(far, time.Now()); v == clientcore.Oldest {
			s.dropLocked(size)
			return clientcore.Take
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

// giveWayLocked lets the application run while the queue has no room for what comes
// together, or for as much of it as half the queue holds. It gives up mu meanwhile.
func (s *Subscription) giveWayLocked(cn *conn, run []arrival) {
	others := max(min(len(run), s.queue.maxMessages/2), 1) - 1
	for n := 0; (n < yields || waitsPlanted(cn)) && !s.queue.fits(others, 0, run[0].size()) && s.cn == cn; n++ {
		s.mu.Unlock()
		runtime.Gosched()
		s.mu.Lock()
	}
}

func (s *Subscription) pushLocked(a *arrival) {
	m := s.queue.message()
	m.sub, m.Bookmark, m.Time = s, a.bookmark, a.time
	m.Topic = s.topic
	if string(a.topic) != s.topic {
		m.Topic = s.texts.Of(a.topic)
	}
	m.Data = append(m.Data, a.data...)
	if len(a.sowKey) > 0 {
		m.SOWKey = string(a.sowKey)
	}
	if len(a.correlationID) > 0 {
		m.CorrelationID = string(a.correlationID)
	}
	if len(a.userID) > 0 {
		m.UserID = s.texts.Of(a.userID)
	}
	s.queue.push(delivery{m: m, size: a.size()})
}
