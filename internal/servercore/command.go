package servercore

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// Execute executes one command; size is the length of its frame in bytes. After Execute, TooLarge
// and Refuse the caller must check Deciding. An error ends the session.
func (s *Session) Execute(m *wire.Message, size int) error {
	if longest := max(len(m.CommandID), len(m.SubID), len(m.QueryID)); longest > maxID && !failpoint.On(failpoint.DAnyID) {
		return s.idTooLong(m, longest)
	}
	switch s.reader.stage {
	case stageConnected:
		return s.logon(m)
	case stageDeciding, stageHolding:
		return errors.New("BUG: Execute was called while another command waits")
	}
	if m.Command != wire.Publish {
		s.Notify() // the command may take some time
	}
	switch m.Command {
	case wire.Publish, wire.DeltaPublish:
		if !s.client.ext {
			m.Headers = nil // a key of our extensions
		}
		if size > s.inst.MaxMessage {
			return s.TooLarge(m)
		}
		return s.publish(m, s.refusalReason(m))
	case wire.Batch:
		return errors.New("BUG: Execute was called with a whole batch")
	case wire.Subscribe:
		return s.subscribe(m)
	case wire.Unsubscribe:
		s.unsubscribe(m)
	case wire.Flush:
		return s.flush(m)
	case wire.Heartbeat:
		s.heartbeatCommand(m)
	case wire.StartTimer, wire.StopTimer:
		s.answer(m, wire.AckReceived, "")
		s.processed(m, "")
	case wire.Logon:
		s.processed(m, wire.ReasonDuplicateLogon)
	case wire.SOWDelete:
		if m.HasSequence && m.Sequence > 0 {
			return s.publish(m, s.refusalReason(m)) // it leaves a tombstone (R14)
		}
		s.notOffered(m)
	case wire.DeltaSubscribe, wire.SOW, wire.SOWAndSubscribe, wire.SOWAndDeltaSubscribe, wire.Ack:
		s.notOffered(m)
	default:
		return s.endBadCommand(m, wire.ReasonInvalidCommand)
	}
	return nil
}

// TooLarge answers a command whose frame is longer than the instance allows; m is its header. A
// publish is rejected with a tombstone (R14). Any other command ends the session.
func (s *Session) TooLarge(m *wire.Message) error {
	if m.Command != wire.Publish && m.Command != wire.DeltaPublish {
		return s.endBadCommand(m, "command too large")
	}
	return s.publish(m, reasonTooLarge)
}

// Refuse refuses a command, which may be a logon, with the caller's reason.
func (s *Session) Refuse(m *wire.Message, reason string) error {
	switch {
	case !s.LoggedOn():
		return s.refuseLogon(m, reason)
	case m.Command == wire.Publish, m.Command == wire.DeltaPublish, m.Command == wire.SOWDelete && m.HasSequence:
		return s.publish(m, reason)
	}
	s.answer(m, wire.AckReceived, "")
	if m.Command == wire.Subscribe {
		s.refuseSubscribe(m, &subscribeError{reason: reason})
	} else {
		s.processed(m, reason)
	}
	return nil
}

// Notify makes the links send the appended records. The driver calls it before it waits for the
// next command.
func (s *Session) Notify() { s.reader.appender.Notify() }

// answer sends an ack of the given type if the command requested it. failure is the reason of a
// refusal, empty if the command succeeded.
func (s *Session) answer(m *wire.Message, ack wire.AckType, failure string) {
	if m.Acks&ack != 0 {
		s.send(&wire.AckMessage{CommandID: string(m.CommandID), Type: ack, Success: failure == "", Reason: failure})
	}
}

// processed answers a command other than a publish.
func (s *Session) processed(m *wire.Message, failure string) {
	if failure != "" {
		s.inst.Counts.Refusals.add(RefusedCommand, failure)
		s.log.Warn("command refused", "command", string(m.CommandText), "reason", failure)
	}
	s.answer(m, wire.AckProcessed, failure)
}

