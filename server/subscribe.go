package server

import (
	"errors"
	"fmt"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/route"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// maxSubscriptions bounds those of one connection.
const maxSubscriptions = 10_000

// A subscribeError is a subscribe that is refused. Loud ones are said whether
// the processed ack was asked for or not.
type subscribeError struct {
	reason string
	gaps   []wire.Gap
	loud   bool
}

func (e *subscribeError) Error() string { return e.reason }

// A begin is where a subscription begins and what its processed ack says of it.
type begin struct {
	route.Start
	base string // vector: the base, as text
	gaps []wire.Gap
}

// subscribe executes a subscribe: checks it, finds where it begins, answers,
// and hands the subscription to the pump. If the journal can't be read the
// error ends the session: the client subscribes elsewhere, whereas a refusal
// would end the subscription.
func (s *session) subscribe(m *wire.Message) error {
	s.received(m)
	b, err := s.newSub(m)
	var start begin
	if err == nil {
		start, err = s.begins(b, m)
	}
	var refused *subscribeError
	switch {
	case errors.As(err, &refused):
		s.refuseSubscribe(m, refused)
		return nil
	case err != nil:
		return fmt.Errorf("subscribe: %w", err)
	}
	b.Begin(start.Start)
	old, taken := s.enter(b)
	if taken {
		s.refuseSubscribe(m, &subscribeError{reason: wire.ReasonSubIDInUse})
		return nil
	}
	if old != nil {
		s.do(func(p *pump) { p.remove(old) })
	}
	if m.Acks&wire.AckProcessed != 0 {
		a := wire.AckMessage{CommandID: b.id, Type: wire.AckProcessed, Success: true, SubID: b.ID, Bookmark: start.base, Gap: route.GapText(start.gaps)}
		if b.Options.Vector && !s.srv.isReplicated(b.Pattern) {
			a.Reason = wire.ReasonNotReplicated
		}
		s.send(&a)
	}
	s.do(func(p *pump) { p.add(b, start.From) })
	return nil
}

// newSub checks everything of a subscribe but where it begins.
func (s *session) newSub(m *wire.Message) (*sub, error) {
	options, err := route.ParseOptions(m.Options)
	var notOffered *route.NotOfferedError
	switch {
	case errors.As(err, &notOffered):
		return nil, &subscribeError{reason: err.Error(), loud: true}
	case err != nil:
		return nil, &subscribeError{reason: err.Error()}
	case len(m.Filter) > 0:
		return nil, &subscribeError{reason: "content filters are not offered", loud: true}
	case m.HasTopN:
		return nil, &subscribeError{reason: "top_n is not offered", loud: true}
	case len(m.Topic) == 0:
		return nil, &subscribeError{reason: wire.ReasonNoTopic}
	case !validTopic(m.Topic):
		return nil, &subscribeError{reason: wire.ReasonInvalidTopic}
	case options.Vector && (!s.ext || m.Bookmark == nil || options.NotFound == route.NotFoundNow):
		return nil, &subscribeError{reason: wire.ReasonInvalidOptions}
	}
	b := &sub{id: string(m.CommandID), acks: m.Acks}
	b.ID, b.Options, b.Bookmark = string(m.SubID), options, m.Bookmark != nil
	if b.ID == "" {
		b.ID = b.id
	}
	if b.ID == "" || b.ID == "all" || strings.ContainsAny(b.ID, ",") {
		return nil, &subscribeError{reason: wire.ReasonInvalidSubID}
	}
	if b.Pattern, err = pattern(m, options); err != nil {
		s.log.Warn("bad regex topic", "error", err)
		return nil, &subscribeError{reason: wire.ReasonBadRegexTopic}
	}
	if b.Bookmark && b.Pattern.IsLiteral() && !s.srv.logged.Contains(m.Topic) {
		return nil, &subscribeError{reason: wire.ReasonInvalidTopic}
	}
	return b, nil
}

func pattern(m *wire.Message, o route.Options) (topic.Pattern, error) {
	if o.Literal {
		return topic.Literal(string(m.Topic)), nil
	}
	return topic.Parse(string(m.Topic))
}

// refuseSubscribe answers a subscribe that is refused.
func (s *session) refuseSubscribe(m *wire.Message, refused *subscribeError) {
	s.log.Warn("subscribe refused", "reason", refused.reason, "topic", string(m.Topic), "gap", route.GapText(refused.gaps))
	if refused.loud || m.Acks&wire.AckProcessed != 0 {
		s.send(&wire.AckMessage{
			CommandID: string(m.CommandID), Type: wire.AckProcessed, Reason: refused.reason,
			SubID: string(m.SubID), Gap: route.GapText(refused.gaps),
		})
	}
}

// enter makes b known under its id. old is what it replaces; taken says that
// it may not.
func (s *session) enter(b *sub) (old *sub, taken bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	old = s.subs[b.ID]
	if old != nil && !b.Options.Replace || old == nil && len(s.subs) >= maxSubscriptions {
		return nil, true
	}
	s.subs[b.ID] = b
	return old, false
}

// isReplicated reports whether every sync link surely carries what a
// subscription asks for (R3).
func (s *Server) isReplicated(p topic.Pattern) bool {
	if mut.On(mut.R3NotSaid) {
		return true
	}
	set, err := topic.NewSet(s.links.Load().Carried())
	return err == nil && set.Covers(p)
}

// begins finds where a subscription begins.
func (s *session) begins(b *sub, m *wire.Message) (begin, error) {
	j := s.srv.journal
	if !b.Bookmark {
		end := j.Durable()
		return begin{Start: route.Start{From: end, After: end, Target: end}}, nil
	}
	start, err := bookmark.ParseStart(m.Bookmark)
	switch {
	case errors.Is(err, bookmark.ErrRange):
		return begin{}, &subscribeError{reason: "bookmark range is not offered", loud: true}
	case err != nil:
		return begin{}, &subscribeError{reason: wire.ReasonInvalidBookmark}
	}
	if b.Options.Vector {
		return s.beginsVector(start, b.Options.NotFound)
	}
	return s.beginsPlain(start, b.Options.NotFound)
}

// beginsVector is the start of a subscription by vector, and its base (R9). A
// bookmark that this instance has not seen, even one that was never issued, is
// no error: its message may still come by replication. So what such a
// publisher sends up to there counts as seen, and is not delivered.
// Positions are taken before floors, so that what retention removes between
// them shows as a gap or in the base.
func (s *session) beginsVector(start bookmark.Start, notFound route.NotFound) (begin, error) {
	j := s.srv.journal
	b := begin{}
	b.Target = j.Durable()
	var err error
	switch start.Kind {
	case bookmark.Epoch:
		b.From = j.First()
		b.Seen = j.Floors()
	case bookmark.Now:
		b.From, b.Seen = j.DurableVector()
		b.Target = b.From
	case bookmark.Timestamp:
		b.From, b.Seen, err = j.SeekTime(start.Time)
	case bookmark.List:
		b.Seen = bookmark.Vector{}
		for _, x := range start.List {
			b.Seen[x.Publisher] = max(b.Seen[x.Publisher], x.Sequence)
		}
		b.From, err = j.SeekVector(b.Seen)
		floors := j.Floors()
		if b.gaps = route.Gaps(floors, b.Seen); len(b.gaps) > 0 {
			if notFound != route.NotFoundEpoch {
				return begin{}, &subscribeError{reason: wire.ReasonBookmarkNotFound, gaps: b.gaps, loud: true}
			}
			b.Seen.Merge(floors)
		}
		if mut.On(mut.R9ByPosition) {
			b.From, b.After = s.srv.behindLast(start.List, b.From)
		}
	}
	if err != nil {
		return begin{}, err
	}
	if b.Seen == nil {
		b.Seen = bookmark.Vector{}
	}
	b.After, b.base = max(b.From, b.After), b.Seen.String()
	return b, nil
}

// behindLast is a planted bug: the place behind the last of the bookmarks in
// this instance's own log, as if every log had the same order.
func (s *Server) behindLast(list []bookmark.Bookmark, at journal.Position) (from, after journal.Position) {
	from, after = at, at
	for _, x := range list {
		if at, found, err := s.journal.Find(x); err == nil && found && at >= from {
			from, after = at, at+1
		}
	}
	return from, after
}

// beginsPlain is the start of a bookmark subscription of the plain protocol:
// the place in this log decides.
func (s *session) beginsPlain(start bookmark.Start, notFound route.NotFound) (begin, error) {
	j := s.srv.journal
	b := begin{}
	b.Target = j.Durable()
	var err error
	switch start.Kind {
	case bookmark.Epoch:
		b.From = 0
	case bookmark.Now:
		b.From = b.Target
	case bookmark.Timestamp:
		b.From, _, err = j.SeekTime(start.Time)
	case bookmark.List:
		return s.beginsAtList(start, notFound)
	}
	b.After = b.From
	return b, err
}

// beginsAtList begins after the bookmark of the list that is earliest in this
// log. One that retention has removed stands before its beginning.
func (s *session) beginsAtList(start bookmark.Start, notFound route.NotFound) (begin, error) {
	j := s.srv.journal
	b := begin{}
	b.Target = j.Durable()
	known := false
	earliest := func(from, after journal.Position) {
		if !known || after < b.After {
			b.From, b.After = from, after
		}
		known = true
	}
	for _, x := range start.List {
		at, found, err := j.Find(x)
		switch state, _ := j.State(x.Publisher); {
		case err != nil:
			return begin{}, err
		case found:
			earliest(at, at+1)
		case x.Sequence <= state.Floor && notFound != route.NotFoundFail:
			earliest(0, 0)
		}
	}
	if !start.Time.IsZero() {
		at, _, err := j.SeekTime(start.Time)
		if err != nil {
			return begin{}, err
		}
		earliest(at, at)
	}
	switch {
	case known:
		return b, nil
	case notFound == route.NotFoundFail:
		return begin{}, &subscribeError{reason: wire.ReasonBookmarkNotFound}
	case notFound == route.NotFoundEpoch:
		b.From = 0
	default:
		b.From = b.Target
	}
	b.After = b.From
	return b, nil
}
