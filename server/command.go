package server

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

// command parses and executes one command of a client that is logged on.
func (s *session) command(frame []byte) error {
	m := &s.msg
	if err := wire.Parse(frame, m); err != nil {
		return fmt.Errorf("malformed command: %w", err)
	}
	if instead, err := s.intercepted(m); err != nil || instead {
		return err
	}
	if m.Command != wire.Publish {
		s.batch.Notify() // the command may take its time
	}
	switch m.Command {
	case wire.Publish, wire.DeltaPublish:
		if len(frame) > int(s.srv.cfg.MaxMessage) {
			return s.rejectTooLarge(m)
		}
		return s.publish(m)
	case wire.Subscribe:
		return s.subscribe(m)
	case wire.Unsubscribe:
		s.unsubscribe(m)
	case wire.Flush:
		return s.flush(m)
	case wire.Heartbeat:
		s.heartbeat(m)
	case wire.StartTimer, wire.StopTimer:
		s.received(m)
		s.processed(m, "")
	case wire.Logon:
		s.processed(m, wire.ReasonDuplicateLogon)
	case wire.SOWDelete:
		return s.sowDelete(m)
	case wire.DeltaSubscribe, wire.SOW, wire.SOWAndSubscribe, wire.SOWAndDeltaSubscribe, wire.Ack:
		s.notOffered(m)
	default:
		return s.closeWith(m, wire.ReasonInvalidCommand)
	}
	return nil
}

// received sends the received ack, if it was asked for.
func (s *session) received(m *wire.Message) {
	if m.Acks&wire.AckReceived != 0 {
		s.send(&wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckReceived, Success: true})
	}
}

// processed sends the processed ack, if it was asked for; failure is the
// reason why the command was refused, if it was.
func (s *session) processed(m *wire.Message, failure string) {
	if failure != "" {
		s.log.Warn("command refused", "command", string(m.CommandText), "reason", failure)
	}
	if m.Acks&wire.AckProcessed != 0 {
		s.send(&wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Success: failure == "", Reason: failure})
	}
}

// refuseLoudly sends a failure ack whether it was asked for or not.
func (s *session) refuseLoudly(m *wire.Message, reason string) {
	s.log.Warn("command refused", "reason", reason)
	s.send(&wire.AckMessage{
		CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: reason,
		SubID: string(m.SubID), QueryID: string(m.QueryID),
	})
}

// notOffered refuses a command of the protocol that this server does not have.
func (s *session) notOffered(m *wire.Message) {
	s.received(m)
	s.refuseLoudly(m, commandName(m)+" is not offered")
}

func commandName(m *wire.Message) string {
	switch m.Command {
	case wire.DeltaSubscribe:
		return "delta_subscribe"
	case wire.SOW:
		return "sow"
	case wire.SOWAndSubscribe:
		return "sow_and_subscribe"
	case wire.SOWAndDeltaSubscribe:
		return "sow_and_delta_subscribe"
	case wire.SOWDelete:
		return "sow_delete"
	}
	return "ack of a queue"
}

// sowDelete refuses a sow_delete; a numbered one leaves its tombstone (R14).
func (s *session) sowDelete(m *wire.Message) error {
	if m.HasSequence && m.Sequence > 0 {
		return s.publish(m)
	}
	s.notOffered(m)
	return nil
}

// closeWith ends a session whose client sent what can't be executed.
func (s *session) closeWith(m *wire.Message, reason string) error {
	var last *wire.AckMessage
	if m.CommandID != nil {
		last = &wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: reason}
	}
	s.end(reason, last)
	return errEnding
}

// unsubscribe ends subscriptions. Ids that nobody knows are no error.
func (s *session) unsubscribe(m *wire.Message) {
	s.received(m)
	ids := string(m.SubID)
	if ids == "" {
		ids = string(m.SubIDs)
	}
	if ids == "" && m.QueryID == nil {
		s.processed(m, wire.ReasonInvalidSubID)
		return
	}
	for _, b := range s.take(ids) {
		s.do(func(p *pump) { p.remove(b) })
	}
	s.processed(m, "")
}

// take forgets the subscriptions of a comma list of ids, or all.
func (s *session) take(ids string) []*sub {
	s.mu.Lock()
	defer s.mu.Unlock()
	var taken []*sub
	if ids == "all" {
		for _, b := range s.subs {
			taken = append(taken, b)
		}
		clear(s.subs)
		return taken
	}
	for id := range strings.SplitSeq(ids, ",") {
		id = strings.TrimSpace(id)
		if b := s.subs[id]; b != nil {
			taken = append(taken, b)
			delete(s.subs, id)
		}
	}
	return taken
}

// forget forgets a subscription that has ended by itself.
func (s *session) forget(b *sub) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.subs[b.ID] == b {
		delete(s.subs, b.ID)
	}
}

// flush is a barrier: everything before it has been executed when it is.
func (s *session) flush(m *wire.Message) error {
	s.received(m)
	s.processed(m, "")
	if m.Acks&wire.AckCompleted != 0 {
		s.send(&wire.AckMessage{CommandID: string(m.CommandID), Type: wire.AckCompleted, Success: true})
	}
	if m.Acks&wire.AckPersisted == 0 {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.flushes) >= maxPending {
		return errors.New("too many flushes wait for their persisted ack")
	}
	s.flushes = append(s.flushes, pendingFlush{string(m.CommandID), s.acks.Received, s.lastUnsequenced})
	s.signal()
	return nil
}

// heartbeat starts, answers or stops the watch over the connection.
func (s *session) heartbeat(m *wire.Message) {
	s.received(m)
	word, number, _ := strings.Cut(string(m.Options), ",")
	switch word {
	case "start":
		seconds, err := strconv.ParseUint(strings.TrimSpace(strings.TrimSuffix(number, ",")), 10, 32)
		if err != nil || seconds == 0 || seconds > 86400 {
			s.processed(m, wire.ReasonInvalidOptions)
			return
		}
		s.setBeat(time.Duration(seconds) * time.Second)
	case "stop":
		s.setBeat(0)
	case "beat", "":
	default:
		s.processed(m, wire.ReasonInvalidOptions)
		return
	}
	s.processed(m, "")
}

func (s *session) setBeat(interval time.Duration) {
	s.beat = interval
	s.do(func(p *pump) { p.beat = interval })
}
