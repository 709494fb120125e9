package client_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/testkit/memnet"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// The statistics count what metrics need: moves by reason, the time without a server, and messages
// that were published and became safe.
func TestStatsForMetrics(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a, b := listen(t, n, "a"), listen(t, n, "b")
		c := start(t, config(n, "a", "b"))
		time.Sleep(3 * time.Second) // the server is silent
		ss, _ := a.logon(0, 0)
		synctest.Wait()
		if got := c.Stats().Offline; got != 3*time.Second {
			t.Errorf("offline for %v before the first logon", got)
		}
		for range 3 {
			if _, err := c.Publish(t.Context(), "orders", nil); err != nil {
				t.Fatal(err)
			}
		}
		ss.expectPublishes(1, 2, 3)
		time.Sleep(time.Second)
		ss.persisted(2)
		synctest.Wait()
		ss.close()
		time.Sleep(2 * time.Second)
		if got := c.Stats().Offline; got != 5*time.Second {
			t.Errorf("offline for %v while no server answers", got)
		}
		ss, _ = b.logon(2, 2)
		ss.expectPublishes(3)
		synctest.Wait()
		st := c.Stats()
		if st.Offline != 5*time.Second || st.MoveReasons[client.MoveFirstLogon] != 1 || st.MoveReasons[client.MoveConnectionLost] != 1 || len(st.MoveReasons) != 2 {
			t.Errorf("offline for %v, moves %v", st.Offline, st.MoveReasons)
		}
		if u := st.Publish.Outstanding; u.Appended != 3 || u.Safe != 2 || u.Messages != 1 || u.Oldest != 3*time.Second {
			t.Errorf("usage %+v", u)
		}
		c.Close()
		time.Sleep(time.Minute)
		if got := c.Stats().Offline; got != 5*time.Second {
			t.Errorf("offline for %v after Close", got)
		}
	})
}

func TestMoveReasons(t *testing.T) {
	for want, m := range map[string]client.Move{
		client.MoveFirstLogon:     {To: "b"},
		client.MovePreferred:      {From: "a", Err: client.ErrPreferred},
		client.MoveServerStopping: {From: "a", Err: fmt.Errorf("connection: %w", client.ErrServerStopping)},
		client.MovePublishGap:     {From: "a", Err: client.ErrPublishGap},
		client.MoveNameInUse:      {From: "a", Err: client.ErrNameInUse},
		client.MoveConnectionLost: {From: "a", Err: client.ErrTimeout},
	} {
		if got := m.Reason(); got != want {
			t.Errorf("reason of %+v is %s, want %s", m, got, want)
		}
	}
}

// Errors of a handler and its retries are counted, and the time of the latest message.
func TestStatsOfHandle(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		one := subscribe(t, c, client.From(client.Epoch), client.WithTime(), client.Retry(client.RetryPolicy{MaxTries: 3}))
		ss, _ := srv.logon(0, 0)
		sub := ss.acceptSubscribe("0")
		s := must(t, one)
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		d := wire.Delivery{Topic: []byte("orders"), SubIDs: sub.SubID, Bookmark: client.Bookmark{Publisher: 5, Sequence: 1}, Timestamp: at.UnixMicro()}
		ss.send(d.AppendTo(nil))
		failure := errors.New("not yet")
		if err := s.Handle(testContext(t), func(m *client.Message) error { return failure }); !errors.Is(err, failure) {
			t.Error(err)
		}
		if st := s.Stats(); st.HandlerErrors != 3 || st.Retries != 2 || !st.LastTime.Equal(at) {
			t.Errorf("stats %+v", st)
		}
	})
}

func TestSampleLatency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var times []time.Duration
		s := client.SampleLatency(func(d time.Duration) { times = append(times, d) })
		publish := func(publisher, sequence uint64, err error) bool {
			m := new(pubstore.Message)
			end := s.StartPublish(t.Context(), m)
			if m.Publisher, m.Sequence = publisher, sequence; end != nil {
				end(err)
			}
			return end != nil
		}
		want := func(want ...time.Duration) {
			t.Helper()
			if !slices.Equal(times, want) {
				t.Errorf("observed %v, want %v", times, want)
			}
			times = nil
		}
		for i := range uint64(20) {
			if measured := publish(1, i+1, nil); measured != (i < 16) {
				t.Errorf("message %d is measured: %v", i+1, measured)
			}
		}
		s.Acked(2, 100, true) // of another life
		want()
		time.Sleep(time.Second)
		s.Acked(1, 2, false)
		want(time.Second, time.Second)
		s.Acked(1, 2, true)
		s.Rejected(&client.RejectedError{Publisher: 1, Message: &pubstore.Message{Sequence: 3}})
		time.Sleep(time.Second)
		s.Acked(1, 4, true)
		want(2 * time.Second)
		publish(1, 0, errors.New("full"))
		publish(1, 4, nil) // its ack came before Publish has returned
		want(0)
		if n := testing.AllocsPerRun(100, func() {
			m := pubstore.Message{}
			for range 30 {
				if end := s.StartPublish(context.Background(), &m); end != nil {
					m.Publisher, m.Sequence = 1, 50
					end(nil)
				}
			}
			s.Acked(1, 50, true)
			times = times[:0]
		}); n > 2 {
			t.Errorf("%v allocations for 30 messages", n)
		}
	})
}

func TestJoinTracers(t *testing.T) {
	if client.JoinTracers(nil, nil) != nil {
		t.Error("a tracer of nothing")
	}
	one, two := new(recorder), new(recorder)
	if client.JoinTracers(nil, one) != client.Tracer(one) {
		t.Error("a tracer alone is not itself")
	}
	j := client.JoinTracers(one, nil, two, client.SampleLatency(func(time.Duration) {}))
	synctest.Test(t, func(t *testing.T) {
		m := &pubstore.Message{Body: []byte("1"), Sequence: 1}
		j.StartPublish(t.Context(), m)(nil)
		j.Sent("tcp://a", 1, 1, 2, 0)
		j.Acked(1, 1, true)
		j.Rejected(&client.RejectedError{Message: m})
		ctx, end := j.StartHandle(t.Context(), &client.Message{Headers: m.Headers})
		end(nil)
		if got := ctx.Value(traceKey{}); got != "of 1" {
			t.Errorf("the context has the trace %v", got)
		}
		want := []string{"publish 1", "stored 1: <nil>", "sent 1 to 2, 0 again, to a", "acked 1, safe true", "rejected 1 with of 1", "handle of 1", "handled: <nil>"}
		if a, b := one.take(), two.take(); !slices.Equal(a, want) || !slices.Equal(b, want) {
			t.Errorf("calls %q and %q", a, b)
		}
	})
}

// A message behind a rejected one is acknowledged once the rejection was reported.
func TestTracerOfARejection(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		a := listen(t, n, "a")
		r := new(recorder)
		cfg := config(n, "a")
		cfg.Tracer = r
		c := start(t, cfg)
		ss, _ := a.logon(0, 0)
		for range 2 {
			if _, err := c.Publish(t.Context(), "orders", nil); err != nil {
				t.Fatal(err)
			}
		}
		ss.expectPublishes(1, 2)
		r.take()
		ss.reject(1, "too bad")
		ss.persisted(2)
		synctest.Wait()
		if got := r.take(); !slices.Contains(got, "acked 2, safe true") {
			t.Errorf("calls %q", got)
		}
	})
}
