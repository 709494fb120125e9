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

// A SyncStatus is the state of an instance's sync destinations as a whole. On the wire and in JSON
// it is a text.
type SyncStatus = syncstatus.Status

// A Status is a snapshot of an instance. As JSON it is the response of the admin endpoint /status
// (see Server.AdminAddr). There, publisher ids are strings, since many programs cannot represent
// integers above 2^53 exactly.
type Status struct {
	Name         string             `json:"name"`                     // of the instance
	Group        string             `json:"group,omitempty"`          // of the instance's group
	Version      string             `json:"version"`                  // of the server
	Cluster      string             `json:"cluster"`                  // common id of the group's journals, hex; empty: the group was not met yet, and no client is served
	Intact       bool               `json:"intact"`                   // the journal has, or had, everything that the group has acknowledged
	Ready        bool               `json:"ready"`                    // clients are served
	Stopping     bool               `json:"stopping"`                 // the stop has begun
	CatchingUp   bool               `json:"catching_up"`              // the instance lacks, or may lack, messages of its peers, ready or not
	Single       bool               `json:"single"`                   // acks are of level single: a sync destination is downgraded
	Sync         SyncStatus         `json:"sync"`                     // as clients see it: sync, apart, single, catching_up, async, one_way, alone, stopping
	Damage       string             `json:"damage,omitempty"`         // damage of the journal that is not healed
	ClockAheadMS int64              `json:"clock_ahead_ms,omitempty"` // how far the newest record is in the future by the wall clock, if more than a minute
	Sessions     []SessionStatus    `json:"sessions"`                 // logged-on sessions
	Links        []LinkStatus       `json:"links"`                    // ordered by peer
	Publishers   int                `json:"publishers"`               // number of publishers in the journal
	JournalBytes int64              `json:"journal_bytes"`            // size of the journal on disk
	DiskFree     int64              `json:"disk_free"`                // bytes free on the journal's disk at the last check
	Full         bool               `json:"full"`                     // the disk is nearly full: publishes are refused for now
	Degraded     []DegradedInterval `json:"degraded"`                 // periods in which acks were single, oldest first

	Logons       uint64 `json:"logons"`        // accepted logons; this and the following counts begin at the start
	TurnedAway   uint64 `json:"turned_away"`   // connections closed because there were too many, or too many without a logon
	Fenced       uint64 `json:"fenced"`        // sessions that lost their name to another session
	Slow         uint64 `json:"slow"`          // sessions ended because the client did not read
	Published    uint64 `json:"published"`     // messages accepted
	Duplicates   uint64 `json:"duplicates"`    // messages that the journal had already
	Refused      uint64 `json:"refused"`       // messages rejected
	Differing    uint64 `json:"differing"`     // identities with two contents, as a copied store produces
	Delivered    uint64 `json:"delivered"`     // messages sent to subscriptions, once for each
	PublishGaps  uint64 `json:"publish_gaps"`  // sessions refused because the instance lacks acknowledged messages of the publisher
	DiskFull     uint64 `json:"disk_full"`     // sessions ended because they published while the disk was nearly full
	AuthFailures uint64 `json:"auth_failures"` // logons refused because the client did not prove its user
	NotEntitled  uint64 `json:"not_entitled"`  // publishes that their users may not make
	Paused       uint64 `json:"paused"`        // waits of sessions whose users sent more than they may
	LogDropped   uint64 `json:"log_dropped"`   // log lines dropped because nobody read the log
	Gaps         uint64 `json:"gaps"`          // gaps told to running subscriptions: retention removed messages that they had not seen

	AuditDropped uint64 `json:"audit_dropped"` // lines missing in the audit log because it was written too slowly, or not at all

	Diverged []DivergedStatus `json:"diverged,omitempty"` // diverged publishers, of which nothing more is accepted, ordered by id

	Certificates []CertificateStatus `json:"certificates,omitempty"` // of the ports and links with TLS
	Users        *UsersStatus        `json:"users,omitempty"`        // permissions of users; nil: there are none

	Refusing []string      `json:"refusing"`           // reasons of refusals in the last minute, of clients that cannot recover without help
	Outdated string        `json:"outdated,omitempty"` // why no clients are served: the group has a decree of which this instance is not a member
	Decree   *DecreeStatus `json:"decree,omitempty"`   // the newest decree

	SessionsMore bool `json:"sessions_more"` // this page of /status is not the last one

	Time          time.Time           `json:"time"`                     // of the snapshot, by the wall clock of the instance
	Started       time.Time           `json:"started"`                  // start of the process
	Role          Role                `json:"role"`                     // role in its group
	InSync        InSync              `json:"in_sync"`                  // whether the other instances could be stopped
	Waiting       WaitingStatus       `json:"waiting"`                  // messages that wait for the acks of sync destinations
	Subscriptions SubscriptionsStatus `json:"subscriptions"`            // how far subscriptions are behind
	DegradedTotal int                 `json:"degraded_total"`           // number of intervals of Degraded; a response of /status has the newest 20
	DivergedTotal int                 `json:"diverged_total,omitempty"` // number of publishers of Diverged; a response of /status has the first 100
	Events        []Event             `json:"events"`                   // recent events, oldest first; at most 256
	Disk          DiskStatus          `json:"disk"`                     // the disk of the journal
}

