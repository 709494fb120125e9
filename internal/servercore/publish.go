package servercore

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

const (
	reasonTooLarge = "message too large"
	reasonDiffers  = "duplicate with other content"
	reasonNoName   = "client name required for a sequence"
	// reasonInvalidHeaders is the reason for headers that no message may have.
	reasonInvalidHeaders = "invalid headers"
	// reasonElsewhere is the reason of a tombstone for numbers that the client left out because
	// another server had rejected them.
	reasonElsewhere = "rejected elsewhere"

	devnull = "/AMPS/devnull"
)

// reserved is the prefix of the server's own topics.
var reserved = []byte("/AMPS")

// publish executes a publish or another command that is numbered like one. refusal is the reason to
// refuse it, empty if there is none. A refused command with a number leaves a tombstone (R14).
func (s *Session) publish(m *wire.Message, refusal string) error {
	s.answer(m, wire.AckReceived, "")
	if m.HasSequence && m.Sequence > 0 {
		return s.publishSequenced(m, refusal)
	}
	return s.publishUnsequenced(m, refusal)
}

// refusalReason returns the reason to refuse a publish, empty if there is none. All instances of a
// group must refuse the same publishes (R14), so the rules depend only on the format, on settings
// in the digest, and on permissions. Permissions may differ for a while, see publishSequenced.
func (s *Session) refusalReason(m *wire.Message) string {
	if m.Command != wire.Publish {
		return m.Command.String() + " is not offered"
	}
	if record.CheckHeaders(m.Headers) != nil {
		return reasonInvalidHeaders
	}
	reason := s.topicRefusalReason(m.Topic, m.HasSequence && m.Sequence > 0)
	if reason == wire.ReasonNotEntitled {
		s.reader.notEntitled++
		s.inst.Counts.NotEntitled.Add(1)
	}
	return reason
}

// topicRefusalReason returns the reason to refuse a publish to a topic, empty if there is none.
func (s *Session) topicRefusalReason(topic []byte, numbered bool) string {
	switch {
	case len(topic) == 0:
		return wire.ReasonNoTopic
	case !validTopic(topic), len(topic) > s.limits.Topic && !failpoint.On(failpoint.DAnyTopic):
		return wire.ReasonInvalidTopic
	case string(topic) == devnull:
		return ""
	case bytes.HasPrefix(topic, reserved), numbered && !s.inst.Logged.Contains(topic):
		return wire.ReasonInvalidTopic
	case !s.mayPublish(topic):
		return wire.ReasonNotEntitled
	}
	return ""
}

// validTopic reports whether a topic is valid UTF-8 without control characters. Message bodies may
// hold any bytes.
func validTopic(topic []byte) bool {
	if !slices.ContainsFunc(topic, notPrintable) {
		return true
	}
	return utf8.Valid(topic) && !bytes.ContainsFunc(topic, unicode.IsControl)
}

// notPrintable reports whether c is not printable ASCII. Most topics have only printable ASCII.
func notPrintable(c byte) bool { return c < ' ' || c > '~' }

// publishSequenced records a numbered message, or its tombstone if it is refused.
func (s *Session) publishSequenced(m *wire.Message, refusal string) error {
	if !s.client.canSequence {
		s.refusePublish(m, reasonNoName)
		return nil
	}
	if refusal != "" && failpoint.On(failpoint.R14NoTombstone) {
		s.refusePublish(m, refusal)
		return nil
	}
	if !s.mayAppend(m.Sequence) {
		s.holdPublish(m, refusal)
		return nil
	}
	wanted := m.Acks&wire.AckPersisted != 0
	if m.Sequence > s.reader.have {
		if refusal == wire.ReasonNotEntitled && !s.inst.mayReject(s.client.claim.Publisher, m.Sequence) {
			return s.endPermissionsDiffer(m.Topic)
		}
		if err := s.recordLeftOut(m.Sequence - 1); err != nil {
			return err
		}
		// This must happen before the message is in the ledger: otherwise the watermark could pass
		// the number and no one would check again. A number that the ledger already has is not
		// tracked here: it must not be acknowledged before its content is known to be the same.
		s.trackPublish(m.Sequence, wanted)
		s.beginProbe(m.Sequence)
	}
	r := s.recordOf(m, s.recordedRefusal(m, refusal))
	r.Sequence, r.Prev = m.Sequence, m.Sequence-1
	verdict, err := s.admit(r)
	if err != nil {
		return err
	}
	switch verdict {
	case ledger.Hole:
		return s.endPublishGap(m.Sequence - 1)
	case ledger.Accepted:
		s.reader.have = m.Sequence
		s.countPublished(r)
		s.notifyNotEntitled(m, refusal)
	default:
		return s.answerResend(m, r, verdict, refusal)
	}
	s.answerPublish(m, refusal)
	return nil
}

