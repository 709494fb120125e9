package client

import (
	"fmt"
	"runtime"
	"time"

	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// handleMessage implements receiver. tooLarge applies only if the subscription would take the
// message: the connection, the queue and the bookmark store may refuse it first.
func (s *Subscription) handleMessage(cn *conn, id string, m *wire.Message, tooLarge *FrameTooLargeError) error {
	if m.Command != wire.Publish && m.Command != wire.DeltaPublish {
		return nil
	}
	run := cn.in.run[:1]
	if err := run[0].setMessage(m); err != nil {
		return fmt.Errorf("%w: message of subscription %q: %w", ErrProtocol, s.id, err)
	}
	s.receiveRun(cn, id, run, tooLarge)
	return nil
}

// handleRun implements receiver.
func (s *Subscription) handleRun(cn *conn, id string, run []arrival) { s.receiveRun(cn, id, run, nil) }

// receiveRun handles up to maxRun messages. It takes as many as possible together.
func (s *Subscription) receiveRun(cn *conn, id string, run []arrival, tooLarge *FrameTooLargeError) {
	for len(run) > 0 {
		taken, v := s.admit(cn, id, run)
		fresh := uint64(0) // a bit for each message that is to be queued
		for i := range taken {
			if s.core.Receive(clientcore.VerdictTake, run[i].bookmark) {
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
		if v != clientcore.VerdictTake {
			s.core.Receive(v, run[0].bookmark)
			s.refuse(cn, id, v)
			run = run[1:]
		}
	}
}

// refuse applies a verdict against taking a message.
func (s *Subscription) refuse(cn *conn, id string, v clientcore.Verdict) {
	switch v {
	case clientcore.VerdictPause:
		cn.unsubscribe(id, wire.UnsubscribeCommand{SubID: id})
		s.signalFirstAnswer() // a search may precede the answer
		s.c.events.post(func() { s.c.reportPaused(s) })
	case clientcore.VerdictTooSlow:
		s.end(ErrSlowConsumer)
	case clientcore.VerdictTooManyPublishers:
		s.end(withLock(&s.mu, s.core.CheckPublishers))
	}
}

// push queues the messages of a run whose bit in fresh is set. The others are duplicates.
func (s *Subscription) push(run []arrival, fresh uint64) {
	s.mu.Lock()
	queued := false
	for i := range run {
		switch {
		case fresh&(1<<i) == 0:
			s.stats.Duplicates++
		case s.core.MayQueue():
			s.pushLocked(&run[i])
			queued = true
		}
	}
	s.mu.Unlock()
	if queued {
		s.ready.Set()
	}
}

// admit decides about messages that arrive together. It takes the first ones of run; taken is their
// number. v is the verdict about the next message. It is VerdictTake if there is no next message,
// or if the taken ones must be queued first. Only the reader adds to the queue, so the room that
// admit finds is still there afterwards.
func (s *Subscription) admit(cn *conn, id string, run []arrival) (taken int, v clientcore.Verdict) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.core.Place() != nil {
		s.yieldLocked(cn, run)
	}
	if s.cn != cn {
		return 0, clientcore.VerdictIgnore
	}
	bytes := 0 // size of the taken messages
	for taken < len(run) {
		a := &run[taken]
		fits := s.queue.fits(taken, bytes, a.size())
		if taken > 0 && failpoint.On(failpoint.R12RunUnbounded) {
			fits = true
		}
		if !fits && taken > 0 {
			break // queue the taken ones first
		}
		if v = s.core.Admit(id, a.bookmark, fits); v != clientcore.VerdictTake {
			if v = s.applyVerdictLocked(v, a.size()); v != clientcore.VerdictTake {
				return taken, v
			}
		}
		bytes += a.size()
		taken++
	}
	return taken, clientcore.VerdictTake
}

// applyVerdictLocked applies a verdict other than VerdictTake. It returns VerdictTake if the
// message is taken after all.
func (s *Subscription) applyVerdictLocked(v clientcore.Verdict, size int) clientcore.Verdict {
	switch v {
	case clientcore.VerdictPause:
		s.stats.Pauses++
		s.cn = nil
	case clientcore.VerdictFull:
		far := s.queue.Len() >= blockFactor*s.queue.maxMessages || s.queue.bytes+size > blockFactor*s.queue.maxBytes
		if v = s.core.AdmitWhenFull(far, time.Now()); v == clientcore.VerdictDropOldest {
			s.dropLocked(size)
			return clientcore.VerdictTake
		}
	}
	return v
}

// dropLocked drops the oldest messages until one of size bytes fits.
func (s *Subscription) dropLocked(size int) {
	for s.queue.full(size) {
		d, _ := s.queue.pop()
		s.queue.recycle(d.m)
		s.stats.Dropped++
	}
}

// maxYields is how often the reader yields the processor to the application before it treats a full
// queue as an overrun. An overrun costs a round trip to the server, and an application that is as
// fast as the reader avoids it this way. All yields together take some microseconds. The reader
// never waits for the application (R12).
const maxYields = 64

// yieldLocked lets the application run until the queue has room for the whole run, or for the
// part of it that half the queue holds. It releases mu meanwhile.
func (s *Subscription) yieldLocked(cn *conn, run []arrival) {
	others := max(min(len(run), s.queue.maxMessages/2), 1) - 1
	for n := 0; (n < maxYields || plantedWait(cn)) && !s.queue.fits(others, 0, run[0].size()) && s.cn == cn; n++ {
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
		m.Topic = s.texts.String(a.topic)
	}
	m.Body = append(m.Body, a.body...)
	if len(a.sowKey) > 0 {
		m.SOWKey = string(a.sowKey)
	}
	if len(a.correlationID) > 0 {
		m.CorrelationID = string(a.correlationID)
	}
	if len(a.headers) > 0 {
		m.Headers, _ = pubstore.DecodeHeaders(append(m.Headers.Encoded()[:0], a.headers...)) // they are valid
	}
	if len(a.userID) > 0 {
		m.UserID = s.texts.String(a.userID)
	}
	s.queue.push(delivery{m: m, size: a.size()})
}
