package ring_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/ring"
)

// A queue behaves like a slice.
func TestQueue(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var q ring.Queue[int]
		var model []int
		next := 0
		t.Repeat(map[string]func(*rapid.T){
			"push": func(t *rapid.T) {
				for range rapid.IntRange(1, 20).Draw(t, "entries") {
					next++
					q.Push(next)
					model = append(model, next)
				}
			},
			"pop": func(t *rapid.T) {
				for range min(rapid.IntRange(1, 20).Draw(t, "entries"), len(model)) {
					if got := q.Pop(); got != model[0] {
						t.Fatalf("popped %d, want %d", got, model[0])
					}
					model = model[1:]
				}
			},
			"change": func(t *rapid.T) {
				if len(model) == 0 {
					t.Skip()
				}
				i := rapid.IntRange(0, len(model)-1).Draw(t, "place")
				*q.At(i) *= -1
				model[i] *= -1
			},
			"clear": func(*rapid.T) {
				q.Clear()
				model = model[:0]
			},
			"": func(t *rapid.T) {
				if q.Len() != len(model) {
					t.Fatalf("%d entries, want %d", q.Len(), len(model))
				}
				for i, want := range model {
					if got := *q.At(i); got != want {
						t.Fatalf("place %d holds %d, want %d", i, got, want)
					}
				}
			},
		})
	})
}

// A queue does not keep entries that were popped or cleared, and allocates only to grow.
func TestQueueKeepsNothing(t *testing.T) {
	var q ring.Queue[*int]
	for range 8 { // the whole ring
		q.Push(new(int))
	}
	places := make([]**int, 8)
	for i := range places {
		places[i] = q.At(i)
	}
	q.Pop()
	q.Clear()
	for i, place := range places {
		if *place != nil {
			t.Errorf("place %d keeps its entry", i)
		}
	}
	entry := new(int)
	if n := testing.AllocsPerRun(100, func() { q.Push(entry); q.Pop() }); n != 0 {
		t.Errorf("push and pop: %v allocations", n)
	}
}

func BenchmarkQueue(b *testing.B) {
	type entry struct {
		sequence uint64
		_        uint8 // the size of an entry of an ack
	}
	var q ring.Queue[entry]
	for i := range uint64(100) {
		q.Push(entry{sequence: i})
	}
	b.ReportAllocs()
	for i := uint64(100); b.Loop(); i++ {
		q.Push(entry{sequence: i})
		if got := q.Pop().sequence; got != i-100 {
			b.Fatal(got)
		}
	}
}