// recordedRefusal returns the refusal with which a numbered message goes to the ledger. A message that
// the ledger may have is compared as it is: it may have been taken by earlier permissions.
func (s *Session) recordedRefusal(m *wire.Message, refusal string) string {
	if have, _ := s.inst.Ledger.Have(s.client.claim.Publisher); refusal == wire.ReasonNotEntitled && m.Sequence <= have && !failpoint.On(failpoint.R14NotCompared) {
		return ""
	}
	return refusal
}

// trackPublish notes a number of the client that is about to be appended to the ledger.
func (s *Session) trackPublish(sequence uint64, wanted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acks.TrackPublish(sequence, wanted)
	s.givenOut = max(s.givenOut, sequence)
}

// recordLeftOut records a tombstone for the numbers from have(p)+1 to upTo, which the next message
// leaves out. All of them must be in one range that the client has stated as rejected (R1).
func (s *Session) recordLeftOut(upTo uint64) error {
	from, rejected := rejectedFrom(s.reader.logon.spans, upTo)
	if failpoint.On(failpoint.R1LeavesOut) && upTo > 0 {
		from, rejected = 1, true
	}
	if !rejected || upTo <= s.reader.have {
		return nil
	}
	have, _ := s.inst.Ledger.Have(s.client.claim.Publisher)
	switch {
	case upTo <= have:
		return nil
	case from > have+1:
		return s.endPublishGap(upTo)
	}
	verdict, err := s.append(&ledger.Record{
		Kind: ledger.Tombstone, Publisher: s.client.claim.Publisher, Check: s.client.claim.Check, User: s.client.user,
		Sequence: upTo, Prev: have, Reason: []byte(reasonElsewhere),
	})
	if err == nil && verdict == ledger.Hole {
		return s.endPublishGap(upTo)
	}
	return err
}

// rejectedFrom returns the start of the span that contains a sequence, and false if there is none.
func rejectedFrom(spans []wire.Span, sequence uint64) (from uint64, in bool) {
	i, _ := slices.BinarySearchFunc(spans, sequence, func(s wire.Span, sequence uint64) int { return cmp.Compare(s.To, sequence) })
	if i == len(spans) || spans[i].From > sequence {
		return 0, false
	}
	return spans[i].From, true
}

// answerResend answers a number that the ledger already has from the record at that number.
func (s *Session) answerResend(m *wire.Message, r *ledger.Record, verdict ledger.Verdict, refusal string) error {
	st := ledger.RecordInfo{Kind: r.Kind, Same: true, Listed: true}
	if verdict != ledger.Duplicate || r.Kind == ledger.Tombstone {
		var err error
		// Reading the log for each client that reconnects would cost too much. So in the client's
		// own life content that is no longer in memory counts as the same.
		if st, err = s.reader.appender.Lookup(r, s.reader.ledgerAhead); err != nil {
			return fmt.Errorf("journal: %w", err)
		}
	}
	answer := DecideResend(st, ResendFacts{
		LedgerAhead: s.reader.ledgerAhead, LetGo: m.Sequence <= s.reader.logon.acked, Refused: refusal != "",
	})
	if failpoint.On(failpoint.R14DecidesAgain) && refusal == "" {
		answer = ResendKnown
	}
	switch {
	case answer == ResendKnown, answer == ResendRefused && st.Listed && s.failurePending(m.Sequence):
		s.answerDuplicate(m.Sequence, m.Acks&wire.AckPersisted != 0)
		s.answerPublish(m, refusal)
	case answer == ResendRefused:
		s.refusePublish(m, st.Reason)
	case answer == ResendUnknown:
		s.refusePublish(m, wire.ReasonOutcomeUnknown)
	default:
		s.rejectDiffering(m)
	}
	return nil
}

// failurePending reports whether the failure of a tombstone will still be sent, in order with the
// acks.
func (s *Session) failurePending(sequence uint64) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return sequence > s.acks.Failed
}

// endPublishGap ends the session of a client that would publish past messages that this instance
// lacks (R4). last is the highest of them as the client says.
func (s *Session) endPublishGap(last uint64) error {
	s.inst.Counts.PublishGaps.Add(1)
	s.inst.notifyRefused(wire.ReasonPublishGap)
	have, _ := s.inst.Ledger.Have(s.client.claim.Publisher)
	if peer, why := s.lackedBy(last); why == "" && s.client.ext && s.reader.stage == stageDeciding {
		s.log.Error("publish gap: no instance of the group has acknowledged messages of the client's publisher, and the client cannot publish",
			"publisher", s.client.claim.Publisher, "have", have, "first", have+1, "last", last, "peers", s.inst.Ledger.SyncPeers())
	} else {
		s.log.Warn("publish gap: this instance lacks acknowledged messages of the client's publisher, and the client cannot publish here",
			"publisher", s.client.claim.Publisher, "have", have, "first", have+1, "last", last, "peer", peer, "reason", why)
	}
	s.endWithAck(wire.ReasonPublishGap, "")
	return ErrEnding
}

