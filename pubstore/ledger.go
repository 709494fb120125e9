package pubstore

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// A ledger is all that a store knows of its messages but the messages
// themselves: its lives, oldest first, and its bound.
type ledger struct {
	name    string // client name the store was first used with
	counter uint64 // of logons (R11)
	boot    string // boot id of the machine it was last opened under
	closed  bool   // it was closed cleanly
	met     met    // the group of servers (R10)

	lives []*window // never empty once begin was called; the last one is appended to

	maxMessages int
	maxBytes    int64
	// held is what has a place but is not in a life yet: on its way to a commit.
	held      int
	heldBytes int64

	// drop, if set, is told of each message that is let go.
	drop func(slot)
}

// begin starts a new life. The one before leaves if it keeps nothing.
func (l *ledger) begin(id string) {
	l.lives = append(l.lives, newWindow(id))
	l.prune()
}

// open notes that the store is opened under a boot id ("": it cannot be had),
// and begins a life if there is none yet, or if an unsynced tail may be
// missing: it was not closed, and the machine has booted since (R10).
func (l *ledger) open(boot, newLife string) {
	trusted := l.trusts(boot)
	if !trusted {
		l.mayHaveSent() // what a logon wrote may be missing, too
	}
	l.boot, l.closed = boot, false
	if len(l.lives) == 0 || !trusted {
		l.begin(newLife)
	}
}

// currentBoot returns what names this run of the machine, "" if it cannot be had. A
// nil id is the system's.
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

// trusts reports whether nothing at the end can be missing, under a boot id.
func (l *ledger) trusts(boot string) bool {
	return l.closed || boot != "" && boot == l.boot || mut.On(mut.R10SameLife)
}

// logon checks the client name and raises the counter (R11).
func (l *ledger) logon(name string) error {
	if l.name != "" && l.name != name {
		return fmt.Errorf("%w: it is %q's, not %q's", ErrOtherName, l.name, name)
	}
	l.name = name
	l.counter++
	if !mut.On(mut.R10SentNotKept) {
		l.mayHaveSent()
	}
	return nil
}

// mayHaveSent notes that everything may have been sent, also what is appended later.
func (l *ledger) mayHaveSent() {
	for _, w := range l.lives {
		w.sent = math.MaxUint64
	}
}

// current returns the life that is appended to.
func (l *ledger) current() *window { return l.lives[len(l.lives)-1] }

// life returns a life by its id, nil if there is none.
func (l *ledger) life(id string) *window {
	for _, w := range l.lives {
		if w.id == id {
			return w
		}
	}
	return nil
}

// of returns the life of a publisher, nil if there is none.
func (l *ledger) of(publisher uint64) *window {
	for _, w := range l.lives {
		if w.publisher == publisher {
			return w
		}
	}
	return nil
}

// prune lets older lives go that keep nothing.
func (l *ledger) prune() {
	current := l.current()
	l.lives = slices.DeleteFunc(l.lives, func(w *window) bool { return w != current && w.kept == 0 })
}

func (l *ledger) dropped(s slot) {
	if l.drop != nil {
		l.drop(s)
	}
}

// discard lets go of everything of a life up to through. It reports whether anything moved.
func (l *ledger) discard(w *window, through uint64) bool {
	acked := w.acked
	w.discard(through, l.dropped)
	l.prune()
	return w.acked != acked
}

// reject lets go of one message. It reports false if that is not kept.
func (l *ledger) reject(w *window, seq uint64) bool {
	rejected := w.reject(seq, l.dropped)
	l.prune()
	return rejected
}

// fits reports whether a message of size bytes has room.
func (l *ledger) fits(size int) bool { return l.fitsBeside(0, int64(size)) }

// fitsBeside reports whether one more message has room beside n others, all of them bytes long.
func (l *ledger) fitsBeside(n int, bytes int64) bool {
	kept, keptBytes := l.outstanding()
	if mut.On(mut.R5NoBound) {
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

// report returns what Lives does.
func (l *ledger) report() []Life {
	lives := make([]Life, len(l.lives))
	for i, w := range l.lives {
		lives[i] = Life{ID: w.id, Acked: w.acked, Last: w.last, Kept: w.kept, Base: w.base, BaseAfter: w.based, Clock: w.clock, Sent: min(w.sent, w.last)}
	}
	return lives
}

// usage returns what is outstanding at a time given in milliseconds since the Unix epoch.
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
