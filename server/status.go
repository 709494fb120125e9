package server

import (
	"maps"
	"math"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
)

// A SyncStatus says how an instance stands to its sync destinations. Its text,
// in JSON too, is what clients are told.
type SyncStatus = syncstatus.Status

// A Status is what an instance says of itself at one moment, and as JSON what
// its admin endpoint /status answers (see AdminAddr). Publisher ids are strings there,
// since many programs read larger numbers than 2^53 inexactly.
type Status struct {
	Name         string             `json:"name"`                     // of the instance
	Group        string             `json:"group,omitempty"`          // of its failover equivalents
	Version      string             `json:"version"`                  // of the server
	Cluster      string             `json:"cluster"`                  // id that the journals of the group have in common, in hex; empty: the group was not met yet, and nobody is served
	Intact       bool               `json:"intact"`                   // the journal has what the instance has acknowledged since the group began
	Ready        bool               `json:"ready"`                    // clients are served
	Stopping     bool               `json:"stopping"`                 // the stop has begun
	CatchingUp   bool               `json:"catching_up"`              // lacks, or may lack, what its peers have, ready or not
	Single       bool               `json:"single"`                   // acks are of level single: a sync destination is left out
	Sync         SyncStatus         `json:"sync"`                     // what clients are told: sync, apart, single, catching_up, async, one_way, alone, stopping
	Damage       string             `json:"damage,omitempty"`         // of the journal, while it is not healed
	ClockAheadMS int64              `json:"clock_ahead_ms,omitempty"` // how far the newest record is from the future by the wall clock, if more than a minute
	Sessions     []SessionStatus    `json:"sessions"`                 // that are logged on
	Links        []replica.Status   `json:"links"`                    // ordered by peer
	Publishers   int                `json:"publishers"`               // that the journal knows
	JournalBytes int64              `json:"journal_bytes"`            // on disk
	DiskFree     int64              `json:"disk_free"`                // bytes left on the journal's disk, as last looked at
	Full         bool               `json:"full"`                     // the disk is nearly full: publishes are refused for now
	Degraded     []journal.Interval `json:"degraded"`                 // times in which acks were single, oldest first

	Logons      uint64 `json:"logons"`       // accepted, since the start, as the counts below
	TurnedAway  uint64 `json:"turned_away"`  // connections, because there were too many, or too many without a logon
	Fenced      uint64 `json:"fenced"`       // sessions that lost their name to another
	Slow        uint64 `json:"slow"`         // sessions that were ended because the client did not read
	Published   uint64 `json:"published"`    // messages taken
	Duplicates  uint64 `json:"duplicates"`   // messages that were there before
	Refused     uint64 `json:"refused"`      // messages rejected
	Differing   uint64 `json:"differing"`    // identities with two contents: a store was copied
	Delivered   uint64 `json:"delivered"`    // messages, once for each subscription
	PublishGaps uint64 `json:"publish_gaps"` // sessions refused because this instance lags
	DiskFull    uint64 `json:"disk_full"`    // sessions ended because they published to a disk that is nearly full
	LogDropped  uint64 `json:"log_dropped"`  // lines of the log that were dropped, since nobody took them
	Gaps        uint64 `json:"gaps"`         // subscriptions ended because retention removed what they missed

	Diverged []DivergedStatus `json:"diverged,omitempty"` // publishers of which nothing more is taken, ordered by id

	Refusing []string      `json:"refusing"`           // why clients were refused in the last minute that cannot go on by themselves
	Outdated string        `json:"outdated,omitempty"` // why no clients are served: the group has a decree in which this instance had no part
	Decree   *DecreeStatus `json:"decree,omitempty"`   // the newest one

	SessionsMore bool `json:"sessions_more"` // this is a page of /status, and there are sessions behind its last one
}

// A DivergedStatus is a publisher of which the instances have, or may have, two
// contents for one number.
type DivergedStatus struct {
	Publisher uint64 `json:"publisher,string"`
	From      uint64 `json:"from"`  // the first number that is not proven to be the same everywhere
	Have      uint64 `json:"have"`  // highest sequence in the journal
	Floor     uint64 `json:"floor"` // highest one that retention has removed
}

// A DecreeStatus is what became of the newest decree, by which acknowledged messages
// were declared lost.
type DecreeStatus struct {
	Incarnation uint64    `json:"incarnation"` // that it began
	Time        time.Time `json:"time"`
	Lost        []string  `json:"lost"`       // instances that were not to return, and have not joined again
	Stands      bool      `json:"stands"`     // publishers may still make use of it
	EndsMS      int64     `json:"ends_ms"`    // in how long it ends by itself, if it stands
	Unseen      int       `json:"unseen"`     // publishers that have not logged on since, if it stands
	Publishers  []string  `json:"publishers"` // their ids, 100 at most
}

// unseenMost bounds the ids in a DecreeStatus.
const unseenMost = 100

func (s *Server) decreeStatus() *DecreeStatus {
	d := s.journal.Decree()
	if d.Incarnation == 0 {
		return nil
	}
	st := &DecreeStatus{
		Incarnation: d.Incarnation, Time: d.Time, Lost: append([]string{}, d.Lost...), Stands: d.Stands(), Publishers: []string{},
	}
	if !st.Stands {
		return st
	}
	ids, unseen := s.journal.ListUnsettled(unseenMost)
	st.EndsMS, st.Unseen = (journal.DecreeLasts - d.Stood).Milliseconds(), unseen
	for _, id := range ids {
		st.Publishers = append(st.Publishers, strconv.FormatUint(id, 10))
	}
	return st
}

