package client

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// maxSamples is the number of messages that a latencySampler measures at a time.
const maxSamples = 16

// SampleLatency returns a Tracer that measures how long messages take from the beginning of Publish
// until they are settled: acknowledged by both servers, or by one while its peer was away. Time
// that Publish waits for room in the store counts. observe is called with each measured time, on a
// goroutine of the client, and must not block. The Tracer measures up to 16 messages at a time and
// leaves out the others, so that it takes no memory per message. A rejected message is not measured.
// Each client needs a Tracer of its own. JoinTracers adds it to another one.
func SampleLatency(observe func(time.Duration)) Tracer {
	s := &latencySampler{observe: observe}
	s.idle.Store(maxSamples)
	for i := range s.samples {
		sample := &s.samples[i]
		sample.end = func(err error) { s.stored(sample, err) }
	}
	return s
}

// A latencySampler is the Tracer of SampleLatency.
type latencySampler struct {
	observe func(time.Duration)
	idle    atomic.Int32 // number of samples without a message

	mu      sync.Mutex
	samples [maxSamples]sample // guarded by mu
	acked   struct {           // the latest ack, which may come before Publish returns; guarded by mu
		publisher, through uint64
	}
}

// A sample measures one message at a time.
type sample struct {
	end                 func(error)       // function of StartPublish, made once
	m                   *pubstore.Message // Publish has it; nil: it has returned
	began               time.Time         // zero: the sample is idle
	publisher, sequence uint64            // of a message that is stored; 0: it is not yet
}

func (s *latencySampler) StartPublish(_ context.Context, m *pubstore.Message) (end func(error)) {
	if s.idle.Load() == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.samples {
		if p := &s.samples[i]; p.began.IsZero() {
			p.m, p.began = m, time.Now()
			s.idle.Add(-1)
			return p.end
		}
	}
	return nil
}

// stored notes that Publish has returned for the message of a sample.
func (s *latencySampler) stored(p *sample, err error) {
	s.mu.Lock()
	m, began := p.m, p.began
	p.publisher, p.sequence, p.m = m.Publisher, m.Sequence, nil
	acked := err == nil && p.isSettled(s.acked.publisher, s.acked.through)
	if err != nil || acked {
		s.releaseLocked(p)
	}
	s.mu.Unlock()
	if acked {
		s.observe(time.Since(began))
	}
}

// isSettled reports whether an ack up to a sequence settles the message of a sample.
func (p *sample) isSettled(publisher, through uint64) bool {
	return p.sequence != 0 && p.publisher == publisher && p.sequence <= through
}

func (s *latencySampler) releaseLocked(p *sample) {
	*p = sample{end: p.end}
	s.idle.Add(1)
}

func (s *latencySampler) Acked(publisher, through uint64, _ bool) {
	var began [maxSamples]time.Time
	n := 0
	s.mu.Lock()
	if s.acked.publisher != publisher {
		s.acked.publisher, s.acked.through = publisher, 0
	}
	s.acked.through = max(s.acked.through, through)
	for i := range s.samples {
		if p := &s.samples[i]; p.isSettled(publisher, through) {
			began[n] = p.began
			n++
			s.releaseLocked(p)
		}
	}
	s.mu.Unlock()
	for _, t := range began[:n] {
		s.observe(time.Since(t))
	}
}

func (s *latencySampler) Rejected(err *RejectedError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.samples {
		if p := &s.samples[i]; p.publisher == err.Publisher && p.sequence != 0 && p.sequence == err.Message.Sequence {
			s.releaseLocked(p)
		}
	}
}

func (s *latencySampler) Sent(string, uint64, uint64, uint64, int) {}

func (s *latencySampler) StartHandle(ctx context.Context, _ *Message) (context.Context, func(error)) {
	return ctx, nil
}
