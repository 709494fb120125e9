package servercore

import (
	"cmp"
	"slices"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/histogram"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// MaxSlowest is the largest number of subscriptions in Subscriptions.Slowest.
const MaxSlowest = 20

// An ackProbe measures the time from the receipt of one message to its persisted ack. There is one
// probe per session at a time, so a stream of messages costs one measurement for each round of acks.
// The reader's half begins a probe, the writer's half ends it.
type ackProbe struct {
	running  atomic.Bool
	sequence uint64    // of the message; set before running
	since    time.Time // when it was received; set before running
}

// beginProbe begins a probe with a message that is about to be recorded, unless one is running.
func (s *Session) beginProbe(sequence uint64) {
	if p := &s.probe; !p.running.Load() {
		p.sequence, p.since = sequence, s.inst.now()
		p.running.Store(true)
	}
}

// end ends the probe if its message is acknowledged. acked is the highest acknowledged sequence.
func (p *ackProbe) end(acked uint64, now time.Time, h *histogram.Histogram) {
	if p.running.Load() && p.sequence <= acked {
		h.Observe(now.Sub(p.since))
		p.running.Store(false)
	}
}

// A readPlace says how far the subscriptions of a session have read, for a monitor. The writer's
// half sets it.
type readPlace struct {
	live, behind atomic.Int64        // numbers of subscriptions
	at           atomic.Uint64       // position of the next record of the one that is furthest behind
	last         atomic.Pointer[sub] // that subscription; nil: the live ones are
}

// notePlace updates the session's readPlace.
func (s *Session) notePlace() {
	w, p := &s.writer, &s.place
	at, last := ledger.Position(0), (*sub)(nil)
	if w.shared != nil {
		at = w.shared.Position()
	}
	for _, b := range w.behind {
		if next := b.nextPosition(); last == nil && w.shared == nil || next < at {
			at, last = next, b
		}
	}
	p.at.Store(uint64(at))
	if p.last.Load() != last {
		p.last.Store(last)
	}
	if live, behind := int64(w.table.Len()), int64(len(w.behind)); p.live.Load() != live || p.behind.Load() != behind {
		p.live.Store(live)
		p.behind.Store(behind)
	}
}

// nextPosition returns the position of the next record of a subscription that is behind.
func (b *sub) nextPosition() ledger.Position {
	if b.follower == nil {
		return b.parkedAt
	}
	return b.follower.Position()
}

// Subscriptions are counts of an instance's sessions and subscriptions.
type Subscriptions struct {
	Sessions int               // logged on
	Live     int               // subscriptions at the end of the log
	Behind   int               // subscriptions with a follower of their own, or none for now
	Parked   int               // subscriptions of Behind that have no follower for now
	Slowest  []SubscriptionLag // the subscriptions that are furthest behind, at most one of a session
}

// A SubscriptionLag says how far a subscription is behind.
type SubscriptionLag struct {
	Client       string
	Subscription string // its id; empty: those at the end of the log, which read together
	Bytes        uint64 // of the durable log that it has not read yet
}

// CountSubscriptions counts the sessions and their subscriptions. It takes a lock of each session
// for a moment, one after the other.
func (i *Instance) CountSubscriptions() (all Subscriptions) {
	end := i.Ledger.DurableEnd()
	for _, s := range i.Registry.Sessions() {
		if !s.LoggedOn() {
			continue
		}
		all.Sessions++
		behind := int(s.place.behind.Load())
		all.Live, all.Behind = all.Live+int(s.place.live.Load()), all.Behind+behind
		all.Parked += max(0, behind-maxFollowers)
		if lag := s.lag(end); lag.Bytes > 0 {
			all.addSlow(lag)
		}
	}
	return all
}

// lag returns how far the session's subscriptions are behind.
func (s *Session) lag(end ledger.Position) (lag SubscriptionLag) {
	p := &s.place
	if p.live.Load()+p.behind.Load() == 0 {
		return lag
	}
	lag.Client = s.client.claim.ClientName
	if last := p.last.Load(); last != nil {
		lag.Subscription = last.ID
	}
	lag.Bytes = uint64(end - min(end, ledger.Position(p.at.Load())))
	return lag
}

func (s *Subscriptions) addSlow(lag SubscriptionLag) {
	at, _ := slices.BinarySearchFunc(s.Slowest, lag, func(a, b SubscriptionLag) int { return cmp.Compare(b.Bytes, a.Bytes) })
	if at < MaxSlowest {
		s.Slowest = slices.Insert(s.Slowest[:min(len(s.Slowest), MaxSlowest-1)], at, lag)
	}
}

// Memory returns the memory that all sessions hold, in bytes, and its limit.
func (i *Instance) Memory() (used, limit int64) {
	return i.memory.used.Load(), int64(i.Limits.withDefaults(i.MaxMessage).Memory)
}
