package server

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/replica"
)

// An InSync says whether it is safe to stop the other instances of the group. It is if this
// instance has on its disk everything that the group has acknowledged to publishers, at any level,
// on the topics that its links carry, and if clients could go on here. That is as of the last
// heartbeats of the peers, which are at most two heartbeat intervals (1 s) old. A publisher that has
// diverged does not count. If a peer is away nobody here knows what it has acknowledged, so the
// instance says no.
//
// What is stopped later can hold up acks: without downgrade_after, or with min_sync, publishers wait
// until it is back.
type InSync struct {
	Name   string `json:"name"` // of the instance
	InSync bool   `json:"in_sync"`
	Code   string `json:"code,omitempty"`   // why not, a constant such as NotInSyncPeerAway
	Peer   string `json:"peer,omitempty"`   // the peer that Code is about
	Reason string `json:"reason,omitempty"` // Code for people
}

// Codes of an InSync.
const (
	NotInSyncStopping   = "stopping"               // the stop has begun
	NotInSyncNotReady   = "not_ready"              // clients are not served yet
	NotInSyncOutdated   = "outdated"               // its group has left it behind
	NotInSyncDamaged    = "damaged"                // its journal is damaged
	NotInSyncNotIntact  = "not_intact"             // its journal was lost, and has not been restored by an intact peer
	NotInSyncDiskFull   = "disk_full"              // its disk is nearly full, so it refuses publishes
	NotInSyncAlone      = replica.StandsAlone      // it does not replicate
	NotInSyncAsync      = replica.StandsAsync      // no peer's acks wait for it
	NotInSyncOneWay     = replica.StandsOneWay     // the two sides of a synchronous link do not replicate to each other
	NotInSyncPeerAway   = replica.StandsPeerAway   // a peer is away, and may have acknowledged messages alone
	NotInSyncNotHeard   = replica.StandsNotHeard   // a peer has not told its state for two heartbeats
	NotInSyncCatchingUp = replica.StandsCatchingUp // it lacks, or may lack, messages of a peer
	NotInSyncLeftOut    = replica.StandsLeftOut    // a peer acknowledges messages without it
)

// InSync returns whether the other instances of the group could be stopped.
func (s *Server) InSync() InSync {
	links := s.links.Load()
	no := func(code, reason string) InSync { return InSync{Name: s.cfg.Name, Code: code, Reason: reason} }
	switch {
	case s.isStopping() && !failpoint.On(failpoint.InSyncStopping):
		return no(NotInSyncStopping, "it stops")
	case links.OutdatedReason() != "":
		return no(NotInSyncOutdated, links.OutdatedReason())
	case s.journal.Damage() != nil:
		return no(NotInSyncDamaged, "its journal is damaged: "+s.journal.Damage().Error())
	case !s.isReady():
		return no(NotInSyncNotReady, s.notReadyReason())
	case !links.Intact():
		return no(NotInSyncNotIntact, "its journal was lost, and it has not caught up with a peer whose journal is intact")
	case s.space.full.Load() && !failpoint.On(failpoint.InSyncDiskFull):
		return no(NotInSyncDiskFull, "its disk is nearly full, so it refuses publishes")
	}
	standing := links.Standing()
	return InSync{s.cfg.Name, standing.Code == "", standing.Code, standing.Peer, standing.Reason}
}

// notReadyReason returns why clients are not served, empty if they are.
func (s *Server) notReadyReason() string {
	links := s.links.Load()
	switch {
	case s.isStopping():
		return "it stops"
	case links.OutdatedReason() != "":
		return links.OutdatedReason()
	case s.isReady():
		return ""
	case links.Cluster() == "":
		return "its journal is empty, and it has not met its group yet"
	}
	return "it catches up with its peers"
}

// answerInSync answers /insync.
func (s *Server) answerInSync(w http.ResponseWriter, _ *http.Request) {
	is := s.InSync()
	respondJSON(w, is.InSync, is)
}

// A turn lets one request at a time look at all publishers or subscriptions, so that many requests
// together cost one processor at most.
type turn chan struct{}

