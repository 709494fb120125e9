//go:build linux

package main

import (
	"context"
	"slices"
	"strings"
)

// The measures.
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

// Names of contenders, the heads of the table's columns.
const (
	holdfast     = "holdfast"
	pipeline     = "bare pipeline"
	rawFdatasync = "raw fdatasync"
)

// window is the number of messages in flight of the publishers of JetStream, Redis and
// RabbitMQ.
const window = 4096

// A sample holds the values that one run measured, by measure.
type sample map[string]float64

// A job is the load of one run.
type job struct {
	Kind        string // publish, latency, replay, fanout, failover
	Messages    int
	Size        int // bytes of a body
	Subscribers int
}

// A contender does a job.
type contender struct {
	name      string
	run       func(ctx context.Context, s *session, dir string, j job) (sample, error)
	isMissing func() bool // reports that it is not installed; nil: it always is
}

// notInstalled reports whether the contender is not installed here.
func (c contender) notInstalled() bool { return c.isMissing != nil && c.isMissing() }

// A benchmark is a job with the contenders that are compared in it.
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

// benchmarks returns the benchmarks that the options select, in order.
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

// selected returns the selected benchmarks with their selected contenders.
func (o options) selected(all []benchmark) []benchmark {
	all = slices.DeleteFunc(all, func(bm benchmark) bool {
		return len(o.Only) > 0 && !slices.Contains(o.Only, bm.id) ||
			o.Short && bm.job.Kind == "fanout" && bm.job.Subscribers != 8
	})
	for i, w := range all {
		all[i].contenders = slices.DeleteFunc(w.contenders, func(c contender) bool {
			return !o.includes(c.name) || o.Short && !inShortSession(c.name, w.job.Kind)
		})
	}
	return all
}

// includes reports whether the options select a contender.
func (o options) includes(name string) bool {
	return len(o.Peers) == 0 || slices.ContainsFunc(o.Peers, func(p string) bool {
		return strings.HasPrefix(strings.ToLower(name), strings.ToLower(p))
	})
}

// inShortSession reports whether a contender takes part in a short session. Of
// JetStream's clusters only the smallest one that syncs does.
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
