package pubstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/signal"
)

// A storeBase is the common part of the three stores: the ledger, the line of Appends that wait for
// room, and the reason why the store has ended.
type storeBase struct {
	appended     signal.Signal
	failWhenFull bool
	maxMessage   int
	disk         diskSpace

	mu      sync.Mutex
	state   storeState // guarded by mu
	waiting waitQueue  // guarded by mu
	endErr  error      // why the store takes no more calls: closed, failed, or invalid options; guarded by mu
	lease   *lease     // the client that uses the store, nil if none does; guarded by mu
	clock   fastClock  // guarded by mu
}

// A fastClock tells the time with one reading of the system's clocks, where time.Now takes two.
type fastClock struct{ last time.Time }

// maxClockAge is how long a stamp relies on the monotonic clock before it reads the wall clock
// again.
const maxClockAge = 10 * time.Millisecond

func (s *fastClock) now() time.Time {
	since := time.Since(s.last)
	if since < 0 || since > maxClockAge {
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

// applyLimits applies the limits. It is called before the store is used.
func (d *storeBase) applyLimits(l limits) {
	d.appended = signal.New()
	d.failWhenFull = l.failWhenFull
	d.state.maxMessages = orDefault(l.messages, l.defaultMessages)
	d.state.maxBytes = orDefault(l.bytes, l.defaultBytes)
	d.maxMessage = orDefault(l.message, defaultMaxMessage)
	d.maxMessage = int(min(int64(d.maxMessage), d.state.maxBytes))
}

func orDefault[T int | int64 | time.Duration](v, otherwise T) T {
	if v <= 0 {
		return otherwise
	}
	return v
}

// admit returns with mu locked once there is room for m. If it returns an error, which may be the
// error of ctx, mu is unlocked and m must not be stored.
func (d *storeBase) admit(ctx context.Context, m *Message) error {
	if err := checkMessage(m, d.maxMessage); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !d.disk.fits(m.Size()) {
		d.disk.refresh()
	}
	d.mu.Lock()
	if err := d.awaitRoomLocked(ctx, m.Size(), d.failWhenFull); err != nil {
		d.mu.Unlock()
		return err
	}
	return nil
}

// awaitRoomLocked returns once there is room, or with an error at once if atOnce is true.
func (d *storeBase) awaitRoomLocked(ctx context.Context, size int, atOnce bool) error {
	switch {
	case d.endErr != nil:
		return d.endErr
	case len(d.waiting.waiters) == 0 && d.fitsLocked(size):
		return nil
	case atOnce:
		return d.disk.fullError(size)
	}
	return d.waitInQueueLocked(ctx, size)
}

// fitsLocked reports whether there is room for a message.
func (d *storeBase) fitsLocked(size int) bool { return d.state.fits(size) && d.disk.fits(size) }

// waitInQueueLocked waits in line for room. It unlocks mu while it waits.
func (d *storeBase) waitInQueueLocked(ctx context.Context, size int) error {
	t := d.waiting.add()
	look := d.disk.ticker()
	defer look.Stop()
	for {
		d.mu.Unlock()
		var err error
		select {
		case <-t.wake:
		case <-look.C:
			d.disk.refresh()
		case <-ctx.Done():
			err = fmt.Errorf("%w: %w", d.disk.fullError(size), ctx.Err())
		}
		d.mu.Lock()
		if d.endErr != nil {
			err = d.endErr
		}
		if err != nil {
			d.waiting.remove(t)
			return err
		}
		if d.waiting.isFirst(t) && d.fitsLocked(size) {
			d.waiting.remove(t)
			return nil
		}
	}
}

// signalAppended tells the client that there are new messages.
func (d *storeBase) signalAppended() { d.appended.Set() }

// endLocked ends the store. The first reason stays, unless the disk fails while the store is
// being closed: then later calls must not report a clean close.
func (d *storeBase) endLocked(why error) {
	if d.endErr == nil || isFailed(why) && !isFailed(d.endErr) {
		d.endErr = why
	}
	d.waiting.wakeAll()
}

// failDuringClose makes a disk error during Close the error of all later calls.
func (d *storeBase) failDuringClose(err *FailedError) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endErr = err
	return err
}

func isFailed(err error) bool {
	_, ok := err.(*FailedError)
	return ok
}

// diskError returns the disk error that ended the store, or nil.
func (d *storeBase) diskError() error {
	if err := d.endError(); isFailed(err) {
		return err
	}
	return nil
}

// endError returns the reason why the store takes no more calls, or nil.
func (d *storeBase) endError() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.endErr
}

// Appended implements Store.
func (d *storeBase) Appended() <-chan struct{} { return d.appended }

// Lives implements Store.
func (d *storeBase) Lives() []Life {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.listLives()
}

// Rejected implements Store.
func (d *storeBase) Rejected(life string, from uint64, most int) []Range {
	d.mu.Lock()
	defer d.mu.Unlock()
	w := d.state.life(life)
	if w == nil {
		return nil
	}
	return w.rejected.from(from, most)
}

// Usage implements Store.
func (d *storeBase) Usage() Usage {
	now := time.Now().UnixMilli()
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.state.usage(now)
}

// SetSingle implements Store.
func (d *storeBase) SetSingle(life string, through uint64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if w := d.state.life(life); w != nil {
		w.single = max(w.single, min(through, w.last))
	}
}
