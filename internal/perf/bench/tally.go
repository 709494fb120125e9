package bench

import (
	"fmt"
	"math"
	"sync/atomic"
	"time"
)

// A tally counts what comes in at one place, where each publisher's messages
// must be there once and in order.
type tally struct {
	size     int
	next     []uint64 // by publisher: the number that comes next
	lost     uint64   // numbers passed over
	repeated uint64   // numbers that came again, or too late
	foreign  uint64   // bodies that are none of ours

	counted     atomic.Int64  // numbers that came or were passed over
	expected    atomic.Int64  // how many there are, as soon as that is known
	complete    chan struct{} // closed when passed has come to want
	completed   atomic.Bool   // complete is closed, or about to be
	completedAt time.Time     // when that was; not before all is closed
}

func newTally(publishers, size int) *tally {
	t := &tally{size: size, next: make([]uint64, publishers), complete: make(chan struct{})}
	t.expected.Store(math.MaxInt64)
	for i := range t.next {
		t.next[i] = 1
	}
	return t
}

// count counts one message.
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

// setExpected says how many messages there are.
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

// A CountError is a count that is wrong.
type CountError struct {
	Where                       string
	Lost, Duplicated            int
	Foreign, Received, Expected int
}

func (e *CountError) Error() string {
	return fmt.Sprintf("%s: %d lost, %d duplicated or out of order, %d not of this run, %d of %d received",
		e.Where, e.Lost, e.Duplicated, e.Foreign, e.Received, e.Expected)
}

// check compares with what each publisher has published. Nobody may take meanwhile.
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
