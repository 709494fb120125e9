package servercore

import (
	"fmt"

	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Batch is what is left of a batch of publishes. Its owner executes them one by one,
// each as if it had come by itself: Next, Execute, and Decide while the session decides.
type Batch struct {
	session *Session
	rest    []byte
	publish wire.Message
	run     []ledger.Record // scratch of TakeRun
}

// Batch begins a batch. What it returns is valid until the next call, and as long as the
// frame of m.
func (s *Session) Batch(m *wire.Message) *Batch {
	b := &s.reader.batch
	b.session, b.rest = s, m.Body
	return b
}

// Next returns the next publish and its size, or nil. An error ends the session.
func (b *Batch) Next() (m *wire.Message, size int, err error) {
	s := b.session
	if !s.who.ext {
		return nil, 0, fmt.Errorf("%w: the logon did not say ext", wire.ErrBatch)
	}
	rest, more, err := b.publish.TakePublish(b.rest, &s.reader.came)
	if err == nil && more {
		err = s.checkCame(&s.reader.came)
	}
	if err != nil || !more {
		return nil, 0, err
	}
	b.rest = rest
	return &b.publish, len(s.reader.came.Raw), nil
}

// runMost is how many messages are recorded at once.
const runMost = 64

// TakeRun records the messages at the beginning of what is left, as far as they are
// ordinary ones: new, one behind the other, and nothing has to be decided. Next
// goes on with the others. It is what Execute does for each, with fewer locks.
func (b *Batch) TakeRun() error {
	s := b.session
	have := s.reader.have
	if !s.takesRuns(have + 1) {
		return nil
	}
	run, rest := b.run[:0], b.rest
	for len(run) < runMost {
		run = append(run, ledger.Record{})
		r := &run[len(run)-1]
		behind, more, err := wire.TakeRecord(rest, r)
		if err != nil || !more || !s.isOrdinary(r, have+uint64(len(run))) {
			run = run[:len(run)-1] // it is looked at by itself
			break
		}
		r.Check, rest = s.who.claim.Check, behind
	}
	b.run = run
	if len(run) < 2 {
		return nil
	}
	taken, err := s.appendRun(run)
	b.rest = wire.SkipRecords(b.rest, taken)
	if taken > 0 {
		s.reader.have = have + uint64(taken)
		s.inst.Counts.Published.Add(uint64(taken))
		s.took(s.reader.have, true)
		s.driver.Wake() // the watermark may have moved past them already
	}
	clear(run) // they share the frame's memory
	return err
}

// takesRuns reports whether a message that is the next one may be recorded as it came.
func (s *Session) takesRuns(next uint64) bool {
	return s.who.ext && s.who.canSequence && len(s.who.user) == 0 && s.reader.begins == LogonWait &&
		(s.inst.Full == nil || !s.inst.Full()) && s.mayTake(next)
}

// isOrdinary reports whether a record of a batch is a message that is recorded as it came.
func (s *Session) isOrdinary(r *ledger.Record, sequence uint64) bool {
	return r.Sequence == sequence && !r.Delta && len(r.Raw) <= s.inst.MaxMessage && string(r.Topic) != devnull &&
		s.checkCame(r) == nil && s.refusesTopic(r.Topic, true) == ""
}

// appendRun records a run unless the session has lost its name meanwhile.
func (s *Session) appendRun(run []ledger.Record) (taken int, err error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	if s.fenced {
		return 0, ErrEnding
	}
	taken, _, err = s.reader.appender.AppendRun(run)
	if err != nil {
		err = fmt.Errorf("journal: %w", err)
	}
	return taken, err
}

// Rest returns the records that Next has not returned.
func (b *Batch) Rest() []byte { return b.rest }

// checkCame says why a record of a batch is none that a client may send. The sum is
// believed from here on.
func (s *Session) checkCame(r *record.Record) error {
	switch {
	case r.Kind != record.Message || record.Introduced(r.Raw) || len(r.User) > 0:
		return fmt.Errorf("%w: a record of %v that is no client's", wire.ErrBatch, r.Kind)
	case r.Publisher != s.who.claim.Publisher:
		return fmt.Errorf("%w: a record of publisher %d in a session of %d", wire.ErrBatch, r.Publisher, s.who.claim.Publisher)
	case !r.Sound():
		return fmt.Errorf("%w: message %d has not the content that its sum says", wire.ErrBatch, r.Sequence)
	}
	return nil
}
