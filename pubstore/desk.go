package pubstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/signal"
)

// A desk is the common part of the three stores: the ledger, the line of Appends that wait for
// room, and the reason why the store has ended.
type desk struct {
	appended     signal.Signal
	failWhenFull bool
	maxMessage   int
	disk         room

	mu     sync.Mutex
	ledger ledger  // guarded by mu
	line   line    // guarded by mu
	ended  error   // why the store takes no more calls: closed, failed, or invalid options; guarded by mu
	holder *holder // the client that uses the store, nil if none does; guarded by mu
	now    stamp   // guarded by mu
}

// A stamp tells the time with one reading of the system's clocks, where time.Now takes two.
type stamp struct{ last time.Time }

// stampAge is how long a stamp relies on the monotonic clock before it reads the wall clock
// again.
const stampAge = 10 * time.Millisecond

func (s *stamp) time() time.Time {
	since := time.Since(s.last)
	if since < 0 || since > stampAge {
		s.last = time.Now()
		return s.last
	}
	return s.last.Add(since)
}

// limits are the options that all stores share.
type limits struct {
	messages, defaultMessages int
	bytes, defaultBytes       int64
	message                   int
	failWhenFull              bool
}

// set applies the limits. It is called before the store is used.
func (d *desk) set(l limits) {
	d.appended = signal.New()
	d.failWhenFull = l.failWhenFull
	d.ledger.maxMessages = orDefault(l.messages, l.defaultMessages)
	d.ledger.maxBytes = orDefault(l.bytes, l.defaultBytes)
	d.maxMessage = orDefault(l.message, defaultMaxMessage)
	d.maxMessage = int(min(int64(d.maxMessage), d.ledger.maxBytes))
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// admit returns with mu locked once there is room for m. If it returns an error, which may be the
// error of ctx, mu is unlocked and m must not be stored.
func (d *desk) admit(ctx context.Context, m *Message) error {
	if err := check(m, d.maxMessage); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !d.disk.has(m.Size()) {
		d.disk.see()
	}
	d.mu.Lock()
	if err := d.roomLocked(ctx, m.Size(), d.failWhenFull); err != nil {
		d.mu.Unlock()
		return err
	}
	return nil
}

// roomLocked returns once there is room, or with an error at once if atOnce is true.
func (d *desk) roomLocked(ctx context.Context, size int, atOnce bool) error {
	switch {
	case d.ended != nil:
		return d.ended
	case len(d.line.turns) == 0 && d.fitsLocked(size):
		return nil
	case atOnce:
		return d.disk.full(size)
	}
	return d.waitLocked(ctx, size)
}

// fitsLocked reports whether there is room for a message.
func (d *desk) fitsLocked(size int) bool { return d.ledger.fits(size) && d.disk.has(size) }

// waitLocked waits in line for room. It unlocks mu while it waits.
func (d *desk) waitLocked(ctx context.Context, size int) error {
	t := d.line.join()
	look := d.disk.ticker()
	defer look.Stop()
	for {
		d.mu.Unlock()
		var err error
		select {
		case <-t.wake:
		case <-look.C:
			d.disk.see()
		case <-ctx.Done():
			err = fmt.Errorf("%w: %w", d.disk.full(size), ctx.Err())
		}
		d.mu.Lock()
		if d.ended != nil {
			err = d.ended
		}
		if err != nil {
			d.line.leave(t)
			return err
		}
		if d.line.first(t) && d.fitsLocked(size) {
			d.line.leave(t)
			return nil
		}
	}
}

// signal tells the client that there are new messages.
func (d *desk) signal() { d.appended.Set() }

// endLocked ends the store. The first reason stays, unless the disk fails while the store is
// being closed: then later calls must not report a clean close.
func (d *desk) endLocked(why error) {
	if d.ended == nil || failed(why) && !failed(d.ended) {
		d.ended = why
	}
	d.line.wakeAll()
}

// failClosing makes a disk error during Close the error of all later calls.
func (d *desk) failClosing(err *FailedError) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ended = err
	return err
}

func failed(err error) bool {
	_, ok := err.(*FailedError)
	return ok
}

// failure returns the disk error that ended the store, or nil.
func (d *desk) failure() error {
	if err := d.state(); failed(err) {
		return err
	}
	return nil
}

// state returns the reason why the store takes no more calls, or nil.
func (d *desk) state() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ended
}

// Appended implements Store.
func (d *desk) Appended() <-chan struct{} { return d.appended }

// Lives implements Store.
func (d *desk) Lives() []Life {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ledger.report()
}

// Rejected implements Store.
func (d *desk) Rejected(life string, from uint64, most int) []Range {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.ledger.life(life)
	if w == nil {
		return nil
	}
	return w.rejected.from(from, most)
}

// Usage implements Store.
func (d *desk) Usage() Usage {
	now := time.Now().UnixMilli()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.ledger.usage(now)
}

// Single implements Store.
func (d *desk) Single(life string, through uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.ledger.life(life); w != nil {
		w.single = max(w.single, min(through, w.last))
	}
}
