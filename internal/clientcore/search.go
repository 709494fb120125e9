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

// askInterval is the minimum time between two subscribes of a search at one instance, unless
// messages arrived in between.
const askInterval = 30 * time.Second

// A search fetches messages that a server's log no longer has from other instances, before a gap
// is reported to the application (R9). It follows synchronous links, and asks the instances one
// after the other in side sessions. Meanwhile the subscription is not on the wire of its server,
// because messages after a gap must not be received before the messages in it.
type search struct {
	missing      []wire.Gap // messages that no instance asked so far has; sorted
	origin       string     // the instance whose answer started the search
	toAsk        []string   // instances still to be asked
	asked        []string
	askedAt      map[string]time.Time // time of the last subscribe at each instance; cleared when messages arrive
	lastProgress time.Time            // start of the search, or the last time at which messages arrived

	sideState
}

// A sideState is the part of a search that belongs to one side session.
type sideState struct {
	instance     string                 // instance of the side session
	wanted       map[uint64]wantedRange // messages that it should send, by publisher
	received     bookmark.Vector        // messages that it has sent
	reportedGaps []wire.Gap             // messages that it reports as removed
	done         bool                   // it has nothing more for the search
}

// A wantedRange is the part of one publisher's messages that a side session should fetch: the
// sequences above after, up to to.
type wantedRange struct{ after, to uint64 }

// startSearch handles a server's report that its log no longer has some messages. Messages that
// were discarded out of order are not missing.
func (s *Subscription) startSearch(by *Server, gaps []wire.Gap, have Received) Effect {
	base := s.listBase(have)
	if base != nil {
		have.Vector = base
	}
	missing := gaps
	if !failpoint.On(failpoint.R9DiscardedIsGap) {
		missing = undiscarded(gaps, have)
	}
	s.stage, s.id = searching, ""
	s.search = search{missing: missing, origin: by.Instance, askedAt: make(map[string]time.Time)}
	if !by.Plain && !failpoint.On(failpoint.R9GapOfOneInstance) {
		s.search.toAsk = slices.DeleteFunc(slices.Clone(by.Peers), func(name string) bool { return name == by.Instance })
	}
	var e Effect
	switch {
	case len(missing) == 0:
		var rest []wire.Gap
		e.Progress, rest = movePast(gaps, have)
		s.endSearch(len(rest) > 0)
		s.addPublishers(&e)
	case len(s.search.toAsk) == 0:
		e = s.concludeWithGap(have, nil)
	}
	e.Base, e.OffWire, e.Answered = base, true, e.End != nil
	return e
}

