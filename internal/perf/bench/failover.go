package bench

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"
)

// A kill is the end of an instance in use, and what was published by then.
type kill struct {
	at        time.Time
	published []uint64 // by publisher, when the process was gone
}

// failover measures what publishers and subscribers see of the death of the
// instance that they use. Half of the time is before the kill; after it the
// load goes on until acks and messages come again. Then the instance comes
// back, and everything published must be on both and at every subscriber.
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

// killAndWait kills the instance in use at one time, and returns at a later one at
// the earliest what came of it.
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

// checkAllOnFirst checks that everyone is connected to the instance to be killed.
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

// awaitAckAfter waits for what is due, unless the load ends before.
func await[T any](ctx context.Context, due <-chan T, loaded chan error) (what T, err error) {
	select {
	case what = <-due:
		return what, nil
	case err := <-loaded:
		loaded <- err
		return what, errors.Join(errors.New("the load has ended"), err)
	case <-ctx.Done():
		return what, context.Cause(ctx)
	}
}

// restartKilled starts the instance again and waits until everything is on both.
func (r *run) restartKilled(ctx context.Context) error {
	if err := r.pair[0].Start(ctx); err != nil {
		return err
	}
	return r.flushSafe(ctx)
}
