package pubstore

import (
	"runtime"
	"time"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

const maxYields = 64

// commitLoop is the committer, the only goroutine of the store. It syncs appended records, logs
// discards, and removes files that hold no kept message.
func (s *File) commitLoop() {
	defer close(s.done)
	idle, wait := time.NewTimer(s.interval), time.NewTimer(s.interval)
	defer idle.Stop()
	defer wait.Stop()
	for {
		select {
		case <-s.urgent:
			yieldForBatch(s.log.End)
		case <-s.lazy:
			s.awaitCommitTime(wait)
		case <-idle.C:
			s.noteDurable()
			continue
		case <-s.stop:
			return
		}
		s.commit()
		idle.Reset(s.interval)
	}
}

// awaitCommitTime waits until the interval has passed, a sync is urgent, or the store is closed.
func (s *File) awaitCommitTime(t *time.Timer) {
	t.Reset(s.interval)
	select {
	case <-t.C:
	case <-s.urgent:
		yieldForBatch(s.log.End)
	case <-s.stop:
	}
}

// yieldForBatch yields to goroutines that are about to append. The last sync or commit woke them
// together, and they can share the next one if it does not start too early. measure returns a
// measure of the waiting work; yieldForBatch returns when it no longer changes.
func yieldForBatch[T comparable](measure func() T) {
	last := measure()
	for range maxYields {
		runtime.Gosched()
		now := measure()
		if now == last {
			return
		}
		last = now
	}
}

// scheduleCommitLocked makes the committer commit within the interval.
func (s *File) scheduleCommitLocked() {
	if !s.dirty {
		s.dirty = true
		s.lazy.Set()
	}
}

// waitDurable waits until the record at pos survives a power cut.
func (s *File) waitDurable(pos seglog.Position) error {
	if s.interval < 0 {
		s.commitNow()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.durable <= pos {
		if isFailed(s.endErr) {
			return s.endErr
		}
		s.urgent.Set()
		s.synced.Wait()
	}
	return nil
}

// commit makes all appends and discards so far durable, and then removes unneeded files. This
// order makes a crash harmless at any point.
func (s *File) commit() {
	s.mu.Lock()
	s.dirty = false
	err := s.logDiscardsLocked()
	trim := s.oldestLocked()
	ended := isFailed(s.endErr)
	s.mu.Unlock()
	if ended {
		return
	}
	var durable seglog.Position
	if err == nil {
		durable, err = s.log.Sync()
	}
	s.mu.Lock()
	s.durable = max(s.durable, durable)
	s.synced.Broadcast()
	s.mu.Unlock()
	if err == nil {
		err = s.log.Trim(trim)
	}
	if err == nil {
		err = s.compact()
	}
	if err != nil {
		s.fail(err)
		return
	}
	s.disk.refresh()
}

// Sync makes all appended messages and all discards survive a power cut. The store does this by
// itself unless SyncInterval is negative.
func (s *File) Sync() error {
	s.mu.Lock()
	if s.endErr != nil {
		defer s.mu.Unlock()
		return s.endErr
	}
	if err := s.logDiscardsLocked(); err != nil {
		defer s.mu.Unlock()
		return s.failLocked(err)
	}
	end := s.log.End()
	s.inFlight.Add(1)
	defer s.inFlight.Done()
	s.mu.Unlock()
	return s.waitDurable(end - 1)
}

// commitNow does the committer's work in a store that has no goroutine.
func (s *File) commitNow() {
	s.committing.Lock()
	defer s.committing.Unlock()
	s.commit()
	s.noteDurable()
}

// logDiscardsLocked logs the discards that are not in the log yet.
func (s *File) logDiscardsLocked() error {
	if s.lifePruned {
		s.lifePruned = false
		for publisher := range s.loggedAcked {
			if s.state.lifeOf(publisher) == nil {
				delete(s.loggedAcked, publisher)
			}
		}
		if _, err := s.log.Append(kindState, s.state.encode()); err != nil {
			return err
		}
		for _, l := range s.state.lives {
			s.loggedAcked[l.publisher] = l.acked
		}
	}
	for _, l := range s.state.lives {
		if s.loggedAcked[l.publisher] == l.acked {
			continue
		}
		s.prefix = appendIdentity(s.prefix[:0], l.publisher, l.acked)
		if _, err := s.log.Append(kindDiscard, s.prefix); err != nil {
			return err
		}
		s.loggedAcked[l.publisher] = l.acked
	}
	return nil
}

// oldestLocked returns the position of the oldest kept message.
func (s *File) oldestLocked() seglog.Position {
	oldest := s.log.End()
	for _, l := range s.state.lives {
		oldest = min(oldest, seglog.Position(l.oldestPosition()))
	}
	return oldest
}

// noteDurable records in an idle log that the log is durable up to its end. The next opening relies
// on that record (R8).
func (s *File) noteDurable() {
	if isFailed(s.endError()) {
		return
	}
	if err := s.log.Note(); err != nil {
		s.fail(err)
	}
}