// A LinkStatus is the state of the links to and from one peer.
type LinkStatus struct {
	Peer         string `json:"peer"`
	Sync         bool   `json:"sync"`             // it is a sync destination, as configured
	Outbound     bool   `json:"outbound"`         // this instance replicates to the peer
	Inbound      bool   `json:"inbound"`          // the peer replicates to this instance
	OneWay       bool   `json:"one_way"`          // one of the two replicates synchronously to the other, which does not replicate back
	Rivals       bool   `json:"rivals"`           // two processes run under the peer's name, as observed within the last minute
	State        string `json:"state"`            // down, catching-up, sync, live (async)
	Ack          string `json:"ack,omitempty"`    // counting or downgraded; empty if async
	Reason       string `json:"reason,omitempty"` // why the link is down, empty if it is up
	GivenUp      bool   `json:"given_up"`         // the peer was given up: it fell behind by more than Hold, or was away while the disk was nearly full
	OldestWaitMS int64  `json:"oldest_wait_ms"`   // how long its oldest unacknowledged record has waited
	LinkCounts
	// OtherCluster: within the last minute an instance of another cluster used the peer's name.
	OtherCluster bool `json:"other_cluster"`
	// LeftOut: an operator has had the peer left out of acks. They wait for it again when the
	// operator says so, or when it has disconnected, is back, and has caught up.
	LeftOut bool `json:"left_out"`
	PeerClock
	LinkProgress
}

// LinkCounts are counts of a link. A PeerClock compares the wall clock of a peer with the instance's
// own. A LinkProgress is what a peer has last said of a link, and the progress of both directions.
type (
	LinkCounts   = replica.LinkCounts
	PeerClock    = replica.PeerClock
	LinkProgress = replica.LinkProgress
)

// A Headway is the progress of one direction of a link.
type Headway = replica.Headway

// A DegradedInterval is a period in which a sync destination was downgraded, so that acks were of
// level single. Destination and Begin identify it. Times have a precision of a microsecond.
type DegradedInterval struct {
	Destination string          `json:"destination"`
	Begin       time.Time       `json:"begin"`
	End         time.Time       `json:"end,omitzero"`     // zero: the period has not ended
	Publishers  int             `json:"publishers"`       // number of Ranges; a response of /status has at most 100 of them
	Ranges      []DegradedRange `json:"ranges,omitempty"` // settled without the destination, per publisher
}

// A DegradedRange is a range of one publisher's messages. From and To are sequences, both included.
type DegradedRange struct {
	Publisher uint64 `json:"publisher,string"`
	From      uint64 `json:"from"`
	To        uint64 `json:"to"`
}

func degradedInterval(i journal.DegradedInterval) DegradedInterval {
	d := DegradedInterval{Destination: i.Destination, Begin: i.Begin, End: i.End, Publishers: len(i.Ranges)}
	for _, r := range i.Ranges {
		d.Ranges = append(d.Ranges, DegradedRange(r))
	}
	return d
}

