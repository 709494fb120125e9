package bench

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/client"
)

// A subscriber is a client with one subscription.
type subscriber struct {
	client       *client.Client
	subscription *client.Subscription
	tally        *tally
	ended        chan error // the result of receive

	first           time.Time        // time of the first message
	deliveryLatency *latencyRecorder // shared by the subscribers: from due times, in an open loop
	base            time.Time        // due times are counted from it; zero: nothing is recorded

	kill      atomic.Pointer[kill] // not nil: the first message published after it is awaited
	recovered chan time.Duration   // receives the time from the kill to that message
	cancel    context.CancelFunc
}

// newSubscriber connects to servers.
func (r *run) newSubscriber(ctx context.Context, name string, servers []string) (*subscriber, error) {
	s := &subscriber{
		tally: newTally(r.o.Publishers, r.o.Size), ended: make(chan error, 1),
		deliveryLatency: r.deliveryLatency, recovered: make(chan time.Duration, 1),
	}
	var err error
	if s.client, err = r.dial(ctx, client.Config{Name: r.topic + "-" + name, Servers: servers}); err != nil {
		return nil, err
	}
	r.watchdog.Lock()
	defer r.watchdog.Unlock()
	r.clients = append(r.clients, s)
	return s, nil
}

// subscribe subscribes and starts to receive messages, until stopReceiving.
func (s *subscriber) subscribe(ctx context.Context, topic string, from client.Start) (err error) {
	if s.subscription, err = s.client.Subscribe(ctx, topic, client.From(from)); err != nil {
		return err
	}
	ctx, s.cancel = context.WithCancel(ctx)
	go func() { s.ended <- s.receive(ctx) }()
	return nil
}

// receive receives messages until ctx ends.
func (s *subscriber) receive(ctx context.Context) error {
	for m, err := range s.subscription.Messages(ctx) {
		if err != nil {
			if errors.Is(err, context.Canceled) {
				return nil
			}
			return err
		}
		stamp, ok := s.tally.count(m.Body)
		if err := m.Discard(); err != nil {
			return err
		}
		if ok {
			s.recordTimes(stamp)
		}
	}
	return errors.New("the subscription has ended")
}

// recordTimes records the arrival of a message.
func (s *subscriber) recordTimes(m stamp) {
	if s.first.IsZero() {
		s.first = time.Now()
	}
	if !s.base.IsZero() {
		s.deliveryLatency.record(time.Since(s.base) - m.due)
	}
	if k := s.kill.Load(); k != nil && m.number > k.published[m.publisher] {
		s.recovered <- time.Since(k.at)
		s.kill.Store(nil)
	}
}

// awaitAll waits until the expected number of messages has been received.
func (s *subscriber) awaitAll(ctx context.Context) error {
	select {
	case <-s.tally.complete:
		return nil
	case err := <-s.ended:
		s.ended <- err
		return err
	case <-ctx.Done():
		return fmt.Errorf("%d of %d messages received: %w", s.tally.counted.Load(), s.tally.expected.Load(), context.Cause(ctx))
	}
}

// stopReceiving ends receive and returns its error.
func (s *subscriber) stopReceiving() error {
	s.cancel()
	return <-s.ended
}

// close ends receive and closes the client.
func (s *subscriber) close() {
	if s.cancel != nil {
		s.cancel()
	}
	s.client.Close()
}
