package pubstoretest

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// inBubble runs a case in virtual time.
func inBubble(f func(*testing.T, Harness)) func(*testing.T, func(*testing.T) Harness) {
	return func(t *testing.T, newHarness func(t *testing.T) Harness) {
		synctest.Test(t, func(t *testing.T) { f(t, newHarness(t)) })
	}
}

func testFullMessages(t *testing.T, h Harness) {
	s := open(t, h, Options{MaxMessages: 3, FailWhenFull: true})
	life := s.life().ID
	full := func() {
		t.Helper()
		if _, err := s.Append(t.Context(), &pubstore.Message{Topic: "orders"}); !errors.Is(err, pubstore.ErrFull) {
			t.Fatalf("Append to a full store: %v", err)
		}
	}
	s.publish(3)
	full()
	s.checkLife(0, 3, 3)
	s.discard(life, 1)
	s.publish(4)
	full()
	s.reject(life, 3)
	s.publish(5)
	full()
	s.renew() // messages of the old life count towards the bound
	full()
	s.discard(life, 5)
	s.publish(3)
	full()
}

func testFullBytes(t *testing.T, h Harness) {
	s := open(t, h, Options{MaxBytes: 1000, FailWhenFull: true})
	put := func(n int) error {
		_, err := s.Append(t.Context(), &pubstore.Message{Topic: "t", Body: make([]byte, n-1)})
		return err
	}
	for _, n := range []int{400, 400, 200} {
		if err := put(n); err != nil {
			t.Fatalf("Append of %d bytes: %v", n, err)
		}
	}
	if err := put(1); !errors.Is(err, pubstore.ErrFull) {
		t.Fatalf("Append to a full store: %v", err)
	}
	s.discard(s.life().ID, 1)
	if err := put(401); !errors.Is(err, pubstore.ErrFull) {
		t.Fatalf("Append of a message without room: %v", err)
	}
	if err := put(400); err != nil {
		t.Fatalf("Append of a message with room: %v", err)
	}
}

// A result is the outcome of an Append that waited.
type result struct {
	name string
	seq  uint64
	err  error
}

// appendAsync appends in a new goroutine, and returns once the Append waits or has ended.
func (s store) appendAsync(ctx context.Context, name string, size int, done chan<- result) {
	go func() {
		seq, err := s.Append(ctx, &pubstore.Message{Topic: name, Body: make([]byte, size)})
		done <- result{name, seq, err}
	}()
	synctest.Wait()
}

func (s store) checkWaiting(done <-chan result) {
	s.t.Helper()
	synctest.Wait()
	select {
	case r := <-done:
		s.t.Fatalf("Append of %s did not wait: %d, %v", r.name, r.seq, r.err)
	default:
	}
}

func testWaitForDiscard(t *testing.T, h Harness) {
	s := open(t, h, Options{MaxMessages: 2})
	life, done := s.life().ID, make(chan result)
	s.publish(2)
	s.appendAsync(t.Context(), "w", 0, done)
	s.checkWaiting(done)
	s.discard(life, 1)
	if r := <-done; r.seq != 3 || r.err != nil {
		t.Fatalf("Append after the wait = %d, %v", r.seq, r.err)
	}
	s.checkLife(1, 3, 2)
}

func testWaitForReject(t *testing.T, h Harness) {
	s := open(t, h, Options{MaxMessages: 3})
	life, done := s.life().ID, make(chan result)
	s.publish(3)
	s.appendAsync(t.Context(), "w", 0, done)
	s.checkWaiting(done)
	s.reject(life, 2)
	if r := <-done; r.seq != 4 || r.err != nil {
		t.Fatalf("Append after the wait = %d, %v", r.seq, r.err)
	}
	s.checkLife(0, 4, 3)
}

