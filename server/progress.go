package server

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
)

// maxWorst is the largest number of publishers and subscriptions in a Status that are furthest
// behind.
const maxWorst = replica.MaxBehind

// A Role is the part of an instance in its group.
type Role string

// The roles.
const (
	RoleSync  Role = "sync"  // its acks wait for a peer, or a peer's acks wait for it
	RoleAsync Role = "async" // all its links are asynchronous: it, or its peers, are behind by the lag of the links
	RoleAlone Role = "alone" // it does not replicate
)

func roleOf(l *replica.Links) Role {
	switch {
	case l.Lone():
		return RoleAlone
	case l.Paired():
		return RoleSync
	}
	return RoleAsync
}

// A WaitingStatus sums up the messages that wait for the acks of sync destinations. PublisherStatus
// says what counts.
type WaitingStatus struct {
	Publishers int               `json:"publishers"` // publishers with such messages
	Messages   uint64            `json:"messages"`   // of all publishers
	OldestMS   int64             `json:"oldest_ms"`  // how long the oldest of them has waited
	Worst      []PublisherStatus `json:"worst"`      // the publishers with the most, most first; at most 20
}

func (s *Server) waitingStatus() WaitingStatus {
	all := s.links.Load().Backlog()
	st := WaitingStatus{all.Publishers, all.Messages, max(0, all.Oldest.Milliseconds()), []PublisherStatus{}}
	for _, w := range all.Worst {
		st.Worst = append(st.Worst, s.publisherStatus(&w))
	}
	return st
}

func (s *Server) publisherStatus(w *replica.Wait) PublisherStatus {
	return PublisherStatus{
		Publisher: w.Publisher, Have: w.Have, Durable: w.Durable, Safe: w.Safe, Settled: w.Settled, Floor: w.Floor, Owner: w.Owner,
		Client:         s.instance.Registry.ClientOf(w.Publisher),
		Unacknowledged: w.Unacknowledged, OldestUnacknowledged: w.Oldest, OldestWaitMS: max(0, w.Waits.Milliseconds()),
	}
}

// A SubscriptionStatus says how far the journal was read for one subscription. A message counts as
// read once it was handed to the client's connection. With 64 or more subscribed sessions, a session
// reads records that it does not want up to some seconds later (LIMITS.md).
type SubscriptionStatus struct {
	Client string `json:"client"`         // name of the session
	User   string `json:"user,omitempty"` // user of the session
	ID     string `json:"id"`             // of the subscription
	Topic  string `json:"topic"`          // topic or pattern
	// State is live (it reads new records as they come), behind (it reads older ones), or held_back
	// (it waits until a message is safe).
	State     string    `json:"state"`
	Place     string    `json:"place,omitempty"`     // bookmark of the newest record that was read, on any topic; empty: none yet
	PlaceTime time.Time `json:"place_time,omitzero"` // time of that record
	// RecordsBehind is the number of records of the journal that were not read, on any topic. It is
	// exact to the records of 64 KiB or of a second, later of more; for records from before the
	// start of the process it is an estimate. It is 0 only if nothing is behind.
	RecordsBehind uint64 `json:"records_behind"`
	BytesBehind   uint64 `json:"bytes_behind"`
	BehindMS      int64  `json:"behind_ms"` // age of the oldest record that was not read, about; 0: nothing is behind, or not known
}

// A SubscriptionsStatus sums up the subscriptions of an instance.
type SubscriptionsStatus struct {
	Total    int                  `json:"total"`
	Behind   int                  `json:"behind"`    // subscriptions for which the journal was not read to its end
	Records  uint64               `json:"records"`   // the most that one of them is behind
	OldestMS int64                `json:"oldest_ms"` // the longest time that one of them is behind
	Worst    []SubscriptionStatus `json:"worst"`     // those that are most records behind, most first; at most 20
}

// A SubscriptionList is a page of an instance's subscriptions, ordered by client and id.
type SubscriptionList struct {
	Subscriptions []SubscriptionStatus `json:"subscriptions"`
	More          bool                 `json:"more"` // there are further subscriptions
	Next          string               `json:"next"` // to be passed as after to get them
}

// MaxSubscriptionsPerPage is the largest number of subscriptions in a SubscriptionList. It bounds
// the size of a response, not the number of subscriptions.
const MaxSubscriptionsPerPage = 1000

var readStates = map[servercore.ReadState]string{
	servercore.ReadsLive: "live", servercore.ReadsBehind: "behind", servercore.ReadsHeld: "held_back",
}

// allSubscriptions returns all subscriptions, in no particular order. It holds the lock of one
// session at a time.
func (s *Server) allSubscriptions() (list []SubscriptionStatus) {
	now, lags := s.wallClock(), s.journal.Lags()
	for _, c := range s.instance.Registry.Sessions() {
		info, ok := c.Info()
		if !ok {
			continue
		}
		for _, b := range c.Subscriptions() {
			list = append(list, subscriptionStatus(&info, &b, lags(journal.Position(b.At)), now))
		}
	}
	return list
}

