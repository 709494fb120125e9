package otel_test

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"

	"github.com/holdfast-mq/holdfast/client"
	holdfastotel "github.com/holdfast-mq/holdfast/client/otel"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A series is what a metric showed.
type series struct {
	unit, kind, help string
	keys             []string           // of the attributes
	values           map[string]float64 // by the values of the attributes; of a histogram its count
}

func newSeries(m metricdata.Metrics, kind string) series {
	return series{unit: m.Unit, kind: kind, help: m.Description, values: make(map[string]float64)}
}

func (s *series) add(set attribute.Set, value float64) {
	var values []string
	s.keys = nil
	for _, a := range set.ToSlice() {
		s.keys, values = append(s.keys, string(a.Key)), append(values, a.Value.String())
	}
	s.values[strings.Join(values, ",")] = value
}

// collect returns the metrics by name.
func collect(t *testing.T, reader metric.Reader) map[string]series {
	t.Helper()
	var all metricdata.ResourceMetrics
	if err := reader.Collect(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	found := make(map[string]series)
	for _, scope := range all.ScopeMetrics {
		for _, m := range scope.Metrics {
			var s series
			switch data := m.Data.(type) {
			case metricdata.Sum[float64]:
				s = newSeries(m, "counter")
				for _, p := range data.DataPoints {
					s.add(p.Attributes, p.Value)
				}
			case metricdata.Gauge[float64]:
				s = newSeries(m, "gauge")
				for _, p := range data.DataPoints {
					s.add(p.Attributes, p.Value)
				}
			case metricdata.Histogram[float64]:
				s = newSeries(m, "histogram")
				for _, p := range data.DataPoints {
					s.add(p.Attributes, float64(p.Count))
				}
			}
			found[m.Name] = s
		}
	}
	return found
}

// The metrics say how a client fares while a server dies, and the page lists all of them.
func TestMetrics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		pair, reader := servertest.NewPair(t), metric.NewManualReader()
		metrics, err := holdfastotel.NewMetrics(metric.NewMeterProvider(metric.WithReader(reader)))
		if err != nil {
			t.Fatal(err)
		}
		cfg := pair.Client("gateway")
		cfg.Tracer = client.JoinTracers(cfg.Tracer, metrics.Tracer(cfg.Name))
		c, err := client.Dial(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if err := metrics.Add(c); err != nil {
			t.Fatal(err)
		}
		if err := metrics.Add(c); err == nil || !strings.Contains(err.Error(), `"gateway"`) {
			t.Errorf("the second Add: %v", err)
		}
		sub, err := c.Subscribe(t.Context(), "orders", client.From(client.Epoch), client.ID("billing"), client.WithTime())
		if err != nil {
			t.Fatal(err)
		}
		publish := func() {
			if _, err := c.Publish(t.Context(), "orders", make([]byte, 94)); err != nil {
				t.Fatal(err)
			}
		}
		publish()
		if err := c.FlushSafe(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range sub.Messages(t.Context()) {
			break
		}
		a := c.Stats().Server.Server
		pair.A.Kill()
		time.Sleep(time.Second)
		publish()
		time.Sleep(time.Second)
		b := c.Stats().Server.Server
		all := collect(t, reader)
		for _, want := range []struct {
			name, attributes string
			value            float64
		}{
			{"published_messages", "gateway", 2}, {"safe_messages", "gateway", 1}, {"outstanding_messages", "gateway", 1},
			{"outstanding_size", "gateway", 100}, {"oldest_outstanding", "gateway", 1}, {"connected", "gateway," + a, 0}, {"connected", "gateway," + b, 1},
			{"state", "gateway,live", 1}, {"moves", "gateway,connection_lost", 1}, {"failovers", "gateway", 1},
			{"publish.duration", "gateway", 1}, {"delivered_messages", "gateway,billing,orders", 1}, {"undiscarded_messages", "gateway,billing,orders", 2},
		} {
			if got, is := all["holdfast.client."+want.name].values[want.attributes]; !is || got != want.value {
				t.Errorf("%s is %v (there: %v), want %v; all: %v", want.name, got, is, want.value, all["holdfast.client."+want.name].values)
			}
		}
		checkPage(t, all)
		metrics.Remove(c)
		if s := collect(t, reader)["holdfast.client.published_messages"]; len(s.values) != 0 {
			t.Errorf("after Remove: %v", s.values)
		}
		if err := metrics.Close(); err != nil {
			t.Error(err)
		}
	})
}

// checkPage compares the metrics with the table of the page.
func checkPage(t *testing.T, all map[string]series) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows, want []string
	for line := range strings.Lines(string(page)) {
		if strings.HasPrefix(line, "| `") && strings.Count(line, "|") == 6 {
			rows = append(rows, strings.TrimSpace(line))
		}
	}
	for name, s := range all {
		keys := slices.DeleteFunc(s.keys, func(k string) bool { return k == "client" })
		want = append(want, fmt.Sprintf("| `%s` | %s | %s | %s | %s |", strings.TrimPrefix(name, "holdfast.client."), s.kind, s.unit, strings.Join(keys, ", "), s.help))
	}
	slices.Sort(rows)
	slices.Sort(want)
	if !slices.Equal(rows, want) {
		t.Errorf("README.md has\n%s\n\nthe metrics are\n%s", strings.Join(rows, "\n"), strings.Join(want, "\n"))
	}
}
