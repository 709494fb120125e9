package pubstore

import (
	"testing"

	"pgregory.net/rapid"
)

// orderedWindow returns a window with messages 1 to n, at positions 10, 20, ...
func orderedWindow(n int) *lifeState {
	l := newLifeState("life")
	for i := range n {
		l.append(uint64(10*(i+1)), 1, 0)
	}
	return l
}

// lowest returns the lowest position of a kept message. It looks at all of them.
func lowest(l *lifeState) uint64 {
	low := noPos
	for seq := l.next(0); seq != 0; seq = l.next(seq) {
		low = min(low, l.slots.at(seq).pos)
	}
	return low
}

// While a compaction moves messages, and others are appended and discarded, oldest returns the
// position of a kept message, and no kept message is before it.
func TestOldest(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := orderedWindow(rapid.IntRange(0, 20).Draw(t, "messages"))
		end := uint64(1000)
		t.Repeat(map[string]func(*rapid.T){
			"append": func(t *rapid.T) {
				end += 10
				l.append(end, 1, 0)
			},
			"move": func(t *rapid.T) {
				if seq := l.next(rapid.Uint64Range(0, l.last).Draw(t, "after")); seq != 0 {
					end += 10
					l.setPosition(seq, end)
				}
			},
			"discard": func(t *rapid.T) {
				l.discard(rapid.Uint64Range(l.acked, l.last).Draw(t, "through"), func(slot) {})
			},
			"reject": func(t *rapid.T) {
				l.reject(rapid.Uint64Range(0, l.last).Draw(t, "sequence"), func(slot) {})
			},
			"": func(t *rapid.T) {
				if got, want := l.oldestPosition(), lowest(l); got != want {
					t.Fatalf("the oldest position is %d, want %d", got, want)
				}
			},
		})
	})
}

// A lost message does not hide that its neighbours were moved. oldest finds the first kept one.
func TestOldestBesideALoss(t *testing.T) {
	l := newLifeState("life")
	l.last = 3
	if err := l.prepareSlots(3); err != nil {
		t.Fatal(err)
	}
	l.fillSlot(1, 100, 1, 0) // was moved after 3
	l.fillSlot(3, 50, 1, 0)
	if n := l.giveUpMissing(); n != 1 || l.oldestPosition() != 50 {
		t.Errorf("%d given up, the oldest position is %d", n, l.oldestPosition())
	}
}

// Once the messages moved by a compaction are gone, the first message is the oldest again and
// oldestPosition looks at no other, even in a store that is never empty.
func TestOldestIsFirstAgain(t *testing.T) {
	l := orderedWindow(10)
	l.setPosition(1, 1000)
	l.setPosition(2, 1010)
	l.append(1020, 1, 0)
	l.discard(2, func(slot) {})
	if l.slots.first < l.orderedFrom {
		t.Errorf("of messages from %d on, those below %d are looked at", l.slots.first, l.orderedFrom)
	}
}
