package journal

import (
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// notifyEach is after how many records a batch notifies by itself.
const notifyEach = 64

// An AppendBatch appends records that came together. They share one reading of
// the clock and one notification. It belongs to one goroutine at a time.
type AppendBatch struct {
	j       *Journal
	time    int64   // of the records; 0: the clock was not read yet
	moved   []Moved // appended and not notified, neighbours of one publisher as one
	records int     // the same as a number of records
	recall  recall  // of Standing
}

// NewBatch returns an empty batch.
func (j *Journal) NewBatch() *AppendBatch { return &AppendBatch{j: j} }

// Append is Journal.Append, except that OnAppend is called later: by Notify,
// which the owner must call before it waits for more records, or by the append
// that makes the batch full.
func (b *AppendBatch) Append(r *Record) (Verdict, error) {
	if b.time == 0 {
		b.time = b.j.now()
	}
	if r.Time == 0 {
		r.Time = b.time
	}
	v, err := b.j.append(r)
	if v == Take {
		b.took(r.Publisher, r.Sequence, 1)
	}
	return v, err
}

// AppendRun implements [ledger.Appender], with one lock.
func (b *AppendBatch) AppendRun(check bookmark.Check, run []record.Ordinary) (t ledger.Taken, err error) {
	if b.j.merges.Load() || len(run) == 0 { // what was set aside may stand between them
		return t, nil
	}
	if b.time == 0 {
		b.time = b.j.now()
	}
	if t, err = b.j.appendRun(check, run, b.time); t.Records > 0 {
		b.took(run[0].Publisher(), run[t.Records-1].Sequence(), t.Records)
	}
	return t, err
}

// took notes records that were taken, up to a sequence.
func (b *AppendBatch) took(publisher, sequence uint64, records int) {
	if b.recall.cursor != nil {
		b.recall.end() // something new: what was there before has been sent again
	}
	if n := len(b.moved); n > 0 && b.moved[n-1].Publisher == publisher {
		b.moved[n-1].Sequence = sequence
	} else {
		b.moved = append(b.moved, Moved{publisher, sequence})
	}
	if b.records += records; b.records >= notifyEach {
		b.Notify()
	}
}

// Notify calls OnAppend for the appended records and empties the batch.
func (b *AppendBatch) Notify() {
	if b.j.o.OnAppend != nil {
		for _, m := range b.moved {
			b.j.o.OnAppend(m.Publisher, m.Sequence)
		}
	}
	b.moved, b.records, b.time = b.moved[:0], 0, 0
	b.recall.rest()
}
