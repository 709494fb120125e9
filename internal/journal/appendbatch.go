package journal

import (
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// notifyAfter is the number of records after which a batch calls Notify by itself.
const notifyAfter = 64

// An AppendBatch appends records that arrived together. They share one reading of the clock
// and one notification. Only one goroutine at a time may use an AppendBatch.
type AppendBatch struct {
	j        *Journal
	time     int64     // of the records; 0: the clock was not read yet
	advances []Advance // appended, notification pending; neighbours of one publisher are one entry
	records  int       // number of records in advances
	lookups  logLookup // state of Lookup
}

// NewAppendBatch returns an empty batch.
func (j *Journal) NewAppendBatch() *AppendBatch { return &AppendBatch{j: j} }

// Append is Journal.Append, but OnAppend is called later: by Notify, or by the append that
// fills the batch. The owner must call Notify before it waits for more records.
func (b *AppendBatch) Append(r *Record) (Verdict, error) {
	if b.time == 0 {
		b.time = b.j.now()
	}
	if r.Time == 0 {
		r.Time = b.time
	}
	v, err := b.j.append(r)
	if v == Accepted {
		b.noteAppended(r.Publisher, r.Sequence, 1)
	}
	return v, err
}

// AppendRun implements [ledger.Appender]. It takes the lock once for all records.
func (b *AppendBatch) AppendRun(check bookmark.Check, user []byte, run []record.OrdinaryMessage) (t ledger.RunResult, err error) {
	if b.j.hasAside.Load() || len(run) == 0 { // set-aside records may belong between the messages
		return t, nil
	}
	if b.time == 0 {
		b.time = b.j.now()
	}
	if t, err = b.j.appendRun(check, user, run, b.time); t.Records > 0 {
		b.noteAppended(run[0].Publisher(), run[t.Records-1].Sequence(), t.Records)
	}
	return t, err
}

// noteAppended counts records of a publisher, up to a sequence, as appended.
func (b *AppendBatch) noteAppended(publisher, sequence uint64, records int) {
	if b.lookups.cursor != nil {
		b.lookups.reset() // new records: the replay of old ones is over
	}
	if n := len(b.advances); n > 0 && b.advances[n-1].Publisher == publisher {
		b.advances[n-1].Sequence = sequence
	} else {
		b.advances = append(b.advances, Advance{publisher, sequence})
	}
	if b.records += records; b.records >= notifyAfter {
		b.Notify()
	}
}

// Notify calls OnAppend for the appended records and empties the batch.
func (b *AppendBatch) Notify() {
	if b.j.o.OnAppend != nil {
		for _, m := range b.advances {
			b.j.o.OnAppend(m.Publisher, m.Sequence)
		}
	}
	b.advances, b.records, b.time = b.advances[:0], 0, 0
	b.lookups.closeFile()
}
