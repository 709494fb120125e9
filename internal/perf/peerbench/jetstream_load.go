//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	nats "github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	stream  = "BENCH"
	subject = "orders"
	warmUp  = 100 // publishes before the latencies that count
)

// loadNATS runs JetStream's clients and answers with a sample.
func loadNATS(spec []byte) error {
	var j natsJob
	if err := json.Unmarshal(spec, &j); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), j.limit()-stepTimeout) // before the parent's timeout, for an error with the reason
	defer cancel()
	if err := j.createStream(ctx); err != nil {
		return err
	}
	js, err := j.connect()
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	kinds := map[string]func(context.Context, jetstream.JetStream) (sample, error){
		"publish": j.publish, "latency": j.latency, "replay": j.replay, "fanout": j.fanout, "failover": j.failover,
	}
	s, err := kinds[j.Kind](ctx, js)
	if err != nil {
		return err
	}
	return writeAnswer(s)
}

// connect returns a connection to the first server, which fails over to the others.
func (j *natsJob) connect() (jetstream.JetStream, error) {
	var urls []string
	for _, s := range j.Servers {
		urls = append(urls, s.URL)
	}
	nc, err := nats.Connect(strings.Join(urls, ","), nats.DontRandomize(), nats.MaxReconnects(-1), nats.ReconnectWait(5*time.Millisecond))
	if err != nil {
		return nil, err
	}
	return jetstream.New(nc, jetstream.WithPublishAsyncMaxPending(window))
}

// createStream makes the stream, with a copy on each server, waits until all
// copies follow its leader, and puts the leader first among the servers. A
// young cluster may leave a request unanswered, so it retries.
func (j *natsJob) createStream(ctx context.Context) error {
	js, err := j.connect()
	if err != nil {
		return err
	}
	defer js.Conn().Close()
	for {
		leader, err := j.tryStream(ctx, js)
		if err == nil {
			slices.SortStableFunc(j.Servers, func(a, b natsServer) int { return rank(a.Name, leader) - rank(b.Name, leader) })
			return nil
		}
		if pause(ctx, 10*time.Millisecond); ctx.Err() != nil {
			return fmt.Errorf("create the stream: %w", errors.Join(ctx.Err(), err))
		}
	}
}

var errNotCurrent = errors.New("a copy does not follow the leader yet")

// tryStream makes the stream if it does not exist, and returns its leader if all
// copies follow it.
func (j *natsJob) tryStream(ctx context.Context, js jetstream.JetStream) (leader string, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	s, err := js.CreateStream(ctx, jetstream.StreamConfig{
		Name: stream, Subjects: []string{subject}, Storage: jetstream.FileStorage, Replicas: len(j.Servers),
	})
	if err != nil {
		return "", err
	}
	info, err := s.Info(ctx)
	if err == nil && !allCurrent(info.Cluster, len(j.Servers)) {
		err = errNotCurrent
	}
	if err != nil {
		return "", err
	}
	return info.Cluster.Leader, nil
}

// allCurrent reports whether a stream has a leader and all its copies follow it.
func allCurrent(c *jetstream.ClusterInfo, copies int) bool {
	return c != nil && c.Leader != "" && len(c.Replicas) == copies-1 &&
		!slices.ContainsFunc(c.Replicas, func(p *jetstream.PeerInfo) bool { return !p.Current || p.Offline })
}

func rank(name, leader string) int {
	if name == leader {
		return 0
	}
	return 1
}

// publish is B1: asynchronous publishes, to the last ack.
func (j *natsJob) publish(ctx context.Context, js jetstream.JetStream) (sample, error) {
	began := time.Now()
	if err := j.publishAll(ctx, js); err != nil {
		return nil, err
	}
	return sample{published: float64(j.Messages) / time.Since(began).Seconds()}, nil
}

