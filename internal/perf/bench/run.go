package bench

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// A run is one measurement: its servers, publishers and subscribers.
type run struct {
	o           Options
	dir         string // holds stores and journals; removed at the end
	servers     []string
	pair        *pair.Pair     // nil: the servers were given
	security    *pair.Security // of pair; nil: no TLS and no users
	topic       string         // unique to the run
	storeLimits struct {       // of a publisher's store
		messages int
		bytes    int64
	}
	publishers      []*publisher
	subscribers     []*subscriber    // measured
	clients         []*subscriber    // subscribers, and those that check the servers
	ackLatency      *latencyRecorder // from due time or publish to the ack
	deliveryLatency *latencyRecorder // from due time to the subscriber's loop
	watchdog        watchdog
}

// Run runs a benchmark. The error is an *OptionError if the options are unusable,
// and a *CountError if a message was lost, repeated or out of order.
func Run(ctx context.Context, b Benchmark, o Options) (*Result, error) {
	if err := o.validate(b); err != nil {
		return nil, err
	}
	benchmarks := map[Benchmark]func(*run, context.Context, *Result) error{
		Publish: (*run).publish, Latency: (*run).latency, Replay: (*run).replay, Fanout: (*run).fanout, Failover: (*run).failover,
	}
	measure, ok := benchmarks[b]
	if !ok {
		return nil, optionf("there is no benchmark %q", string(b))
	}
	dir, err := os.MkdirTemp(o.Dir, "holdfast-bench-")
	if err != nil {
		return nil, optionf("the directory can't be used: %v", err)
	}
	r := &run{o: o, dir: dir, servers: o.Servers, topic: "bench_" + strings.ToLower(rand.Text()[:12]),
		ackLatency: newLatencyRecorder(), deliveryLatency: newLatencyRecorder()}
	r.storeLimits.messages, r.storeLimits.bytes = o.Window, max(64<<20, int64(o.Window)*int64(o.Size+messageOverhead))
	if b == Failover {
		r.storeLimits.messages, r.storeLimits.bytes = failoverStoreMessages, failoverStoreBytes
	}
	defer r.close()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.watchdog.start(r, cancel)
	defer r.watchdog.stop()

	result := newResult(b, &o, dir)
	if err := r.prepare(ctx); err != nil {
		return nil, r.explain(ctx, err)
	}
	if err := measure(r, ctx, result); err != nil {
		return nil, r.explain(ctx, err)
	}
	if err := r.checkServers(ctx, result); err != nil {
		return nil, r.explain(ctx, err)
	}
	return result, nil
}

// explain adds to an error why a context ended, and which instances have crashed.
func (r *run) explain(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(err, cause) {
		err = fmt.Errorf("%w: %w", cause, err)
	}
	if r.pair == nil || ctx.Err() != nil {
		return err
	}
	for _, in := range r.pair {
		err = errors.Join(err, in.UnexpectedExit())
	}
	return err
}

// prepare starts the servers if none were given, connects the publishers and warms up.
func (r *run) prepare(ctx context.Context) error {
	if len(r.servers) == 0 {
		if err := r.startPair(ctx); err != nil {
			return err
		}
	}
	for i := range r.o.Publishers {
		p, err := r.newPublisher(ctx, i)
		if err != nil {
			return fmt.Errorf("publisher %d: %w", i, err)
		}
		r.watchdog.Lock()
		r.publishers = append(r.publishers, p)
		r.watchdog.Unlock()
	}
	return r.eachPublisher(func(p *publisher) error { return p.warmUp(ctx, r.o.Warmup) })
}

// startPair starts two processes and waits until they are in sync.
func (r *run) startPair(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	o := pair.Options{Command: r.o.Command, DowngradeAfter: r.o.DowngradeAfter}
	if r.o.Secure {
		s, err := pair.NewSecurity()
		if err != nil {
			return err
		}
		o.Security, r.security = s, s
	}
	both, err := pair.Start(ctx, r.dir, o)
	if err != nil {
		return err
	}
	r.pair, r.servers = &both, both.URIs()
	return nil
}

// connectTimeout is the time that a client has for its first logon.
const connectTimeout = 10 * time.Second

// dial connects a client. An error other than a timeout is reported as an option
// error, since only the server addresses can be wrong.
func (r *run) dial(ctx context.Context, cfg client.Config) (*client.Client, error) {
	cfg.Authenticator, cfg.TLS = r.o.Authenticator, r.o.TLS
	if r.security != nil {
		r.security.Configure(&cfg)
	}
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	c, err := client.Dial(ctx, cfg)
	if err != nil && ctx.Err() == nil {
		err = optionf("%v", err)
	}
	return c, err
}

