package clientcore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// askSpacing is the least time between two subscribes of a search at one instance, unless
// messages came in between.
const askSpacing = 30 * time.Second

// A search fetches messages that a server's log no longer has from other instances, before the
// application is told of a gap (R9). It uses instances along synchronous links, and asks them
// one after the other in side sessions. Meanwhile the subscription is not on the wire of its
// server, because the messages behind a gap must not be received before the messages in it.
type search struct {
	missing []wire.Gap // no instance asked so far has these; sorted
	from    string     // the instance whose answer started the search
	ask     []string   // the instances still to be asked
	asked   []string
	tried   map[string]time.Time // time of the last subscribe at each instance; cleared when messages come
	since   time.Time            // start of the search, or the last time at which messages came

	side
}

// A side is the part of a search that belongs to one side session.
type side struct {
	at     string          // the instance of the side session
	need   map[uint64]span // the messages that it should send, by publisher
	came   bookmark.Vector // the messages that it has sent
	lacks  []wire.Gap      // the messages that it reports as removed
	closed bool            // it has nothing more for the search
}

// A span is the part of one publisher's messages that a side session should bring: the
// sequences above at and at most to.
type span struct{ at, to uint64 }

// missed handles the report of a server that its log no longer has messages. Messages that were
// discarded out of order are not missing.
func (s *Subscription) missed(by *Server, gaps []wire.Gap, have Received) Effect {
	base := s.listed(have)
	if base != nil {
		have.Vector = base
	}
	left := gaps
	if !failpoint.On(failpoint.R9DiscardedIsGap) {
		left = undiscarded(gaps, have)
	}
	s.stage, s.id = searching, ""
	s.search = search{missing: left, from: by.Instance, tried: make(map[string]time.Time)}
	if !by.Plain && !failpoint.On(failpoint.R9OneWord) {
		s.search.ask = slices.DeleteFunc(slices.Clone(by.Peers), func(name string) bool { return name == by.Instance })
	}
	var e Effect
	switch {
	case len(left) == 0:
		var rest []wire.Gap
		e.Shown, rest = pass(gaps, have)
		s.resume(len(rest) > 0)
		s.bound(&e)
	case len(s.search.ask) == 0:
		e = s.conclude(have, nil)
	}
	e.Base, e.Away, e.Answered = base, true, e.End != nil
	return e
}

// listed returns the base for a first subscribe that started behind a list of bookmarks, or
// nil. The place has no base of its own yet.
func (s *Subscription) listed(have Received) bookmark.Vector {
	start, err := bookmark.ParseStart([]byte(s.Start))
	if have.Known || err != nil || start.Kind != bookmark.List {
		return nil
	}
	base := make(bookmark.Vector)
	for _, b := range start.List {
		base[b.Publisher] = max(base[b.Publisher], b.Sequence)
	}
	return base
}

// resume ends the search, and the subscription continues at its server. With skips it accepts
// the gaps that the server then reports.
func (s *Subscription) resume(skips bool) {
	s.stage, s.id, s.skips, s.search = detached, "", skips, search{}
}

// Searching reports whether a search is running.
func (s *Subscription) Searching() bool { return s.stage == searching }

// Seeks reports whether a server is one of the instances that the search still has to ask.
func (s *Subscription) Seeks(to *Server) bool {
	return s.stage == searching && slices.Contains(s.search.ask, to.Instance)
}

// Asks reports whether the search has to ask a server now.
func (s *Subscription) Asks(to *Server, now time.Time) bool {
	if !s.Seeks(to) || to.Plain || to.CatchingUp {
		return false
	}
	last, was := s.search.tried[to.Instance]
	return !was || now.Sub(last) >= askSpacing
}

// Ask subscribes for the missing messages in a side session with a server, under an id. The
// vector of the subscribe covers everything of all other publishers, so that none of their
// messages come.
func (s *Subscription) Ask(to *Server, id string, have Received, now time.Time) wire.SubscribeCommand {
	q := &s.search
	for _, name := range to.Peers { // the search follows the links of that server
		if name != q.from && !slices.Contains(q.ask, name) && !slices.Contains(q.asked, name) {
			q.ask = append(q.ask, name)
		}
	}
	q.tried[to.Instance] = now
	q.side = side{at: to.Instance, need: make(map[uint64]span), came: make(bookmark.Vector)}
	for _, g := range q.missing {
		q.need[g.Publisher] = span{have.Vector[g.Publisher], max(g.To, q.need[g.Publisher].to)}
	}
	s.id = id
	return wire.SubscribeCommand{
		Command: wire.Subscribe, CommandID: id, SubID: id, Topic: s.Topic, Filter: s.Filter,
		Bookmark: q.vector(have.Vector), Options: s.options(true, "bookmark_not_found=epoch"), InParts: true,
		Acks: wire.AckProcessed | wire.AckPersisted | wire.AckCompleted,
	}
}

// vector returns the bookmark of the subscribe in a side session. It names a publisher also at
// sequence 0, since without any entry the bookmark would mean the start of the log.
func (q *search) vector(have bookmark.Vector) string {
	all := have.Clone()
	for publisher := range q.need {
		all[publisher] = have[publisher]
	}
	var text []byte
	for _, publisher := range all.Publishers() {
		b := bookmark.Bookmark{Publisher: publisher, Sequence: bookmark.MaxSequence}
		if need, is := q.need[publisher]; is {
			b.Sequence = need.at
		}
		text = append(b.AppendText(text), ',')
	}
	return strings.TrimSuffix(string(text), ",")
}