// publishAll publishes all messages asynchronously and waits for their acks.
func (j *natsJob) publishAll(ctx context.Context, js jetstream.JetStream) error {
	failed := make(chan error, 1)
	js, err := jetstream.New(js.Conn(), jetstream.WithPublishAsyncMaxPending(window),
		jetstream.WithPublishAsyncErrHandler(func(_ jetstream.JetStream, _ *nats.Msg, err error) {
			select {
			case failed <- err:
			default:
			}
		}))
	if err != nil {
		return err
	}
	text := body(1, j.Size)
	for range j.Messages {
		_, err := js.PublishAsync(subject, text)
		for errors.Is(err, jetstream.ErrTooManyStalledMsgs) && ctx.Err() == nil {
			_, err = js.PublishAsync(subject, text)
		}
		if err != nil {
			return fmt.Errorf("publish: %w", err)
		}
	}
	select {
	case <-js.PublishAsyncComplete():
	case <-ctx.Done():
		return fmt.Errorf("wait for the last ack: %w", ctx.Err())
	}
	select {
	case err := <-failed:
		return fmt.Errorf("publish: %w", err)
	default:
		return nil
	}
}

// latency is B2: each publish waits for the ack of the one before it.
func (j *natsJob) latency(ctx context.Context, js jetstream.JetStream) (sample, error) {
	text := body(1, j.Size)
	return latencies(j.Messages, func() error {
		_, err := js.Publish(ctx, subject, text)
		return err
	})
}

// latencies measures n calls of do, one after the other, after warmUp calls that do
// not count.
func latencies(n int, do func() error) (sample, error) {
	var took []float64
	for i := range warmUp + n {
		began := time.Now()
		if err := do(); err != nil {
			return nil, err
		}
		if i >= warmUp {
			took = append(took, time.Since(began).Seconds()*1000)
		}
	}
	slices.Sort(took)
	return sample{p50: quantile(took, 0.5), p99: quantile(took, 0.99)}, nil
}

// replay is B3: an ordered consumer reads the stream.
func (j *natsJob) replay(ctx context.Context, js jetstream.JetStream) (sample, error) {
	if err := j.publishAll(ctx, js); err != nil {
		return nil, err
	}
	reader, err := j.connect()
	if err != nil {
		return nil, err
	}
	defer reader.Conn().Close()
	began := time.Now()
	all, err := j.subscribe(ctx, reader)
	if err == nil {
		err = await(ctx, all, "the last message")
	}
	if err != nil {
		return nil, err
	}
	return sample{published: float64(j.Messages) / time.Since(began).Seconds()}, nil
}

// subscribe starts an ordered consumer from the stream's beginning. The
// channel is closed when it has received all messages of the job.
func (j *natsJob) subscribe(ctx context.Context, js jetstream.JetStream) (all <-chan struct{}, err error) {
	done := make(chan struct{})
	var got atomic.Int64
	return done, consume(ctx, js, func(jetstream.Msg) {
		if got.Add(1) == int64(j.Messages) {
			close(done)
		}
	})
}

// consume starts an ordered consumer from the stream's beginning.
func consume(ctx context.Context, js jetstream.JetStream, handle jetstream.MessageHandler) error {
	c, err := js.OrderedConsumer(ctx, stream, jetstream.OrderedConsumerConfig{DeliverPolicy: jetstream.DeliverAllPolicy})
	if err == nil {
		_, err = c.Consume(handle)
	}
	if err != nil {
		return fmt.Errorf("subscribe: %w", err)
	}
	return nil
}

func await(ctx context.Context, done <-chan struct{}, event string) error {
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("wait for %s: %w", event, ctx.Err())
	}
}

// fanout is B4: subscribers, each with a connection of its own, follow a publisher.
func (j *natsJob) fanout(ctx context.Context, js jetstream.JetStream) (sample, error) {
	var subscribers []<-chan struct{}
	for range j.Subscribers {
		reader, err := j.connect()
		if err != nil {
			return nil, err
		}
		defer reader.Conn().Close()
		all, err := j.subscribe(ctx, reader)
		if err != nil {
			return nil, err
		}
		subscribers = append(subscribers, all)
	}
	began := time.Now()
	if err := j.publishAll(ctx, js); err != nil {
		return nil, err
	}
	acked := time.Since(began)
	for _, all := range subscribers {
		if err := await(ctx, all, "the last delivery"); err != nil {
			return nil, err
		}
	}
	return sample{
		published:  float64(j.Messages) / acked.Seconds(),
		deliveries: float64(j.Messages*j.Subscribers) / time.Since(began).Seconds(),
	}, nil
}