// close ends clients and servers, and removes the temporary directory.
func (r *run) close() {
	for _, s := range r.clients {
		s.close()
	}
	for _, p := range r.publishers {
		p.close()
	}
	if r.pair != nil {
		r.pair.Close()
	}
	if !r.o.Keep {
		os.RemoveAll(r.dir)
	}
}

// eachPublisher runs f for all publishers concurrently.
func (r *run) eachPublisher(f func(*publisher) error) error {
	errs := make([]error, len(r.publishers))
	var wg sync.WaitGroup
	for i, p := range r.publishers {
		wg.Go(func() {
			if err := f(p); err != nil {
				errs[i] = fmt.Errorf("publisher %d: %w", i, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// publishedCounts returns the number of messages of each publisher, and their sum.
func (r *run) publishedCounts() (counts []uint64, total int) {
	for _, p := range r.publishers {
		n := p.published.Load()
		counts, total = append(counts, n), total+int(n)
	}
	return counts, total
}

// flushSafe waits until all published messages are safe.
func (r *run) flushSafe(ctx context.Context) error {
	return r.eachPublisher(func(p *publisher) error { return p.client.FlushSafe(ctx) })
}

// connectSubscribers connects the subscribers.
func (r *run) connectSubscribers(ctx context.Context) error {
	for i := range r.o.Subscribers {
		s, err := r.newSubscriber(ctx, fmt.Sprintf("subscriber-%d", i), r.servers)
		if err != nil {
			return fmt.Errorf("subscriber %d: %w", i, err)
		}
		r.subscribers = append(r.subscribers, s)
	}
	return nil
}

// subscribeAll starts all subscriptions concurrently.
func (r *run) subscribeAll(ctx context.Context, from client.Start) error {
	errs := make([]error, len(r.subscribers))
	var wg sync.WaitGroup
	for i, s := range r.subscribers {
		wg.Go(func() {
			if err := s.subscribe(ctx, r.topic, from); err != nil {
				errs[i] = fmt.Errorf("subscriber %d: %w", i, err)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// setExpected sets the number of messages that the subscribers wait for.
func (r *run) setExpected() {
	_, total := r.publishedCounts()
	for _, s := range r.subscribers {
		s.tally.setExpected(total)
	}
}

// awaitComplete waits until each subscriber has every message, and returns the time
// of the last delivery.
func (r *run) awaitComplete(ctx context.Context) (end time.Time, err error) {
	for i, s := range r.subscribers {
		if err := s.awaitAll(ctx); err != nil {
			return end, fmt.Errorf("subscriber %d: %w", i, err)
		}
		if s.tally.completedAt.After(end) {
			end = s.tally.completedAt
		}
	}
	return end, r.checkSubscribers()
}

// checkSubscribers stops the subscribers and checks their counts.
func (r *run) checkSubscribers() error {
	counts, _ := r.publishedCounts()
	for i, s := range r.subscribers {
		if err := s.stopReceiving(); err != nil {
			return fmt.Errorf("subscriber %d: %w", i, err)
		}
		if err := s.tally.check(fmt.Sprintf("subscriber %d", i), counts); err != nil {
			return err
		}
	}
	return nil
}

// checkServers checks the messages on every server.
func (r *run) checkServers(ctx context.Context, result *Result) error {
	counts, total := r.publishedCounts()
	for _, p := range r.publishers {
		if n := p.refused.Load(); n > 0 {
			return fmt.Errorf("publisher %d: %s rejected by a server", p.index, plural(int(n), "message"))
		}
	}
	for i, server := range r.servers {
		if err := r.checkServer(ctx, i, counts, total); err != nil {
			return fmt.Errorf("check %s: %w", server, err)
		}
		result.Copies++
	}
	return nil
}

// checkServer replays all messages from one server and counts them.
func (r *run) checkServer(ctx context.Context, i int, counts []uint64, total int) error {
	s, err := r.newSubscriber(ctx, fmt.Sprintf("check-%d", i), r.servers[i:i+1])
	if err != nil {
		return err
	}
	s.tally.setExpected(total)
	if err := s.subscribe(ctx, r.topic, client.Epoch); err != nil {
		return err
	}
	if err := errors.Join(s.awaitAll(ctx), s.stopReceiving()); err != nil {
		return err
	}
	return s.tally.check("its log", counts)
}
