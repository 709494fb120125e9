package servercore

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/route"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A subscribeError is the refusal of a subscribe. A loud one is sent to the client even if it did
// not request the processed ack.
type subscribeError struct {
	reason string
	gaps   []wire.Gap
	cause  error // for the log
	loud   bool
	event  EventKind // for the audit log; 0: none
}

func (e *subscribeError) Error() string { return e.reason }

// subscribe executes a subscribe: it checks the command, finds where the subscription begins,
// answers, and hands the subscription to the writer. If the ledger cannot be read, the error ends
// the session, so that the client subscribes at another server: a refusal would end the
// subscription.
func (s *Session) subscribe(m *wire.Message) error {
	if m.Part > 0 {
		return s.addPart(m)
	}
	s.answer(m, wire.AckReceived, "")
	defer s.chargeVector(0)
	err := s.assemble(m)
	var b *sub
	if err == nil {
		b, err = s.newSub(m)
	}
	var at start
	if err == nil {
		at, err = s.findStart(b, m)
	}
	var refusal *subscribeError
	switch {
	case errors.As(err, &refusal):
		s.refuseSubscribe(m, refusal)
		return nil
	case err != nil:
		return fmt.Errorf("subscribe: %w", err)
	}
	b.Begin(at.Start)
	b.progress.set(ReadsBehind, at.From, &ledger.Record{})
	old, refusal := s.registerSub(b)
	if refusal != nil {
		s.refuseSubscribe(m, refusal)
		return nil
	}
	if old != nil {
		s.queueTask(func(time.Time) { s.removeSub(old) })
	}
	s.answerSubscribe(m, b, at)
	s.queueTask(func(now time.Time) {
		s.startReading(b, at.From, now)
		s.tellPassed(b, at.diverged)
		s.tellClosed(b, s.inst.Ledger.ClosedPublishers(), now)
	})
	return nil
}

// assemble puts the vector of a subscribe together if it came in parts (R9).
func (s *Session) assemble(m *wire.Message) error {
	err := s.reader.vector.Complete(m)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, wire.ErrVectorTooLong):
		return &subscribeError{reason: wire.ReasonVectorTooLong, loud: true}
	}
	return &subscribeError{reason: wire.ReasonVectorIncomplete, cause: err, loud: true}
}

// answerSubscribe sends the processed ack if it was requested. The ack names the base of a
// subscription by vector, and the gaps that the subscription accepts.
func (s *Session) answerSubscribe(m *wire.Message, b *sub, at start) {
	if m.Acks&wire.AckProcessed == 0 {
		return
	}
	a := wire.AckMessage{CommandID: b.id, Type: wire.AckProcessed, Success: true, SubID: b.ID, Bookmark: at.base, Gap: route.GapText(at.gaps)}
	if b.Options.Vector && !s.inst.isReplicated(b.Pattern) {
		a.Reason = wire.ReasonNotReplicated
	}
	s.send(&a)
}

// newSub checks everything in a subscribe except where it begins.
func (s *Session) newSub(m *wire.Message) (*sub, error) {
	options, err := s.subOptions(m)
	if err != nil {
		return nil, err
	}
	b := &sub{id: string(m.CommandID), acks: m.Acks, ended: &s.ended, mayKnow: s.mayKnow}
	b.ID, b.Options, b.Bookmark = string(m.SubID), options, m.Bookmark != nil
	if b.ID == "" {
		b.ID = b.id
	}
	if b.ID == "" || b.ID == "all" || strings.ContainsAny(b.ID, ",") {
		return nil, &subscribeError{reason: wire.ReasonInvalidSubID}
	}
	if b.Pattern, err = pattern(m, options); err != nil {
		return nil, &subscribeError{reason: wire.ReasonBadRegexTopic, cause: err}
	}
	if b.Pattern.IsLiteral() && !s.mayKnow(m.Topic) {
		return nil, &subscribeError{reason: wire.ReasonNotEntitled, loud: true, event: EventSubscribeRefused}
	}
	if b.Bookmark && b.Pattern.IsLiteral() && !s.inst.Logged.Contains(m.Topic) {
		return nil, &subscribeError{reason: wire.ReasonInvalidTopic}
	}
	return b, nil
}

