package prom

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mq/holdfast/client"
)

// A Collector is a prometheus.Collector for one or several clients. Every metric has the label
// client, the name of the client. A Collector is safe for concurrent use.
type Collector struct {
	descs   []*prometheus.Desc // of metrics, in their order
	latency *prometheus.HistogramVec

	mu      sync.Mutex
	clients []*client.Client // guarded by mu
}

const (
	latencyName = "publish_duration_seconds"
	latencyHelp = "Time from the beginning of Publish until the message was acknowledged, of a sample of the messages."
)

// NewCollector returns a Collector without clients. Register it once, with one registry.
func NewCollector() *Collector {
	c := &Collector{latency: prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: prefix + latencyName, Help: latencyHelp,
		Buckets: prometheus.ExponentialBuckets(0.00025, 2, 19), // 0.25 ms to 65 s
	}, []string{"client"})}
	for _, m := range metrics {
		c.descs = append(c.descs, prometheus.NewDesc(prefix+m.name, m.help, append([]string{"client"}, m.labels...), nil))
	}
	return c
}

// Tracer returns a Tracer that fills the histogram of publish latency for the client of a name,
// for client.Config.Tracer. Join it with other tracers (client.JoinTracers). Each client needs one
// of its own. It measures up to 16 messages at a time (client.SampleLatency).
func (c *Collector) Tracer(name string) client.Tracer {
	h := c.latency.WithLabelValues(valid([]string{name})...)
	return client.SampleLatency(func(d time.Duration) { h.Observe(d.Seconds()) })
}

// Add adds a client. A client stays until Remove, also after it has ended. The error says that
// there is a client of the same name already.
func (c *Collector) Add(added *client.Client) error {
	name := added.Stats().Name
	c.mu.Lock()
	defer c.mu.Unlock()
	if slices.ContainsFunc(c.clients, func(other *client.Client) bool { return other.Stats().Name == name }) {
		return fmt.Errorf("collect metrics of client %q: there is a client of that name already; Remove it first", name)
	}
	c.clients = append(c.clients, added)
	return nil
}

// Remove removes a client and its metrics. For a client that was not added it does nothing.
func (c *Collector) Remove(removed *client.Client) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if i := slices.Index(c.clients, removed); i >= 0 {
		c.clients = slices.Delete(c.clients, i, i+1)
		c.latency.DeleteLabelValues(valid([]string{removed.Stats().Name})...)
	}
}

// Describe implements prometheus.Collector.
func (c *Collector) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range c.descs {
		descs <- d
	}
	c.latency.Describe(descs)
}

// Collect implements prometheus.Collector. It reads the statistics of each client once.
func (c *Collector) Collect(values chan<- prometheus.Metric) {
	c.mu.Lock()
	clients := slices.Clone(c.clients)
	c.mu.Unlock()
	for _, cl := range clients {
		s := cl.Stats()
		for i, m := range metrics {
			m.collect(&s, func(value float64, labels ...string) {
				values <- prometheus.MustNewConstMetric(c.descs[i], m.kind, value, valid(append([]string{s.Name}, labels...))...)
			})
		}
	}
	c.latency.Collect(values)
}

// valid replaces what is not UTF-8 in labels: names and topics may have any bytes, labels not.
func valid(labels []string) []string {
	for i, l := range labels {
		labels[i] = strings.ToValidUTF8(l, "?")
	}
	return labels
}
