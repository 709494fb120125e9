package bench

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// A tally counts the messages of one subscriber. Each publisher's messages must
// occur once and in order.
type tally struct {
	size     int
	next     []uint64 // by publisher: the next number
	lost     uint64   // skipped numbers
	repeated uint64   // repeated or late numbers
	foreign  uint64   // bodies that are not of this run

	counted     atomic.Int64  // received and skipped numbers
	expected    atomic.Int64  // number of messages, once that is known
	complete    chan struct{} // closed when counted has reached expected
	completed   atomic.Bool   // complete is closed, or about to be
	completedAt time.Time     // time at which complete was closed; valid from then on
}

func newTally(publishers, size int) *tally {
	t := &tally{size: size, next: make([]uint64, publishers), complete: make(chan struct{})}
	t.expected.Store(math.MaxInt64)
	for i := range t.next {
		t.next[i] = 1
	}
	return t
}

// count counts a message.
func (t *tally) count(data []byte) (s stamp, ok bool) {
	s, ok = parse(data, t.size)
	if !ok || s.publisher >= len(t.next) {
		t.foreign++
		return s, false
	}
	next := t.next[s.publisher]
	if s.number < next {
		t.repeated++
		return s, false
	}
	t.lost += s.number - next
	t.next[s.publisher] = s.number + 1
	if t.counted.Add(int64(s.number+1-next)) >= t.expected.Load() {
		t.signalComplete()
	}
	return s, true
}

// setExpected sets the number of messages.
func (t *tally) setExpected(n int) {
	t.expected.Store(int64(n))
	if t.counted.Load() >= int64(n) {
		t.signalComplete()
	}
}

func (t *tally) signalComplete() {
	if !t.completed.Swap(true) {
		t.completedAt = time.Now()
		close(t.complete)
	}
}

// A CountError reports lost, repeated, reordered or foreign messages.
type CountError struct {
	Where                       string
	Lost, Duplicated            int
	Foreign, Received, Expected int
}

func (e *CountError) Error() string {
	return fmt.Sprintf("%s: %d lost, %d duplicated or out of order, %d not of this run, %d of %d received",
		e.Where, e.Lost, e.Duplicated, e.Foreign, e.Received, e.Expected)
}

// check compares the counts with the published messages of each publisher. No
// message may be counted meanwhile.
func (t *tally) check(where string, published []uint64) error {
	e := &CountError{Where: where, Duplicated: int(t.repeated), Foreign: int(t.foreign)}
	lost, wrong := t.lost, e.Duplicated+e.Foreign > 0
	for p, n := range published {
		got := t.next[p] - 1
		e.Received, e.Expected = e.Received+int(got), e.Expected+int(n)
		lost += n - min(n, got)
		wrong = wrong || got != n
	}
	e.Received -= int(t.lost)
	e.Lost = int(lost)
	if wrong || lost > 0 {
		return e
	}
	return nil
}
