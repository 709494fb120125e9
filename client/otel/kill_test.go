package otel_test

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast-mq/holdfast/client"
	holdfastotel "github.com/holdfast-mq/holdfast/client/otel"
	"github.com/holdfast-mq/holdfast/internal/perf/pair"
	"github.com/holdfast-mq/holdfast/internal/testkit/instance"
)

// The test binary is also the instances.
func TestMain(m *testing.M) {
	instance.Main()
	os.Exit(m.Run())
}

// A message is published while its server hangs. The server is killed with kill -9, and the client
// sends the message to the other one, which delivers it. One trace has all of it.
func TestTraceOverKill9(t *testing.T) {
	if !pair.HasSignals {
		t.Skip("this system has no signals")
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	servers, err := pair.Start(ctx, t.TempDir(), pair.Options{Command: instance.Command(), DowngradeAfter: time.Second})
	if err != nil {
		t.Fatal(err)
	}
	defer servers.Close()
	provider, exporter := newProvider(t)
	dial := func(name string, uris ...string) (*client.Client, *holdfastotel.Tracer) {
		tracer := holdfastotel.NewTracer(holdfastotel.Options{TracerProvider: provider})
		c, err := client.Dial(ctx, client.Config{Name: name, Servers: uris, Tracer: client.JoinTracers(nil, tracer)})
		if err != nil {
			t.Fatal(err)
		}
		return c, tracer
	}
	a, b := servers[0], servers[1]
	publisher, publishing := dial("publisher", a.URI(), b.URI())
	defer publisher.Close()
	subscriber, _ := dial("subscriber", b.URI(), a.URI())
	defer subscriber.Close()
	sub, err := subscriber.Subscribe(ctx, "orders", client.From(client.Epoch), client.ID("billing"))
	if err != nil {
		t.Fatal(err)
	}

	if err := a.Suspend(); err != nil {
		t.Fatal(err)
	}
	request, span := provider.Tracer("shop").Start(ctx, "checkout")
	if _, err := publisher.Publish(request, "orders", []byte(`{"id":1}`)); err != nil {
		t.Fatal(err)
	}
	span.End()
	for publisher.Stats().Publish.Sent == 0 && ctx.Err() == nil {
		<-time.After(time.Millisecond)
	}
	if err := a.Kill(); err != nil {
		t.Fatal(err)
	}
	handled := make(chan trace.SpanContext, 1)
	if err := sub.Handle(ctx, func(m *client.Message) error {
		handled <- trace.SpanContextFromContext(m.Context())
		return sub.Unsubscribe()
	}); err != nil {
		t.Fatal(err)
	}
	if err := a.Start(ctx); err != nil {
		t.Fatal(err)
	}
	if err := publisher.FlushSafe(ctx); err != nil { // both servers have it again
		t.Fatal(err)
	}
	publishing.Close()
	checkTrace(t, exporter, (<-handled).TraceID(), a, b)
}

// checkTrace checks the spans of the story.
func checkTrace(t *testing.T, exporter *tracetest.InMemoryExporter, id trace.TraceID, a, b *pair.Instance) {
	spans := exporter.GetSpans()
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	var got []string
	parents, ids := make(map[string]trace.SpanID), make(map[string]trace.SpanID)
	for _, s := range spans {
		if s.SpanContext.TraceID() != id {
			t.Errorf("span %s has trace %s, the handler %s", s.Name, s.SpanContext.TraceID(), id)
		}
		line := s.Name
		if port := valueOf(s, "server.port"); port != "" {
			for _, in := range []*pair.Instance{a, b} {
				if in.ClientAddress == valueOf(s, "server.address")+":"+port {
					line += " to " + in.Name + ", resent " + valueOf(s, "holdfast.resent")
				}
			}
		}
		parents[line], ids[line] = s.Parent.SpanID(), s.SpanContext.SpanID()
		got = append(got, line)
		t.Logf("%s %-25s %v to %v, %s", s.SpanContext.TraceID(), line, s.StartTime.Format("05.000000"), s.EndTime.Format("05.000000"), s.Status.Description)
	}
	want := []string{"checkout", "publish orders", "send orders to a, resent false", "send orders to b, resent true", "process orders"}
	if !slices.Equal(got, want) {
		t.Fatalf("spans\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for child, parent := range map[string]string{
		"publish orders": "checkout", "process orders": "publish orders",
		"send orders to a, resent false": "publish orders", "send orders to b, resent true": "publish orders",
	} {
		if parents[child] != ids[parent] {
			t.Errorf("%s is no child of %s", child, parent)
		}
	}
	first, message, process := spans[2], spans[1], spans[4]
	if first.Status.Description == "" || valueOf(message, "holdfast.outcome") != "safe" || valueOf(message, "messaging.message.id") != valueOf(process, "messaging.message.id") {
		t.Errorf("spans %+v, %+v, %+v", first, message, process)
	}
}
