package otel_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/holdfast-mq/holdfast/client"
	holdfastotel "github.com/holdfast-mq/holdfast/client/otel"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// newProvider returns a provider whose ended spans are in the exporter.
func newProvider(t testing.TB) (*sdk.TracerProvider, *tracetest.InMemoryExporter) {
	exporter := tracetest.NewInMemoryExporter()
	provider := sdk.NewTracerProvider(sdk.WithSyncer(exporter))
	t.Cleanup(func() { provider.Shutdown(context.Background()) })
	return provider, exporter
}

// valueOf returns an attribute of a span as text, empty if it has none.
func valueOf(s tracetest.SpanStub, key attribute.Key) string {
	for _, a := range s.Attributes {
		if a.Key == key {
			return a.Value.String()
		}
	}
	return ""
}

// describe returns the ended spans by their beginning, each with outcome, server, events and status.
func describe(e *tracetest.InMemoryExporter) (lines []string) {
	spans := e.GetSpans()
	slices.SortStableFunc(spans, func(a, b tracetest.SpanStub) int { return a.StartTime.Compare(b.StartTime) })
	for _, s := range spans {
		line := s.Name
		for _, key := range []attribute.Key{"server.address", "holdfast.resent", "holdfast.outcome", "error.type"} {
			if v := valueOf(s, key); v != "" {
				line += " " + string(key) + "=" + v
			}
		}
		for _, event := range s.Events {
			line += " [" + event.Name + "]"
		}
		if s.Status.Code == codes.Error {
			line += " error: " + s.Status.Description
		}
		lines = append(lines, line)
	}
	e.Reset()
	return lines
}

// A script calls a tracer as a client does.
type script struct {
	*testing.T
	*holdfastotel.Tracer
	exporter *tracetest.InMemoryExporter
}

func newScript(t *testing.T, o holdfastotel.Options) *script {
	s := &script{T: t}
	o.TracerProvider, s.exporter = newProvider(t)
	s.Tracer = holdfastotel.NewTracer(o)
	return s
}

// publish publishes a message. meanwhile is called after it is stored and before Publish returns.
func (s *script) publish(publisher, sequence uint64, meanwhile func()) {
	m := &pubstore.Message{Topic: "orders", Body: []byte("body")}
	end := s.StartPublish(context.Background(), m)
	m.Publisher, m.Sequence = publisher, sequence
	meanwhile()
	end(nil)
}

func (s *script) want(lines ...string) {
	s.Helper()
	if got := describe(s.exporter); !slices.Equal(got, lines) {
		s.Errorf("spans\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(lines, "\n"))
	}
}

func nothing() {}

// The span of a message says which server had it, and how it ended.
func TestSpansOfAMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, holdfastotel.Options{})
		defer s.Close()
		step := func() { time.Sleep(time.Millisecond) }
		s.publish(1, 1, nothing)
		step()
		s.publish(1, 2, nothing)
		step()
		s.Sent("tcp://user@a:9007/amps/json", 1, 1, 2, 0)
		step()
		s.Acked(1, 1, false)
		step()
		s.Sent("tcp://b:9008/amps/json", 1, 1, 2, 2)
		step()
		s.Acked(1, 1, true)
		s.Acked(1, 1, true)
		s.Rejected(&client.RejectedError{Publisher: 1, Message: &pubstore.Message{Sequence: 2}, Reason: "too bad"})
		s.Rejected(&client.RejectedError{Publisher: 1, Message: &pubstore.Message{Sequence: 2}, Reason: "too bad"})
		s.want("publish orders holdfast.outcome=safe [stored] [single] [safe]",
			"publish orders holdfast.outcome=rejected [stored] [rejected] error: too bad",
			"send orders server.address=a holdfast.resent=false",
			"send orders server.address=a holdfast.resent=false error: no acknowledgement: the message was sent again",
			"send orders server.address=b holdfast.resent=true",
			"send orders server.address=b holdfast.resent=true error: too bad")
	})
}

// A message may be sent, and acknowledged or rejected, before its Publish returns, and by another
// life's session.
func TestSpansOfAFastServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, holdfastotel.Options{})
		defer s.Close()
		s.Acked(2, 99, true)
		s.publish(1, 1, func() {
			time.Sleep(time.Millisecond)
			for range 20 {
				s.Sent("tcp://c:1/", 2, 1, 99, 99)
			}
			s.Sent("tcp://a:1/", 1, 1, 1, 0)
			s.Acked(1, 1, true)
		})
		s.want("publish orders holdfast.outcome=safe [stored] [safe]", "send orders server.address=a holdfast.resent=false")
		s.publish(1, 2, func() {
			time.Sleep(time.Millisecond)
			s.Sent("tcp://a:1/", 1, 2, 2, 0)
			s.Rejected(&client.RejectedError{Publisher: 1, Message: &pubstore.Message{Sequence: 2}, Reason: "too bad"})
			s.Acked(1, 2, true)
		})
		s.want("publish orders holdfast.outcome=rejected [stored] [rejected] error: too bad",
			"send orders server.address=a holdfast.resent=false error: too bad")
	})
}

