package metrics

import (
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mq/holdfast/server"
)

// A family is one metric with its series.
type family struct {
	name, kind, help string
	labels           []string
	desc             *prometheus.Desc
	collect          func(*server.Metrics, chan<- prometheus.Metric)
}

// The kinds of families, as Prometheus names them.
const (
	kindGauge     = "gauge"
	kindCounter   = "counter"
	kindHistogram = "histogram"
)

// series gets the value of one series with the values of its labels.
type series func(value float64, labels ...string)

// labelled returns a family with labels. each passes its series to the function that it gets.
func labelled(kind, name, help string, labels []string, each func(*server.Metrics, series)) family {
	f := family{name: "holdfast_" + name, kind: kind, help: help, labels: labels}
	f.desc = prometheus.NewDesc(f.name, help, labels, nil)
	valueType := prometheus.GaugeValue
	if kind == kindCounter {
		valueType = prometheus.CounterValue
	}
	desc := f.desc
	f.collect = func(m *server.Metrics, out chan<- prometheus.Metric) {
		each(m, func(value float64, labels ...string) {
			out <- prometheus.MustNewConstMetric(desc, valueType, value, labels...)
		})
	}
	return f
}

// number is a number of any type.
type number interface {
	~int | ~int64 | ~uint64 | ~float64
}

func gauge[T number](name, help string, value func(*server.Metrics) T) family {
	return labelled(kindGauge, name, help, nil, func(m *server.Metrics, s series) { s(float64(value(m))) })
}

func counter[T number](name, help string, value func(*server.Metrics) T) family {
	return labelled(kindCounter, name, help, nil, func(m *server.Metrics, s series) { s(float64(value(m))) })
}

// boolean is a gauge of 1 for true and 0 for false.
func boolean(name, help string, value func(*server.Metrics) bool) family {
	return gauge(name, help, func(m *server.Metrics) float64 { return one(value(m)) })
}

// moment is a gauge of a time, without a series if the time is zero.
func moment(name, help string, value func(*server.Metrics) time.Time) family {
	return labelled(kindGauge, name, help, nil, func(m *server.Metrics, s series) {
		if t := value(m); !t.IsZero() {
			s(seconds(t))
		}
	})
}

func histogram(name, help string, value func(*server.Metrics) *server.Histogram) family {
	f := family{name: "holdfast_" + name, kind: kindHistogram, help: help}
	f.desc = prometheus.NewDesc(f.name, help, nil, nil)
	desc := f.desc
	f.collect = func(m *server.Metrics, out chan<- prometheus.Metric) {
		h := value(m)
		out <- prometheus.MustNewConstHistogram(desc, h.Count, h.Sum, h.Buckets)
	}
	return f
}

// ofLinks is a family with one series for each peer for which which returns true; nil: all peers.
func ofLinks(kind, name, help string, which func(*server.LinkMetrics) bool, value func(*server.LinkMetrics) float64) family {
	return labelled(kind, "link_"+name, help, []string{"peer"}, func(m *server.Metrics, s series) {
		for i := range m.Links {
			if l := &m.Links[i]; which == nil || which(l) {
				s(value(l), l.Peer)
			}
		}
	})
}

func one(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// seconds returns a time in seconds since 1970.
func seconds(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// valid returns a text as a label must be: valid UTF-8.
func valid(text string) string { return strings.ToValidUTF8(text, "\uFFFD") }