// A SessionStatus is one client's session.
type SessionStatus struct {
	Name          string    `json:"name"`
	User          string    `json:"user,omitempty"`
	Address       string    `json:"address"`
	Since         time.Time `json:"since"`
	Extended      bool      `json:"extended"`
	Publisher     uint64    `json:"publisher,omitempty,string"`
	Subscriptions int       `json:"subscriptions"`
}

// A PublisherStatus is how far an instance and its peers have one publisher.
type PublisherStatus struct {
	Publisher uint64 `json:"publisher,string"`
	Have      uint64 `json:"have"`    // highest sequence in the journal, durable or not
	Durable   uint64 `json:"durable"` // highest one on this instance's disk
	Safe      uint64 `json:"safe"`    // highest one that every sync destination has on its disk, too, as it said on its present connection
	Floor     uint64 `json:"floor"`   // highest one that retention has removed
}

// A PublisherList is some of an instance's publishers, ordered by id.
type PublisherList struct {
	Publishers []PublisherStatus `json:"publishers"`
	More       bool              `json:"more"` // there are publishers behind the last one
}

// MaxPublishers is how many publishers are listed at once at most.
const MaxPublishers = 10_000

// Publishers returns the publishers with ids above after, limit of them at
// most; a limit outside of 1 to MaxPublishers is MaxPublishers.
func (s *Server) Publishers(after uint64, limit int) PublisherList {
	if limit < 1 || limit > MaxPublishers {
		limit = MaxPublishers
	}
	list, links := PublisherList{Publishers: []PublisherStatus{}}, s.links.Load()
	if after == math.MaxUint64 {
		return list
	}
	states := s.journal.StatesFrom(after+1, limit+1)
	list.More = len(states) > limit
	for _, st := range states[:min(limit, len(states))] {
		list.Publishers = append(list.Publishers, PublisherStatus{st.Publisher, st.Have, st.Durable, links.Safe(st.Publisher), st.Floor})
	}
	return list
}

// Status returns a snapshot.
func (s *Server) Status() Status {
	c := &s.instance.Counts
	st := Status{
		Name: s.cfg.Name, Group: s.cfg.Group, Version: s.cfg.Version,
		Ready: s.isReady(), Stopping: s.isStopping(), Sync: s.instance.SyncStatus(),
		Sessions:     s.sessionStatus(),
		Publishers:   s.journal.Publishers(),
		JournalBytes: s.journal.Size(),
		DiskFree:     s.space.free.Load(),
		Full:         s.space.full.Load(),
		ClockAheadMS: s.journal.Ahead().Milliseconds(),
		Degraded:     s.journal.Intervals(),
		Logons:       c.Logons.Load(), TurnedAway: c.TurnedAway.Load(), Fenced: c.Fenced.Load(), Slow: c.Slow.Load(),
		Published: c.Published.Load(), Duplicates: c.Duplicates.Load(), Refused: c.Refused.Load(), Differing: c.Differing.Load(),
		Delivered: c.Delivered.Load(), PublishGaps: c.PublishGaps.Load(), Gaps: c.Gaps.Load(), DiskFull: c.DiskFull.Load(),
		LogDropped: s.cfg.LogDropped(),
	}
	links := s.links.Load()
	st.Cluster, st.Intact = links.Cluster(), links.Intact()
	st.CatchingUp, st.Single, st.Links = s.catchingUp(), links.Single(), links.Status()
	if st.Degraded == nil {
		st.Degraded = []journal.Interval{} // JSON: a list, always
	}
	st.Diverged = s.diverged()
	st.Refusing, st.Outdated, st.Decree = s.refused.lately(), links.Outdated(), s.decreeStatus()
	if d := s.journal.Damage(); d != nil {
		st.Damage = d.Error()
	}
	return st
}

// catchingUp reports that the instance lacks, or may lack, what its peers have.
func (s *Server) catchingUp() bool {
	links := s.links.Load()
	return !isClosed(links.Ready()) || links.CatchingUp()
}

// diverged returns the publishers that have diverged.
func (s *Server) diverged() (list []DivergedStatus) {
	all := s.journal.AllDiverged()
	for _, publisher := range slices.Sorted(maps.Keys(all)) {
		st, _ := s.journal.State(publisher)
		list = append(list, DivergedStatus{publisher, all[publisher], st.Have, st.Floor})
	}
	return list
}

// sessionStatus returns the sessions that are logged on.
func (s *Server) sessionStatus() []SessionStatus {
	list := []SessionStatus{}
	for _, c := range s.instance.Registry.Sessions() {
		i, ok := c.Info()
		if !ok {
			continue
		}
		conn := c.Driver().(*session)
		list = append(list, SessionStatus{
			Name: i.ClientName, User: i.User, Address: conn.conn.RemoteAddr().String(), Since: conn.began,
			Extended: i.Extended, Publisher: i.Publisher, Subscriptions: i.Subscriptions,
		})
	}
	return list
}
