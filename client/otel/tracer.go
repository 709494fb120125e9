package otel

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"sync"
	"time"

	global "go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// scope names this package to OpenTelemetry.
const scope = "github.com/holdfast-mq/holdfast/client/otel"

// Options are the options of NewTracer. A zero field means its default.
type Options struct {
	// TracerProvider makes the spans. Default: otel.GetTracerProvider.
	TracerProvider trace.TracerProvider
	// Propagator writes the trace into the headers of a message and reads it there. Publishers and
	// subscribers need the same one. Default: propagation.TraceContext, the W3C headers traceparent
	// and tracestate.
	Propagator propagation.TextMapPropagator
	// MaxSpans bounds the messages whose span waits for the servers. The span of a message beyond
	// that ends once the message is stored. Default 1,024.
	MaxSpans int
	// MaxAge is how long the span of a message waits for the servers. Then it ends, and the message
	// is still delivered. Default 1 minute.
	MaxAge time.Duration
}

// A Tracer is a client.Tracer that makes spans. The span of a message begins at Publish and ends
// when the message is safe or rejected, or at a bound of Options. Its child spans are the sendings
// to servers. The span of Handle continues the trace of the message in the subscriber.
//
// Each client needs a Tracer of its own. Its methods are called by the client and are safe for
// concurrent use. An exporter that blocks in the End of a span blocks the client, so use a
// BatchSpanProcessor.
type Tracer struct {
	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
	maxSpans   int
	maxAge     time.Duration

	mu     sync.Mutex
	table  table       // guarded by mu
	timer  *time.Timer // ends spans at MaxAge; nil: none waits; guarded by mu
	closed bool        // guarded by mu
}

// NewTracer returns a Tracer. Join it with other tracers in client.Config.Tracer
// (client.JoinTracers), and close it after the client.
func NewTracer(o Options) *Tracer {
	if o.TracerProvider == nil {
		o.TracerProvider = global.GetTracerProvider()
	}
	if o.Propagator == nil {
		o.Propagator = propagation.TraceContext{}
	}
	return &Tracer{
		tracer:     o.TracerProvider.Tracer(scope, trace.WithSchemaURL(semconv.SchemaURL)),
		propagator: o.Propagator,
		maxSpans:   cmp.Or(max(o.MaxSpans, 0), 1024),
		maxAge:     cmp.Or(max(o.MaxAge, 0), time.Minute),
		table:      newTable(),
	}
}

// Close ends the spans of the messages that are not safe yet. Call it after the client has ended
// and before the TracerProvider is shut down. A later message gets a span that ends once the
// message is stored. A second call does nothing.
func (t *Tracer) Close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.closed = true
	t.table.endBefore(time.Now(), time.Now())
	if t.timer != nil {
		t.timer.Stop()
		t.timer = nil
	}
}

// system is messaging.system of every span.
var system = semconv.MessagingSystemKey.String("holdfast")

// The outcome of a message, on its span.
const (
	outcomeKey = attribute.Key("holdfast.outcome")

	outcomeSafe     = "safe"     // both servers have it on disk
	outcomeSingle   = "single"   // one server has, and the span has reached its bound
	outcomePending  = "pending"  // no server has acknowledged it, and the span has reached its bound
	outcomeRejected = "rejected" // a server has rejected it
)

// StartPublish implements client.Tracer. A trace that does not fit into the headers of the message
// is left out.
func (t *Tracer) StartPublish(ctx context.Context, m *pubstore.Message) (end func(error)) {
	ctx, span := t.tracer.Start(ctx, "publish "+m.Topic, trace.WithSpanKind(trace.SpanKindProducer), trace.WithAttributes(
		system, semconv.MessagingOperationTypeCreate, semconv.MessagingOperationName("publish"),
		semconv.MessagingDestinationName(m.Topic), semconv.MessagingMessageBodySize(len(m.Body))))
	headers := m.Headers
	t.propagator.Inject(ctx, &headers)
	if fits := headers.Err() == nil; fits {
		m.Headers = headers
	} else {
		span.AddEvent("trace not passed on: the headers are full")
	}
	if !span.IsRecording() {
		return nil
	}
	p := &published{span: span, ctx: ctx, topic: m.Topic, began: time.Now()}
	return func(err error) { t.stored(p, m, err) }
}

