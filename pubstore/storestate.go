package pubstore

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A storeState is everything that a store knows about its messages, except the messages themselves:
// its lives, oldest first, and its bound.
type storeState struct {
	name    string      // client name the store was first used with
	counter uint64      // number of logons (R11)
	boot    string      // boot id when the store was opened last
	closed  bool        // it was closed cleanly
	group   serverGroup // the group of servers met last (R10)

	lives []*lifeState // oldest first; not empty once begin was called; the last one is the current life

	maxMessages int
	maxBytes    int64
	// held and reservedBytes count messages that have room but are still on their way to a commit.
	reserved      int
	reservedBytes int64

	// drop, if set, is called for each message that is discarded or rejected.
	onDrop func(slot)
}

// beginLife starts a new life. Older lives that keep no message are pruned.
func (l *storeState) beginLife(id string) {
	l.lives = append(l.lives, newLifeState(id))
	l.prune()
}

// recordOpen notes that the store is opened under a boot id ("": unknown). It begins a life if there is
// none yet, or if an unsynced tail may be missing: the store was not closed, and the machine has
// booted since (R10).
func (l *storeState) recordOpen(boot, newLife string) {
	trusted := l.hasWholeTail(boot)
	if !trusted {
		l.assumeAllSent() // the disk may lack a logon
	}
	l.boot, l.closed = boot, false
	if len(l.lives) == 0 || !trusted {
		l.beginLife(newLife)
	}
}

// currentBoot returns the boot id of the machine, "" if it is unknown. A nil id means the
// system's.
func currentBoot(id func() (string, error)) string {
	if id == nil {
		id = bootID
	}
	boot, err := id()
	if err != nil {
		return ""
	}
	return boot
}

// hasWholeTail reports whether a store opened under a boot id has its whole tail.
func (l *storeState) hasWholeTail(boot string) bool {
	return l.closed || boot != "" && boot == l.boot || failpoint.On(failpoint.R10SameLife)
}

// logon checks the client name and increments the counter (R11).
func (l *storeState) logon(name string) error {
	if l.name != "" && l.name != name {
		return fmt.Errorf("%w: it is %q's, not %q's", ErrNameMismatch, l.name, name)
	}
	l.name = name
	l.counter++
	if !failpoint.On(failpoint.R10SentNotKept) {
		l.assumeAllSent()
	}
	return nil
}

// assumeAllSent notes that every message may have been sent, including later ones.
func (l *storeState) assumeAllSent() {
	for _, w := range l.lives {
		w.sent = math.MaxUint64
	}
}

// current returns the life that Append adds to.
func (l *storeState) current() *lifeState { return l.lives[len(l.lives)-1] }

// life returns a life by its id, or nil.
func (l *storeState) life(id string) *lifeState {
	for _, w := range l.lives {
		if w.id == id {
			return w
		}
	}
	return nil
}

// lifeOf returns the life of a publisher, or nil.
func (l *storeState) lifeOf(publisher uint64) *lifeState {
	for _, w := range l.lives {
		if w.publisher == publisher {
			return w
		}
	}
	return nil
}

// prune removes older lives that keep no message.
func (l *storeState) prune() {
	current := l.current()
	l.lives = slices.DeleteFunc(l.lives, func(w *lifeState) bool { return w != current && w.kept == 0 })
}

func (l *storeState) dropSlot(s slot) {
	if l.onDrop != nil {
		l.onDrop(s)
	}
}

// discard removes all messages of a life up to through. It reports whether acked moved.
func (l *storeState) discard(w *lifeState, through uint64) bool {
	acked := w.acked
	w.discard(through, l.dropSlot)
	l.prune()
	return w.acked != acked
}

// reject removes one message. It returns false if the message is not kept.
func (l *storeState) reject(w *lifeState, seq uint64) bool {
	rejected := w.reject(seq, l.dropSlot)
	l.prune()
	return rejected
}

// fits reports whether a message of size bytes has room.
func (l *storeState) fits(size int) bool { return l.fitsWith(0, int64(size)) }

// fitsWith reports whether one more message has room beside n others. bytes is the size of all
// of them.
func (l *storeState) fitsWith(n int, bytes int64) bool {
	kept, keptBytes := l.keptTotals()
	if failpoint.On(failpoint.R5NoBound) {
		return true
	}
	return kept+l.reserved+n < l.maxMessages && keptBytes+l.reservedBytes+bytes <= l.maxBytes
}

func (l *storeState) keptTotals() (n int, bytes int64) {
	for _, w := range l.lives {
		n += w.kept
		bytes += w.bytes
	}
	return n, bytes
}

// listLives returns the result of Store.Lives.
func (l *storeState) listLives() []Life {
	lives := make([]Life, len(l.lives))
	for i, w := range l.lives {
		lives[i] = Life{ID: w.id, Acked: w.acked, Last: w.last, Kept: w.kept, PlainOffset: w.plainOffset, PlainOffsetAfter: w.plainOffsetAfter, Clock: w.clock, Sent: min(w.sent, w.last)}
	}
	return lives
}

// usage computes the Usage at a time in milliseconds since the Unix epoch.
func (l *storeState) usage(now int64) Usage {
	var u Usage
	u.Messages, u.Bytes = l.keptTotals()
	for _, w := range l.lives {
		if w.single > w.acked {
			u.Single += int(w.single - w.acked - w.rejected.count(w.single))
		}
		if w.slots.n > 0 {
			age := time.Duration(now-w.slots.time(w.slots.first)) * time.Millisecond
			u.Oldest = max(u.Oldest, age)
		}
	}
	return u
}
