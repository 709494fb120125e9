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
	size  int
	next  []uint64 // by publisher: the number that comes next
	lost  uint64   // numbers passed over
	twice uint64   // numbers that came again, or too late
	alien uint64   // bodies that are none of ours

	passed atomic.Int64  // numbers that came or were passed over
	want   atomic.Int64  // how many there are, as soon as that is known
	all    chan struct{} // closed when passed has come to want
	told   atomic.Bool   // all is closed, or about to be
	at     time.Time     // when that was; not before all is closed
}

func newTally(publishers, size int) *tally {
	t := &tally{size: size, next: make([]uint64, publishers), all: make(chan struct{})}
	t.want.Store(math.MaxInt64)
	for i := range t.next {
		t.next[i] = 1
	}
	return t
}

// take counts one message.
func (t *tally) take(data []byte) (s stamp, ok bool) {
	s, ok = parse(data, t.size)
	if !ok || s.publisher >= len(t.next) {
		t.alien++
		return s, false
	}
	next := t.next[s.publisher]
	if s.number < next {
		t.twice++
		return s, false
	}
	t.lost += s.number - next
	t.next[s.publisher] = s.number + 1
	if t.passed.Add(int64(s.number+1-next)) >= t.want.Load() {
		t.tell()
	}
	return s, true
}

// expect says how many messages there are.
func (t *tally) expect(n int) {
	t.want.Store(int64(n))
	if t.passed.Load() >= int64(n) {
		t.tell()
	}
}

func (t *tally) tell() {
	if !t.told.Swap(true) {
		t.at = time.Now()
		close(t.all)
	}
}

// A CountError is a count that is wrong.
type CountError struct {
	Where                  string
	Lost, Duplicated       int
	Alien, Received, Wants int
}

func (e *CountError) Error() string {
	return fmt.Sprintf("%s: %d lost, %d duplicated or out of order, %d not of this run, %d of %d received",
		e.Where, e.Lost, e.Duplicated, e.Alien, e.Received, e.Wants)
}

// verdict compares with what each publisher has published. Nobody may take meanwhile.
func (t *tally) verdict(where string, published []uint64) error {
	e := &CountError{Where: where, Duplicated: int(t.twice), Alien: int(t.alien)}
	lost, wrong := t.lost, e.Duplicated+e.Alien > 0
	for p, n := range published {
		got := t.next[p] - 1
		e.Received, e.Wants = e.Received+int(got), e.Wants+int(n)
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