// lackedBy returns why a peer may have the messages of the session's publisher up to last, which
// this instance lacks. why is empty if all peers are linked and none has more than this instance.
func (s *Session) lackedBy(last uint64) (peer, why string) {
	s.mu.Lock()
	by := s.answers.HaveByPeer // replaced, never modified
	s.mu.Unlock()
	for name, have := range by {
		if have >= last {
			return name, name + " has them"
		}
	}
	if s.inst.Behind == nil {
		return "", ""
	}
	return s.inst.Behind()
}

// admit records r. A plain client that no instance knows may begin at any number, and a client that
// may use a decree may leave numbers out. The numbers before r are then recorded as gone (R10) or
// lost (R4).
func (s *Session) admit(r *ledger.Record) (ledger.Verdict, error) {
	verdict, err := s.append(r)
	if err != nil {
		return verdict, err
	}
	if step := s.reader.firstPublishStep; verdict == ledger.Hole && step != LogonWait {
		if err := s.recordGone(LogonVerdict{Step: step, UpTo: r.Sequence - 1, Cause: s.reader.cause}); err != nil {
			return verdict, err
		}
		verdict, err = s.append(r)
	}
	if err == nil && verdict == ledger.Accepted {
		s.reader.firstPublishStep = LogonWait
		if s.reader.usesDecree && !failpoint.On(failpoint.R4DecreeUseForgotten) {
			s.reader.usesDecree = false
			err = s.inst.Ledger.UseDecree(r.Publisher)
		}
	}
	return verdict, err
}

// append records r unless the session has lost its name meanwhile. Each record of the session has its
// user, because the first one makes the user the owner of the publisher.
func (s *Session) append(r *ledger.Record) (ledger.Verdict, error) {
	if r.User = s.client.user; failpoint.On(failpoint.R10UserOfMessagesOnly) && r.Kind != ledger.Message {
		r.User = nil
	}
	if s.inst.Full != nil && s.inst.Full() && !s.inLedger(r) {
		return 0, s.endDiskFull()
	}
	if !s.mayRecord(r.Publisher) {
		return 0, s.endManyPublishers()
	}
	verdict, err := appendUnlessFenced(s, func() (ledger.Verdict, error) { return s.reader.appender.Append(r) })
	switch {
	case err != nil:
		return 0, err
	case verdict == ledger.OtherPublisher:
		s.endOtherPublisher("")
		return 0, ErrEnding
	case verdict == ledger.Diverged:
		s.endNotTaken(r.Publisher)
		return 0, ErrEnding
	}
	return verdict, nil
}

// appendUnlessFenced calls add, which appends to the ledger, unless the session has lost its name
// meanwhile.
func appendUnlessFenced[T any](s *Session, add func() (T, error)) (added T, err error) {
	s.appending.Lock()
	defer s.appending.Unlock()
	if s.fenced {
		return added, ErrEnding
	}
	if added, err = add(); err != nil {
		err = fmt.Errorf("journal: %w", err)
	}
	return added, err
}

// inLedger reports whether the ledger already has r, so that r needs no space.
func (s *Session) inLedger(r *ledger.Record) bool {
	have, _ := s.inst.Ledger.Have(r.Publisher)
	return r.Sequence > 0 && r.Sequence <= have
}

// endDiskFull ends the session of a client that publishes while the disk is nearly full. This is a
// temporary state, so there is no tombstone: the client keeps the message and sends it again, here
// or to another server.
func (s *Session) endDiskFull() error {
	s.inst.Counts.DiskFull.Add(1)
	s.inst.fullDisk.note(s.client.claim.ClientName)
	s.endWithAck(wire.ReasonDiskFull, "")
	return ErrEnding
}

// recordOf returns the record of a publish, in the reader's scratch.
func (s *Session) recordOf(m *wire.Message, refusal string) *ledger.Record {
	r := &s.reader.record
	*r = ledger.Record{
		Kind:      ledger.Message,
		Publisher: s.client.claim.Publisher,
		Check:     s.client.claim.Check,
		User:      s.client.user,
		Topic:     m.Topic,
	}
	switch {
	case refusal != "":
		r.Kind, r.Reason = ledger.Tombstone, []byte(refusal)
		return r
	case string(m.Topic) == devnull:
		r.Kind = ledger.Empty
		return r
	}
	if batched := &s.reader.batchRecord; m == &s.reader.batch.publish && len(s.client.user) == 0 {
		r.Raw, r.Sum = batched.Raw, batched.Sum // the record as the client sent it
	}
	r.Body = m.Body
	r.CorrelationID, r.SOWKey, r.Headers = m.CorrelationID, m.SOWKey, m.Headers
	r.Expiration = uint32(min(m.Expiration, 1<<32-1))
	return r
}

