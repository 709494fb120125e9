//go:build linux

package main

import (
	"context"
	"fmt"
	"strconv"
	"time"
)

// downgradeAfter is the time that an instance of the pair waits for the other one
// before it acks alone. It bounds the time to the next ack in B5.
const downgradeAfter = 2 * time.Second

// A report is the part of the JSON output of holdfast bench that is used here. If a
// message was lost or duplicated, holdfast bench fails and prints no report.
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

// benchHoldfast runs a job with holdfast bench, which starts a pair for it.
func benchHoldfast(ctx context.Context, s *session, dir string, j job) (sample, error) {
	var r report
	if err := command(ctx, s.holdfast, holdfastArgs(dir, j)...).run(ctx, &r); err != nil {
		return nil, err
	}
	values := r.sample(j.Kind)
	for measure, v := range values {
		if v == 0 && measure != lost && measure != duplicated {
			return nil, fmt.Errorf("the result of holdfast bench has no %s", measure)
		}
	}
	return values, nil
}

// holdfastArgs returns the arguments for a job.
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

// sample returns the values of a report for a kind of job.
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
