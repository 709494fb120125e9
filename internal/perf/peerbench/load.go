//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"time"
)

// A flow tells how a client process publishes and reads.
type flow struct {
	// publish publishes n messages and returns when all are acked.
	publish func(ctx context.Context, n int) error
	// reader connects. read returns when the connection has received the first n
	// messages of the log.
	reader func(ctx context.Context) (read func(n int) error, err error)
}

// loadFlow runs a client process. It decodes its spec into j, connects, and answers
// with the sample of the job, which is a part of j.
func loadFlow(spec []byte, j any, of *job, connect func(context.Context) (flow, error)) error {
	if err := json.Unmarshal(spec, j); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), of.limit()-stepTimeout) // before the parent's timeout, for an error with the reason
	defer cancel()
	f, err := connect(ctx)
	if err != nil {
		return err
	}
	s, err := f.measure(ctx, *of)
	if err != nil {
		return err
	}
	return writeAnswer(s)
}

// measure runs a job of any kind except failover.
func (f flow) measure(ctx context.Context, j job) (sample, error) {
	switch j.Kind {
	case "publish":
		took, err := measureSeconds(func() error { return f.publish(ctx, j.Messages) })
		return sample{published: float64(j.Messages) / took}, err
	case "latency":
		return latencies(j.Messages, func() error { return f.publish(ctx, 1) })
	case "replay":
		return f.replay(ctx, j)
	case "fanout":
		return f.fanout(ctx, j)
	default:
		return nil, fmt.Errorf("there is no job of kind %q", j.Kind)
	}
}

// measureSeconds calls do and returns its duration in seconds.
func measureSeconds(do func() error) (seconds float64, err error) {
	began := time.Now()
	err = do()
	return time.Since(began).Seconds(), err
}

// replay is B3: a reader receives published messages.
func (f flow) replay(ctx context.Context, j job) (sample, error) {
	if err := f.publish(ctx, j.Messages); err != nil {
		return nil, err
	}
	read, err := f.reader(ctx)
	if err != nil {
		return nil, err
	}
	took, err := measureSeconds(func() error { return read(j.Messages) })
	return sample{published: float64(j.Messages) / took}, err
}

// fanout is B4: readers follow a publisher.
func (f flow) fanout(ctx context.Context, j job) (sample, error) {
	var reads []func(int) error
	for range j.Subscribers {
		read, err := f.reader(ctx)
		if err != nil {
			return nil, err
		}
		reads = append(reads, read)
	}
	began := time.Now()
	ended := make(chan error, len(reads))
	for _, read := range reads {
		go func() { ended <- read(j.Messages) }()
	}
	if err := f.publish(ctx, j.Messages); err != nil {
		return nil, err
	}
	acked := time.Since(began)
	for range reads {
		if err := <-ended; err != nil {
			return nil, err
		}
	}
	return sample{
		published:  float64(j.Messages) / acked.Seconds(),
		deliveries: float64(j.Messages*j.Subscribers) / time.Since(began).Seconds(),
	}, nil
}