// listBase returns the base of a first subscribe that starts after a list of bookmarks, or nil.
// The place has no base of its own yet.
func (s *Subscription) listBase(have Received) bookmark.Vector {
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

// endSearch ends the search. The subscription continues at its server. If acceptsGaps is true,
// it accepts the gaps that the server then reports.
func (s *Subscription) endSearch(acceptsGaps bool) {
	s.stage, s.id, s.acceptsGaps, s.search = detached, "", acceptsGaps, search{}
}

// Searching reports whether a search is running.
func (s *Subscription) Searching() bool { return s.stage == searching }

// SearchIncludes reports whether a server is one of the instances that the search still has to
// ask.
func (s *Subscription) SearchIncludes(to *Server) bool {
	return s.stage == searching && slices.Contains(s.search.toAsk, to.Instance)
}

// ShouldAsk reports whether the search has to ask a server now.
func (s *Subscription) ShouldAsk(to *Server, now time.Time) bool {
	if !s.SearchIncludes(to) || to.Plain || to.CatchingUp {
		return false
	}
	last, found := s.search.askedAt[to.Instance]
	return !found || now.Sub(last) >= askInterval
}

// Ask subscribes for the missing messages in a side session with a server, under an id. The
// vector of the subscribe covers everything of all other publishers, so the server sends none of
// their messages.
func (s *Subscription) Ask(to *Server, id string, have Received, now time.Time) wire.SubscribeCommand {
	q := &s.search
	for _, name := range to.Peers { // the search follows the links of that server
		if name != q.origin && !slices.Contains(q.toAsk, name) && !slices.Contains(q.asked, name) {
			q.toAsk = append(q.toAsk, name)
		}
	}
	q.askedAt[to.Instance] = now
	q.sideState = sideState{instance: to.Instance, wanted: make(map[uint64]wantedRange), received: make(bookmark.Vector)}
	for _, g := range q.missing {
		q.wanted[g.Publisher] = wantedRange{have.Vector[g.Publisher], max(g.To, q.wanted[g.Publisher].to)}
	}
	s.id = id
	return wire.SubscribeCommand{
		Command: wire.Subscribe, CommandID: id, SubID: id, Topic: s.Topic, Filter: s.Filter,
		Bookmark: q.subscribeBookmark(have.Vector), Options: s.options(true, "bookmark_not_found=epoch"), InParts: true,
		Acks: wire.AckProcessed | wire.AckPersisted | wire.AckCompleted,
	}
}

// subscribeBookmark returns the bookmark of the subscribe in a side session. It names publishers
// at sequence 0, too, because a bookmark without entries means the start of the log.
func (q *search) subscribeBookmark(have bookmark.Vector) string {
	v := have.Clone()
	for publisher := range q.wanted {
		v[publisher] = have[publisher]
	}
	var text []byte
	for _, publisher := range v.Publishers() {
		b := bookmark.Bookmark{Publisher: publisher, Sequence: bookmark.MaxSequence}
		if wanted, found := q.wanted[publisher]; found {
			b.Sequence = wanted.after
		}
		text = append(b.AppendText(text), ',')
	}
	return strings.TrimSuffix(string(text), ",")
}

// handleSearchAnswer handles the answer to Ask, and later gaps. If the server lacks any message
// of a publisher, the search takes nothing of that publisher from it: another instance may have
// all of them.
func (s *Subscription) handleSearchAnswer(m *wire.Message) (e Effect, err error) {
	q := &s.search
	if m.Failed() || string(m.Reason) == wire.ReasonNotReplicated || s.tooManyEntries(m.Gap) {
		q.abandonSide()
		return e, nil
	}
	gaps, err := wire.ParseGaps(m.Gap)
	if err != nil {
		return e, fmt.Errorf("%w: gap of subscription %q: %w", ErrProtocol, s.ID, err)
	}
	for publisher, ranges := range byPublisher(gaps) {
		if _, wanted := q.wanted[publisher]; wanted {
			q.reportedGaps = append(q.reportedGaps, ranges...)
			if !failpoint.On(failpoint.R9SideSkips) {
				delete(q.wanted, publisher)
			}
		}
	}
	q.done = q.done || len(q.wanted) == 0
	return e, nil
}

// abandonSide takes nothing more from the server of the present side session, which may lack any
// message.
func (q *search) abandonSide() { q.wanted, q.done = nil, true }

// wants reports whether the side session should fetch a message.
func (q *search) wants(b bookmark.Bookmark) bool {
	_, wanted := q.wanted[b.Publisher]
	return wanted || failpoint.On(failpoint.R9SideTakesAll)
}

// recordArrival records the arrival of a message in a side session.
func (q *search) recordArrival(b bookmark.Bookmark) {
	r, wanted := q.wanted[b.Publisher]
	if !wanted {
		return
	}
	r.after = max(r.after, b.Sequence)
	q.wanted[b.Publisher], q.received[b.Publisher] = r, r.after
	if r.after >= r.to {
		delete(q.wanted, b.Publisher)
	}
	q.done = len(q.wanted) == 0
}

// wantedPart returns the part of a progress mark that concerns the wanted messages of a side
// session.
func (q *search) wantedPart(v bookmark.Vector) bookmark.Vector {
	part := make(bookmark.Vector)
	for publisher, sequence := range v {
		b := bookmark.Bookmark{Publisher: publisher, Sequence: sequence}
		if q.wants(b) {
			part[publisher] = sequence
			q.recordArrival(b)
		}
	}
	return part
}

// HandleCompleted handles the end of the replay under an id. Messages that a side session has
// not received by then are not on its server.
func (s *Subscription) HandleCompleted(id string) {
	s.replayed = s.replayed || s.OnWire(id)
	if s.stage == searching && s.OnWire(id) {
		s.search.done = true
	}
}

// SideDone reports whether the server of the present side session has nothing more for the
// search.
func (s *Subscription) SideDone() bool { return s.stage != searching || s.search.done }

// SideEnded handles the end of a side session.
func (s *Subscription) SideEnded(now time.Time) {
	if s.stage != searching {
		return
	}
	q := &s.search
	s.id = ""
	if len(q.received) > 0 {
		q.missing = notCovered(q.missing, q.received)
		q.lastProgress = now
		clear(q.askedAt)
	}
	if q.done {
		q.missing = q.stillMissing()
		q.toAsk = slices.DeleteFunc(q.toAsk, func(name string) bool { return name == q.instance })
		q.asked = append(q.asked, q.instance)
	}
	q.sideState = sideState{}
}

// stillMissing returns the messages that are missing after a side session whose server has
// reported its gaps. For a publisher in these gaps, they are the messages that the server lacks
// as well, if there are any.
func (q *search) stillMissing() (missing []wire.Gap) {
	both := byPublisher(intersect(q.missing, q.reportedGaps))
	reported := byPublisher(q.reportedGaps)
	for publisher, ranges := range byPublisher(q.missing) {
		if len(reported[publisher]) > 0 && len(both[publisher]) > 0 && !failpoint.On(failpoint.R9GapNotCommon) {
			ranges = both[publisher]
		}
		missing = append(missing, ranges...)
	}
	sortGaps(missing)
	return missing
}

// ConcludeSearch ends the search, unless there is an instance to wait for. reports has the
// servers that have named their instance. servers is the number of servers that the client can
// connect to. done reports whether the search has ended.
func (s *Subscription) ConcludeSearch(have Received, reports ServerReports, servers int, now time.Time) (e Effect, done bool) {
	q := &s.search
	if s.stage != searching {
		return e, true
	}
	if q.lastProgress.IsZero() {
		q.lastProgress = now
	}
	switch {
	case len(q.missing) == 0:
		s.endSearch(false)
		return e, true
	case len(q.toAsk) > 0 && now.Sub(q.lastProgress) < s.RecoveryTimeout && (len(reports) < servers || reports.hasInstance(q.toAsk)) && !failpoint.On(failpoint.R9PeerNotAwaited):
		return e, false
	}
	return s.concludeWithGap(have, q.notAsked(reports)), true
}

// hasInstance reports whether the instance of one of the servers is in names.
func (r ServerReports) hasInstance(names []string) bool {
	for _, s := range r {
		if slices.Contains(names, s.Instance) {
			return true
		}
	}
	return false
}

// notAsked returns the instances that may have the missing messages and were not asked, because
// they were away or are not synchronous peers.
func (q *search) notAsked(reports ServerReports) []string {
	names := slices.Clone(q.toAsk)
	for _, s := range reports {
		if s.Instance != "" && s.Instance != q.origin && !slices.Contains(q.asked, s.Instance) {
			names = append(names, s.Instance)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// concludeWithGap ends a search that has not found all messages. The subscription either ends or
// continues after the gap.
func (s *Subscription) concludeWithGap(have Received, notAsked []string) Effect {
	e := Effect{Gap: true, Gaps: s.search.missing, NotAsked: notAsked}
	if !s.AcceptGaps {
		e.End = ErrMissed
		return e
	}
	var rest []wire.Gap
	e.Progress, rest = movePast(e.Gaps, have)
	e.Gaps = slices.DeleteFunc(slices.Clone(e.Gaps), func(g wire.Gap) bool { return slices.Contains(rest, g) })
	e.Gap = len(e.Gaps) > 0
	s.endSearch(len(rest) > 0)
	s.addPublishers(&e)
	return e
}
