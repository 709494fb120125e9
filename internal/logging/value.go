// Package logging is what the logs of servers and clients have in common: values that every handler
// writes readably, and the times of reminders. server/LOGS.md lists the lines and their keys.
package logging

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"time"
)

// NewHandler returns a handler that makes the values of records plain, see Plain, and passes the
// records to next.
func NewHandler(next slog.Handler) slog.Handler { return plainHandler{next} }

type plainHandler struct{ next slog.Handler }

func (h plainHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h plainHandler) Handle(ctx context.Context, r slog.Record) error {
	return h.next.Handle(ctx, PlainRecord(r))
}

func (h plainHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return plainHandler{h.next.WithAttrs(PlainAttrs(attrs))}
}

func (h plainHandler) WithGroup(name string) slog.Handler {
	return plainHandler{h.next.WithGroup(name)}
}

// PlainRecord returns a copy of a record with plain values, without those that are empty.
func PlainRecord(r slog.Record) slog.Record {
	plain := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if a = Plain(a); !isEmpty(a.Value) {
			plain.AddAttrs(a)
		}
		return true
	})
	return plain
}

// isEmpty reports whether a value says nothing: an empty text, or nil.
func isEmpty(v slog.Value) bool {
	return v.Kind() == slog.KindString && v.String() == "" || v.Kind() == slog.KindAny && v.Any() == nil
}

// PlainAttrs returns a copy of attributes with plain values.
func PlainAttrs(attrs []slog.Attr) []slog.Attr {
	plain := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		plain[i] = Plain(a)
	}
	return plain
}

// Plain makes a value readable in every format: a duration becomes a text such as 1.5s, which JSON
// would write as nanoseconds, and a value with a method String, such as an address, becomes its
// text. Errors and all other values stay as they are.
func Plain(a slog.Attr) slog.Attr {
	switch v := a.Value.Resolve(); v.Kind() {
	case slog.KindDuration:
		return slog.String(a.Key, durationText(v.Duration()))
	case slog.KindAny:
		if s, is := v.Any().(fmt.Stringer); is {
			if _, isError := s.(error); !isError && !isNil(s) {
				return slog.String(a.Key, s.String())
			}
		}
		return slog.Attr{Key: a.Key, Value: v}
	default:
		return slog.Attr{Key: a.Key, Value: v}
	}
}

// durationText returns the text of a duration with a precision that people read: a millisecond,
// or a second from a minute on.
func durationText(d time.Duration) string {
	if d.Abs() >= time.Minute {
		return d.Round(time.Second).String()
	}
	return d.Round(time.Millisecond).String()
}

// isNil reports whether a Stringer is a nil pointer, whose method may panic.
func isNil(s fmt.Stringer) bool {
	v := reflect.ValueOf(s)
	return v.Kind() == reflect.Pointer && v.IsNil()
}