// A DivergedStatus is a diverged publisher: the instances have, or may have, two contents for one
// of its numbers.
type DivergedStatus struct {
	Publisher uint64 `json:"publisher,string"` // its id
	From      uint64 `json:"from"`             // the first number that is not proven to be equal everywhere
	Have      uint64 `json:"have"`             // highest sequence in the journal
	Floor     uint64 `json:"floor"`            // up to here retention has removed everything
}

// A DecreeStatus is the state of the newest decree, with which an operator declared acknowledged
// messages lost.
type DecreeStatus struct {
	Incarnation uint64    `json:"incarnation"` // the incarnation that the decree began
	Time        time.Time `json:"time"`
	Lost        []string  `json:"lost"`       // instances that were declared lost and have not joined again
	Stands      bool      `json:"stands"`     // the decree has not ended: publishers may still use it
	EndsMS      int64     `json:"ends_ms"`    // milliseconds until it ends by itself, if it stands
	Unseen      int       `json:"unseen"`     // number of publishers that have not logged on since, if it stands
	Publishers  []string  `json:"publishers"` // ids of these publishers, 100 at most
}

// maxUnseen is the largest number of ids in a DecreeStatus.
const maxUnseen = 100

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
	ids, unseen := s.journal.UnseenSinceDecree(maxUnseen)
	st.EndsMS, st.Unseen = (journal.DecreeLifetime - d.Age).Milliseconds(), unseen
	for _, id := range ids {
		st.Publishers = append(st.Publishers, strconv.FormatUint(id, 10))
	}
	return st
}

// A SessionStatus is the session of one client.
type SessionStatus struct {
	Name          string    `json:"name"`                       // client name, unique among the sessions
	User          string    `json:"user,omitempty"`             // user of the logon
	Address       string    `json:"address"`                    // address of the client
	Since         time.Time `json:"since"`                      // when it connected
	TLS           string    `json:"tls,omitempty"`              // version, such as "TLS 1.3"; empty: none
	Extended      bool      `json:"extended"`                   // the client knows our extensions to the protocol
	Publisher     uint64    `json:"publisher,omitempty,string"` // id of its publish store, also if it has published nothing; 0: it has none
	Subscriptions int       `json:"subscriptions"`              // number of its subscriptions
}

// A PublisherStatus is the progress of one publisher on an instance and its peers.
type PublisherStatus struct {
	Publisher uint64 `json:"publisher,string"` // its id
	Have      uint64 `json:"have"`             // highest sequence in the journal, durable or not
	Durable   uint64 `json:"durable"`          // highest sequence on this instance's disk
	Safe      uint64 `json:"safe"`             // highest sequence that is also on the disk of every sync destination, as far as the present connections have reported
	Floor     uint64 `json:"floor"`            // up to here retention has removed everything
	Owner     string `json:"owner,omitempty"`  // the first user who published as it; empty: no user has
	Client    string `json:"client,omitempty"` // name of the session that publishes as it now
	Settled   uint64 `json:"settled"`          // like Safe, without the sync destinations that are downgraded

	// Unacknowledged is the number of its messages in the journal that this instance's disk and
	// those of all sync destinations have not acknowledged, on any connection since the start.
	// OldestUnacknowledged is the sequence of the first of them, and OldestWaitMS how long that has
	// waited for a sync destination, 0 if it has not. Without a sync destination this instance's
	// disk counts alone.
	Unacknowledged       uint64 `json:"unacknowledged"`
	OldestUnacknowledged uint64 `json:"oldest_unacknowledged,omitempty"`
	OldestWaitMS         int64  `json:"oldest_wait_ms"`
}

// A PublisherList is a page of an instance's publishers, ordered by id.
type PublisherList struct {
	Publishers []PublisherStatus `json:"publishers"`
	More       bool              `json:"more"` // there are publishers with higher ids
}

// MaxPublishersPerPage is the largest number of publishers in a PublisherList. It bounds the size
// of a response, not the number of publishers that an instance knows.
const MaxPublishersPerPage = 10_000

