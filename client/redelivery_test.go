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
)

var errBoom = errors.New("boom")

// subscribeToFour returns a bookmark subscription that has received the messages 1 to 4.
func subscribeToFour(t *testing.T, n *memnet.Network, opts ...client.SubscribeOption) (*client.Client, *client.Subscription) {
	t.Helper()
	srv := listen(t, n, "a")
	c := start(t, config(n, "a"))
	sub := subscribe(t, c, append(opts, client.From(client.Epoch))...)
	ss, _ := srv.logon(0, 0)
	m := ss.acceptSubscribe("0")
	s := must(t, sub)
	ss.deliver(m, sequenceRange(1, 4)...)
	synctest.Wait()
	return c, s
}

// readOneTurn reads one message and leaves the loop in its turn.
func readOneTurn(t *testing.T, s *client.Subscription) *client.Message {
	t.Helper()
	for m, err := range s.Messages(testContext(t)) {
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	t.Fatal("no message")
	return nil
}

// Handle is called in a loop, as users of other brokers do. A message whose function failed comes
// again before any later message.
func TestHandleAgainAfterAnError(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		_, s := subscribeToFour(t, n)
		var got []string
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		failures := 0
		for ctx.Err() == nil {
			err := s.Handle(ctx, func(m *client.Message) error {
				got = append(got, fmt.Sprintf("%s %d", m.Body, m.Redeliveries))
				if string(m.Body) == body(2) && failures < 2 {
					failures++
					return errBoom
				}
				if string(m.Body) == body(4) {
					cancel()
				}
				return nil
			})
			if !errors.Is(err, errBoom) && !errors.Is(err, context.Canceled) {
				t.Fatal(err)
			}
		}
		want := []string{body(1) + " 0", body(2) + " 0", body(2) + " 1", body(2) + " 2", body(3) + " 0", body(4) + " 0"}
		if !slices.Equal(got, want) {
			t.Errorf("handled %q, want %q", got, want)
		}
		if st := s.Stats(); st.Outstanding != 0 {
			t.Errorf("%d outstanding", st.Outstanding)
		}
	})
}

// The message comes again however the loop is left in its turn. It does not if it was discarded by
// then, or if the loop went on to the next turn.
func TestTheMessageOfTheTurnComesAgain(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		_, s := subscribeToFour(t, n)
		if m := readOneTurn(t, s); string(m.Body) != body(1) || m.Redeliveries != 0 {
			t.Errorf("%q, redelivered %d", m.Body, m.Redeliveries)
		}
		func() {
			defer func() { recover() }()
			for range s.Messages(testContext(t)) {
				panic("in the turn")
			}
		}()
		m := readOneTurn(t, s)
		if string(m.Body) != body(1) || m.Redeliveries != 2 || m.Topic == "" || m.Bookmark.Sequence != 1 {
			t.Errorf("after a panic: %+v", m)
		}
		if err := s.Discard(m.Ref()); err != nil { // as another goroutine may do
			t.Error(err)
		}
		kept := 0
		for m, err := range s.Messages(testContext(t)) {
			if err != nil {
				t.Fatal(err)
			}
			if kept++; kept == 1 && string(m.Body) != body(2) {
				t.Errorf("after a discard: %q", m.Body)
			}
			if kept == 2 {
				break // leaves in the turn of 3; the application keeps 2
			}
		}
		if m := readOneTurn(t, s); string(m.Body) != body(3) || m.Redeliveries != 1 {
			t.Errorf("%q, redelivered %d, want 3 again", m.Body, m.Redeliveries)
		}
		if st := s.Stats(); st.Outstanding != 3 {
			t.Errorf("%d outstanding, want 3", st.Outstanding)
		}
		if err := s.Unsubscribe(); err != nil {
			t.Error(err)
		}
		for m, err := range s.Messages(testContext(t)) {
			t.Errorf("after Unsubscribe: %v, %v", m, err)
		}
	})
}

