package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// A kill is the kill of the instance in use, with the messages published by then.
type kill struct {
	at        time.Time
	published []uint64 // messages of each publisher when the process was gone
}

// failover measures how long a kill of the instance in use interrupts acks and
// deliveries. The kill comes after half of the time. After it, the load continues
// until acks and messages resume. Then the instance is restarted, and all
// messages must be on both instances and at every subscriber.
func (r *run) failover(ctx context.Context, result *Result) error {
	if err := r.connectSubscribers(ctx); err != nil {
		return err
	}
	start, err := r.subscribeLive(ctx)
	if err != nil {
		return err
	}
	stop, loaded := make(chan struct{}), make(chan error, 1)
	go func() {
		loaded <- r.eachPublisher(func(p *publisher) error { return p.publishPaced(ctx, r.schedule(p, start), math.MaxInt64, stop) })
	}()
	result.Failover, err = r.killAndWait(ctx, start.Add(r.o.Duration/2), start.Add(r.o.Duration), loaded)
	close(stop)
	err = errors.Join(err, <-loaded)
	_, total := r.publishedCounts()
	result.setRates(total, time.Since(start))
	if err != nil {
		return err
	}
	r.setExpected()
	if err := r.restartKilled(ctx); err != nil {
		return err
	}
	_, err = r.awaitComplete(ctx)
	result.DeliveryUS = r.deliveryLatency.quantiles()
	return err
}

// killAndWait kills the instance in use at a time and measures until acks and
// deliveries have resumed. It does not return before end.
func (r *run) killAndWait(ctx context.Context, at, end time.Time, loaded chan error) (*FailoverTimes, error) {
	if _, err := await(ctx, time.After(time.Until(at)), loaded); err != nil {
		return nil, err
	}
	if err := r.checkAllOnFirst(); err != nil {
		return nil, err
	}
	k := &kill{at: time.Now()}
	if err := r.pair[0].Kill(); err != nil {
		return nil, err
	}
	k.published, _ = r.publishedCounts()
	for _, p := range r.publishers {
		p.awaitAckAfter(k)
	}
	for _, s := range r.subscribers {
		s.kill.Store(k)
	}
	times := new(FailoverTimes)
	for _, s := range r.subscribers {
		took, err := await(ctx, s.recovered, loaded)
		if err != nil {
			return nil, fmt.Errorf("await a message after the kill: %w", err)
		}
		times.Delivery = max(times.Delivery, milliseconds(took))
	}
	for _, p := range r.publishers {
		took, err := await(ctx, p.recovered, loaded)
		if err != nil {
			return nil, fmt.Errorf("await an ack after the kill: %w", err)
		}
		times.Ack = max(times.Ack, milliseconds(took))
	}
	_, err := await(ctx, time.After(time.Until(end)), loaded)
	return times, err
}

// checkAllOnFirst checks that all clients are connected to the instance to be killed.
func (r *run) checkAllOnFirst() error {
	for _, p := range r.publishers {
		if s := p.client.Stats(); s.Server.Server != r.servers[0] {
			return fmt.Errorf("%s is connected to %s before the kill", s.Name, s.Server.Server)
		}
	}
	for _, s := range r.subscribers {
		if s := s.client.Stats(); s.Server.Server != r.servers[0] {
			return fmt.Errorf("%s is connected to %s before the kill", s.Name, s.Server.Server)
		}
	}
	return nil
}

// await receives a value. It returns an error if the load ends before.
func await[T any](ctx context.Context, values <-chan T, loaded chan error) (value T, err error) {
	select {
	case value = <-values:
		return value, nil
	case err := <-loaded:
		loaded <- err
		return value, errors.Join(errors.New("the load has ended"), err)
	case <-ctx.Done():
		return value, context.Cause(ctx)
	}
}

// restartKilled restarts the instance and waits until all messages are on both.
func (r *run) restartKilled(ctx context.Context) error {
	if err := r.pair[0].Start(ctx); err != nil {
		return err
	}
	return r.flushSafe(ctx)
}