// Publishers returns the publishers with ids above after, at most limit of them. A limit below 1 or
// above MaxPublishersPerPage means MaxPublishersPerPage.
func (s *Server) Publishers(after uint64, limit int) PublisherList {
	if limit < 1 || limit > MaxPublishersPerPage {
		limit = MaxPublishersPerPage
	}
	list := PublisherList{Publishers: []PublisherStatus{}}
	if after == math.MaxUint64 {
		return list
	}
	states := s.publisherStates(after+1, limit+1)
	list.More = len(states) > limit
	for _, w := range s.links.Load().Waits(states[:min(limit, len(states))]) {
		list.Publishers = append(list.Publishers, s.publisherStatus(&w))
	}
	return list
}

// statesAtOnce is the number of publishers whose states are read under one lock of the journal.
// Publishes wait meanwhile.
const statesAtOnce = 1024

// publisherStates returns the states of at most limit publishers whose id is at least from.
func (s *Server) publisherStates(from uint64, limit int) (states []journal.PublisherState) {
	for len(states) < limit {
		part := s.journal.StatesFrom(from, min(limit-len(states), statesAtOnce))
		states = append(states, part...)
		if len(part) < statesAtOnce || part[len(part)-1].Publisher == math.MaxUint64 {
			break
		}
		from = part[len(part)-1].Publisher + 1
	}
	return states
}

// Status returns a snapshot of the instance.
func (s *Server) Status() Status {
	c := &s.instance.Counts
	st := Status{
		Name: s.cfg.Name, Group: s.cfg.Group, Version: s.cfg.Version, Time: s.wallClock(), Started: s.started,
		Ready: s.isReady(), Stopping: s.isStopping(), Sync: s.instance.SyncStatus(),
		Sessions:     s.sessionStatus(),
		Publishers:   s.journal.Publishers(),
		JournalBytes: s.journal.Size(),
		DiskFree:     s.space.free.Load(),
		Full:         s.space.full.Load(),
		ClockAheadMS: s.journal.NewestAhead().Milliseconds(),
		Links:        []LinkStatus{}, // in JSON always a list
		Degraded:     []DegradedInterval{},
		Logons:       c.Logons.Load(), TurnedAway: c.TurnedAway.Load(), Fenced: c.Fenced.Load(), Slow: c.Slow.Load(),
		Published: c.Published.Load(), Duplicates: c.Duplicates.Load(), Refused: c.Refused.Load(), Differing: c.Differing.Load(),
		Delivered: c.Delivered.Load(), PublishGaps: c.PublishGaps.Load(), Gaps: c.Gaps.Load(), DiskFull: c.DiskFull.Load(),
		AuthFailures: c.AuthFailures.Load(), NotEntitled: c.NotEntitled.Load(), Paused: c.Paused.Load(),
		LogDropped: s.cfg.LogDropped() + s.logs.dropped.Load(), AuditDropped: s.audit.dropped(),
	}
	st.Waiting, st.Subscriptions, st.Events, st.Disk = s.waitingStatus(), s.subscriptionsStatus(), s.events.recent(), s.diskStatus()
	links := s.links.Load()
	st.Role, st.InSync = roleOf(links), s.InSync()
	st.Cluster, st.Intact = links.Cluster(), links.Intact()
	st.CatchingUp, st.Single = s.catchingUp(), links.Single()
	for _, l := range links.Status() {
		st.Links = append(st.Links, LinkStatus(l))
	}
	for _, i := range s.journal.DegradedIntervals() {
		st.Degraded = append(st.Degraded, degradedInterval(i))
	}
	st.DegradedTotal = len(st.Degraded)
	st.Diverged, st.Certificates, st.Users = s.diverged(), s.certificateStatus(), s.usersStatus()
	st.DivergedTotal = len(st.Diverged)
	st.Refusing, st.Outdated, st.Decree = s.refusals.recent(), links.OutdatedReason(), s.decreeStatus()
	if d := s.journal.Damage(); d != nil {
		st.Damage = d.Error()
	}
	return st
}

// catchingUp reports whether the instance lacks, or may lack, messages of its peers.
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
			Name: i.ClientName, User: i.User, Address: conn.conn.RemoteAddr().String(), Since: conn.connectedAt, TLS: conn.tlsVersion(),
			Extended: i.Extended, Publisher: i.Publisher, Subscriptions: i.Subscriptions,
		})
	}
	return list
}