// stored is called when Publish returns.
func (t *Tracer) stored(p *published, m *pubstore.Message, err error) {
	if err != nil {
		fail(p.span, err)
		p.span.End()
		return
	}
	p.publisher, p.sequence = m.Publisher, m.Sequence
	p.span.SetAttributes(semconv.MessagingMessageID(client.Bookmark{Publisher: p.publisher, Sequence: p.sequence}.String()))
	p.span.AddEvent("stored")
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.closed || t.table.waiting >= t.maxSpans {
		p.end(time.Now(), outcomePending)
		return
	}
	t.table.add(t.tracer, p)
	t.armLocked()
}

// armLocked has the oldest waiting span end at MaxAge.
func (t *Tracer) armLocked() {
	if t.timer != nil {
		return
	}
	if oldest, found := t.table.oldest(); found {
		t.timer = time.AfterFunc(time.Until(oldest.Add(t.maxAge)), t.expire)
	}
}

// expire ends the spans that have reached MaxAge.
func (t *Tracer) expire() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.timer = nil
	if t.closed {
		return
	}
	now := time.Now()
	t.table.endBefore(now.Add(-t.maxAge), now)
	t.armLocked()
}

// Sent implements client.Tracer.
func (t *Tracer) Sent(server string, publisher, first, last uint64, resent int) {
	s := sending{server: addressOf(server), publisher: publisher, first: first, last: last, resent: resent, at: time.Now()}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table.sent(t.tracer, s)
}

// Acked implements client.Tracer.
func (t *Tracer) Acked(publisher, through uint64, safe bool) {
	now := time.Now()
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table.acked(publisher, through, safe, now)
}

// Rejected implements client.Tracer.
func (t *Tracer) Rejected(err *client.RejectedError) {
	r := rejection{publisher: err.Publisher, sequence: err.Message.Sequence, reason: err.Reason, at: time.Now()}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.table.rejected(r)
}

// StartHandle implements client.Tracer. The span is a child of the message's. If ctx has a span,
// too, there is a link to that.
func (t *Tracer) StartHandle(ctx context.Context, m *client.Message) (handle context.Context, end func(error)) {
	options := []trace.SpanStartOption{trace.WithSpanKind(trace.SpanKindConsumer), trace.WithAttributes(
		system, semconv.MessagingOperationTypeProcess, semconv.MessagingOperationName("process"),
		semconv.MessagingDestinationName(m.Topic), semconv.MessagingMessageBodySize(len(m.Body)))}
	headers := m.Headers
	extracted := t.propagator.Extract(ctx, &headers)
	own, remote := trace.SpanContextFromContext(ctx), trace.SpanContextFromContext(extracted)
	if own.IsValid() && !own.Equal(remote) {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: own}))
	}
	ctx, span := t.tracer.Start(extracted, "process "+m.Topic, options...)
	if !span.IsRecording() {
		return ctx, nil
	}
	if id := m.Ref().Subscription; id != "" {
		span.SetAttributes(semconv.MessagingDestinationSubscriptionName(id))
	}
	if !m.Bookmark.IsZero() {
		span.SetAttributes(semconv.MessagingMessageID(m.Bookmark.String()))
	}
	if m.Redeliveries > 0 {
		span.SetAttributes(attribute.Int("holdfast.redeliveries", m.Redeliveries))
	}
	return ctx, func(err error) {
		if err != nil {
			fail(span, err)
		}
		span.End()
	}
}

// fail records an error in a span.
func fail(span trace.Span, err error) {
	span.RecordError(err)
	span.SetStatus(codes.Error, err.Error())
	span.SetAttributes(semconv.ErrorType(cause(err)))
}

// cause returns the innermost error, whose type says more than that of the text around it.
func cause(err error) error {
	for {
		inner := errors.Unwrap(err)
		if inner == nil {
			return err
		}
		err = inner
	}
}

// addressOf returns the attributes of a server, a URI.
func addressOf(uri string) []attribute.KeyValue {
	host, port := splitAddress(uri)
	attributes := []attribute.KeyValue{semconv.ServerAddress(host)}
	if n, err := strconv.Atoi(port); err == nil {
		attributes = append(attributes, semconv.ServerPort(n))
	}
	return attributes
}
