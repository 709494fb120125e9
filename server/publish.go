package server

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	reasonTooLarge = "message too large"
	reasonDiffers  = "duplicate with other content"
	reasonNoName   = "client name required for a sequence"

	devnull = "/AMPS/devnull"
)

// reserved is how the names of topics begin that are the server's own.
var reserved = []byte("/AMPS")

// publish executes a publish, or what a publisher numbered like one.
func (s *session) publish(m *wire.Message) error {
	s.received(m)
	refused := s.refuses(m)
	if m.HasSequence && m.Sequence > 0 {
		return s.publishSequenced(m, refused)
	}
	return s.publishUnsequenced(m, refused)
}

// refuses returns why a publish is refused, empty if it is not. A group must
// refuse alike (R14): what it depends on is in the digest, or part of the format.
func (s *session) refuses(m *wire.Message) string {
	switch {
	case m.Command == wire.DeltaPublish:
		return "delta_publish is not offered"
	case m.Command == wire.SOWDelete:
		return "sow_delete is not offered"
	case len(m.Topic) == 0:
		return wire.ReasonNoTopic
	case !validTopic(m.Topic):
		return wire.ReasonInvalidTopic
	case string(m.Topic) == devnull:
		return ""
	case bytes.HasPrefix(m.Topic, reserved):
		return wire.ReasonInvalidTopic
	case m.HasSequence && m.Sequence > 0 && !s.srv.logged.Contains(m.Topic):
		return wire.ReasonInvalidTopic
	}
	return ""
}

// validTopic reports whether a topic is text: UTF-8 without control characters.
// Bodies may hold anything.
func validTopic(topic []byte) bool {
	if !slices.ContainsFunc(topic, special) {
		return true
	}
	return utf8.Valid(topic) && !bytes.ContainsFunc(topic, unicode.IsControl)
}

// special reports whether c is not printable ASCII, which is all that most topics have.
func special(c byte) bool { return c < ' ' || c > '~' }

// publishSequenced journals a numbered message, or that it was refused.
func (s *session) publishSequenced(m *wire.Message, refused string) error {
	if !s.canSequence {
		s.refuse(m, reasonNoName)
		return nil
	}
	r := s.record(m, refused)
	r.Sequence, r.Prev = m.Sequence, m.Sequence-1
	if s.ext && m.HasPrev {
		r.Prev = m.Prev
	}
	if refused != "" && mut.On(mut.R14NoTombstone) {
		s.refuse(m, refused)
		return nil
	}
	// Before it is in the journal, or the watermark could have moved past it
	// with nobody to look again.
	wanted := m.Acks&wire.AckPersisted != 0
	s.mu.Lock()
	s.acks.Took(m.Sequence, wanted)
	s.mu.Unlock()
	verdict, err := s.admit(&r)
	if err != nil {
		return err
	}
	s.unknown = false
	switch verdict {
	case journal.Hole:
		return s.publishGap(m.Sequence)
	case journal.Differs:
		s.differs(m)
		return nil
	case journal.Duplicate:
		s.duplicate(m.Sequence, wanted)
	default:
		s.srv.counts.published.Add(1)
	}
	s.answerPublish(m, refused)
	return nil
}

// admit journals r. A plain client that no instance knows may begin at any
// number: what was before it is gone (R10).
func (s *session) admit(r *journal.Record) (journal.Verdict, error) {
	verdict, err := s.append(r)
	if err != nil || verdict != journal.Hole || !s.unknown {
		return verdict, err
	}
	if err := s.journalGone(r.Sequence - 1); err != nil {
		return verdict, err
	}
	return s.append(r)
}

// append journals r unless the session has lost its name meanwhile.
func (s *session) append(r *journal.Record) (journal.Verdict, error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	if s.fenced {
		return 0, errEnding
	}
	verdict, err := s.batch.Append(r)
	if err != nil {
		return 0, fmt.Errorf("journal: %w", err)
	}
	return verdict, nil
}

// record is the journal's form of a publish.
func (s *session) record(m *wire.Message, refused string) journal.Record {
	r := journal.Record{
		Kind:      journal.Message,
		Publisher: s.claim.Publisher,
		Topic:     m.Topic,
	}
	switch {
	case refused != "":
		r.Kind, r.Reason = journal.Tombstone, []byte(refused)
		return r
	case string(m.Topic) == devnull:
		r.Kind = journal.Empty
		return r
	}
	r.Body, r.User = m.Body, s.user
	r.CorrelationID, r.SOWKey = m.CorrelationID, m.SOWKey
	r.Expiration = uint32(min(m.Expiration, 1<<32-1))
	return r
}

