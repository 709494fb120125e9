package pubstore

import (
	"testing"

	"pgregory.net/rapid"
)

// orderedLife returns a lifeState with messages 1 to n, at positions 10, 20, ...
func orderedLife(n int) *lifeState {
	l := newLifeState("life")
	for i := range n {
		l.append(uint64(10*(i+1)), 1, 0)
	}
	return l
}

// lowestPosition returns the lowest position of a kept message. It looks at all of them.
func lowestPosition(l *lifeState) uint64 {
	low := noPos
	for seq := l.next(0); seq != 0; seq = l.next(seq) {
		low = min(low, l.slots.at(seq).pos)
	}
	return low
}

// oldestPosition returns the lowest position of a kept message, whatever messages a compaction
// moves and whatever is appended and discarded.
func TestOldestPosition(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		l := orderedLife(rapid.IntRange(0, 20).Draw(t, "messages"))
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
				if got, want := l.oldestPosition(), lowestPosition(l); got != want {
					t.Fatalf("the oldest position is %d, want %d", got, want)
				}
			},
		})
	})
}

// oldestPosition is also right if an unreadable message is between messages that were moved.
func TestOldestPositionWithUnreadable(t *testing.T) {
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

// Once the messages moved by a compaction are gone, the first message has the oldest position
// again. oldestPosition examines no other then, even in a store that is never empty.
func TestOldestPositionIsFirstAgain(t *testing.T) {
	l := orderedLife(10)
	l.setPosition(1, 1000)
	l.setPosition(2, 1010)
	l.append(1020, 1, 0)
	l.discard(2, func(slot) {})
	if l.slots.first < l.orderedFrom {
		t.Errorf("of the messages from %d on, those below %d are examined", l.slots.first, l.orderedFrom)
	}
}
