package bench

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/client"
)

// A publisher is a client with a store of its own, used by one goroutine.
type publisher struct {
	index  int
	client *client.Client
	store  *observedStore
	topic  string
	body   body
	quota  uint64 // messages to publish; 0: no limit

	published atomic.Uint64 // accepted by the store, without warm-up
	refused   atomic.Uint64 // rejected by a server
	safe      atomic.Uint64 // highest safe sequence, warm-up included
	warmupEnd atomic.Uint64 // last sequence of the warm-up

	ackLatency *latencyRecorder // shared by the publishers: from the due time of a message to its ack

	mu        sync.Mutex
	schedule  *schedule          // guarded by mu; nil: the load is not paced
	next      uint64             // guarded by mu: the number whose ack comes next
	kill      *kill              // guarded by mu; not nil: an ack of a message published after it is awaited
	recovered chan time.Duration // receives the time from the kill to that ack
}

// A schedule gives the due times of the messages of an open loop.
type schedule struct {
	start  time.Time     // of the run; due times are counted from it
	offset time.Duration // of the first message
	rate   float64       // messages per second
}

// due returns the due time of the nth message; n begins at 1.
func (s *schedule) due(n uint64) time.Duration {
	return s.offset + time.Duration(float64(n-1)/s.rate*float64(time.Second))
}

// newPublisher opens the store and connects.
func (r *run) newPublisher(ctx context.Context, index int) (*publisher, error) {
	name := fmt.Sprintf("%s-publisher-%d", r.topic, index)
	p := &publisher{index: index, topic: r.topic, body: newBody(index, r.o.Size), quota: r.quota(index),
		ackLatency: r.ackLatency, next: 1, recovered: make(chan time.Duration, 1)}
	store, err := r.o.openStore(r.dir, name, r.storeLimits.messages, r.storeLimits.bytes)
	if err != nil {
		return nil, err
	}
	p.store = &observedStore{store, p.onAck}
	p.client, err = r.dial(ctx, client.Config{
		Name: name, Servers: r.servers, PublishStore: p.store,
		WindowMessages: r.o.Window, WindowBytes: max(windowBytes, r.o.Window*(r.o.Size+messageOverhead)),
		Hooks: client.Hooks{FailedWrite: func(*client.RejectedError) { p.refused.Add(1) }},
	})
	if err != nil {
		store.Close()
		return nil, err
	}
	return p, nil
}

// quota returns the number of messages that a publisher publishes.
func (r *run) quota(index int) uint64 {
	n := r.o.Messages / r.o.Publishers
	if index < r.o.Messages%r.o.Publishers {
		n++
	}
	return uint64(n)
}

func (p *publisher) close() {
	p.client.Close()
	p.store.Close()
}

// warmUp publishes to another topic for a while and waits until all messages are safe.
func (p *publisher) warmUp(ctx context.Context, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); p.warmupEnd.Add(1) {
		if _, err := p.client.Publish(ctx, p.topic+"_warmup", p.body); err != nil {
			return err
		}
	}
	return p.client.FlushSafe(ctx)
}

// publishUnpaced publishes as fast as the store accepts messages, up to its quota or until end.
func (p *publisher) publishUnpaced(ctx context.Context, end time.Time) error {
	for n := uint64(1); p.quota == 0 || n <= p.quota; n++ {
		if p.quota == 0 && n%32 == 1 && !time.Now().Before(end) {
			return nil
		}
		if err := p.publish(ctx, n, 0); err != nil {
			return err
		}
	}
	return nil
}

// publishPaced publishes each message at its due time, or as soon after as the store
// accepts it. It ends after the quota, when stop is closed, or after d.
func (p *publisher) publishPaced(ctx context.Context, schedule *schedule, d time.Duration, stop <-chan struct{}) error {
	p.setSchedule(schedule)
	timer := time.NewTimer(time.Hour)
	defer timer.Stop()
	for n := uint64(1); p.quota == 0 || n <= p.quota; n++ {
		due := schedule.due(n)
		if p.quota == 0 && due >= d {
			return nil
		}
		if wait := due - time.Since(schedule.start); wait > 0 {
			timer.Reset(wait)
			select {
			case <-timer.C:
			case <-stop:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if err := p.publish(ctx, n, due); err != nil {
			return err
		}
	}
	return nil
}

// setSchedule sets the schedule, so that latencies begin at due times.
func (p *publisher) setSchedule(schedule *schedule) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.schedule = schedule
}

// publish publishes the nth message.
func (p *publisher) publish(ctx context.Context, n uint64, due time.Duration) error {
	p.body.set(n, due)
	if _, err := p.client.Publish(ctx, p.topic, p.body); err != nil {
		return err
	}
	p.published.Store(n)
	return nil
}

// onAck is called by the store for each ack, on the goroutine of the client's session.
func (p *publisher) onAck(through uint64, safe bool) {
	if safe && through > p.safe.Load() {
		p.safe.Store(through)
	}
	before := p.warmupEnd.Load()
	if through <= before {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	number := through - before
	if p.kill != nil && number > p.kill.published[p.index] {
		p.recovered <- time.Since(p.kill.at)
		p.kill = nil
	}
	if safe && p.schedule != nil {
		p.recordLocked(number)
	}
}

// recordLocked records the latencies of the acks up to a number.
func (p *publisher) recordLocked(number uint64) {
	now := time.Since(p.schedule.start)
	for ; p.next <= number; p.next++ {
		p.ackLatency.record(now - p.schedule.due(p.next))
	}
}

// awaitAckAfter sends the time from a kill to the first ack of a message published
// after it to p.recovered.
func (p *publisher) awaitAckAfter(k *kill) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.kill = k
}
