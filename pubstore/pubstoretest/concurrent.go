package pubstoretest

import (
	"context"
	"encoding/binary"
	"fmt"
	"sync"
	"testing"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// testConcurrent runs appenders, a reader, discards and rejections at the same time. The race
// detector watches them, and the test checks that no message is lost or reordered.
func testConcurrent(t *testing.T, h Harness) {
	const goroutines, each = 8, 60
	s := open(t, h, Options{MaxMessages: 100})
	life := s.life().ID
	var wg sync.WaitGroup
	for g := range goroutines {
		wg.Go(func() {
			var last uint64
			for n := range each {
				seq, err := s.Append(t.Context(), numberedMessage(g, n))
				if err != nil || seq <= last {
					t.Errorf("Append = %d, %v after %d", seq, err, last)
					return
				}
				last = seq
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	runSender(t, s, life, goroutines*each, done)
	s.Lives()
	if u := s.Usage(); u.Messages != 0 || u.Bytes != 0 {
		t.Errorf("usage is %+v when all messages were discarded or rejected", u)
	}
}

func numberedMessage(goroutine, n int) *pubstore.Message {
	b := binary.AppendUvarint(binary.AppendUvarint(nil, uint64(goroutine)), uint64(n))
	return &pubstore.Message{Topic: fmt.Sprint("from ", goroutine), Body: b}
}

// runSender does the work of a client: it reads appended messages in order and discards or
// sometimes rejects them.
func runSender(t *testing.T, s store, life string, total uint64, done <-chan struct{}) {
	c := s.cursor(life, 0)
	next := map[uint64]uint64{} // by goroutine
	var last, rejected uint64
	for last < total {
		var m pubstore.Message
		ok, err := c.Next(&m)
		if err != nil {
			t.Fatalf("Next after %d: %v", last, err)
		}
		if !ok {
			select {
			case <-s.Appended():
			case <-done: // the last message may have been read already
				done = nil
			case <-longContext(t).Done():
				t.Fatalf("no message after %d", last)
			}
			continue
		}
		checkNumbered(t, &m, last, rejected, next)
		last = m.Sequence
		s.SetSingle(life, last)
		s.Usage()
		if last%7 == 0 {
			s.reject(life, last)
			rejected = last
		} else if last%5 == 0 || total-last < 100 {
			s.discard(life, last)
		}
	}
	s.discard(life, last)
}

func checkNumbered(t *testing.T, m *pubstore.Message, last, rejected uint64, next map[uint64]uint64) {
	t.Helper()
	prev := last
	if rejected == last && last != 0 {
		prev = last - 1
	}
	if m.Sequence != last+1 || m.Prev != prev {
		t.Fatalf("read %d with Prev %d after %d, want Prev %d", m.Sequence, m.Prev, last, prev)
	}
	g, k := binary.Uvarint(m.Body)
	n, _ := binary.Uvarint(m.Body[k:])
	if n != next[g] {
		t.Fatalf("message %d of goroutine %d follows %d of its messages", n, g, next[g])
	}
	next[g]++
}

func testCursorDuringAppends(t *testing.T, h Harness) {
	const total = 300
	s := open(t, h, Options{})
	life := s.life().ID
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := uint64(1); n <= total; n++ {
			m := &pubstore.Message{Topic: "orders", Body: body(n)}
			if _, err := s.Append(context.Background(), m); err != nil {
				t.Errorf("Append: %v", err)
				return
			}
		}
	})
	for range 2 {
		wg.Go(func() {
			c, err := s.Cursor(life, 0)
			if err != nil {
				t.Errorf("Cursor: %v", err)
				return
			}
			defer c.Close()
			for last := uint64(0); last < total && !t.Failed(); {
				var m pubstore.Message
				ok, err := c.Next(&m)
				if err != nil || ok && m.Sequence != last+1 {
					t.Errorf("Next after %d = %d, %v", last, m.Sequence, err)
					return
				}
				if ok {
					last = m.Sequence
				}
			}
		})
	}
	wg.Wait()
}
