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
	b.stamp(r)
	v, err := b.j.append(r)
	if v == Take {
		b.took(r, 1)
	}
	return v, err
}

// AppendRun is Append for records of one publisher that follow one another, with one
// lock. It ends with the first that is not taken, of which it returns the verdict.
func (b *AppendBatch) AppendRun(run []Record) (taken int, v Verdict, err error) {
	if b.j.merges.Load() { // what was set aside may stand between them
		for taken < len(run) {
			if v, err = b.Append(&run[taken]); v != Take || err != nil {
				break
			}
			taken++
		}
		return taken, v, err
	}
	for i := range run {
		b.stamp(&run[i])
	}
	if taken, v, err = b.j.appendRun(run); taken > 0 {
		b.took(&run[taken-1], taken)
	}
	return taken, v, err
}

// stamp gives a record the time of the batch, if it has none.
func (b *AppendBatch) stamp(r *Record) {
	if b.time == 0 {
		b.time = b.j.now()
	}
	if r.Time == 0 {
		r.Time = b.time
	}
}

// took notes records that were taken, r the last of them.
func (b *AppendBatch) took(r *Record, records int) {
	if b.recall.cursor != nil {
		b.recall.end() // something new: what was there before has been sent again
	}
	if n := len(b.moved); n > 0 && b.moved[n-1].Publisher == r.Publisher {
		b.moved[n-1].Sequence = r.Sequence
	} else {
		b.moved = append(b.moved, Moved{r.Publisher, r.Sequence})
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
