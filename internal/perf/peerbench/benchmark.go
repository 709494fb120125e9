//go:build linux

package main

import (
	"context"
	"slices"
	"strings"
)

// What is measured.
const (
	published   = "msg/s"
	deliveries  = "deliveries/s"
	p50         = "p50 ms"
	p99         = "p99 ms"
	nextAck     = "ms to the next ack"
	nextMessage = "ms to the subscriber's next message"
	lost        = "lost"
	duplicated  = "duplicated"
)

// The contenders' names, which head the table's columns.
const (
	holdfast     = "holdfast"
	pipeline     = "bare pipeline"
	rawFdatasync = "raw fdatasync"
)

// window is how many messages the publishers of JetStream, Redis and RabbitMQ have in flight.
const window = 4096

// A sample is what one run measured.
type sample map[string]float64

// A job is one run's amount of work.
type job struct {
	Kind        string // publish, latency, replay, fanout, failover
	Messages    int
	Size        int // bytes of a body
	Subscribers int
}

// A contender does a job.
type contender struct {
	name      string
	run       func(ctx context.Context, b *session, dir string, j job) (sample, error)
	isMissing func() bool // it is not installed here; nil if it always is
}

// notInstalled reports whether the contender can't be measured here.
func (c contender) notInstalled() bool { return c.isMissing != nil && c.isMissing() }

// A benchmark is what contenders are compared in.
type benchmark struct {
	id, title  string
	job        job
	rows       []row
	contenders []contender
}

// A row is one measure of a work: the median of its runs, or the worst of them.
type row struct {
	measure string
	worst   bool
}

func (r row) label() string {
	if r.worst {
		return r.measure + ", worst run"
	}
	return r.measure
}

// benchmarks returns what the options ask for, in order.
func benchmarks(o options) []benchmark {
	messages := func(share int) int { return max(o.Messages/share, 500) }
	redis := contender{name: redisStreams, run: runRedis, isMissing: redisMissing}
	rabbit := contender{name: rabbitQuorum, run: runRabbit, isMissing: rabbitMissing}
	flow := contender{name: pipeline, run: runBarePublish}
	publishers := append(jetstreamContenders(2, 3), redis, rabbit, flow)
	single := append(jetstreamContenders(2, 3), redis, rabbit, flow, contender{name: rawFdatasync, run: runRawSync})
	replays := append(jetstreamContenders(2), redis, rabbit, contender{name: pipeline, run: runBareReplay})
	fanout := func(subscribers, share int) benchmark {
		return benchmark{
			id: "B4", title: "publish and deliver live to " + plural(subscribers, "subscriber"),
			job:  job{Kind: "fanout", Messages: messages(share), Subscribers: subscribers},
			rows: medians(deliveries, published), contenders: append(jetstreamContenders(2), redis),
		}
	}
	all := []benchmark{
		{"B1", "publish, to the last ack", job{Kind: "publish", Messages: o.Messages}, medians(published), publishers},
		{"B2", "publish one at a time", job{Kind: "latency", Messages: messages(200)}, medians(p50, p99), single},
		{"B3", "replay from the beginning", job{Kind: "replay", Messages: o.Messages}, medians(published), replays},
		fanout(1, 2), fanout(8, 4), fanout(64, 16),
		{"B5", "kill -9 of the server in use", job{Kind: "failover"}, append(medians(nextAck, nextMessage), row{lost, true}, row{duplicated, true}), jetstreamContenders(3)},
	}
	for i := range all {
		all[i].job.Size = o.Size
		all[i].contenders = append([]contender{{name: holdfast, run: benchHoldfast}}, all[i].contenders...)
	}
	return o.selected(all)
}

// selected leaves what the options ask for.
func (o options) selected(all []benchmark) []benchmark {
	all = slices.DeleteFunc(all, func(w benchmark) bool {
		return len(o.Only) > 0 && !slices.Contains(o.Only, w.id) ||
			o.Short && w.job.Kind == "fanout" && w.job.Subscribers != 8
	})
	for i, w := range all {
		all[i].contenders = slices.DeleteFunc(w.contenders, func(c contender) bool {
			return !o.includes(c.name) || o.Short && !inShortSession(c.name, w.job.Kind)
		})
	}
	return all
}

// includes reports whether the options ask for a contender.
func (o options) includes(name string) bool {
	return len(o.Peers) == 0 || slices.ContainsFunc(o.Peers, func(p string) bool {
		return strings.HasPrefix(strings.ToLower(name), strings.ToLower(p))
	})
}

// inShortSession reports whether a contender takes part in a short session: of
// JetStream's clusters, the smallest one that syncs.
func inShortSession(name, kind string) bool {
	return !strings.HasPrefix(name, "JetStream") || strings.HasSuffix(name, alwaysSuffix) && (kind == "failover" || strings.Contains(name, "R2"))
}

func medians(measures ...string) []row {
	rows := make([]row, len(measures))
	for i, m := range measures {
		rows[i] = row{measure: m}
	}
	return rows
}

// describe lists a sample's figures in the order of the rows.
func (s sample) describe(rows []row) string {
	var said []string
	for _, r := range rows {
		if v, ok := s[r.measure]; ok {
			said = append(said, formatFigure(v)+" "+r.measure)
		}
	}
	return strings.Join(said, ", ")
}
