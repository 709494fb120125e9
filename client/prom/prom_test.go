package prom_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/client/prom"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A family is a gathered metric.
type family struct {
	kind, help string
	labels     []string           // names, in order
	values     map[string]float64 // by the values of the labels, joined with commas; of a histogram its count
}

// gather returns the metrics by name.
func gather(t *testing.T, registry *prometheus.Registry) map[string]family {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	all := make(map[string]family)
	for _, f := range families {
		got := family{kind: strings.ToLower(f.GetType().String()), help: f.GetHelp(), values: make(map[string]float64)}
		for _, m := range f.GetMetric() {
			var values []string
			got.labels = nil
			for _, l := range m.GetLabel() {
				got.labels, values = append(got.labels, l.GetName()), append(values, l.GetValue())
			}
			got.values[strings.Join(values, ",")] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
		all[f.GetName()] = got
	}
	return all
}

// A world is a pair, a client and its registry.
type world struct {
	*testing.T
	pair     *servertest.Pair
	c        *client.Client
	registry *prometheus.Registry
	hooked   int // calls of the application's hook
}

func start(t *testing.T) *world {
	w := &world{T: t, pair: servertest.NewPair(t), registry: prometheus.NewPedanticRegistry()}
	metrics := prom.NewCollector()
	w.registry.MustRegister(metrics)
	cfg := w.pair.Client("gateway")
	cfg.Hooks.Moved = func(client.Move) { w.hooked++ }
	cfg.Tracer = client.JoinTracers(cfg.Tracer, metrics.Tracer(cfg.Name))
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	w.c = c
	if err := metrics.Add(c); err != nil {
		t.Fatal(err)
	}
	if err := metrics.Add(c); err == nil || !strings.Contains(err.Error(), `"gateway"`) {
		t.Errorf("the second Add: %v", err)
	}
	return w
}

func (w *world) publish(n int) {
	for range n {
		if _, err := w.c.Publish(w.Context(), "orders", make([]byte, 94)); err != nil {
			w.Fatal(err)
		}
	}
}

// want compares values. Names are without the prefix, with the labels besides client after a colon.
func (w *world) want(want map[string]float64) {
	w.Helper()
	synctest.Wait()
	all := gather(w.T, w.registry)
	for _, key := range slices.Sorted(maps.Keys(want)) {
		name, labels, labelled := strings.Cut(key, ":")
		if labels = "gateway," + labels; !labelled {
			labels = "gateway"
		}
		got, is := all["holdfast_client_"+name].values[labels]
		if !is || got != want[key] {
			w.Errorf("%s is %v (there: %v), want %v; all: %v", key, got, is, want[key], all["holdfast_client_"+name].values)
		}
	}
}

// The metrics say how a client fares while a server dies and comes back.
func TestMetricsOfAFailover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		defer w.c.Close()
		a, b := w.c.Stats().Server.Server, ""
		w.publish(10)
		if err := w.c.FlushSafe(t.Context()); err != nil {
			t.Fatal(err)
		}
		sub, err := w.c.Subscribe(t.Context(), "orders", client.From(client.Epoch), client.ID("billing"), client.WithTime(),
			client.Retry(client.RetryPolicy{MaxTries: 2}))
		if err != nil {
			t.Fatal(err)
		}
		failure := errors.New("not yet")
		if err := sub.Handle(t.Context(), func(*client.Message) error { return failure }); !errors.Is(err, failure) {
			t.Fatal(err)
		}
		w.want(map[string]float64{
			"published_messages_total": 10, "safe_messages_total": 10, "sent_messages_total": 10, "outstanding_messages": 0,
			"oldest_outstanding_seconds": 0, "rejected_messages_total": 0, "in_flight_messages": 0, "downgraded": 0,
			"connected:" + a: 1, "state:live": 1, "state:waiting": 0, "moves_total:first_logon": 1, "moves_total:connection_lost": 0,
			"failovers_total": 0, "logons_total": 1, "publish_duration_seconds": 10, "offline_seconds_total": 0,
			"delivered_messages_total:billing,orders": 1, "queued_messages:billing,orders": 9, "undiscarded_messages:billing,orders": 10,
			"handler_errors_total:billing,orders": 2, "handler_retries_total:billing,orders": 1, "subscription_paused:billing,orders": 0,
		})
		if at := gather(t, w.registry)["holdfast_client_last_message_timestamp_seconds"].values["gateway,billing,orders"]; time.Since(time.UnixMicro(int64(at*1e6))) > time.Hour {
			t.Errorf("the last message is of %v", at)
		}
		w.pair.A.Kill()
		time.Sleep(time.Second)
		w.publish(3)
		time.Sleep(time.Second)
		b = w.c.Stats().Server.Server
		w.want(map[string]float64{
			"published_messages_total": 13, "safe_messages_total": 10, "outstanding_messages": 3, "outstanding_bytes": 300,
			"oldest_outstanding_seconds": 1, "in_flight_messages": 3, "connected:" + a: 0, "connected:" + b: 1,
			"moves_total:connection_lost": 1, "failovers_total": 1, "publish_duration_seconds": 10,
		})
		w.pair.B.Kill()
		time.Sleep(time.Minute)
		all := gather(t, w.registry)
		if v := all["holdfast_client_offline_seconds_total"].values["gateway"]; v < 59 || v > 61 {
			t.Errorf("a minute without a server, and %v s", v)
		}
		w.want(map[string]float64{"connected:" + a: 0, "connected:" + b: 0, "state:live": 0})
		w.pair.A.Restart()
		w.pair.B.Restart()
		if err := w.c.FlushSafe(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.want(map[string]float64{"safe_messages_total": 13, "outstanding_messages": 0, "outstanding_bytes": 0, "publish_duration_seconds": 13})
		if w.hooked < 2 {
			t.Errorf("the hook of the application was called %d times", w.hooked)
		}
	})
}

