package journal

import (
	"cmp"
	"fmt"
	"slices"
)

// A syncBatch has the records of one fsync: those appended before it began (R7). There is one
// syncBatch at a time, and the next one reuses its slices.
type syncBatch struct {
	advances   []Advance
	publishers []*publisher // parallel to advances
	end        Position
	segment    uint32 // number of the table's segment
	newSegment bool   // segment is not that of the previous batch
}

// sync is the syncer, the only goroutine of the journal. While it waits for the disk, the
// next batch forms.
func (j *Journal) sync() {
	defer close(j.done)
	for {
		b, ok := j.nextBatch()
		if !ok {
			return
		}
		s := SyncStep{j, b}
		if s.Sync() != nil {
			return
		}
		s.End()
	}
}

// nextBatch waits for records to sync. ok is false when the syncer must end: after the last
// batch if the journal is closed, at once if it is killed or has failed.
func (j *Journal) nextBatch() (b syncBatch, ok bool) {
	if !j.pending() {
		// The log is idle: no later batch will note that the last one is durable (R8).
		if err := j.log.Note(); err != nil {
			j.setFailed(fmt.Errorf("journal: note the durable end: %w", err))
			return syncBatch{}, false
		}
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.end == j.syncEnd && !j.closed && j.err == nil {
		j.work.Wait()
	}
	if j.killed || j.err != nil || j.end == j.syncEnd {
		return syncBatch{}, false
	}
	return j.takeBatchLocked(), true
}

// pending reports whether the syncer has work, or must end.
func (j *Journal) pending() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.end != j.syncEnd || j.closed || j.err != nil
}

func (j *Journal) takeBatch() syncBatch {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.takeBatchLocked()
}

// takeBatchLocked returns the records that the next fsync will cover, and makes room for
// appends.
func (j *Journal) takeBatchLocked() syncBatch {
	b := &j.batch
	b.end, b.advances = j.end, b.advances[:0]
	b.segment, b.newSegment = j.table.segment, b.segment != j.table.segment
	b.publishers, j.dirty = j.dirty, b.publishers[:0]
	slices.SortFunc(b.publishers, func(a, c *publisher) int { return cmp.Compare(a.id, c.id) })
	for _, p := range b.publishers {
		p.dirty = false
		b.advances = append(b.advances, Advance{p.id, p.have})
	}
	j.syncEnd = j.end
	j.synced.Broadcast()
	return *b
}

// clone returns a copy that does not share slices with later batches.
func (b syncBatch) clone() syncBatch {
	b.advances, b.publishers = slices.Clone(b.advances), slices.Clone(b.publishers)
	return b
}

// becomeDurable raises durable to the state that a batch had when its fsync began.
func (j *Journal) becomeDurable(b syncBatch) {
	j.mu.Lock()
	for i, p := range b.publishers {
		p.durable = max(p.durable, b.advances[i].Sequence)
	}
	j.durable = max(j.durable, b.end)
	j.synced.Broadcast()
	idle := j.end == j.syncEnd
	j.mu.Unlock()

	if j.o.OnDurable != nil && len(b.advances) > 0 {
		j.o.OnDurable(b.advances, idle)
	}
	if b.newSegment && j.o.OnSegment != nil {
		j.o.OnSegment()
	}
}

// setFailed makes the journal failed (R7): it accepts no more records. The first call also
// calls OnFail. setFailed returns the error of the first call.
func (j *Journal) setFailed(err error) error {
	j.mu.Lock()
	if j.err != nil || j.closed && j.killed {
		first := cmp.Or(j.err, err)
		j.mu.Unlock()
		return first
	}
	j.err = err
	j.work.Broadcast()
	j.synced.Broadcast()
	j.mu.Unlock()

	if j.o.OnFail != nil {
		j.o.OnFail(err)
	}
	j.o.Log.Error("the journal has failed: it takes no more messages", "dir", j.o.Dir, "error", err)
	return err
}

// Sync waits until everything appended before the call is durable.
func (j *Journal) Sync() error {
	if j.o.Stepped {
		return j.syncAll()
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if err := j.unusableLocked(); err != nil {
		return err
	}
	for end := j.end; j.durable < end; j.synced.Wait() {
		if j.err != nil || j.killed { // a journal that is being closed still syncs
			return j.unusableLocked()
		}
	}
	return nil
}

// stopSyncer ends the syncer and waits for it. It returns false if the journal was closed before.
func (j *Journal) stopSyncer(kill bool) bool {
	j.mu.Lock()
	if j.closed {
		j.mu.Unlock()
		<-j.done
		return false
	}
	j.closed, j.killed = true, kill
	j.work.Broadcast()
	j.synced.Broadcast()
	j.mu.Unlock()
	<-j.done
	return true
}