func subscriptionStatus(of *servercore.SessionInfo, b *servercore.SubscriptionInfo, lag journal.Lag, now time.Time) SubscriptionStatus {
	st := SubscriptionStatus{
		Client: of.ClientName, User: of.User, ID: b.ID, Topic: b.Topic, State: readStates[b.State],
		RecordsBehind: lag.Records, BytesBehind: lag.Bytes,
	}
	since := lag.Since
	if !b.Last.IsZero() {
		st.Place, st.PlaceTime = b.Last.String(), time.UnixMicro(b.LastTime)
		if since.Before(st.PlaceTime) { // both are at or before the time of the oldest record behind
			since = st.PlaceTime
		}
	}
	if lag.Records > 0 && !since.IsZero() {
		st.BehindMS = max(0, now.Sub(since).Milliseconds())
	}
	return st
}

// subscriptionsStatus sums up all subscriptions.
func (s *Server) subscriptionsStatus() SubscriptionsStatus {
	all := s.allSubscriptions()
	st := SubscriptionsStatus{Total: len(all)}
	behind := slices.DeleteFunc(all, func(b SubscriptionStatus) bool { return b.RecordsBehind == 0 })
	for i := range behind {
		st.Records, st.OldestMS = max(st.Records, behind[i].RecordsBehind), max(st.OldestMS, behind[i].BehindMS)
	}
	slices.SortFunc(behind, mostRecordsFirst)
	st.Behind = len(behind)
	st.Worst = append([]SubscriptionStatus{}, behind[:min(len(behind), maxWorst)]...) // in JSON always a list
	return st
}

// slowest returns the subscription that is furthest behind of each of the slowest clients, slowest
// first. It reorders the list.
func slowest(all []SubscriptionStatus) (list []SubscriptionStatus) {
	slices.SortFunc(all, func(a, b SubscriptionStatus) int {
		return cmp.Or(cmp.Compare(b.BytesBehind, a.BytesBehind), bySubscription(a, b))
	})
	for i := range all {
		sameClient := func(b SubscriptionStatus) bool { return b.Client == all[i].Client }
		if all[i].BytesBehind == 0 || len(list) == maxWorst {
			break
		}
		if !slices.ContainsFunc(list, sameClient) {
			list = append(list, all[i])
		}
	}
	return list
}

// mostRecordsFirst orders subscriptions by how many records they are behind.
func mostRecordsFirst(a, b SubscriptionStatus) int {
	return cmp.Or(cmp.Compare(b.RecordsBehind, a.RecordsBehind), bySubscription(a, b))
}

// bySubscription orders subscriptions by client and id.
func bySubscription(a, b SubscriptionStatus) int {
	return cmp.Or(strings.Compare(a.Client, b.Client), strings.Compare(a.ID, b.ID))
}

// Subscriptions returns the subscriptions after a cursor, at most limit of them. after is Next of
// the page before, empty for the first page. A limit below 1 or above MaxSubscriptionsPerPage means
// MaxSubscriptionsPerPage.
func (s *Server) Subscriptions(after string, limit int) SubscriptionList {
	if limit < 1 || limit > MaxSubscriptionsPerPage {
		limit = MaxSubscriptionsPerPage
	}
	all := s.allSubscriptions()
	slices.SortFunc(all, bySubscription)
	client, id, _ := strings.Cut(after, cursorSeparator)
	at, found := slices.BinarySearchFunc(all, SubscriptionStatus{Client: client, ID: id}, bySubscription)
	if found {
		at++
	}
	all = all[at:]
	list := SubscriptionList{Subscriptions: append([]SubscriptionStatus{}, all[:min(limit, len(all))]...), More: len(all) > limit}
	if list.More {
		list.Next = all[limit-1].key()
	}
	return list
}

// cursorSeparator separates client and id in Next of a SubscriptionList. No client name has a zero
// byte.
const cursorSeparator = "\x00"

// A DiskStatus is the state of the disk of the journal, in bytes, at the last check. It is checked
// every ten seconds and at each new segment.
type DiskStatus struct {
	Free             int64 `json:"free"`
	Total            int64 `json:"total"`
	Journal          int64 `json:"journal"`           // size of the journal
	Reserve          int64 `json:"reserve"`           // with less free, publishes are refused
	PublishesRefused bool  `json:"publishes_refused"` // as Full of Status
	LinksRefused     bool  `json:"links_refused"`     // messages of peers are refused, too
}

func (s *Server) diskStatus() DiskStatus {
	d := DiskStatus{
		Free: s.space.free.Load(), Total: s.space.total.Load(), Journal: s.journal.Size(),
		PublishesRefused: s.space.full.Load(), LinksRefused: s.space.linksFull.Load(),
	}
	d.Reserve, _ = s.reserves(d.Total)
	return d
}
