package bench

import (
	"context"
	"time"

	"github.com/holdfast-mq/holdfast/client"
)

// publish measures from the first publish to the last persisted ack.
func (r *run) publish(ctx context.Context, result *Result) error {
	start := time.Now()
	err := r.load(ctx, start)
	_, total := r.publishedCounts()
	result.setRates(total, time.Since(start))
	return err
}

// latency measures the time to a persisted ack: one message at a time, or at a
// rate that does not wait for acks.
func (r *run) latency(ctx context.Context, result *Result) error {
	start := time.Now()
	load := r.load
	if r.o.Rate == 0 {
		load = r.publishOneByOne
	}
	if err := load(ctx, start); err != nil {
		return err
	}
	_, total := r.publishedCounts()
	result.setRates(total, time.Since(start))
	result.LatencyUS = r.ackLatency.quantiles()
	return nil
}

// publishOneByOne lets each publisher publish one message at a time.
func (r *run) publishOneByOne(ctx context.Context, start time.Time) error {
	return r.eachPublisher(func(p *publisher) error { return p.publishOneByOne(ctx, start.Add(r.o.Duration)) })
}

// publishOneByOne publishes one message after the other, each once the one before is safe.
func (p *publisher) publishOneByOne(ctx context.Context, end time.Time) error {
	for n := uint64(1); p.quota == 0 || n <= p.quota; n++ {
		began := time.Now()
		if p.quota == 0 && !began.Before(end) {
			return nil
		}
		if err := p.publish(ctx, n, 0); err != nil {
			return err
		}
		if err := p.client.FlushSafe(ctx); err != nil {
			return err
		}
		p.ackLatency.record(time.Since(began))
	}
	return nil
}

// schedule returns the schedule of a publisher. The publishers share the rate and
// publish in turn.
func (r *run) schedule(p *publisher, start time.Time) *schedule {
	offset := time.Duration(float64(p.index) / r.o.Rate * float64(time.Second))
	return &schedule{start: start, offset: offset, rate: r.o.Rate / float64(len(r.publishers))}
}

// replay measures a subscription from EPOCH to published messages.
func (r *run) replay(ctx context.Context, result *Result) error {
	if err := r.load(ctx, time.Now()); err != nil {
		return err
	}
	if err := r.connectSubscribers(ctx); err != nil {
		return err
	}
	r.setExpected()
	start := time.Now()
	if err := r.subscribeAll(ctx, client.Epoch); err != nil {
		return err
	}
	end, err := r.awaitComplete(ctx)
	if err != nil {
		return err
	}
	_, total := r.publishedCounts()
	result.setRates(total, end.Sub(start))
	result.Deliveries = result.Rate * float64(len(r.subscribers))
	for _, s := range r.subscribers {
		result.FirstUS = max(result.FirstUS, microseconds(s.first.Sub(start)))
	}
	return nil
}

// fanout measures deliveries to live subscribers.
func (r *run) fanout(ctx context.Context, result *Result) error {
	if err := r.connectSubscribers(ctx); err != nil {
		return err
	}
	start, err := r.subscribeLive(ctx)
	if err != nil {
		return err
	}
	if err := r.load(ctx, start); err != nil {
		return err
	}
	_, total := r.publishedCounts()
	result.setRates(total, time.Since(start))
	end, err := r.awaitComplete(ctx)
	if err != nil {
		return err
	}
	result.Deliveries = float64(total*len(r.subscribers)) / end.Sub(start).Seconds()
	result.DeliveryUS = r.deliveryLatency.quantiles()
	return nil
}

// subscribeLive subscribes to the messages published from now on.
func (r *run) subscribeLive(ctx context.Context) (start time.Time, err error) {
	base := time.Now()
	for _, s := range r.subscribers {
		if r.o.Rate > 0 {
			s.base = base
		}
	}
	return base, r.subscribeAll(ctx, client.Now)
}

// load publishes at the rate, or as fast as possible, and waits until all messages are safe.
func (r *run) load(ctx context.Context, start time.Time) error {
	publish := func(p *publisher) error { return p.publishUnpaced(ctx, start.Add(r.o.Duration)) }
	if r.o.Rate > 0 {
		publish = func(p *publisher) error { return p.publishPaced(ctx, r.schedule(p, start), r.o.Duration, nil) }
	}
	if err := r.eachPublisher(publish); err != nil {
		return err
	}
	r.setExpected()
	return r.flushSafe(ctx)
}