// notOffered refuses a command of the protocol that this server does not implement, even if the
// client did not request an ack.
func (s *Session) notOffered(m *wire.Message) {
	s.answer(m, wire.AckReceived, "")
	reason := m.Command.String() + " is not offered"
	if m.Command == wire.Ack {
		reason = "ack of a queue is not offered"
	}
	s.inst.Counts.Refusals.add(RefusedCommand, reason)
	s.log.Warn("command refused", "command", m.Command.String(), "reason", reason)
	s.send(&wire.AckMessage{
		CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: reason,
		SubID: string(m.SubID), QueryID: string(m.QueryID),
	})
}

// endBadCommand ends the session of a client that sent a command which cannot be executed.
func (s *Session) endBadCommand(m *wire.Message, reason string) error {
	if m.CommandID == nil {
		s.End(reason, nil)
	} else {
		s.endWithAck(reason, string(m.CommandID))
	}
	return ErrEnding
}

// idTooLong ends the session of a client that sent an id longer than maxID; bytes is its length.
func (s *Session) idTooLong(m *wire.Message, bytes int) error {
	reason := fmt.Sprintf("id too long: %d bytes exceed the maximum of %d", bytes, maxID)
	id := ""
	if len(m.CommandID) <= maxID {
		id = string(m.CommandID)
	}
	s.endWithAck(reason, id)
	return ErrEnding
}

// unsubscribe ends subscriptions. Unknown ids are not an error.
func (s *Session) unsubscribe(m *wire.Message) {
	s.answer(m, wire.AckReceived, "")
	ids := cmp.Or(string(m.SubID), string(m.SubIDs))
	if ids == "" && m.QueryID == nil {
		s.processed(m, wire.ReasonInvalidSubID)
		return
	}
	for _, b := range s.takeSubs(ids) {
		s.queueTask(func(time.Time) { s.removeSub(b) })
	}
	s.processed(m, "")
}

// takeSubs removes the subscriptions named in a comma-separated list of ids, or all of them for
// "all", and returns them.
func (s *Session) takeSubs(ids string) []*sub {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ids == "all" {
		defer clear(s.subs)
		return slices.Collect(maps.Values(s.subs))
	}
	var taken []*sub
	for id := range strings.SplitSeq(ids, ",") {
		id = strings.TrimSpace(id)
		if b := s.subs[id]; b != nil {
			taken = append(taken, b)
			delete(s.subs, id)
		}
	}
	return taken
}

// unregisterSub removes a subscription that ended without an unsubscribe.
func (s *Session) unregisterSub(b *sub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs[b.ID] == b {
		delete(s.subs, b.ID)
	}
}

// flush executes a flush command. Commands are executed in order, so all commands before it are
// done. Its persisted ack is sent once all messages before it are settled.
func (s *Session) flush(m *wire.Message) error {
	s.answer(m, wire.AckReceived, "")
	s.processed(m, "")
	s.answer(m, wire.AckCompleted, "")
	if m.Acks&wire.AckPersisted == 0 {
		return nil
	}
	s.mu.Lock()
	ok := s.account.add(s.pending.flush(string(m.CommandID), s.acks.Received))
	s.mu.Unlock()
	if !ok {
		return errMemory
	}
	s.driver.Wake()
	return nil
}

// heartbeatCommand starts, answers or stops the heartbeats of the connection.
func (s *Session) heartbeatCommand(m *wire.Message) {
	s.answer(m, wire.AckReceived, "")
	word, number, _ := strings.Cut(string(m.Options), ",")
	switch word {
	case "start":
		seconds, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(number, ",")), 10, 32)
		if err != nil || seconds == 0 || seconds > 86400 {
			s.processed(m, wire.ReasonInvalidOptions)
			return
		}
		s.setHeartbeat(time.Duration(seconds) * time.Second)
	case "stop":
		s.setHeartbeat(0)
	case "beat", "":
	default:
		s.processed(m, wire.ReasonInvalidOptions)
		return
	}
	s.processed(m, "")
}

func (s *Session) setHeartbeat(interval time.Duration) {
	s.reader.heartbeat = interval
	s.queueTask(func(time.Time) { s.writer.heartbeat = interval })
}

// Silence returns how long the client may be silent before its connection counts as dead: twice the
// interval of its heartbeat command. 0 means forever. It belongs to the reader's half.
func (s *Session) Silence() time.Duration { return 2 * s.reader.heartbeat }
