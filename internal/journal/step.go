package journal

import (
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// A SyncStep is one fsync, from its beginning to its end. Records appended in between are not
// part of it.
type SyncStep struct {
	j *Journal
	b syncBatch
}

// BeginSync begins an fsync of everything appended so far. If there is nothing to sync, it
// notes in the log that everything is durable (R8) and returns nil. There must be only one
// SyncStep at a time, and the journal must be open with Options.Stepped.
func (j *Journal) BeginSync() (*SyncStep, error) {
	if !j.pending() {
		if err := j.log.Note(); err != nil {
			return nil, j.setFailed(fmt.Errorf("journal: note the durable end: %w", err))
		}
		return nil, nil
	}
	if err := j.Err(); err != nil {
		return nil, err
	}
	s := &SyncStep{j: j, b: j.takeBatch().clone()}
	if err := j.log.Write(); err != nil {
		return nil, j.setFailed(fmt.Errorf("journal: sync: %w", err))
	}
	return s, nil
}

// Sync makes the records durable. It may be called at any time before End.
func (s *SyncStep) Sync() error {
	began := time.Now()
	if _, err := s.j.log.Sync(); err != nil {
		return s.j.setFailed(fmt.Errorf("journal: sync: %w", err))
	}
	if h := s.j.o.SyncTimes; h != nil {
		h.Observe(time.Since(began))
	}
	return nil
}

// End records that the fsync has succeeded, and calls OnDurable.
func (s *SyncStep) End() {
	s.j.becomeDurable(s.b)
	if failpoint.On(failpoint.R7CountsDuringSync) {
		s.j.becomeDurable(s.j.takeBatch())
	}
}

// syncAll makes everything appended durable.
func (j *Journal) syncAll() error {
	s, err := j.BeginSync()
	if s == nil || err != nil {
		return err
	}
	if err := s.Sync(); err != nil {
		return err
	}
	s.End()
	return nil
}
