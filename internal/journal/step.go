package journal

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/mut"
)

// A Step is one fsync, from its beginning to its end. What is appended in between is
// not part of it.
type Step struct {
	j *Journal
	b batch
}

// Begin begins an fsync of what was appended until now. It returns nil if
// there is nothing, after it has noted that for the log (R8). One Step at a
// time; the journal must be Stepped.
func (j *Journal) Begin() (*Step, error) {
	if !j.pending() {
		if err := j.log.Note(); err != nil {
			return nil, j.fail(fmt.Errorf("journal: note: %w", err))
		}
		return nil, nil
	}
	if err := j.Err(); err != nil {
		return nil, err
	}
	s := &Step{j: j, b: j.takeBatch().clone()}
	if err := j.log.Write(); err != nil {
		return nil, j.fail(fmt.Errorf("journal: sync: %w", err))
	}
	return s, nil
}

// Sync has the disk do it. It may come at any time before End.
func (s *Step) Sync() error {
	if _, err := s.j.log.Sync(); err != nil {
		return s.j.fail(fmt.Errorf("journal: sync: %w", err))
	}
	return nil
}

// End notes that the fsync has ended well, and calls OnDurable.
func (s *Step) End() {
	s.j.becomeDurable(s.b)
	if mut.On(mut.R7CountsLater) {
		s.j.becomeDurable(s.j.takeBatch())
	}
}

// stepAll makes durable all that was appended.
func (j *Journal) stepAll() error {
	s, err := j.Begin()
	if s == nil || err != nil {
		return err
	}
	if err := s.Sync(); err != nil {
		return err
	}
	s.End()
	return nil
}
