package pubstore

import (
	"testing"

	"pgregory.net/rapid"
)

// orderedWindow returns a window with messages 1 to n, at positions 10, 20, ...
func orderedWindow(n int) *lifeState {
	w := newLifeState("life")
	for i := range n {
		w.append(uint64(10*(i+1)), 1, 0)
	}
	return w
}

// lowest returns the lowest position of a kept message. It looks at all of them.
func lowest(w *lifeState) uint64 {
	low := noPos
	for seq := w.next(0); seq != 0; seq = w.next(seq) {
		low = min(low, w.slots.at(seq).pos)
	}
	return low
}

// While a compaction moves messages, and others are appended and discarded, oldest returns the
// position of a kept message, and no kept message is before it.
func TestOldest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := orderedWindow(rapid.IntRange(0, 20).Draw(t, "messages"))
		end := uint64(1000)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				end += 10
				w.append(end, 1, 0)
			},
			"move": func(t *rapid.T) {
				if seq := w.next(rapid.Uint64Range(0, w.last).Draw(t, "after")); seq != 0 {
					end += 10
					w.setPosition(seq, end)
				}
			},
			"discard": func(t *rapid.T) {
				w.discard(rapid.Uint64Range(w.acked, w.last).Draw(t, "through"), func(slot) {})
			},
			"reject": func(t *rapid.T) {
				w.reject(rapid.Uint64Range(0, w.last).Draw(t, "sequence"), func(slot) {})
			},
			"": func(t *rapid.T) {
				if got, want := w.oldestPosition(), lowest(w); got != want {
					t.Fatalf("the oldest position is %d, want %d", got, want)
				}
			},
		})
	})
}

// A lost message does not hide that its neighbours were moved. oldest finds the first kept one.
func TestOldestBesideALoss(t *testing.T) {
	w := newLifeState("life")
	w.last = 3
	if err := w.prepareSlots(3); err != nil {
		t.Fatal(err)
	}
	w.fillSlot(1, 100, 1, 0) // was moved after 3
	w.fillSlot(3, 50, 1, 0)
	if n := w.giveUpMissing(); n != 1 || w.oldestPosition() != 50 {
		t.Errorf("%d given up, the oldest position is %d", n, w.oldestPosition())
	}
}

// Once the messages moved by a compaction are gone, the first message is the oldest again and
// oldestPosition looks at no other, even in a store that is never empty.
func TestOldestIsFirstAgain(t *testing.T) {
	w := orderedWindow(10)
	w.setPosition(1, 1000)
	w.setPosition(2, 1010)
	w.append(1020, 1, 0)
	w.discard(2, func(slot) {})
	if w.slots.first < w.orderedFrom {
		t.Errorf("of messages from %d on, those below %d are looked at", w.slots.first, w.orderedFrom)
	}
}
