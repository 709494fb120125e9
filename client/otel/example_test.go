package otel_test

import (
	"context"
	"fmt"
	"log"

	"go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast-mq/holdfast/client"
	holdfastotel "github.com/holdfast-mq/holdfast/client/otel"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// One trace from Publish to the handler.
func ExampleTracer() {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	program := new(servertest.Program)
	defer program.Close()
	pair := servertest.NewPair(program)
	exporter := tracetest.NewInMemoryExporter() // or an exporter of yours, with sdk.WithBatcher
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter))
	defer provider.Shutdown(context.Background())

	tracer := holdfastotel.NewTracer(holdfastotel.Options{TracerProvider: provider})
	cfg := pair.Client("order-gateway") // or a client.Config of yours
	cfg.Tracer = client.JoinTracers(cfg.Tracer, tracer)
	c, err := client.Dial(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	sub, err := c.Subscribe(ctx, "orders", client.From(client.Epoch))
	if err != nil {
		log.Fatal(err)
	}

	request, span := provider.Tracer("shop").Start(ctx, "checkout")
	if _, err := c.Publish(request, "orders", []byte(`{"id":1}`)); err != nil {
		log.Fatal(err)
	}
	span.End()

	err = sub.Handle(ctx, func(m *client.Message) error {
		handling := trace.SpanContextFromContext(m.Context())
		fmt.Println("same trace:", handling.TraceID() == span.SpanContext().TraceID())
		return sub.Unsubscribe() // one message is enough
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := c.FlushSafe(ctx); err != nil {
		log.Fatal(err)
	}
	c.Close()
	tracer.Close()
	spans := make(map[string]bool)
	for _, s := range exporter.GetSpans() {
		spans[s.Name] = true
	}
	for _, name := range []string{"checkout", "publish orders", "send orders", "process orders"} {
		fmt.Println(name, spans[name])
	}
	// Output:
	// same trace: true
	// checkout true
	// publish orders true
	// send orders true
	// process orders true
}

// Metrics of a client through a Meter.
func ExampleMetrics() {
	ctx := context.Background()
	program := new(servertest.Program)
	defer program.Close()
	pair := servertest.NewPair(program)
	reader := metric.NewManualReader() // or metric.NewPeriodicReader with an exporter of yours
	metrics, err := holdfastotel.NewMetrics(metric.NewMeterProvider(metric.WithReader(reader)))
	if err != nil {
		log.Fatal(err)
	}
	defer metrics.Close()

	cfg := pair.Client("order-gateway")
	cfg.Tracer = client.JoinTracers(cfg.Tracer, metrics.Tracer(cfg.Name))
	c, err := client.Dial(ctx, cfg)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	if err := metrics.Add(c); err != nil {
		log.Fatal(err)
	}
	if _, err := c.Publish(ctx, "orders", []byte(`{"id":1}`)); err != nil {
		log.Fatal(err)
	}
	if err := c.FlushSafe(ctx); err != nil {
		log.Fatal(err)
	}
	var all metricdata.ResourceMetrics
	if err := reader.Collect(ctx, &all); err != nil {
		log.Fatal(err)
	}
	for _, m := range all.ScopeMetrics[0].Metrics {
		if sum, is := m.Data.(metricdata.Sum[float64]); is && m.Name == "holdfast.client.safe_messages" {
			fmt.Println(m.Name, sum.DataPoints[0].Value)
		}
	}
	// Output: holdfast.client.safe_messages 1
}
