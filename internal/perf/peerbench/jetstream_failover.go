//go:build linux

package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// publishers is the number of publishers in B5, each with one message at a time. They
// retry soon after a failure, so that the time to the next ack is that of the cluster.
const publishers = 16

// steadyTime is the duration of the load before the kill, and after the recovery.
const steadyTime = time.Second

// failover is B5: it kills the leader's process under load. The publishers and the
// subscriber are connected to the leader, as holdfast's are to the instance in use.
func (j *natsJob) failover(ctx context.Context, js jetstream.JetStream) (sample, error) {
	l := newFailoverLog()
	reader, err := j.connect()
	if err != nil {
		return nil, err
	}
	defer reader.Conn().Close()
	if err := j.follow(ctx, reader, l); err != nil {
		return nil, err
	}
	stop := j.startPublishers(ctx, js, l)
	defer stop()
	pause(ctx, steadyTime)
	if err := j.killLeader(ctx, js, l); err != nil {
		return nil, err
	}
	select {
	case <-l.recovered:
		pause(ctx, steadyTime)
	case <-time.After(stepTimeout):
	}
	stop()
	return j.audit(ctx, l)
}

// follow starts the subscriber: a consumer with as many copies as the stream,
// which acks its messages. An ordered consumer has one copy and did not always recover
// when that was lost. The consumer notices a silent server after a second.
func (j *natsJob) follow(ctx context.Context, js jetstream.JetStream, l *failoverLog) error {
	c, err := js.CreateConsumer(ctx, stream, jetstream.ConsumerConfig{
		Durable: "follower", Replicas: len(j.Servers), AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: window,
	})
	if err == nil {
		_, err = c.Consume(func(m jetstream.Msg) {
			if n, err := bodyNumber(m.Data()); err == nil {
				l.recordDelivery(n)
			}
			m.Ack()
		}, jetstream.PullExpiry(time.Second), jetstream.PullHeartbeat(500*time.Millisecond))
	}
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

// audit reads the stream again over its own connection, until it has found all acked
// messages or stepTimeout is over. It returns the counts.
func (j *natsJob) audit(ctx context.Context, l *failoverLog) (sample, error) {
	js, err := j.connect()
	if err != nil {
		return nil, err
	}
	defer js.Conn().Close()
	err = consume(ctx, js, func(m jetstream.Msg) {
		if n, err := bodyNumber(m.Data()); err == nil {
			l.recordFound(n)
		}
	})
	if err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(stepTimeout); ; {
		s := l.count()
		if s[lost] == 0 || time.Now().After(deadline) {
			return s, nil
		}
		if pause(ctx, 10*time.Millisecond); ctx.Err() != nil {
			return nil, fmt.Errorf("look for the acked messages: %w", ctx.Err())
		}
	}
}

// killLeader kills the current leader of the stream.
func (j *natsJob) killLeader(ctx context.Context, js jetstream.JetStream, l *failoverLog) error {
	s, err := js.Stream(ctx, stream)
	if err != nil {
		return fmt.Errorf("ask for the leader: %w", err)
	}
	leader := s.CachedInfo().Cluster.Leader
	victim := slices.IndexFunc(j.Servers, func(s natsServer) bool { return s.Name == leader })
	if victim < 0 {
		return fmt.Errorf("before the kill the stream's leader is none of the servers: %q", leader)
	}
	return l.kill(func() error { return syscall.Kill(j.Servers[victim].Pid, syscall.SIGKILL) })
}

func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// startPublishers starts the publishers. stop ends them and waits for their end.
func (j *natsJob) startPublishers(ctx context.Context, js jetstream.JetStream, l *failoverLog) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var next atomic.Uint64
	var running sync.WaitGroup
	for range publishers {
		running.Go(func() {
			for ctx.Err() == nil {
				j.publishUntilAcked(ctx, js, l, next.Add(1))
			}
		})
	}
	return func() {
		cancel()
		running.Wait()
	}
}

// publishUntilAcked publishes a message until it is acked. The server detects a
// repeated one by its number.
func (j *natsJob) publishUntilAcked(ctx context.Context, js jetstream.JetStream, l *failoverLog, n uint64) {
	for ctx.Err() == nil {
		began := time.Now()
		l.recordTry(n, began)
		// The publishers have different timeouts, so that one always retries soon.
		try, cancel := context.WithTimeout(ctx, 50*time.Millisecond+rand.N(50*time.Millisecond))
		_, err := js.Publish(try, subject, body(n, j.Size), jetstream.WithMsgID(strconv.FormatUint(n, 10)), jetstream.WithRetryAttempts(0))
		cancel()
		if err == nil {
			l.recordAck(n, began)
			return
		}
		pause(ctx, 5*time.Millisecond)
	}
}

// A failoverLog records which messages were published, acked and delivered, and when.
type failoverLog struct {
	recovered chan struct{} // closed at the first ack and the first delivery after the kill

	mu        sync.Mutex
	tried     map[uint64]time.Time // guarded by mu: time of the last attempt for a message
	acked     map[uint64]bool      // guarded by mu
	delivered map[uint64]int       // guarded by mu: number of deliveries
	found     map[uint64]bool      // guarded by mu: found in the stream at the end
	killed    time.Time            // guarded by mu
	ack, msg  time.Duration        // guarded by mu: from the kill
}

func newFailoverLog() *failoverLog {
	return &failoverLog{
		recovered: make(chan struct{}),
		tried:     make(map[uint64]time.Time), acked: make(map[uint64]bool),
		delivered: make(map[uint64]int), found: make(map[uint64]bool),
	}
}

// kill lets a process be killed, and takes down when. To wait for its end is the parent's.
func (l *failoverLog) kill(do func() error) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.killed = time.Now()
	return do()
}

func (l *failoverLog) recordTry(n uint64, at time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tried[n] = at
}

// recordAck records an ack. A message that was published before the kill may have been
// acked by the killed server, so it does not count as the next ack.
func (l *failoverLog) recordAck(n uint64, tried time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.acked[n] = true
	if l.ack == 0 && l.afterKillLocked(tried) {
		l.ack = time.Since(l.killed)
		l.signalRecoveredLocked()
	}
}

// recordDelivery records a delivery. A message that was published before the kill may
// have been in flight, so it does not count as the next message.
func (l *failoverLog) recordDelivery(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.delivered[n]++
	if l.msg == 0 && l.afterKillLocked(l.tried[n]) {
		l.msg = time.Since(l.killed)
		l.signalRecoveredLocked()
	}
}

func (l *failoverLog) afterKillLocked(t time.Time) bool {
	return !l.killed.IsZero() && t.After(l.killed)
}

func (l *failoverLog) signalRecoveredLocked() {
	if l.ack > 0 && l.msg > 0 {
		close(l.recovered)
	}
}

func (l *failoverLog) recordFound(n uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.found[n] = true
}

// count returns the sample. A time that exceeded stepTimeout counts as stepTimeout.
func (l *failoverLog) count() sample {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := sample{nextAck: orTimeout(l.ack), nextMessage: orTimeout(l.msg), lost: 0, duplicated: 0}
	for n := range l.acked {
		if !l.found[n] {
			s[lost]++
		}
	}
	for _, times := range l.delivered {
		s[duplicated] += float64(times - 1)
	}
	return s
}

func orTimeout(d time.Duration) (milliseconds float64) {
	if d == 0 {
		d = stepTimeout
	}
	return d.Seconds() * 1000
}