func newTurn() turn { return make(turn, 1) }

// respond sends the result of do, which is called in the turn, as JSON.
func (t turn) respond(w http.ResponseWriter, r *http.Request, do func() any) {
	select {
	case t <- struct{}{}:
	case <-r.Context().Done():
		return
	}
	v := do()
	<-t
	respondJSON(w, true, v)
}

// answerStatus answers /status: the status with a page of the sessions, or one of the lists.
func (s *Server) answerStatus(w http.ResponseWriter, r *http.Request) {
	limit, ok := queryNumber(w, r, "limit")
	if !ok {
		return
	}
	after := r.URL.Query().Get("after")
	switch list := r.URL.Query().Get("list"); list {
	case "", "sessions":
		s.surveys.respond(w, r, func() any { return s.statusPage(after, int(min(limit, MaxSessionsPerPage))) })
	case "publishers":
		s.answerPublishers(w, r)
	case "subscriptions":
		s.surveys.respond(w, r, func() any { return s.Subscriptions(after, int(min(limit, MaxSubscriptionsPerPage))) })
	case "degraded":
		s.surveys.respond(w, r, func() any { return s.degradedPage(after, int(min(limit, maxDegradedPerPage))) })
	default:
		http.Error(w, fmt.Sprintf("list=%.40q is not one of sessions, publishers, subscriptions, degraded", list), http.StatusBadRequest)
	}
}

// statusPage returns the status with a page of the sessions.
func (s *Server) statusPage(after string, limit int) Status {
	st := s.Status()
	st.page(after, limit)
	st.shorten()
	return st
}

// Bounds of the degraded intervals and diverged publishers in a response.
const (
	maxDegraded        = 20
	maxRanges          = 100 // of an interval
	maxDegradedPerPage = 100
	maxRangesPerPage   = 1000 // of an interval in a page
	maxDiverged        = 100
)

// shorten leaves out what has no bound, for a response.
func (st *Status) shorten() {
	st.Degraded = st.Degraded[len(st.Degraded)-min(len(st.Degraded), maxDegraded):]
	for i := range st.Degraded {
		st.Degraded[i].shorten(maxRanges)
	}
	st.Diverged = st.Diverged[:min(len(st.Diverged), maxDiverged)]
}

func (d *DegradedInterval) shorten(ranges int) { d.Ranges = d.Ranges[:min(len(d.Ranges), ranges)] }

// A degradedList is a page of the degraded intervals, newest first.
type degradedList struct {
	Degraded []DegradedInterval `json:"degraded"`
	More     bool               `json:"more"`
	Next     string             `json:"next"`
}

// degradedPage returns the degraded intervals that began before the one of a cursor.
func (s *Server) degradedPage(after string, limit int) degradedList {
	if limit < 1 {
		limit = maxDegradedPerPage
	}
	all := s.journal.DegradedIntervals()
	slices.SortFunc(all, func(a, b journal.DegradedInterval) int {
		return strings.Compare(degradedCursor(&b), degradedCursor(&a))
	})
	if after != "" {
		all = slices.DeleteFunc(all, func(i journal.DegradedInterval) bool { return degradedCursor(&i) >= after })
	}
	list := degradedList{Degraded: []DegradedInterval{}, More: len(all) > limit}
	for _, i := range all[:min(limit, len(all))] {
		d := degradedInterval(i)
		d.shorten(maxRangesPerPage)
		list.Degraded = append(list.Degraded, d)
		list.Next = degradedCursor(&i)
	}
	return list
}

// degradedCursor returns the place of an interval in a degradedList.
func degradedCursor(i *journal.DegradedInterval) string {
	return fmt.Sprintf("%020d %s", max(0, i.Begin.UnixMicro()), i.Destination)
}

// behind implements servercore.Instance.Behind.
func (s *Server) behind() (peer, reason string) {
	standing := s.links.Load().Standing()
	if standing.Code == replica.StandsAlone {
		return "", ""
	}
	return standing.Peer, standing.Reason
}
