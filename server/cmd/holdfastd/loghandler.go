package main

import (
	"context"
	"io"
	"log/slog"
	"sync/atomic"

	"github.com/holdfast-mq/holdfast/internal/visible"
)

// A logHandler writes the log as text or JSON. The format may change while the process runs. The
// level is that of the server, which leaves out lines before they come here.
type logHandler struct {
	text, json slog.Handler
	asJSON     *atomic.Bool
}

func newLogHandler(w io.Writer, format string) logHandler {
	all := &slog.HandlerOptions{Level: slog.LevelDebug}
	h := logHandler{text: slog.NewTextHandler(w, all), json: slog.NewJSONHandler(visible.NewJSONWriter(w), all), asJSON: new(atomic.Bool)}
	h.setFormat(format)
	return h
}

// setFormat sets the format of the lines from now on: text or json.
func (h logHandler) setFormat(format string) { h.asJSON.Store(format == "json") }

func (h logHandler) current() slog.Handler {
	if h.asJSON.Load() {
		return h.json
	}
	return h.text
}

// Enabled implements slog.Handler.
func (h logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.current().Handle(ctx, r)
}

// WithAttrs implements slog.Handler.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return logHandler{h.text.WithAttrs(attrs), h.json.WithAttrs(attrs), h.asJSON}
}

// WithGroup implements slog.Handler.
func (h logHandler) WithGroup(name string) slog.Handler {
	return logHandler{h.text.WithGroup(name), h.json.WithGroup(name), h.asJSON}
}