// subOptions returns the options of a subscribe. It refuses options and fields that are not
// offered.
func (s *Session) subOptions(m *wire.Message) (route.Options, error) {
	options, err := route.ParseOptions(m.Options)
	var notOffered *route.UnsupportedError
	switch {
	case errors.As(err, &notOffered):
		return options, &subscribeError{reason: err.Error(), loud: true}
	case err != nil:
		return options, &subscribeError{reason: err.Error()}
	case len(m.Filter) > 0:
		return options, &subscribeError{reason: "content filters are not offered", loud: true}
	case m.HasTopN:
		return options, &subscribeError{reason: "top_n is not offered", loud: true}
	case len(m.Topic) == 0:
		return options, &subscribeError{reason: wire.ReasonNoTopic}
	case !validTopic(m.Topic), options.Literal && len(m.Topic) > s.limits.Topic:
		return options, &subscribeError{reason: wire.ReasonInvalidTopic}
	case options.Vector && (!s.client.ext || m.Bookmark == nil || options.NotFound == route.NotFoundNow):
		return options, &subscribeError{reason: wire.ReasonInvalidOptions}
	}
	return options, nil
}

func pattern(m *wire.Message, o route.Options) (topic.Pattern, error) {
	if o.Literal {
		return topic.Literal(string(m.Topic)), nil
	}
	return topic.Parse(string(m.Topic))
}

// refuseSubscribe answers a subscribe that is refused.
func (s *Session) refuseSubscribe(m *wire.Message, refusal *subscribeError) {
	s.inst.Counts.Refusals.add(RefusedSubscribe, refusal.reason)
	if refusal.event != 0 {
		s.notifyEvent(refusal.event, m.Topic, refusal.reason)
	}
	s.log.Warn("subscribe refused", "reason", refusal.reason, "topic", string(m.Topic), "subscription", string(m.SubID),
		"gap", route.GapText(refusal.gaps), "error", refusal.cause)
	if refusal.loud || m.Acks&wire.AckProcessed != 0 {
		s.send(&wire.AckMessage{
			CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: refusal.reason,
			SubID: string(m.SubID), Gap: route.GapText(refusal.gaps),
		})
	}
}

// registerSub registers b under its id. old is the subscription that b replaces, nil if there is
// none.
func (s *Session) registerSub(b *sub) (old *sub, refusal *subscribeError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old = s.subs[b.ID]
	switch {
	case old != nil && !b.Options.Replace:
		return nil, &subscribeError{reason: wire.ReasonSubIDInUse}
	case old == nil && len(s.subs) >= s.maxSubscriptions() && !failpoint.On(failpoint.DAnySubscriptions):
		return nil, &subscribeError{reason: "too many subscriptions", loud: true, event: EventLimit}
	case s.stepsLocked(old)+b.Pattern.Steps() > maxSteps && !failpoint.On(failpoint.DAnyPatterns):
		return nil, &subscribeError{reason: "the patterns of this session would cost too much", loud: true, event: EventLimit}
	case !s.account.charge(&b.charged, b.weight()):
		s.account.charge(&b.charged, 0)
		return nil, &subscribeError{reason: "the subscriptions of this session would exceed its memory limit", loud: true, event: EventLimit}
	}
	s.subs[b.ID] = b
	return old, nil
}

// stepsLocked returns the matching cost of the session's patterns, except that of the subscription
// without.
func (s *Session) stepsLocked(without *sub) (steps int) {
	for _, b := range s.subs {
		if b != without {
			steps += b.Pattern.Steps()
		}
	}
	return steps
}