// found handles the answer to Ask, and later gaps. If the server lacks any message of a
// publisher, nothing of that publisher is taken from it: another instance may have all of them.
func (s *Subscription) found(m *wire.Message) (e Effect, err error) {
	q := &s.search
	if m.Failed() || string(m.Reason) == wire.ReasonNotReplicated || s.flood(m.Gap) {
		q.shun()
		return e, nil
	}
	gaps, err := wire.ParseGaps(m.Gap)
	if err != nil {
		return e, fmt.Errorf("%w: gap of subscription %q: %w", ErrProtocol, s.ID, err)
	}
	for publisher, ranges := range byPublisher(gaps) {
		if _, is := q.need[publisher]; is {
			q.lacks = append(q.lacks, ranges...)
			if !failpoint.On(failpoint.R9SideSkips) {
				delete(q.need, publisher)
			}
		}
	}
	q.closed = q.closed || len(q.need) == 0
	return e, nil
}

// shun takes nothing more from the server of the present side session: it may lack any message.
func (q *search) shun() { q.need, q.closed = nil, true }

// wants reports whether a message is one that the side session should bring.
func (q *search) wants(b bookmark.Bookmark) bool {
	_, is := q.need[b.Publisher]
	return is || failpoint.On(failpoint.R9SideTakesAll)
}

// take records the arrival of a message in a side session.
func (q *search) take(b bookmark.Bookmark) {
	need, is := q.need[b.Publisher]
	if !is {
		return
	}
	need.at = max(need.at, b.Sequence)
	q.need[b.Publisher], q.came[b.Publisher] = need, need.at
	if need.at >= need.to {
		delete(q.need, b.Publisher)
	}
	q.closed = len(q.need) == 0
}

// shown returns the part of a progress mark that concerns the wanted messages of a side
// session.
func (q *search) shown(v bookmark.Vector) bookmark.Vector {
	part := make(bookmark.Vector)
	for publisher, sequence := range v {
		b := bookmark.Bookmark{Publisher: publisher, Sequence: sequence}
		if q.wants(b) {
			part[publisher] = sequence
			q.take(b)
		}
	}
	return part
}

// Completed handles the end of the replay under an id. A server does not have the messages that
// its side session has not brought by then.
func (s *Subscription) Completed(id string) {
	s.replayed = s.replayed || s.Runs(id)
	if s.stage == searching && s.Runs(id) {
		s.search.closed = true
	}
}

// Served reports whether the server of the present side session has nothing more for the
// search.
func (s *Subscription) Served() bool { return s.stage != searching || s.search.closed }

// Left handles the end of a side session.
func (s *Subscription) Left(now time.Time) {
	if s.stage != searching {
		return
	}
	q := &s.search
	s.id = ""
	if len(q.came) > 0 {
		q.missing = behind(q.missing, q.came)
		q.since = now
		clear(q.tried)
	}
	if q.closed {
		q.missing = q.lacking()
		q.ask = slices.DeleteFunc(q.ask, func(name string) bool { return name == q.at })
		q.asked = append(q.asked, q.at)
	}
	q.side = side{}
}

// lacking returns the messages that are still missing after a side session whose server has
// reported its gaps. For a publisher in these gaps, they are the messages that the server lacks
// as well, if there are any.
func (q *search) lacking() (left []wire.Gap) {
	both := byPublisher(common(q.missing, q.lacks))
	named := byPublisher(q.lacks)
	for publisher, ranges := range byPublisher(q.missing) {
		if len(named[publisher]) > 0 && len(both[publisher]) > 0 && !failpoint.On(failpoint.R9GapNotCommon) {
			ranges = both[publisher]
		}
		left = append(left, ranges...)
	}
	sortGaps(left)
	return left
}

// Found ends the search, unless there is an instance to wait for. known has the servers that
// have reported who they are. all is the number of servers that the client can connect to.
func (s *Subscription) Found(have Received, known Known, all int, now time.Time) (e Effect, over bool) {
	q := &s.search
	if s.stage != searching {
		return e, true
	}
	if q.since.IsZero() {
		q.since = now
	}
	switch {
	case len(q.missing) == 0:
		s.resume(false)
		return e, true
	case len(q.ask) > 0 && now.Sub(q.since) < s.Recovery && (len(known) < all || known.has(q.ask)) && !failpoint.On(failpoint.R9PeerNotAwaited):
		return e, false
	}
	return s.conclude(have, q.unasked(known)), true
}

// has reports whether the instance of a server is in names.
func (k Known) has(names []string) bool {
	for _, s := range k {
		if slices.Contains(names, s.Instance) {
			return true
		}
	}
	return false
}

// unasked returns the instances that may have the missing messages and were not asked, because
// they were away, or are not synchronous peers.
func (q *search) unasked(known Known) []string {
	names := slices.Clone(q.ask)
	for _, s := range known {
		if s.Instance != "" && s.Instance != q.from && !slices.Contains(q.asked, s.Instance) {
			names = append(names, s.Instance)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// conclude ends a search that leaves messages missing. The subscription either ends, or
// continues behind the gap.
func (s *Subscription) conclude(have Received, unasked []string) Effect {
	e := Effect{Gap: true, Gaps: s.search.missing, Unasked: unasked}
	if !s.Gaps {
		e.End = ErrMissed
		return e
	}
	var rest []wire.Gap
	e.Shown, rest = pass(e.Gaps, have)
	e.Gaps = slices.DeleteFunc(slices.Clone(e.Gaps), func(g wire.Gap) bool { return slices.Contains(rest, g) })
	e.Gap = len(e.Gaps) > 0
	s.resume(len(rest) > 0)
	s.bound(&e)
	return e
}
