package journal

import (
	"cmp"
	"errors"
	"log/slog"
	"time"

	"github.com/holdfast-mq/holdfast/internal/histogram"
	"github.com/holdfast-mq/holdfast/internal/seglog"
)

const (
	defaultSegment = 64 << 20
	// MaxRecord is the maximum length of a record in bytes. The server has a limit of its own
	// for messages that clients publish, and that limit may change. The journal takes a
	// record that another journal of the group has, whatever that limit is (R14).
	MaxRecord = 256 << 20
	// maxUnwritten is the maximum number of unwritten bytes. Append waits while there are
	// more.
	maxUnwritten = 8 << 20
)

// Options are the parameters of Open. FS and Dir must be set.
type Options struct {
	FS           seglog.FS
	Dir          string
	SegmentBytes int64        // default: 64 MiB
	Log          *slog.Logger // default: silent
	// Now is the clock for Record.Time. Default: time.Now.
	Now func() time.Time
	// Elapsed is the monotonic clock for retention. It may begin anywhere. Default: the
	// monotonic clock of Now.
	Elapsed func() time.Duration

	// OnDurable is called after each fsync with the publishers whose durable sequence has
	// risen, ordered by id. The syncer makes one call at a time. The call must not block,
	// and the slice is valid until it returns. idle reports that nothing was appended since
	// the fsync began.
	OnDurable func(advances []Advance, idle bool)
	// OnAppend is called after records were appended: once for each record, or once for
	// several records of one publisher, with the last sequence. The appending goroutine
	// calls it without a lock of the journal, so calls may be concurrent. The call must not
	// block.
	OnAppend func(publisher, sequence uint64)
	// OnFail is called once, when the disk has failed (R7). From then on the journal accepts
	// no records. The call must not wait for Close.
	OnFail func(err error)

	// OnSegment is called by the syncer after an fsync if the log has begun a new segment
	// since the previous fsync. The call must not block.
	OnSegment func()

	// SyncTimes counts how long the syncs of the disk take. Nil: they are not counted.
	SyncTimes *histogram.Histogram

	// Stepped opens the journal without its goroutine: the owner calls BeginSync. It is for
	// an owner that must control when each step happens.
	Stepped bool

	// SetAside opens a damaged journal up to the damage (see Journal.Damage).
	SetAside bool
	// Carried reports whether the links carry a topic. Running CRCs cover these topics only
	// (R11). Nil: the links carry all topics.
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
