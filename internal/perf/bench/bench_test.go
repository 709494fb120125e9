package bench_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/bench"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// pairOptions returns options for a pair of servers in this process.
func pairOptions(t *testing.T) bench.Options {
	t.Helper()
	p := servertest.NewPair(t, servertest.Real())
	return bench.Options{Dir: t.TempDir(), Messages: 500, Servers: p.Client("bench").Servers}
}

func run(t *testing.T, b bench.Benchmark, o bench.Options) *bench.Result {
	t.Helper()
	r, err := bench.Run(t.Context(), b, o)
	if err != nil {
		t.Fatal(err)
	}
	if r.Copies != len(o.Servers) || r.Rate <= 0 || r.Bench != b {
		t.Errorf("result is %+v", r)
	}
	return r
}

func TestPublish(t *testing.T) {
	o := pairOptions(t)
	for _, store := range []string{"memory", "file", "bolt"} {
		o.Store, o.Publishers, o.Messages = store, 3, 100
		if r := run(t, bench.Publish, o); r.Messages != 100 || r.LatencyUS != nil {
			t.Errorf("%s: result is %+v", store, r)
		}
	}
	o.Store, o.Messages, o.Duration, o.Warmup, o.SyncAlways, o.Window = "file", 0, 50*time.Millisecond, 10*time.Millisecond, true, 2
	if r := run(t, bench.Publish, o); r.StoreFsync != "before sending" || r.Window != 2 {
		t.Errorf("result is %+v", r)
	}
}

func TestLatency(t *testing.T) {
	o := pairOptions(t)
	o.Messages, o.Publishers, o.Warmup = 20, 2, 5*time.Millisecond
	for _, rate := range []float64{0, 2000} {
		o.Rate = rate
		r := run(t, bench.Latency, o)
		l := r.LatencyUS
		if r.Messages != 20 || l == nil || l.P50 <= 0 || l.P50 > l.P90 || l.P90 > l.P99 || l.P99 > l.P999 || l.P999 > l.Max {
			t.Errorf("rate %v: result is %+v, %+v", rate, r, l)
		}
	}
}

func TestReplay(t *testing.T) {
	o := pairOptions(t)
	o.Subscribers, o.Publishers = 2, 2
	if r := run(t, bench.Replay, o); r.Messages != 500 || r.Deliveries <= r.Rate || r.FirstUS <= 0 {
		t.Errorf("result is %+v", r)
	}
}

func TestFanout(t *testing.T) {
	o := pairOptions(t)
	o.Subscribers = 3
	if r := run(t, bench.Fanout, o); r.Messages != 500 || r.Deliveries <= 0 || r.DeliveryUS != nil {
		t.Errorf("result is %+v", r)
	}
	o.Messages, o.Duration, o.Rate = 0, 50*time.Millisecond, 2000
	if r := run(t, bench.Fanout, o); r.Messages != 100 || r.DeliveryUS == nil {
		t.Errorf("result is %+v", r)
	}
}

func TestOptions(t *testing.T) {
	for _, tt := range []struct {
		name      string
		benchmark bench.Benchmark
		o         bench.Options
	}{
		{"an unknown benchmark", "sleep", bench.Options{}},
		{"a small body", bench.Publish, bench.Options{Size: 10}},
		{"a large body", bench.Publish, bench.Options{Size: 1 << 30}},
		{"a negative size", bench.Publish, bench.Options{Size: -1}},
		{"no window", bench.Publish, bench.Options{Window: -1}},
		{"too many publishers", bench.Publish, bench.Options{Publishers: 1 << 20}},
		{"an unknown store", bench.Publish, bench.Options{Store: "tape"}},
		{"sync of a memory store", bench.Publish, bench.Options{Store: "memory", SyncAlways: true}},
		{"messages and duration", bench.Publish, bench.Options{Messages: 1, Duration: 1}},
		{"fewer messages than publishers", bench.Publish, bench.Options{Messages: 1, Publishers: 2}},
		{"a rate for a benchmark without one", bench.Publish, bench.Options{Rate: 1}},
		{"kill a server that the run has not started", bench.Failover, bench.Options{Servers: []string{"tcp://127.0.0.1:1/amps/json"}}},
		{"a missing directory", bench.Publish, bench.Options{Dir: "not/there"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := bench.Run(t.Context(), tt.benchmark, tt.o)
			if _, ok := errors.AsType[*bench.OptionError](err); !ok {
				t.Errorf("the error is %v", err)
			}
		})
	}
}

// The names of the JSON fields must not change: other programs read them.
func TestResultFieldNames(t *testing.T) {
	r := bench.Result{Bench: bench.Failover, Rate: 1, Deliveries: 1, FirstUS: 1, OfferedRate: 1, DowngradeAfter: 1,
		LatencyUS: new(bench.Quantiles), DeliveryUS: new(bench.Quantiles), Failover: new(bench.FailoverTimes)}
	got, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"bench":"failover","messages":0,"seconds":0,"msgs_per_s":1,"mb_per_s":0,"deliveries_per_s":1,"first_message_us":1,` +
		`"latency_us":{"p50":0,"p90":0,"p99":0,"p999":0,"max":0},"delivery_us":{"p50":0,"p90":0,"p99":0,"p999":0,"max":0},` +
		`"offered_msgs_per_s":1,"failover_ms":{"ack":0,"delivery":0},"lost":0,"duplicated":0,"copies":0,"body":0,"window":0,` +
		`"publishers":0,"subscribers":0,"fsync":"","store":"","store_fsync":"","started_pair":false,"downgrade_after_ms":1,` +
		`"cores":0,"filesystem":"","go":"","platform":""}`
	if string(got) != want {
		t.Errorf("the JSON is\n%s\nwant\n%s", got, want)
	}
	var text bytes.Buffer
	r.Print(&text)
	if text.Len() == 0 {
		t.Error("nothing is printed")
	}
}
