package prom_test

import (
	"context"
	"fmt"
	"log"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/client/prom"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A client with metrics. A program serves them with promhttp.Handler.
func Example() {
	ctx := context.Background()
	program := new(servertest.Program)
	defer program.Close()
	pair := servertest.NewPair(program)

	metrics, registry := prom.NewCollector(), prometheus.NewRegistry()
	registry.MustRegister(metrics)

	cfg := pair.Client("order-gateway") // or a client.Config of yours
	cfg.Tracer = client.JoinTracers(cfg.Tracer, metrics.Tracer(cfg.Name))
	c, err := client.Dial(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := metrics.Add(c); err != nil {
		log.Fatal(err)
	}

	for range 3 {
		if _, err := c.Publish(ctx, "orders", []byte(`{"id":1}`)); err != nil {
			log.Fatal(err)
		}
	}
	if err := c.FlushSafe(ctx); err != nil {
		log.Fatal(err)
	}
	families, err := registry.Gather()
	if err != nil {
		log.Fatal(err)
	}
	for _, f := range families {
		switch f.GetName() {
		case "holdfast_client_published_messages_total", "holdfast_client_safe_messages_total":
			fmt.Println(f.GetName(), f.GetMetric()[0].GetCounter().GetValue())
		}
	}
	// Output:
	// holdfast_client_published_messages_total 3
	// holdfast_client_safe_messages_total 3
}
