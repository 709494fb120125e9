package bench

import (
	"encoding/json"
	"errors"
	"testing"
)

func TestTally(t *testing.T) {
	type m struct {
		publisher int
		number    uint64
	}
	for _, tt := range []struct {
		name     string
		messages []m
		want     CountError
	}{
		{"each once and in order", []m{{0, 1}, {1, 1}, {0, 2}, {1, 2}, {1, 3}}, CountError{}},
		{"the last is missing", []m{{0, 1}, {1, 1}, {0, 2}, {1, 2}}, CountError{Lost: 1, Received: 4, Expected: 5}},
		{"one in the middle is missing", []m{{0, 1}, {1, 1}, {0, 2}, {1, 3}}, CountError{Lost: 1, Received: 4, Expected: 5}},
		{"one came twice", []m{{0, 1}, {1, 1}, {0, 1}, {0, 2}, {1, 2}, {1, 3}}, CountError{Duplicated: 1, Received: 5, Expected: 5}},
		{"two are reordered", []m{{0, 2}, {0, 1}, {1, 1}, {1, 2}, {1, 3}}, CountError{Lost: 1, Duplicated: 1, Received: 4, Expected: 5}},
		{"one too many", []m{{0, 1}, {1, 1}, {0, 2}, {1, 2}, {1, 3}, {1, 4}}, CountError{Received: 6, Expected: 5}},
		{"one of an unknown publisher", []m{{0, 1}, {1, 1}, {0, 2}, {2, 1}, {1, 2}, {1, 3}}, CountError{Foreign: 1, Received: 5, Expected: 5}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tally := newTally(2, minSize)
			for _, m := range tt.messages {
				b := newBody(m.publisher, minSize)
				b.set(m.number, 7)
				tally.count(b)
			}
			err := tally.check("", []uint64{2, 3})
			var got CountError
			if wrong, ok := errors.AsType[*CountError](err); ok {
				got = *wrong
			}
			if got != tt.want {
				t.Errorf("got %+v, want %+v", got, tt.want)
			}
		})
	}
}

func TestBody(t *testing.T) {
	for _, size := range []int{minSize, minSize + 1, 256} {
		b := newBody(0xfedc, size)
		want := stamp{0xfedc, 1<<40 - 1, 1<<63 - 1}
		b.set(want.number, want.due)
		if got, ok := parse(b, size); got != want || !ok || !json.Valid(b) {
			t.Errorf("%s is parsed as %v, %v", b, got, ok)
		}
		if _, ok := parse(b, size+1); ok {
			t.Error("a body of another size is accepted")
		}
		b[numberOffset] = '"'
		if _, ok := parse(b, size); ok {
			t.Errorf("%s is accepted", b)
		}
	}
}

// The measurement itself must not allocate.
func TestCountingAllocatesNothing(t *testing.T) {
	b, tally, latencies := newBody(0, 256), newTally(1, 256), newLatencyRecorder()
	n := uint64(0)
	if allocations := testing.AllocsPerRun(1000, func() {
		n++
		b.set(n, 1)
		if s, ok := tally.count(b); ok {
			latencies.record(s.due)
		}
	}); allocations > 0 {
		t.Errorf("%v allocations per message", allocations)
	}
}
