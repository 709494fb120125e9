package pubstore

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

const (
	// lookInterval is how often the free space is looked at while an Append waits for it.
	lookInterval = time.Second
	// diskSpare is left free for what notes that messages were let go.
	diskSpare = 256 << 10
)

// A room is the space that the disk has for messages, as last looked at. A store
// takes none that it could not write: an error of the disk would end it. Safe for
// concurrent use; the zero room has no end.
type room struct {
	look func() (bytes int64, err error) // nil: nobody looks
	left atomic.Int64
}

// see looks at the disk. A disk that can't be looked at is not full.
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

// has reports whether there is room for a message of that size.
func (r *room) has(size int) bool {
	return r.look == nil || r.left.Load() >= int64(size)+recordOverhead || mut.On(mut.DNoRoom)
}

// take notes that a message was appended.
func (r *room) take(size int) {
	if r.look != nil {
		r.left.Add(-int64(size) - recordOverhead)
	}
}

// full returns ErrFull, and that it is the disk if so.
func (r *room) full(size int) error {
	if r.has(size) {
		return ErrFull
	}
	return fmt.Errorf("%w: its disk has too little space left", ErrFull)
}

// ticker says when a waiting Append looks at the disk.
func (r *room) ticker() *time.Ticker { return time.NewTicker(lookInterval) }
