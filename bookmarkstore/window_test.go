package bookmarkstore

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// runStep runs one step of a script on a window: "receive 3", "discard 3", "mark 3", "base 3",
// "restore 3" and "outoforder 3" (stored values), "rewind". They are about publisher 1; "receive
// 2:3" is about publisher 2. It returns the result.
func runStep(t *testing.T, w *window, step string) string {
	t.Helper()
	verb, rest, _ := strings.Cut(step, " ")
	b := Bookmark{Publisher: 1}
	if strings.Contains(rest, ":") {
		fmt.Sscanf(rest, "%d:%d", &b.Publisher, &b.Sequence)
	} else {
		fmt.Sscanf(rest, "%d", &b.Sequence)
	}
	describeChanges := func(changes ...change) string {
		var all []string
		for _, c := range changes {
			if c.discarded > 0 {
				all = append(all, fmt.Sprintf("%d discarded %d", c.publisher.id, c.discarded))
			}
			if c.outOfOrder > 0 {
				all = append(all, fmt.Sprintf("%d outoforder %d", c.publisher.id, c.outOfOrder))
			}
		}
		return strings.Join(all, ", ")
	}
	switch verb {
	case "receive":
		fresh, c := w.receive(b)
		if !fresh {
			return strings.TrimSpace("dropped " + describeChanges(c))
		}
		return describeChanges(c)
	case "discard":
		return describeChanges(w.discard(b))
	case "mark":
		return describeChanges(w.receiveMarks(Vector{b.Publisher: b.Sequence}, nil)...)
	case "base":
		return describeChanges(w.setBase(Vector{b.Publisher: b.Sequence}, nil)...)
	case "restore":
		w.restore(b)
	case "outoforder":
		w.addOutOfOrder(b)
	case "rewind":
		w.rewind()
	default:
		t.Fatalf("step %q", step)
	}
	return ""
}

func TestWindow(t *testing.T) {
	for _, tt := range []struct {
		name  string
		steps []string // "step" or "step = result"
		want  string   // received, discarded, outstanding
	}{
		{"nothing", nil, "[] [] 0"},
		{"in order",
			[]string{"receive 3", "receive 5", "discard 3 = 1 discarded 3", "discard 5 = 1 discarded 5"},
			"[1:5] [1:5] 0"},
		{"out of order",
			[]string{"receive 3", "receive 5", "receive 7", "discard 5 = 1 outoforder 5", "discard 7 = 1 outoforder 7", "discard 3 = 1 discarded 7"},
			"[1:7] [1:7] 0"},
		{"a duplicate is dropped",
			[]string{"receive 3", "receive 3 = dropped", "receive 2 = dropped", "discard 3 = 1 discarded 3", "receive 3 = dropped"},
			"[1:3] [1:3] 0"},
		{"discarding twice, or an unknown message",
			[]string{"receive 3", "receive 5", "discard 5 = 1 outoforder 5", "discard 5", "discard 4", "discard 9", "discard 2:3"},
			"[1:5] [] 1"},
		{"a mark without messages",
			[]string{"mark 4 = 1 discarded 4", "mark 3", "mark 4"},
			"[1:4] [1:4] 0"},
		{"a mark behind a message",
			[]string{"receive 3", "mark 6", "receive 8", "discard 3 = 1 discarded 6"},
			"[1:8] [1:6] 1"},
		{"a mark before and one behind an out-of-order discard",
			[]string{"receive 3", "mark 4", "receive 5", "mark 6", "discard 5 = 1 outoforder 5", "discard 3 = 1 discarded 6"},
			"[1:6] [1:6] 0"},
		{"two marks in a row are one",
			[]string{"receive 3", "mark 4", "mark 9", "discard 3 = 1 discarded 9"},
			"[1:9] [1:9] 0"},
		{"a mark covers older messages",
			[]string{"mark 4 = 1 discarded 4", "receive 4 = dropped", "receive 5"},
			"[1:5] [1:4] 1"},
		{"a mark waits for its own publisher only",
			[]string{"receive 3", "mark 2:9 = 2 discarded 9", "mark 5"},
			"[1:5 2:9] [2:9] 1"},
		{"a base",
			[]string{"base 4 = 1 discarded 4", "receive 5"},
			"[1:5] [1:4] 1"},
		{"a late base waits",
			[]string{"receive 3", "base 9", "discard 3 = 1 discarded 9"},
			"[1:9] [1:9] 0"},
		{"undiscarded messages after a restart",
			[]string{"restore 3", "outoforder 7", "outoforder 5", "receive 4", "receive 5 = dropped", "receive 6", "receive 7 = dropped", "receive 8",
				"discard 4 = 1 discarded 5", "discard 6 = 1 discarded 7"},
			"[1:8] [1:7] 1"},
		{"a stored out-of-order discard is delivered first",
			[]string{"restore 3", "outoforder 5", "receive 5 = dropped 1 discarded 5", "receive 6"},
			"[1:6] [1:5] 1"},
		{"a stored out-of-order discard is not delivered again",
			[]string{"restore 3", "outoforder 5", "receive 4", "receive 6", "discard 6 = 1 outoforder 6", "discard 4 = 1 discarded 6"},
			"[1:6] [1:6] 0"},
		{"a mark above a stored out-of-order discard",
			[]string{"restore 3", "outoforder 5", "mark 6 = 1 discarded 6", "receive 7", "discard 7 = 1 discarded 7"},
			"[1:7] [1:7] 0"},
		{"stored out-of-order discards at or below the discarded point",
			[]string{"restore 5", "outoforder 5", "outoforder 4", "outoforder 6", "outoforder 6"},
			"[1:5] [1:5] 0"},
		{"rewind",
			[]string{"receive 3", "receive 5", "receive 7", "mark 9", "discard 3 = 1 discarded 3", "discard 7 = 1 outoforder 7", "rewind"},
			"[1:3] [1:3] 0"},
		{"several rewinds",
			[]string{"receive 3", "receive 5", "receive 7", "discard 5 = 1 outoforder 5", "rewind", "receive 3", "rewind",
				"receive 3", "receive 5 = dropped", "receive 7", "discard 7 = 1 outoforder 7", "rewind",
				"receive 3", "receive 5 = dropped", "receive 7 = dropped", "discard 3 = 1 discarded 7"},
			"[1:7] [1:7] 0"},
		{"the highest sequence",
			[]string{"mark 18446744073709551614 = 1 discarded 18446744073709551614", "receive 18446744073709551615",
				"discard 18446744073709551615 = 1 discarded 18446744073709551615"},
			"[1:18446744073709551615] [1:18446744073709551615] 0"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := &window{}
			for i, s := range tt.steps {
				step, want, _ := strings.Cut(s, " = ")
				if got := runStep(t, w, step); got != want {
					t.Fatalf("step %d, %s: %q, want %q", i, step, got, want)
				}
			}
			if got := describe(w); got != tt.want {
				t.Errorf("at the end %s, want %s", got, tt.want)
			}
		})
	}
}

