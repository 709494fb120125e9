// Package otel connects clients with OpenTelemetry: traces that follow a message from Publish over
// failovers to the handler of its subscriber ([Tracer]), and metrics ([Metrics]). It is a module of
// its own, so that package client does not import OpenTelemetry. Import it under another name,
// since an application often imports go.opentelemetry.io/otel too:
//
//	import holdfastotel "github.com/holdfast-mq/holdfast/client/otel"
//
//	tracer := holdfastotel.NewTracer(holdfastotel.Options{})
//	defer tracer.Close()
//	cfg.Tracer = client.JoinTracers(cfg.Tracer, tracer)
//	c, err := client.Dial(ctx, cfg)
//
// The package uses the API of OpenTelemetry only. The application sets up the SDK, with samplers
// and exporters. Without an SDK, spans and metrics go nowhere, and messages get no headers.
//
// README.md, beside this file, lists spans, attributes and metrics.
package otel
