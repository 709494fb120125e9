package pubstore

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

const (
	// refreshInterval is how often a waiting Append looks at the free space of the disk.
	refreshInterval = time.Second
	// diskSpare is left free for the records of discards and rejections.
	diskSpare = 256 << 10
)

// A diskSpace is the space on the disk for messages, as last seen. A store refuses a message that it
// could not write, since a disk error would end the store. A room is safe for concurrent use. The
// zero room is unlimited.
type diskSpace struct {
	measure   func() (bytes int64, err error) // nil: unlimited
	available atomic.Int64
}

// refresh looks at the disk. If looking fails, the disk counts as not full.
func (r *diskSpace) refresh() {
	if r.measure == nil {
		return
	}
	bytes, err := r.measure()
	if err != nil {
		bytes = 1 << 62
	}
	r.available.Store(bytes)
}

// fits reports whether there is room for a message of size bytes.
func (r *diskSpace) fits(size int) bool {
	return r.measure == nil || r.available.Load() >= int64(size)+recordOverhead || failpoint.On(failpoint.DNoRoom)
}

// subtract subtracts an appended message.
func (r *diskSpace) subtract(size int) {
	if r.measure != nil {
		r.available.Add(-int64(size) - recordOverhead)
	}
}

// fullError returns ErrFull. If the disk is the reason, the error says so.
func (r *diskSpace) fullError(size int) error {
	if r.fits(size) {
		return ErrFull
	}
	return fmt.Errorf("%w: its disk has too little space left", ErrFull)
}

// ticker ticks whenever a waiting Append has to look at the disk.
func (r *diskSpace) ticker() *time.Ticker { return time.NewTicker(refreshInterval) }
