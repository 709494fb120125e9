package pubstore

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

const (
	// refreshInterval is how often a waiting Append measures the free space of the disk.
	refreshInterval = time.Second
	// diskSpare is kept free for the records of discards and rejections.
	diskSpare = 256 << 10
)

// A diskSpace is the disk space available for messages, as last measured. A store refuses a message
// that it could not write, since a disk error would end the store. A diskSpace is safe for
// concurrent use. The zero diskSpace is unlimited.
type diskSpace struct {
	measure   func() (bytes int64, err error) // nil: unlimited
	available atomic.Int64
}

// refresh measures the space. If that fails, the disk counts as not full.
func (d *diskSpace) refresh() {
	if d.measure == nil {
		return
	}
	bytes, err := d.measure()
	if err != nil {
		bytes = 1 << 62
	}
	d.available.Store(bytes)
}

// fits reports whether there is room for a message of size bytes.
func (d *diskSpace) fits(size int) bool {
	return d.measure == nil || d.available.Load() >= int64(size)+recordOverhead || failpoint.On(failpoint.DNoRoom)
}

// subtract subtracts the size of an appended message.
func (d *diskSpace) subtract(size int) {
	if d.measure != nil {
		d.available.Add(-int64(size) - recordOverhead)
	}
}

// fullError returns ErrFull. If the disk is the reason, the error says so.
func (d *diskSpace) fullError(size int) error {
	if d.fits(size) {
		return ErrFull
	}
	return fmt.Errorf("%w: its disk has too little space left", ErrFull)
}

// ticker returns a ticker for the calls of refresh by a waiting Append.
func (d *diskSpace) ticker() *time.Ticker { return time.NewTicker(refreshInterval) }