// duplicate has the watermark answered, and counts what waits for a peer.
func (s *session) duplicate(sequence uint64, wanted bool) {
	s.srv.counts.duplicates.Add(1)
	links := s.srv.links.Load()
	if sequence > links.Settled(s.claim.Publisher) {
		links.Waits(s.claim.Publisher, sequence)
	}
	s.mu.Lock()
	s.acks.Duplicate(sequence, wanted)
	s.mu.Unlock()
	s.signal()
}

// differs refuses an identity that the journal has with other content: a copy
// of a publish store is in use (R11).
func (s *session) differs(m *wire.Message) {
	if mut.On(mut.R11NoContentCheck) {
		s.duplicate(m.Sequence, m.Acks&wire.AckPersisted != 0)
		return
	}
	s.srv.counts.differing.Add(1)
	s.log.Error("one identity with two contents: a copy of a publish store is in use, the later message is rejected",
		"publisher", s.claim.Publisher, "sequence", m.Sequence)
	s.refuse(m, reasonDiffers)
}

// publishUnsequenced journals a message that the instance numbers itself, or
// hands on one that is not logged.
func (s *session) publishUnsequenced(m *wire.Message, refused string) error {
	switch {
	case refused != "":
		s.refuse(m, refused)
		return nil
	case string(m.Topic) == devnull:
		s.answerPublish(m, "")
		s.persistedAtOnce(m)
		return nil
	case !s.srv.logged.Contains(m.Topic):
		s.srv.publishLive(m, s.claim.User)
		s.srv.counts.published.Add(1)
		s.answerPublish(m, "")
		s.persistedAtOnce(m)
		return nil
	}
	r := s.record(m, "")
	r.Publisher = s.unsequenced
	if _, err := s.append(&r); err != nil {
		return err
	}
	s.srv.counts.published.Add(1)
	s.answerPublish(m, "")
	return s.awaitPersisted(m, r.Sequence)
}

// awaitPersisted has the persisted ack of a message without a sequence sent
// when it is settled.
func (s *session) awaitPersisted(m *wire.Message, sequence uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lastUnsequenced = sequence
	if m.Acks&wire.AckPersisted == 0 {
		return nil
	}
	if len(s.single) >= maxPending {
		return errors.New("too many publishes wait for their own persisted ack")
	}
	s.single = append(s.single, pendingAck{sequence, string(m.CommandID)})
	s.signal() // it may be settled already
	return nil
}

// persistedAtOnce acknowledges what nothing waits for.
func (s *session) persistedAtOnce(m *wire.Message) {
	if m.Acks&wire.AckPersisted != 0 {
		s.send(&wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckPersisted, Success: true})
	}
}

// answerPublish sends the processed and completed acks of a publish that was
// executed; refused is why it was refused, if it was.
func (s *session) answerPublish(m *wire.Message, refused string) {
	if m.Acks&wire.AckProcessed != 0 {
		s.send(&wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Success: refused == "", Reason: refused})
	}
	if m.Acks&wire.AckCompleted != 0 && refused == "" {
		s.send(&wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckCompleted, Success: true})
	}
}

// refuse answers a publish that leaves no record.
func (s *session) refuse(m *wire.Message, reason string) {
	s.srv.counts.refused.Add(1)
	s.log.Warn("publish refused", "reason", reason, "topic", string(m.Topic), "sequence", m.Sequence)
	if m.Acks&wire.AckProcessed != 0 {
		s.send(&wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: reason})
	}
	switch {
	case m.HasSequence && m.Sequence > 0 && (s.ext || m.Acks&wire.AckPersisted != 0):
		s.send(&wire.AckMessage{Type: wire.AckPersisted, Sequence: m.Sequence, HasSequence: true, Reason: reason})
	case m.Acks&wire.AckPersisted != 0:
		s.send(&wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckPersisted, Reason: reason})
	}
}

// tooLarge rejects a message that is longer than this server takes: the header
// is read, the body skipped (R14).
func (s *session) tooLarge() error {
	header, err := s.reader.NextTooLarge()
	if err != nil {
		return fmt.Errorf("frame too large: %w", err)
	}
	if err := wire.Parse(header, &s.msg); err != nil {
		return fmt.Errorf("frame too large: %w", err)
	}
	return s.rejectTooLarge(&s.msg)
}

func (s *session) rejectTooLarge(m *wire.Message) error {
	if m.Command != wire.Publish && m.Command != wire.DeltaPublish {
		return s.closeWith(m, "command too large")
	}
	return s.reject(m, reasonTooLarge)
}

// reject answers a publish that must not be executed; a numbered one leaves
// its tombstone (R14).
func (s *session) reject(m *wire.Message, reason string) error {
	s.received(m)
	if m.HasSequence && m.Sequence > 0 {
		return s.publishSequenced(m, reason)
	}
	s.refuse(m, reason)
	return nil
}
