package pubstore

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/signal"
)

// A storeBase is the common part of the three stores: the state, the queue of Appends that wait for
// room, and the reason why the store has ended.
type storeBase struct {
	appended     signal.Signal
	failWhenFull bool
	maxMessage   int
	disk         diskSpace

	mu      sync.Mutex
	state   storeState // guarded by mu
	waiting waitQueue  // guarded by mu
	endErr  error      // reason to refuse all further calls: closed, failed, or invalid options; guarded by mu
	lease   *lease     // the client that uses the store, nil if none does; guarded by mu
	clock   fastClock  // guarded by mu
}

// A fastClock tells the time. It usually reads only the monotonic clock, where time.Now reads the
// wall clock, too.
type fastClock struct{ last time.Time }

// maxClockAge is how long a fastClock relies on the monotonic clock before it reads the wall clock
// again.
const maxClockAge = 10 * time.Millisecond

func (c *fastClock) now() time.Time {
	since := time.Since(c.last)
	if since < 0 || since > maxClockAge {
		c.last = time.Now()
		return c.last
	}
	return c.last.Add(since)
}

// limits are the options that all stores share.
type limits struct {
	messages, defaultMessages int
	bytes, defaultBytes       int64
	message                   int
	failWhenFull              bool
}

// applyLimits applies the limits. It is called before the store is used.
func (b *storeBase) applyLimits(l limits) {
	b.appended = signal.New()
	b.failWhenFull = l.failWhenFull
	b.state.maxMessages = orDefault(l.messages, l.defaultMessages)
	b.state.maxBytes = orDefault(l.bytes, l.defaultBytes)
	b.maxMessage = orDefault(l.message, defaultMaxMessage)
	b.maxMessage = int(min(int64(b.maxMessage), b.state.maxBytes))
}

func orDefault[T int | int64 | time.Duration](v, fallback T) T {
	if v <= 0 {
		return fallback
	}
	return v
}

// admit returns with mu locked once there is room for m. If it returns an error, which may be the
// error of ctx, mu is unlocked and m must not be stored.
func (b *storeBase) admit(ctx context.Context, m *Message) error {
	if err := checkMessage(m, b.maxMessage); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if !b.disk.fits(m.Size()) {
		b.disk.refresh()
	}
	b.mu.Lock()
	if err := b.awaitRoomLocked(ctx, m.Size(), b.failWhenFull); err != nil {
		b.mu.Unlock()
		return err
	}
	return nil
}

// awaitRoomLocked returns once there is room. If failFast is true, it does not wait but returns an
// error.
func (b *storeBase) awaitRoomLocked(ctx context.Context, size int, failFast bool) error {
	switch {
	case b.endErr != nil:
		return b.endErr
	case len(b.waiting.waiters) == 0 && b.fitsLocked(size):
		return nil
	case failFast:
		return b.disk.fullError(size)
	}
	return b.waitInQueueLocked(ctx, size)
}

// fitsLocked reports whether there is room for a message.
func (b *storeBase) fitsLocked(size int) bool { return b.state.fits(size) && b.disk.fits(size) }

// waitInQueueLocked waits in the queue for room. It unlocks mu while it waits.
func (b *storeBase) waitInQueueLocked(ctx context.Context, size int) error {
	w := b.waiting.add()
	ticker := b.disk.ticker()
	defer ticker.Stop()
	for {
		b.mu.Unlock()
		var err error
		select {
		case <-w.wake:
		case <-ticker.C:
			b.disk.refresh()
		case <-ctx.Done():
			err = fmt.Errorf("%w: %w", b.disk.fullError(size), ctx.Err())
		}
		b.mu.Lock()
		if b.endErr != nil {
			err = b.endErr
		}
		if err != nil {
			b.waiting.remove(w)
			return err
		}
		if b.waiting.isFirst(w) && b.fitsLocked(size) {
			b.waiting.remove(w)
			return nil
		}
	}
}

// signalAppended tells the client that there are new messages.
func (b *storeBase) signalAppended() { b.appended.Set() }

// endLocked ends the store. The first reason stays, unless the disk fails while the store is
// being closed: then later calls must not report a clean close.
func (b *storeBase) endLocked(err error) {
	if b.endErr == nil || isFailed(err) && !isFailed(b.endErr) {
		b.endErr = err
	}
	b.waiting.wakeAll()
}

// failDuringClose makes a disk error during Close the error of all later calls.
func (b *storeBase) failDuringClose(err *FailedError) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.endErr = err
	return err
}

func isFailed(err error) bool {
	_, ok := err.(*FailedError)
	return ok
}

// diskError returns the disk error that ended the store, or nil.
func (b *storeBase) diskError() error {
	if err := b.endError(); isFailed(err) {
		return err
	}
	return nil
}

// endError returns the reason why the store has ended, or nil.
func (b *storeBase) endError() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.endErr
}

// Appended implements Store.
func (b *storeBase) Appended() <-chan struct{} { return b.appended }

// Lives implements Store.
func (b *storeBase) Lives() []Life {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.listLives()
}

// Rejected implements Store.
func (b *storeBase) Rejected(life string, from uint64, limit int) []Range {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.state.life(life)
	if l == nil {
		return nil
	}
	return l.rejected.from(from, limit)
}

// Usage implements Store.
func (b *storeBase) Usage() Usage {
	now := time.Now().UnixMilli()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.state.usage(now)
}

// SetSingle implements Store.
func (b *storeBase) SetSingle(life string, through uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if l := b.state.life(life); l != nil {
		l.single = max(l.single, min(through, l.last))
	}
}
