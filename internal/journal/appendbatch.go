package journal

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
	if v != Take {
		return v, err
	}
	if b.recall.cursor != nil {
		b.recall.end() // something new: what was there before has been sent again
	}
	if n := len(b.moved); n > 0 && b.moved[n-1].Publisher == r.Publisher {
		b.moved[n-1].Sequence = r.Sequence
	} else {
		b.moved = append(b.moved, Moved{r.Publisher, r.Sequence})
	}
	if b.records++; b.records >= notifyEach {
		b.Notify()
	}
	return v, err
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