// Spans end at the bounds, and at Close.
func TestBoundsOfSpans(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newScript(t, holdfastotel.Options{MaxSpans: 2, MaxAge: 10 * time.Second})
		s.publish(1, 1, nothing)
		time.Sleep(time.Second)
		s.publish(2, 1, nothing)
		s.Sent("unix://localhost/amps/json?path=/run/h.sock", 2, 1, 1, 0)
		s.Acked(2, 1, false)
		s.want("send orders server.address=/run/h.sock holdfast.resent=false")
		s.publish(2, 2, nothing)
		s.want("publish orders holdfast.outcome=pending [stored]")
		time.Sleep(9*time.Second - time.Millisecond)
		s.want()
		time.Sleep(time.Millisecond)
		synctest.Wait()
		s.want("publish orders holdfast.outcome=pending [stored]")
		time.Sleep(time.Second)
		synctest.Wait()
		s.want("publish orders holdfast.outcome=single [stored] [single]")
		s.publish(3, 1, nothing)
		s.Close()
		s.Close()
		s.want("publish orders holdfast.outcome=pending [stored]")
		s.publish(3, 2, nothing)
		s.want("publish orders holdfast.outcome=pending [stored]")
	})
}

// Without a recording provider, nothing is kept. A sampler that says no is passed on.
func TestSpansOff(t *testing.T) {
	m := &pubstore.Message{Topic: "orders"}
	off := holdfastotel.NewTracer(holdfastotel.Options{TracerProvider: noop.NewTracerProvider()})
	if end := off.StartPublish(context.Background(), m); end != nil || m.Headers.Len() != 0 {
		t.Errorf("without a provider, the message has %q", m.Headers.Keys())
	}
	never := holdfastotel.NewTracer(holdfastotel.Options{TracerProvider: sdk.NewTracerProvider(sdk.WithSampler(sdk.NeverSample()))})
	if end := never.StartPublish(context.Background(), m); end != nil || !strings.HasSuffix(m.Headers.Get("traceparent"), "-00") {
		t.Errorf("of a trace that is not sampled, the message has %q", m.Headers.Get("traceparent"))
	}
	if _, end := never.StartHandle(context.Background(), &client.Message{Headers: m.Headers}); end != nil {
		t.Error("a span of a trace that is not sampled")
	}
}

// A trace that does not fit into the headers does not refuse the message.
func TestHeadersAreFull(t *testing.T) {
	s := newScript(t, holdfastotel.Options{})
	m := &pubstore.Message{Topic: "orders"}
	for i := range pubstore.MaxHeaderCount {
		m.Headers.Set(fmt.Sprint(i), "value")
	}
	end := s.StartPublish(t.Context(), m)
	if err := m.Headers.Err(); err != nil || m.Headers.Len() != pubstore.MaxHeaderCount {
		t.Errorf("%d headers, %v", m.Headers.Len(), err)
	}
	end(fmt.Errorf("publish: %w", pubstore.ErrFull))
	s.want("publish orders error.type=*errors.errorString [trace not passed on: the headers are full] [exception] error: publish: " + pubstore.ErrFull.Error())
}

// The span of a handler continues the trace of the message and links to the one around Handle.
func TestSpanOfAHandler(t *testing.T) {
	s := newScript(t, holdfastotel.Options{})
	m := &pubstore.Message{Topic: "orders"}
	s.StartPublish(t.Context(), m)
	around := trace.NewSpanContext(trace.SpanContextConfig{TraceID: trace.TraceID{1}, SpanID: trace.SpanID{2}, TraceFlags: trace.FlagsSampled})
	ctx, end := s.StartHandle(trace.ContextWithSpanContext(t.Context(), around), &client.Message{Topic: "orders", Headers: m.Headers, Redeliveries: 1})
	end(errors.New("not yet"))
	span := s.exporter.GetSpans()[0]
	id := trace.SpanContextFromContext(ctx)
	if !strings.Contains(m.Headers.Get("traceparent"), id.TraceID().String()) || span.Parent.TraceID() != id.TraceID() || !span.Parent.IsRemote() {
		t.Errorf("the message has %s, the span %+v", m.Headers.Get("traceparent"), span)
	}
	if len(span.Links) != 1 || !span.Links[0].SpanContext.Equal(around) || valueOf(span, "holdfast.redeliveries") != "1" || span.SpanKind != trace.SpanKindConsumer {
		t.Errorf("span %+v", span)
	}
	s.want("process orders error.type=*errors.errorString [exception] error: not yet")

	// A message without a trace: the span is a child of the one around Handle.
	_, end = s.StartHandle(trace.ContextWithSpanContext(t.Context(), around), &client.Message{Topic: "orders"})
	end(nil)
	if span := s.exporter.GetSpans()[0]; span.Parent.TraceID() != around.TraceID() || len(span.Links) != 0 {
		t.Errorf("span %+v", span)
	}
}
