// Package metrics exports the measurements of a server to Prometheus. holdfastd serves them at
// /metrics of its admin port. server/METRICS.md lists them, and server/deploy has alert rules and a
// dashboard.
//
// A program that runs a server itself does the same with
//
//	s, err := server.Start(cfg)
//	...
//	s.HandleAdmin("/metrics", metrics.Handler(s))
//
// or registers [New] in a registry of its own.
package metrics

import (
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/holdfast-mq/holdfast/server"
)

const (
	// shared is how long a snapshot serves further scrapes, so that several scrapers cost little
	// more than one.
	shared = time.Second / 2
	// scrapes is the number of scrapes that are answered at once; others get status 503.
	scrapes = 4
)

// Handler returns the handler of /metrics: the metrics of a server, those of the Go runtime, and
// those of the process where the system has them.
func Handler(s *server.Server) http.Handler {
	r := prometheus.NewRegistry()
	r.MustRegister(New(s), collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return promhttp.HandlerFor(r, promhttp.HandlerOpts{MaxRequestsInFlight: scrapes})
}

// New returns a collector of the metrics of a server. It is safe for concurrent use. It takes a
// snapshot of the server at most twice a second.
func New(s *server.Server) prometheus.Collector { return &collector{snapshot: s.Metrics} }

// A collector implements prometheus.Collector.
type collector struct {
	snapshot func() *server.Metrics

	mu    sync.Mutex
	last  *server.Metrics // guarded by mu; nil: none yet
	taken time.Time       // guarded by mu; when last was taken
}

// Describe implements prometheus.Collector.
func (c *collector) Describe(descs chan<- *prometheus.Desc) {
	for i := range families {
		descs <- families[i].desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	m := c.current()
	for i := range families {
		families[i].collect(m, out)
	}
}

// current returns the last snapshot, or a new one. Scrapes that come meanwhile wait for it.
func (c *collector) current() *server.Metrics {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.last == nil || time.Since(c.taken) >= shared {
		c.last, c.taken = c.snapshot(), time.Now()
	}
	return c.last
}
