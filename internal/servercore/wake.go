package servercore

import (
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

const (
	// audienceLeast is from how many sessions with subscriptions on a message wakes those that
	// it may be for. Of fewer it wakes all, which costs less than to read it first.
	audienceLeast = 64
	// audienceTick is how often the others look what they have passed, and audienceEach for
	// how many more of them that is rarer: a thousand or so look each second.
	audienceTick = time.Second
	audienceEach = time.Millisecond

	scoutRecords = 512 // of one fsync, to wake by; for more all are woken
	scoutTopics  = 64
)

// A scout reads what has become durable once for all sessions, to wake those that it may
// be for. It belongs to the goroutine that has set busy.
type scout struct {
	busy     atomic.Bool
	follower ledger.Follower // nil: all are woken
	record   ledger.Record
	topics   map[string]bool // of this fsync
}

// DurableMoved has the sessions looked at for which something has become durable.
func (i *Instance) DurableMoved() {
	if !i.scouted() {
		i.Registry.wakeSubscribers()
	}
}

// scouted wakes the sessions that what has become durable may be for. False: all are to
// be woken.
func (i *Instance) scouted() bool {
	s := &i.scout
	if !s.busy.CompareAndSwap(false, true) {
		return false
	}
	defer s.busy.Store(false)
	switch {
	case i.Registry.audience.Load() < audienceLeast || mut.On(mut.DWakesAll):
		closeFollower(&s.follower)
	case s.follower == nil:
		s.follower, s.topics = i.Ledger.Follow(i.Ledger.Durable()), make(map[string]bool)
	case i.wakeByTopic():
		return true
	default:
		closeFollower(&s.follower)
	}
	return false
}

// wakeByTopic reads on, and wakes the sessions that what it reads may be for. False: all
// are to be woken.
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
		i.Registry.each(s.record.Topic, func(c *Session) { c.driver.Wake() })
	}
	return false
}

// Close ends what the instance holds open, when nothing becomes durable any more.
func (i *Instance) Close() { closeFollower(&i.scout.follower) }

// each calls f with the sessions that may have a subscription that a topic matches.
func (r *Registry) each(topic []byte, f func(*Session)) {
	r.mu.Lock() // it remembers topics
	defer r.mu.Unlock()
	r.interests.each(topic, f)
}

// interested notes that a subscription follows the ledger, or no longer.
func (r *Registry) interested(s *Session, b *sub, on bool) {
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

// tick returns how long the session may wait to look what it has passed. Sessions that
// were woken together do not look again together.
func (s *Session) tick() time.Duration {
	n := s.inst.Registry.audience.Load()
	if n < audienceLeast || len(s.writer.behind)+s.writer.table.Len() == 0 {
		return never
	}
	tick := max(audienceTick, time.Duration(n)*audienceEach)
	if mut.On(mut.DTicksTogether) {
		return tick
	}
	return tick - tick/2*time.Duration(s.number%audienceLeast)/audienceLeast
}
