package otel

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	global "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/holdfast-mq/holdfast/client"
)

// Metrics shows the metrics of one or several clients through a Meter. It reads client.Client.Stats
// when the metrics are collected. It sets no hook and starts no goroutine. Its methods are safe for
// concurrent use.
type Metrics struct {
	latency      metric.Float64Histogram
	observables  []observable
	registration metric.Registration

	mu      sync.Mutex
	clients []*client.Client // guarded by mu
}

// An observable is an instrument with its values.
type observable struct {
	metric.Float64Observable
	collect func(s *client.Stats, emit func(value float64, attributes ...attribute.KeyValue))
}

// NewMetrics makes the instruments. provider is nil for otel.GetMeterProvider. The error is that of
// the provider.
func NewMetrics(provider metric.MeterProvider) (*Metrics, error) {
	if provider == nil {
		provider = global.GetMeterProvider()
	}
	m, meter := new(Metrics), provider.Meter(scope)
	var err error
	m.latency, err = meter.Float64Histogram(prefix+"publish.duration", metric.WithUnit("s"),
		metric.WithDescription("Time from the beginning of Publish until the message was acknowledged, of a sample of the messages."),
		metric.WithExplicitBucketBoundaries(0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60))
	if err != nil {
		return nil, fmt.Errorf("metrics of clients: %w", err)
	}
	var all []metric.Observable
	for _, i := range instruments {
		o := observable{collect: i.collect}
		if i.counter {
			o.Float64Observable, err = meter.Float64ObservableCounter(prefix+i.name, metric.WithUnit(i.unit), metric.WithDescription(i.help))
		} else {
			o.Float64Observable, err = meter.Float64ObservableGauge(prefix+i.name, metric.WithUnit(i.unit), metric.WithDescription(i.help))
		}
		if err != nil {
			return nil, fmt.Errorf("metrics of clients: %w", err)
		}
		m.observables, all = append(m.observables, o), append(all, o.Float64Observable)
	}
	if m.registration, err = meter.RegisterCallback(m.observe, all...); err != nil {
		return nil, fmt.Errorf("metrics of clients: %w", err)
	}
	return m, nil
}

// Tracer returns a client.Tracer that fills the histogram of publish latency for the client of a
// name. Join it with other tracers (client.JoinTracers). Each client needs one of its own. It
// measures up to 16 messages at a time (client.SampleLatency).
func (m *Metrics) Tracer(name string) client.Tracer {
	with := metric.WithAttributeSet(attribute.NewSet(clientKey.String(name)))
	return client.SampleLatency(func(d time.Duration) { m.latency.Record(context.Background(), d.Seconds(), with) })
}

// Add adds a client. A client stays until Remove, also after it has ended. The error says that
// there is a client of the same name already.
func (m *Metrics) Add(added *client.Client) error {
	name := added.Stats().Name
	m.mu.Lock()
	defer m.mu.Unlock()
	if slices.ContainsFunc(m.clients, func(other *client.Client) bool { return other.Stats().Name == name }) {
		return fmt.Errorf("metrics of client %q: there is a client of that name already; Remove it first", name)
	}
	m.clients = append(m.clients, added)
	return nil
}

// Remove removes a client. For a client that was not added it does nothing.
func (m *Metrics) Remove(removed *client.Client) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.clients = slices.DeleteFunc(m.clients, func(c *client.Client) bool { return c == removed })
}

// Close ends the observation of all clients. The error is that of the MeterProvider.
func (m *Metrics) Close() error { return m.registration.Unregister() }

// observe is the callback of all instruments but the histogram.
func (m *Metrics) observe(_ context.Context, o metric.Observer) error {
	m.mu.Lock()
	clients := slices.Clone(m.clients)
	m.mu.Unlock()
	for _, c := range clients {
		s := c.Stats()
		for _, instrument := range m.observables {
			instrument.collect(&s, func(value float64, attributes ...attribute.KeyValue) {
				o.ObserveFloat64(instrument.Float64Observable, value, metric.WithAttributes(append(attributes, clientKey.String(s.Name))...))
			})
		}
	}
	return nil
}
