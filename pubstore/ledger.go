package pubstore

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A ledger is everything that a store knows about its messages, except the messages themselves:
// its lives, oldest first, and its bound.
type ledger struct {
	name    string // client name the store was first used with
	counter uint64 // number of logons (R11)
	boot    string // boot id when the store was opened last
	closed  bool   // it was closed cleanly
	met     met    // the group of servers met last (R10)

	lives []*window // oldest first; not empty once begin was called; the last one is the current life

	maxMessages int
	maxBytes    int64
	// held and heldBytes count messages that have room but are still on their way to a commit.
	held      int
	heldBytes int64

	// drop, if set, is called for each message that is discarded or rejected.
	drop func(slot)
}

// begin starts a new life. Older lives that keep no message are pruned.
func (l *ledger) begin(id string) {
	l.lives = append(l.lives, newWindow(id))
	l.prune()
}

// open notes that the store is opened under a boot id ("": unknown). It begins a life if there is
// none yet, or if an unsynced tail may be missing: the store was not closed, and the machine has
// booted since (R10).
func (l *ledger) open(boot, newLife string) {
	trusted := l.trusts(boot)
	if !trusted {
		l.mayHaveSent() // the disk may lack a logon
	}
	l.boot, l.closed = boot, false
	if len(l.lives) == 0 || !trusted {
		l.begin(newLife)
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

// trusts reports whether a store opened under a boot id has its whole tail.
func (l *ledger) trusts(boot string) bool {
	return l.closed || boot != "" && boot == l.boot || failpoint.On(failpoint.R10SameLife)
}

// logon checks the client name and increments the counter (R11).
func (l *ledger) logon(name string) error {
	if l.name != "" && l.name != name {
		return fmt.Errorf("%w: it is %q's, not %q's", ErrOtherName, l.name, name)
	}
	l.name = name
	l.counter++
	if !failpoint.On(failpoint.R10SentNotKept) {
		l.mayHaveSent()
	}
	return nil
}

// mayHaveSent notes that every message may have been sent, including later ones.
func (l *ledger) mayHaveSent() {
	for _, w := range l.lives {
		w.sent = math.MaxUint64
	}
}

// current returns the life that Append adds to.
func (l *ledger) current() *window { return l.lives[len(l.lives)-1] }

// life returns a life by its id, or nil.
func (l *ledger) life(id string) *window {
	for _, w := range l.lives {
		if w.id == id {
			return w
		}
	}
	return nil
}

// of returns the life of a publisher, or nil.
func (l *ledger) of(publisher uint64) *window {
	for _, w := range l.lives {
		if w.publisher == publisher {
			return w
		}
	}
	return nil
}

// prune removes older lives that keep no message.
func (l *ledger) prune() {
	current := l.current()
	l.lives = slices.DeleteFunc(l.lives, func(w *window) bool { return w != current && w.kept == 0 })
}

func (l *ledger) dropped(s slot) {
	if l.drop != nil {
		l.drop(s)
	}
}

// discard removes all messages of a life up to through. It reports whether acked moved.
func (l *ledger) discard(w *window, through uint64) bool {
	acked := w.acked
	w.discard(through, l.dropped)
	l.prune()
	return w.acked != acked
}

// reject removes one message. It returns false if the message is not kept.
func (l *ledger) reject(w *window, seq uint64) bool {
	rejected := w.reject(seq, l.dropped)
	l.prune()
	return rejected
}

// fits reports whether a message of size bytes has room.
func (l *ledger) fits(size int) bool { return l.fitsBeside(0, int64(size)) }

// fitsBeside reports whether one more message has room beside n others. bytes is the size of all
// of them.
func (l *ledger) fitsBeside(n int, bytes int64) bool {
	kept, keptBytes := l.outstanding()
	if failpoint.On(failpoint.R5NoBound) {
		return true
	}
	return kept+l.held+n < l.maxMessages && keptBytes+l.heldBytes+bytes <= l.maxBytes
}

func (l *ledger) outstanding() (n int, bytes int64) {
	for _, w := range l.lives {
		n += w.kept
		bytes += w.bytes
	}
	return n, bytes
}

// report returns the result of Store.Lives.
func (l *ledger) report() []Life {
	lives := make([]Life, len(l.lives))
	for i, w := range l.lives {
		lives[i] = Life{ID: w.id, Acked: w.acked, Last: w.last, Kept: w.kept, Base: w.base, BaseAfter: w.based, Clock: w.clock, Sent: min(w.sent, w.last)}
	}
	return lives
}

// usage computes the Usage at a time in milliseconds since the Unix epoch.
func (l *ledger) usage(now int64) Usage {
	var u Usage
	u.Messages, u.Bytes = l.outstanding()
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
