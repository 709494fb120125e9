package journal

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

const (
	defaultSegment = 64 << 20
	// MaxRecord is the longest record that a journal holds, in bytes. How long
	// a message may be that a client publishes is for the server to say, and may
	// change: what is in a journal of the group already is taken all the same.
	MaxRecord = 256 << 20
	// unwrittenMost is how much Append leaves to the syncer before it waits.
	unwrittenMost = 8 << 20
)

// Options say how to open a journal. FS and Dir must be set.
type Options struct {
	FS           seglog.FS
	Dir          string
	SegmentBytes int64        // default 64 MiB
	Log          *slog.Logger // default: silent
	// Now is the clock that Record.Time is read from; default time.Now.
	Now func() time.Time
	// Elapsed is the monotonic clock, from any beginning, by which retention
	// counts. Default: that of Now.
	Elapsed func() time.Duration

	// OnDurable is called after each fsync with what it covered, ordered by
	// publisher. It is called by the syncer, one call at a time, and must not
	// block. The slice is valid until it returns. idle says that nothing was
	// appended since the fsync began.
	OnDurable func(moved []Moved, idle bool)
	// OnAppend is called after records were appended: for each record, or once
	// for several of one publisher, with the last sequence. The goroutine that
	// appends calls it, without a lock of the journal; several may call it at
	// the same time. Must not block.
	OnAppend func(publisher, sequence uint64)
	// OnFail is called once when the disk failed (R7). The journal takes nothing more.
	// It must not wait for Close.
	OnFail func(err error)

	// OnSegment is called after an fsync since which the log has a new segment,
	// by the syncer. Must not block.
	OnSegment func()

	// Stepped opens the journal without its goroutine: the owner syncs, with
	// Begin. For who has to say when each thing happens.
	Stepped bool

	// SetAside opens a damaged journal up to the damage; see Journal.Damage.
	SetAside bool
	// Carried reports whether the links carry a topic: what they don't is
	// left out of running CRCs (R11). Nil: all.
	Carried func(topic []byte) bool
}

func (o *Options) validate() error {
	if o.FS == nil || o.Dir == "" {
		return errors.New("journal: open: FS and Dir must be set")
	}
	if o.SegmentBytes < 0 {
		return errors.New("journal: open: SegmentBytes must not be negative")
	}
	o.SegmentBytes = cmp.Or(o.SegmentBytes, defaultSegment)
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Elapsed == nil {
		opened := o.Now()
		o.Elapsed = func() time.Duration { return o.Now().Sub(opened) }
	}
	return nil
}