// After an Unsubscribe within the turn the message does not come again.
func TestUnsubscribeInTheTurn(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		_, s := subscribeToFour(t, n)
		for range s.Messages(testContext(t)) {
			s.Unsubscribe()
			break
		}
		for m, err := range s.Messages(testContext(t)) {
			t.Errorf("after Unsubscribe: %v, %v", m, err)
		}
	})
}

// A subscription without bookmark has no outstanding messages.
func TestNothingComesAgainWithoutBookmark(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		srv := listen(t, n, "a")
		c := start(t, config(n, "a"))
		sub := subscribe(t, c)
		ss, _ := srv.logon(0, 0)
		m := ss.acceptSubscribe("")
		s := must(t, sub)
		ss.deliver(m, 1, 2)
		if m := readOneTurn(t, s); string(m.Body) != body(1) {
			t.Errorf("%q", m.Body)
		}
		if m := readOneTurn(t, s); string(m.Body) != body(2) {
			t.Errorf("%q", m.Body)
		}
	})
}

// Retry calls the function again after a delay, up to the number of tries. Then GiveUp decides.
func TestRetry(t *testing.T) {
	run(t, func(t *testing.T, n *memnet.Network) {
		var aside []string
		_, s := subscribeToFour(t, n, client.Retry(client.RetryPolicy{
			Delay: time.Second, MaxTries: 3,
			GiveUp: func(m *client.Message, err error) error {
				if string(m.Body) == body(3) {
					return fmt.Errorf("no place for %s: %w", m.Body, err)
				}
				aside = append(aside, string(m.Body))
				return nil
			},
		}))
		var got []string
		began := time.Now()
		err := s.Handle(testContext(t), func(m *client.Message) error {
			got = append(got, fmt.Sprintf("%s %d", m.Body, m.Redeliveries))
			if string(m.Body) == body(1) && m.Redeliveries == 1 {
				return nil
			}
			return errBoom
		})
		want := []string{
			body(1) + " 0", body(1) + " 1", body(2) + " 0", body(2) + " 1", body(2) + " 2", body(3) + " 0", body(3) + " 1", body(3) + " 2",
		}
		if !errors.Is(err, errBoom) || !slices.Equal(got, want) || !slices.Equal(aside, []string{body(2)}) {
			t.Errorf("%v, handled %q, aside %q", err, got, aside)
		}
		if took := time.Since(began); took != 5*time.Second {
			t.Errorf("took %v, want 5 delays of 1s", took)
		}
		if st := s.Stats(); st.Outstanding != 2 {
			t.Errorf("%d outstanding, want 3 and 4", st.Outstanding)
		}
		if m := readOneTurn(t, s); string(m.Body) != body(3) || m.Redeliveries != 3 {
			t.Errorf("then %q, redelivered %d", m.Body, m.Redeliveries)
		}
	})
}

// Each cause that ends Handle also ends its delay.
func TestRetryEnds(t *testing.T) {
	forever := client.Retry(client.RetryPolicy{Delay: time.Hour})
	fails := func(*client.Message) error { return errBoom }
	run(t, func(t *testing.T, n *memnet.Network) {
		_, s := subscribeToFour(t, n, forever)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := s.Handle(ctx, fails); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("ctx has ended: %v", err)
		}
		if m := readOneTurn(t, s); string(m.Body) != body(1) || m.Redeliveries != 1 {
			t.Errorf("then %q, redelivered %d", m.Body, m.Redeliveries)
		}
		time.AfterFunc(time.Minute, func() { s.Unsubscribe() })
		if err := s.Handle(t.Context(), fails); err != nil {
			t.Errorf("unsubscribed: %v", err)
		}
	})
	run(t, func(t *testing.T, n *memnet.Network) {
		c, s := subscribeToFour(t, n, forever)
		time.AfterFunc(time.Minute, func() { c.Close() })
		if err := s.Handle(t.Context(), fails); !errors.Is(err, client.ErrClosed) {
			t.Errorf("closed: %v", err)
		}
	})
}