// answerDuplicate has the current watermark sent to the client again. If the message is not
// settled, it counts as waiting for a peer (R5).
func (s *Session) answerDuplicate(sequence uint64, wanted bool) {
	s.inst.Counts.Duplicates.Add(1)
	if _, settled := s.inst.Ledger.Watermarks(s.client.claim.Publisher); sequence > settled {
		s.inst.Ledger.ExpectSettled(s.client.claim.Publisher, sequence)
	}
	s.mu.Lock()
	s.acks.TrackDuplicate(sequence, wanted)
	s.mu.Unlock()
	s.driver.Wake()
}

// rejectDiffering rejects a message whose identity the ledger has with other content: a copy of a
// publish store is in use (R11).
func (s *Session) rejectDiffering(m *wire.Message) {
	if failpoint.On(failpoint.R11NoContentCheck) {
		s.answerDuplicate(m.Sequence, m.Acks&wire.AckPersisted != 0)
		return
	}
	s.inst.Counts.Differing.Add(1)
	s.inst.notifyRefused(reasonDiffers)
	s.log.Error("a message is rejected: this instance has another one under its number, since a copy of a publish store is in use",
		"publisher", s.client.claim.Publisher, "sequence", m.Sequence)
	s.refusePublish(m, reasonDiffers)
}

// publishUnsequenced records a message that the instance numbers itself, or delivers a message on a
// topic that is not logged.
func (s *Session) publishUnsequenced(m *wire.Message, refusal string) error {
	isDevnull := string(m.Topic) == devnull
	switch {
	case refusal != "":
		s.refusePublish(m, refusal)
		return nil
	case isDevnull || !s.inst.Logged.Contains(m.Topic):
		if !isDevnull {
			s.inst.Registry.publishUnlogged(m, s.client.user)
			s.inst.Counts.Published.Add(1)
			s.inst.Counts.PublishedBytes.Add(uint64(len(m.Body)))
		}
		s.answerPublish(m, "")
		s.answer(m, wire.AckPersisted, "") // an unlogged message waits for no disk
		return nil
	}
	r := s.recordOf(m, "")
	r.Publisher, r.Check = s.client.unsequenced.ID, s.client.unsequenced.Check
	if _, err := s.append(r); err != nil {
		return err
	}
	s.countPublished(r)
	s.answerPublish(m, "")
	return s.awaitPersisted(m, r.Sequence)
}

// awaitPersisted queues the persisted ack of a message without a sequence. The ack is sent once the
// message is settled.
func (s *Session) awaitPersisted(m *wire.Message, sequence uint64) error {
	wanted := m.Acks&wire.AckPersisted != 0
	s.mu.Lock()
	ok := s.account.add(s.pending.publish(sequence, string(m.CommandID), wanted))
	s.mu.Unlock()
	if !ok {
		return errMemory
	}
	if wanted {
		s.driver.Wake() // it may be settled already
	}
	return nil
}

// countPublished counts a message that was recorded.
func (s *Session) countPublished(r *ledger.Record) {
	s.inst.Counts.Published.Add(1)
	s.inst.Counts.PublishedBytes.Add(uint64(r.Next - r.Position))
}

// answerPublish sends the processed and completed acks of a publish. refusal is the reason of a
// refusal, empty if there is none.
func (s *Session) answerPublish(m *wire.Message, refusal string) {
	s.answer(m, wire.AckProcessed, refusal)
	if refusal == "" {
		s.answer(m, wire.AckCompleted, "")
	}
}

// refusePublish answers a publish that is refused without a record.
func (s *Session) refusePublish(m *wire.Message, reason string) {
	s.inst.Counts.Refused.Add(1)
	s.inst.Counts.Refusals.add(RefusedPublish, reason)
	s.notifyNotEntitled(m, reason)
	s.log.Warn("publish refused", "reason", reason, "topic", string(m.Topic), "sequence", m.Sequence)
	s.answer(m, wire.AckProcessed, reason)
	if m.HasSequence && m.Sequence > 0 && (s.client.ext || m.Acks&wire.AckPersisted != 0) {
		s.send(&wire.AckMessage{Type: wire.AckPersisted, Sequence: m.Sequence, HasSequence: true, Reason: reason})
		return
	}
	s.answer(m, wire.AckPersisted, reason)
}

// notifyNotEntitled reports a publish that was refused for a reason, if the reason is that the user
// may not publish it. An empty reason means that it was not refused.
func (s *Session) notifyNotEntitled(m *wire.Message, reason string) {
	if reason == wire.ReasonNotEntitled {
		s.notifyEvent(EventPublishRefused, m.Topic, reason)
	}
}
