package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A recorder is a Tracer that notes its calls. It gives each message a traceparent.
type recorder struct {
	mu    sync.Mutex
	calls []string // guarded by mu
}

type traceKey struct{}

func (r *recorder) note(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls = append(r.calls, fmt.Sprintf(format, args...))
}

// take returns the calls since the last take.
func (r *recorder) take() []string {
	synctest.Wait()
	r.mu.Lock()
	defer r.mu.Unlock()
	calls := r.calls
	r.calls = nil
	return calls
}

func (r *recorder) StartPublish(ctx context.Context, m *pubstore.Message) func(error) {
	r.note("publish %s", m.Body)
	m.Headers.Set("traceparent", "of "+string(m.Body))
	return func(err error) { r.note("stored %d: %v", m.Sequence, err) }
}

func (r *recorder) Sent(server string, _, first, last uint64, resent int) {
	r.note("sent %d to %d, %d again, to %s", first, last, resent, server[len("tcp://"):][:1])
}

func (r *recorder) Acked(_, through uint64, safe bool) { r.note("acked %d, safe %v", through, safe) }
func (r *recorder) Rejected(err *client.RejectedError) {
	r.note("rejected %d with %s", err.Message.Sequence, err.Message.Headers.Get("traceparent"))
}

func (r *recorder) StartHandle(ctx context.Context, m *client.Message) (context.Context, func(error)) {
	r.note("handle %s", m.Headers.Get("traceparent"))
	return context.WithValue(ctx, traceKey{}, m.Headers.Get("traceparent")), func(err error) { r.note("handled: %v", err) }
}

func isStored(call string) bool { return strings.HasPrefix(call, "stored ") }

// A tracer sees each step of a message, also across a failover.
func TestTracerOfAPublisher(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		r := new(recorder)
		cfg := config(n, "a", "b")
		cfg.Tracer = r
		c := start(t, cfg)
		ss, _ := a.logon(0, 0)
		synctest.Wait()
		wantCalls := func(want ...string) { // the end of Publish and what follows may change places
			t.Helper()
			got := r.take()
			if stored := slices.IndexFunc(got, isStored); stored >= 0 {
				call := got[stored]
				got = slices.Insert(slices.Delete(got, stored, stored+1), 1, call)
			}
			if !slices.Equal(got, want) {
				t.Errorf("calls\n%q, want\n%q", got, want)
			}
		}
		own := headers("k", "v")
		m := &pubstore.Message{Topic: "orders", Body: []byte("1"), Headers: own}
		if _, err := c.PublishMessage(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		if m.Headers.Len() != 1 {
			t.Errorf("the caller's message has the headers %v", m.Headers.Keys())
		}
		sent := ss.expect(wire.Publish)
		if h, err := pubstore.DecodeHeaders(sent.Headers); err != nil || h.Get("traceparent") != "of 1" || h.Get("k") != "v" {
			t.Errorf("headers %q, %v", sent.Headers, err)
		}
		wantCalls("publish 1", "stored 1: <nil>", "sent 1 to 1, 0 again, to a")
		if _, err := c.Publish(t.Context(), "orders", []byte("2")); err != nil {
			t.Fatal(err)
		}
		ss.expectPublishes(2)
		ss.single(1)
		wantCalls("publish 2", "stored 2: <nil>", "sent 2 to 2, 0 again, to a", "acked 1, safe false")
		ss.close()
		ss, _ = b.logon(1, 1)
		if h, err := pubstore.DecodeHeaders(ss.expect(wire.Publish).Headers); err != nil || h.Get("traceparent") != "of 2" {
			t.Errorf("sent again: %v, %v", h.Keys(), err)
		}
		ss.reject(2, "too bad")
		time.Sleep(time.Second)
		wantCalls("acked 1, safe true", "sent 2 to 2, 1 again, to b", "rejected 2 with of 2", "acked 1, safe true")
		if _, err := c.Publish(t.Context(), "", nil); err == nil {
			t.Error("no topic, and no error")
		}
		wantCalls("publish ", "stored 0: publish: no topic")
	})
}