func describe(w *window) string {
	text := func(v Vector, _ bool) string {
		var all []string
		for _, id := range slices.Sorted(maps.Keys(v)) {
			all = append(all, fmt.Sprintf("%d:%d", id, v[id]))
		}
		return fmt.Sprint(all)
	}
	return fmt.Sprintf("%s %s %d", text(w.receivedVector()), text(w.discardedVector()), w.outstanding)
}

// The vectors name every publisher. With only one bookmark, messages of other publishers would be
// lost if another instance has them in another order.
func TestWindowVectorsNameEveryPublisher(t *testing.T) {
	w := &window{}
	for _, step := range []string{"receive 1:7", "receive 2:4", "discard 1:7", "discard 2:4"} {
		runStep(t, w, step)
	}
	if got, want := describe(w), "[1:7 2:4] [1:7 2:4] 0"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestReach(t *testing.T) {
	w := &window{}
	for _, step := range []string{"receive 2", "receive 4", "receive 6", "mark 7", "receive 8", "discard 6"} {
		runStep(t, w, step)
	}
	for _, tt := range []struct {
		from  uint64
		extra []uint64
		want  uint64
	}{
		{0, nil, 0},
		{0, []uint64{2}, 2},
		{0, []uint64{4}, 0},
		{0, []uint64{2, 4}, 7},
		{2, []uint64{2, 4}, 7},
		{0, []uint64{2, 4, 8}, 8},
	} {
		if got := w.publishers[1].reach(tt.from, tt.extra); got != tt.want {
			t.Errorf("reach(%d, %v) = %d, want %d", tt.from, tt.extra, got, tt.want)
		}
	}
}

func TestQueueGrowsAroundItsEnd(t *testing.T) {
	var q queue
	next, first := uint64(1), uint64(1)
	for _, n := range []struct{ push, pop int }{{5, 3}, {6, 0}, {20, 25}, {40, 43}} {
		for range n.push {
			q.Push(entry{sequence: 2 * next})
			next++
		}
		for range n.pop {
			if e := q.Pop(); e.sequence != 2*first {
				t.Fatalf("pop = %d, want %d", e.sequence, 2*first)
			}
			first++
		}
		for s := first; s < next; s++ {
			if e := q.find(2 * s); e == nil || e.sequence != 2*s {
				t.Fatalf("find(%d) = %v", 2*s, e)
			}
			if e := q.find(2*s - 1); e != nil {
				t.Fatalf("find(%d) = %v, want none", 2*s-1, e)
			}
		}
	}
}

func TestMemoryDoesNotAllocate(t *testing.T) {
	m := NewMemory()
	defer m.Close()
	s, err := m.OpenSubscription("s", Query{Topic: "orders"})
	if err != nil {
		t.Fatal(err)
	}
	next := uint64(1)
	steady := func() {
		// Two messages, discarded in reverse order.
		a, b := Bookmark{Publisher: next % 7, Sequence: next}, Bookmark{Publisher: next % 7, Sequence: next + 1}
		s.Receive(a)
		s.Receive(b)
		s.Discard(b)
		s.Discard(a)
		next += 2
	}
	for range 100 {
		steady()
	}
	if n := testing.AllocsPerRun(1000, steady); n != 0 {
		t.Errorf("%v allocations for receiving and discarding, want 0", n)
	}
	mark := Vector{}
	if n := testing.AllocsPerRun(1000, func() {
		next += 2
		mark[1] = next
		s.ReceiveMark(mark)
	}); n != 0 {
		t.Errorf("%v allocations for a progress mark, want 0", n)
	}
}
