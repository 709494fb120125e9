//go:build linux

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// downgradeAfter is how long an instance of the pair waits for the other one
// before it acks alone: what B5's goal is about.
const downgradeAfter = 2 * time.Second

// A report is what holdfast bench says with --json, as far as it is asked here.
// What was lost or duplicated is an error of its own, and no report.
type report struct {
	Messages   float64 `json:"msgs_per_s"`
	Deliveries float64 `json:"deliveries_per_s"`
	Latency    struct {
		P50 float64 `json:"p50"`
		P99 float64 `json:"p99"`
	} `json:"latency_us"`
	Failover struct {
		Ack      float64 `json:"ack"`
		Delivery float64 `json:"delivery"`
	} `json:"failover_ms"`
}

// benchHoldfast does a job with holdfast's own command, which starts a pair for it.
func benchHoldfast(ctx context.Context, b *session, dir string, j job) (sample, error) {
	var r report
	if err := command(ctx, b.holdfast, holdfastArgs(dir, j)...).run(ctx, &r); err != nil {
		return nil, err
	}
	s := r.sample(j.Kind)
	for measure, v := range s {
		if v == 0 && measure != lost && measure != duplicated {
			return nil, fmt.Errorf("holdfast bench says nothing of %s", measure)
		}
	}
	return s, nil
}

// holdfastArgs is the command line of a job.
func holdfastArgs(dir string, j job) []string {
	args := []string{"bench", j.Kind, "--json", "--dir", dir, "--store", "file",
		"--downgrade-after", downgradeAfter.String(), "--size", strconv.Itoa(j.Size)}
	if j.Messages > 0 {
		args = append(args, "--messages", strconv.Itoa(j.Messages))
	}
	if j.Subscribers > 0 {
		args = append(args, "--subscribers", strconv.Itoa(j.Subscribers))
	}
	if j.Kind == "latency" {
		args = append(args, "--warmup", "200ms")
	}
	return args
}

// sample is what a report says of a kind of job.
func (r report) sample(kind string) sample {
	switch kind {
	case "latency":
		return sample{p50: r.Latency.P50 / 1000, p99: r.Latency.P99 / 1000}
	case "fanout":
		return sample{published: r.Messages, deliveries: r.Deliveries}
	case "failover":
		return sample{nextAck: r.Failover.Ack, nextMessage: r.Failover.Delivery, lost: 0, duplicated: 0}
	default:
		return sample{published: r.Messages}
	}
}