func testWaitCancelled(t *testing.T, h Harness) {
	s := open(t, h, Options{MaxMessages: 1})
	life, done := s.life().ID, make(chan result)
	s.publish(1)
	ctx, cancel := context.WithCancel(t.Context())
	s.appendAsync(ctx, "a", 0, done)
	timeout, stop := context.WithTimeout(t.Context(), time.Second)
	defer stop()
	s.appendAsync(timeout, "b", 0, done)
	s.appendAsync(t.Context(), "c", 0, done)
	cancel()
	if r := <-done; r.name != "a" || !errors.Is(r.err, context.Canceled) {
		t.Fatalf("the first to end is %+v, want a, cancelled", r)
	}
	if r := <-done; r.name != "b" || !errors.Is(r.err, context.DeadlineExceeded) {
		t.Fatalf("the next to end is %+v, want b, deadline exceeded", r)
	}
	s.checkWaiting(done)
	s.checkLife(0, 1, 1)
	s.discard(life, 1)
	if r := <-done; r.name != "c" || r.seq != 2 || r.err != nil {
		t.Fatalf("the last to end is %+v, want c as 2", r)
	}
	s.checkLife(1, 2, 1)
}

func testWaitClosed(t *testing.T, h Harness) {
	s := open(t, h, Options{MaxMessages: 1})
	done := make(chan result)
	s.publish(1)
	for range 3 {
		s.appendAsync(t.Context(), "w", 0, done)
	}
	s.checkWaiting(done)
	s.close()
	for range 3 {
		if r := <-done; !errors.Is(r.err, pubstore.ErrClosed) {
			t.Fatalf("Append on a store that closes: %v", r.err)
		}
	}
}

func testWaitInOrder(t *testing.T, h Harness) {
	s := open(t, h, Options{MaxBytes: 1000})
	life, done := s.life().ID, make(chan result, 3)
	fill := func() {
		t.Helper()
		if _, err := s.Append(t.Context(), &pubstore.Message{Body: make([]byte, 500)}); err != nil {
			t.Fatal(err)
		}
	}
	fill()
	fill()
	s.appendAsync(t.Context(), "large", 700, done)
	s.appendAsync(t.Context(), "small", 10, done)
	s.appendAsync(t.Context(), "small too", 10, done)
	s.discard(life, 1) // makes room for the small ones only, but they wait behind the large one
	s.checkWaiting(done)
	s.discard(life, 2)
	seqs := map[string]uint64{}
	for range 3 {
		r := <-done
		if r.err != nil {
			t.Fatal(r.err)
		}
		seqs[r.name] = r.seq
	}
	if seqs["large"] != 3 || seqs["small"] != 4 || seqs["small too"] != 5 {
		t.Fatalf("served out of order: %v", seqs)
	}
}

// testWaitMany lets many publishers wait for a client with a slow server. Each of them must
// succeed, although the client frees room for one message at a time.
func testWaitMany(t *testing.T, h Harness) {
	s := open(t, h, Options{MaxMessages: 4})
	life, done := s.life().ID, make(chan result)
	const goroutines, each = 20, 10
	for range goroutines {
		go func() {
			for range each {
				if _, err := s.Append(t.Context(), &pubstore.Message{Topic: "orders"}); err != nil {
					done <- result{err: err}
					return
				}
			}
			done <- result{}
		}()
	}
	go func() {
		for n := uint64(1); n <= goroutines*each; {
			<-s.Appended()
			for ; n <= s.life().Last; n++ {
				if err := s.Discard(life, n); err != nil {
					done <- result{err: err}
					return
				}
			}
		}
		done <- result{}
	}()
	for range goroutines + 1 {
		if r := <-done; r.err != nil {
			t.Fatal(r.err)
		}
	}
	s.checkLife(goroutines*each, goroutines*each, 0)
}

func testAge(t *testing.T, h Harness) {
	s := open(t, h, Options{})
	life := s.life().ID
	age := func(want time.Duration) {
		t.Helper()
		if got := s.Usage().Oldest; got < want-2*time.Millisecond || got > want+time.Second/2 {
			t.Fatalf("the oldest is %v old, want %v", got, want)
		}
	}
	age(0)
	s.publish(1)
	time.Sleep(time.Minute)
	s.publish(2)
	age(time.Minute)
	time.Sleep(time.Hour)
	s.publish(3)
	s.discard(life, 1)
	age(time.Hour)
	s.renew()
	s.publish(1)
	time.Sleep(time.Second)
	s.discard(life, 2)
	age(time.Second)
	s.reject(life, 3)
	age(time.Second)
	s.discard(s.life().ID, 1)
	age(0)
}
