package pubstore

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A storeState is the whole state of a store, except the messages themselves: its lives and its
// bound.
type storeState struct {
	name    string      // client name the store was first used with
	counter uint64      // number of logons (R11)
	boot    string      // boot id when the store was opened last
	closed  bool        // it was closed cleanly
	group   serverGroup // the group of servers that the client logged on to last (R10)

	lives []*lifeState // oldest first; not empty once beginLife was called; the last one is current

	maxMessages int
	maxBytes    int64
	// reserved and reservedBytes count messages that have been admitted and wait for their commit.
	reserved      int
	reservedBytes int64

	appended, safe int64 // see Usage

	// onDrop, if set, is called for each message that is discarded or rejected.
	onDrop func(slot)
}

// beginLife starts a new life. Older lives that keep no message are pruned.
func (s *storeState) beginLife(id string) {
	s.lives = append(s.lives, newLifeState(id))
	s.prune()
}

// recordOpen records that the store is opened under a boot id ("": unknown). It begins a life if
// there is none yet, or if an unsynced tail may be missing: the store was not closed, and the
// machine has booted since (R10).
func (s *storeState) recordOpen(boot, newLife string) {
	trusted := s.hasWholeTail(boot)
	if !trusted {
		s.assumeAllSent() // the disk may lack a logon
	}
	s.boot, s.closed = boot, false
	if len(s.lives) == 0 || !trusted {
		s.beginLife(newLife)
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
func (s *storeState) hasWholeTail(boot string) bool {
	return s.closed || boot != "" && boot == s.boot || failpoint.On(failpoint.R10SameLife)
}

// logon checks the client name and increments the counter (R11).
func (s *storeState) logon(name string) error {
	if s.name != "" && s.name != name {
		return fmt.Errorf("%w: %q, not %q", ErrNameMismatch, s.name, name)
	}
	s.name = name
	s.counter++
	if !failpoint.On(failpoint.R10SentNotKept) {
		s.assumeAllSent()
	}
	return nil
}

// assumeAllSent records that every message may have been sent, including later ones.
func (s *storeState) assumeAllSent() {
	for _, l := range s.lives {
		l.sent = math.MaxUint64
	}
}

// current returns the life that Append adds to.
func (s *storeState) current() *lifeState { return s.lives[len(s.lives)-1] }

// life returns a life by its id, or nil.
func (s *storeState) life(id string) *lifeState {
	for _, l := range s.lives {
		if l.id == id {
			return l
		}
	}
	return nil
}

// lifeOf returns the life of a publisher, or nil.
func (s *storeState) lifeOf(publisher uint64) *lifeState {
	for _, l := range s.lives {
		if l.publisher == publisher {
			return l
		}
	}
	return nil
}

// prune removes older lives that keep no message.
func (s *storeState) prune() {
	current := s.current()
	s.lives = slices.DeleteFunc(s.lives, func(l *lifeState) bool { return l != current && l.kept == 0 })
}

func (s *storeState) dropSlot(dropped slot) {
	if s.onDrop != nil {
		s.onDrop(dropped)
	}
}

// append adds a message to a life.
func (s *storeState) append(l *lifeState, pos uint64, size int, ms int64) {
	l.append(pos, size, ms)
	s.appended++
}

// discard removes all messages of a life up to through. It reports whether acked moved.
func (s *storeState) discard(l *lifeState, through uint64) bool {
	acked, kept := l.acked, l.kept
	l.discard(through, s.dropSlot)
	s.safe += int64(kept - l.kept)
	s.prune()
	return l.acked != acked
}

// reject removes one message. It returns false if the message is not kept.
func (s *storeState) reject(l *lifeState, seq uint64) bool {
	rejected := l.reject(seq, s.dropSlot)
	s.prune()
	return rejected
}

// fits reports whether a message of size bytes has room.
func (s *storeState) fits(size int) bool { return s.fitsWith(0, int64(size)) }

// fitsWith reports whether one more message has room in addition to n pending ones. bytes is the
// size of all of them.
func (s *storeState) fitsWith(n int, bytes int64) bool {
	kept, keptBytes := s.keptTotals()
	if failpoint.On(failpoint.R5NoBound) {
		return true
	}
	return kept+s.reserved+n < s.maxMessages && keptBytes+s.reservedBytes+bytes <= s.maxBytes
}

func (s *storeState) keptTotals() (n int, bytes int64) {
	for _, l := range s.lives {
		n += l.kept
		bytes += l.bytes
	}
	return n, bytes
}

// listLives returns the result of Store.Lives.
func (s *storeState) listLives() []Life {
	lives := make([]Life, len(s.lives))
	for i, l := range s.lives {
		lives[i] = Life{ID: l.id, Acked: l.acked, Last: l.last, Kept: l.kept, PlainOffset: l.plainOffset, PlainOffsetAfter: l.plainOffsetAfter, Clock: l.clock, Sent: min(l.sent, l.last)}
	}
	return lives
}

// usage computes the Usage at a time in milliseconds since the Unix epoch.
func (s *storeState) usage(now int64) Usage {
	u := Usage{Appended: s.appended, Safe: s.safe}
	u.Messages, u.Bytes = s.keptTotals()
	for _, l := range s.lives {
		if l.single > l.acked {
			u.Single += int(l.single - l.acked - l.rejected.count(l.single))
		}
		if l.slots.n > 0 {
			age := time.Duration(now-l.slots.time(l.slots.first)) * time.Millisecond
			u.Oldest = max(u.Oldest, age)
		}
	}
	return u
}