// A shortTracer gives all messages the same traceparent.
type shortTracer struct{ recorder }

func (*shortTracer) StartPublish(_ context.Context, m *pubstore.Message) func(error) {
	m.Headers.Set("traceparent", "short")
	return nil
}

// A tracer has no message refused: one that is too large with its trace only, for the server or
// for the store, is published without it.
func TestTraceTooLarge(t *testing.T) {
	for _, tt := range []struct {
		name    string
		bound   int
		options pubstore.MemoryOptions
	}{
		{"server", limit, pubstore.MemoryOptions{}},
		{"store", 1000, pubstore.MemoryOptions{MaxMessage: 1000}},
	} {
		run(t, func(t *testing.T, n *memnet.Network) {
			srv := listen(t, n, "a")
			cfg := config(n, "a")
			cfg.Tracer = new(shortTracer)
			cfg.PublishStore = pubstore.NewMemory(tt.options)
			c := start(t, cfg)
			ss, _ := srv.logon(0, 0)
			synctest.Wait()
			body := make([]byte, tt.bound)
			for {
				_, err := c.Publish(t.Context(), "orders", body)
				if err == nil {
					break
				}
				if tooLarge := (*client.TooLargeError)(nil); !errors.As(err, &tooLarge) {
					t.Fatal(err)
				}
				body = body[1:]
			}
			if m := ss.expect(wire.Publish); len(m.Body) != len(body) || m.Headers != nil {
				t.Errorf("limit of the %s: %d bytes with headers %q, want %d without", tt.name, len(m.Body), m.Headers, len(body))
			}
			m := &pubstore.Message{Topic: "orders", Body: body[300:], Headers: headers("k", "v")}
			if _, err := c.PublishMessage(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if h, err := pubstore.DecodeHeaders(ss.expect(wire.Publish).Headers); err != nil || h.Len() != 2 {
				t.Errorf("headers %v, %v", h.Keys(), err)
			}
		})
	}
}

// Handle continues the trace of each message in its context, and ends it with the function's error.
func TestTracerOfASubscriber(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		r := new(recorder)
		cfg := config(n, "a")
		cfg.Tracer = r
		c := start(t, cfg)
		one := subscribe(t, c, client.From(client.Epoch), client.Retry(client.RetryPolicy{MaxTries: 2}))
		ss, _ := srv.logon(0, 0)
		sub := ss.acceptSubscribe("0")
		s := must(t, one)
		for seq := range uint64(2) {
			d := wire.Delivery{Topic: []byte("orders"), SubIDs: sub.SubID, Headers: headers("traceparent", fmt.Sprint(seq)).Encoded()}
			d.Bookmark = client.Bookmark{Publisher: 5, Sequence: seq + 1}
			ss.send(d.AppendTo(nil))
		}
		tries := 0
		failure := errors.New("not yet")
		err := s.Handle(testContext(t), func(m *client.Message) error {
			if got := m.Context().Value(traceKey{}); got != m.Headers.Get("traceparent") {
				t.Errorf("the context has the trace %v", got)
			}
			if tries++; tries == 2 {
				return nil
			}
			return failure
		})
		if !errors.Is(err, failure) {
			t.Error(err)
		}
		want := []string{"handle 0", "handled: not yet", "handle 0", "handled: <nil>", "handle 1", "handled: not yet", "handle 1", "handled: not yet"}
		if got := r.take(); !slices.Equal(got, want) {
			t.Errorf("calls %q", got)
		}
		func() {
			defer func() { recover() }()
			s.Handle(testContext(t), func(*client.Message) error { panic("bug") })
		}()
		if got := r.take(); !slices.Equal(got, []string{"handle 1", "handled: the function panicked"}) {
			t.Errorf("calls %q", got)
		}
		for m := range s.Messages(testContext(t)) {
			if m.Context() != context.Background() {
				t.Error("a message outside Handle has the context of Handle")
			}
			break
		}
	})
}
