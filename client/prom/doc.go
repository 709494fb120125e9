// Package prom shows the metrics of clients to Prometheus. It is a module of its own, so that
// package client does not import a metrics library.
//
//	metrics := prom.NewCollector()
//	prometheus.MustRegister(metrics)
//	...
//	cfg.Tracer = client.JoinTracers(cfg.Tracer, metrics.Tracer(cfg.Name)) // for the histogram
//	c, err := client.Dial(ctx, cfg)
//	...
//	err = metrics.Add(c)
//
// A [Collector] reads [client.Client.Stats] when it is scraped. It sets no hook and starts no
// goroutine, and costs nothing between scrapes. Only the histogram of publish latency needs a
// Tracer; it measures a few messages at a time and takes no memory per message.
//
// README.md, beside this file, lists the metrics.
package prom