// The table of the page has every metric as the collector shows it, and no other.
func TestPageListsMetrics(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	synctest.Test(t, func(t *testing.T) {
		w := start(t)
		defer w.c.Close()
		sub, err := w.c.Subscribe(t.Context(), "orders", client.From(client.Epoch), client.WithTime())
		if err != nil {
			t.Fatal(err)
		}
		w.publish(1)
		for range sub.Messages(t.Context()) {
			break
		}
		w.pair.A.Kill()
		time.Sleep(time.Minute)
		for name, f := range gather(t, w.registry) {
			labels := slices.DeleteFunc(f.labels, func(l string) bool { return l == "client" })
			want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s |", strings.TrimPrefix(name, "holdfast_client_"), f.kind, strings.Join(labels, ", "), f.help))
		}
	})
	var rows []string
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `") {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	slices.Sort(want)
	slices.Sort(rows)
	if !slices.Equal(rows, want) {
		t.Errorf("README.md has\n%s\n\nthe collector shows\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
}

// Clients come and go, and their names and topics may have any bytes.
func TestSeveralClients(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair, metrics, registry := servertest.NewPair(t), prom.NewCollector(), prometheus.NewPedanticRegistry()
		registry.MustRegister(metrics)
		var clients []*client.Client
		for _, name := range []string{"one", "two\xff"} {
			cfg := pair.Client(name)
			cfg.StartOffline = true
			cfg.Tracer = metrics.Tracer(name)
			c, err := client.Dial(t.Context(), cfg)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if err := metrics.Add(c); err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
		}
		names := func(metric string) []string {
			return slices.Sorted(maps.Keys(gather(t, registry)["holdfast_client_"+metric].values))
		}
		for _, metric := range []string{"logons_total", "publish_duration_seconds"} {
			if got := names(metric); !slices.Equal(got, []string{"one", "two?"}) {
				t.Errorf("%s of %q", metric, got)
			}
		}
		clients[0].Close()
		if got := names("logons_total"); len(got) != 2 {
			t.Errorf("after Close there are %q", got)
		}
		metrics.Remove(clients[0])
		metrics.Remove(clients[0])
		for _, metric := range []string{"logons_total", "publish_duration_seconds"} {
			if got := names(metric); !slices.Equal(got, []string{"two?"}) {
				t.Errorf("%s of %q", metric, got)
			}
		}
	})
}

// The histogram takes no memory per message.
func TestTracerAllocatesNothing(t *testing.T) {
	tracer := prom.NewCollector().Tracer("gateway")
	m := &pubstore.Message{Topic: "orders"}
	if n := testing.AllocsPerRun(100, func() {
		for range 100 {
			if end := tracer.StartPublish(context.Background(), m); end != nil {
				m.Publisher, m.Sequence = 1, m.Sequence+1
				end(nil)
			}
			tracer.Acked(1, m.Sequence, true)
		}
	}); n > 0 {
		t.Errorf("%v allocations for 100 messages", n)
	}
}
