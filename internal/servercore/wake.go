package servercore

import (
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

const (
	// selectiveWakeMin is a minimum: if at least that many sessions have subscriptions, a message
	// wakes only the sessions that may want it. With fewer sessions, waking all costs less than
	// reading the message first.
	selectiveWakeMin = 64
	// catchUpInterval is the interval at which the sessions that were not woken read on. It grows
	// to catchUpPerSession times the number of sessions, so that about a thousand of them read on
	// per second at most.
	catchUpInterval   = time.Second
	catchUpPerSession = time.Millisecond

	scoutRecords = 512 // maximum of records of one fsync read to select sessions; if there are more, all are woken
	scoutTopics  = 64
)

// A scout reads new durable records once for all sessions, to wake only those that may want them.
// It belongs to the goroutine that has set busy.
type scout struct {
	busy     atomic.Bool
	follower ledger.Follower // nil: all sessions are woken
	record   ledger.Record
	topics   map[string]bool // topics seen in this fsync
}

// DurableMoved wakes the sessions that may want the records that have become durable.
func (i *Instance) DurableMoved() {
	if !i.wakeSelected() {
		i.Registry.wakeSubscribers()
	}
}

// wakeSelected wakes the sessions that may want the new durable records. It returns false if the
// caller must wake all subscribers.
func (i *Instance) wakeSelected() bool {
	s := &i.scout
	if !s.busy.CompareAndSwap(false, true) {
		return false
	}
	defer s.busy.Store(false)
	switch {
	case i.Registry.audience.Load() < selectiveWakeMin || failpoint.On(failpoint.DWakesAll):
		closeFollower(&s.follower)
	case s.follower == nil:
		s.follower, s.topics = i.Ledger.Follow(i.Ledger.DurableEnd()), make(map[string]bool)
	case i.wakeByTopic():
		return true
	default:
		closeFollower(&s.follower)
	}
	return false
}

// wakeByTopic reads the new durable records and wakes the sessions that may want them. It returns
// false if the caller must wake all subscribers.
func (i *Instance) wakeByTopic() bool {
	s := &i.scout
	clear(s.topics)
	for range scoutRecords {
		ok, err := s.follower.Next(&s.record)
		switch {
		case err != nil || len(s.topics) > scoutTopics:
			return false
		case !ok:
			return true
		case s.record.Kind != ledger.Message || s.topics[string(s.record.Topic)]:
			continue
		}
		s.topics[string(s.record.Topic)] = true
		i.Registry.eachInterested(s.record.Topic, func(c *Session) { c.driver.Wake() })
	}
	return false
}

// Close closes the resources of the instance. It must not be called before the last record has
// become durable.
func (i *Instance) Close() { closeFollower(&i.scout.follower) }

// eachInterested calls f with the sessions that may have a subscription for the topic.
func (r *Registry) eachInterested(topic []byte, f func(*Session)) {
	r.mu.Lock() // not RLock: interests caches topics
	defer r.mu.Unlock()
	r.interests.each(topic, f)
}

// setInterest registers that a subscription follows the ledger, or no longer does.
func (r *Registry) setInterest(s *Session, b *sub, on bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case on && b.interest == nil:
		b.interest = r.interests.add(b.Pattern, s)
	case !on && b.interest != nil:
		r.interests.remove(b.interest, s)
		b.interest = nil
	}
}

// catchUpDelay returns how long the session may wait before it reads on past records for which it
// was not woken. The delay differs between sessions, so that sessions woken together do not all
// read on together.
func (s *Session) catchUpDelay() time.Duration {
	n := s.inst.Registry.audience.Load()
	if n < selectiveWakeMin || len(s.writer.behind)+s.writer.table.Len() == 0 {
		return never
	}
	tick := max(catchUpInterval, time.Duration(n)*catchUpPerSession)
	if failpoint.On(failpoint.DTicksTogether) {
		return tick
	}
	return tick - tick/2*time.Duration(s.number%selectiveWakeMin)/selectiveWakeMin
}
