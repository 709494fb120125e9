package pubstore

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

const (
	// lookInterval is how often a waiting Append looks at the free space of the disk.
	lookInterval = time.Second
	// diskSpare is left free for the records of discards and rejections.
	diskSpare = 256 << 10
)

// A room is the space on the disk for messages, as last seen. A store refuses a message that it
// could not write, since a disk error would end the store. A room is safe for concurrent use. The
// zero room is unlimited.
type room struct {
	look func() (bytes int64, err error) // nil: unlimited
	left atomic.Int64
}

// see looks at the disk. If looking fails, the disk counts as not full.
func (r *room) see() {
	if r.look == nil {
		return
	}
	bytes, err := r.look()
	if err != nil {
		bytes = 1 << 62
	}
	r.left.Store(bytes)
}

// has reports whether there is room for a message of size bytes.
func (r *room) has(size int) bool {
	return r.look == nil || r.left.Load() >= int64(size)+recordOverhead || failpoint.On(failpoint.DNoRoom)
}

// take subtracts an appended message.
func (r *room) take(size int) {
	if r.look != nil {
		r.left.Add(-int64(size) - recordOverhead)
	}
}

// full returns ErrFull. If the disk is the reason, the error says so.
func (r *room) full(size int) error {
	if r.has(size) {
		return ErrFull
	}
	return fmt.Errorf("%w: its disk has too little space left", ErrFull)
}

// ticker ticks whenever a waiting Append has to look at the disk.
func (r *room) ticker() *time.Ticker { return time.NewTicker(lookInterval) }
