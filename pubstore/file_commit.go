package pubstore

import (
	"runtime"
	"time"

	"github.com/holdfast-mq/holdfast/internal/seglog"
)

const maxGather = 64

// run is the committer, the only goroutine of the store. It syncs appended records, logs
// discards, and removes files that hold no kept message.
func (s *File) run() {
	defer close(s.done)
	idle, wait := time.NewTimer(s.interval), time.NewTimer(s.interval)
	defer idle.Stop()
	defer wait.Stop()
	for {
		select {
		case <-s.urgent:
			gather(s.log.End)
		case <-s.lazy:
			s.linger(wait)
		case <-idle.C:
			s.note()
			continue
		case <-s.stop:
			return
		}
		s.commit()
		idle.Reset(s.interval)
	}
}

// linger waits until the interval has passed, a sync is urgent, or the store is closed.
func (s *File) linger(t *time.Timer) {
	t.Reset(s.interval)
	select {
	case <-t.C:
	case <-s.urgent:
		gather(s.log.End)
	case <-s.stop:
	}
}

// gather yields to goroutines that are about to append. The last sync or commit woke them
// together, and they can share the next one if it does not start too early. waiting returns a
// measure of the waiting work; gather ends when it no longer changes.
func gather[T comparable](waiting func() T) {
	before := waiting()
	for range maxGather {
		runtime.Gosched()
		now := waiting()
		if now == before {
			return
		}
		before = now
	}
}

// dirtyLocked makes the committer commit within the interval.
func (s *File) dirtyLocked() {
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
		if failed(s.ended) {
			return s.ended
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
	err := s.logLetGoLocked()
	trim := s.oldestLocked()
	ended := failed(s.ended)
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
	s.disk.see()
}

// Sync makes all appended messages and all discards survive a power cut. The store does this by
// itself unless SyncInterval is negative.
func (s *File) Sync() error {
	s.mu.Lock()
	if s.ended != nil {
		defer s.mu.Unlock()
		return s.ended
	}
	if err := s.logLetGoLocked(); err != nil {
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
	s.note()
}

// logLetGoLocked logs the discards that the log does not have yet.
func (s *File) logLetGoLocked() error {
	if s.left {
		s.left = false
		for publisher := range s.logged {
			if s.ledger.of(publisher) == nil {
				delete(s.logged, publisher)
			}
		}
		if _, err := s.log.Append(kindState, s.ledger.encodeState()); err != nil {
			return err
		}
		for _, w := range s.ledger.lives {
			s.logged[w.publisher] = w.acked
		}
	}
	for _, w := range s.ledger.lives {
		if s.logged[w.publisher] == w.acked {
			continue
		}
		s.prefix = appendMark(s.prefix[:0], w.publisher, w.acked)
		if _, err := s.log.Append(kindDiscard, s.prefix); err != nil {
			return err
		}
		s.logged[w.publisher] = w.acked
	}
	return nil
}

// oldestLocked returns the position of the oldest kept message.
func (s *File) oldestLocked() seglog.Position {
	oldest := s.log.End()
	for _, w := range s.ledger.lives {
		oldest = min(oldest, seglog.Position(w.oldest()))
	}
	return oldest
}

// note records in an idle log that it is durable up to its end, so that the next opening knows
// (R8).
func (s *File) note() {
	if failed(s.state()) {
		return
	}
	if err := s.log.Note(); err != nil {
		s.fail(err)
	}
}
