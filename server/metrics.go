package server

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/histogram"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
)

// Metrics is a snapshot of the measurements of an instance. Package server/metrics exports it to
// Prometheus. Counts begin at the start of the process.
type Metrics struct {
	Name    string    // of the instance
	Group   string    // of the instance's group; empty: a lone instance
	Version string    // of the server
	Started time.Time // when the instance was started
	StateMetrics

	Journal    JournalMetrics
	Disk       DiskMetrics
	Links      []LinkMetrics // ordered by peer
	HoldLimit  int64         // bytes of the journal that are kept for an absent destination
	Publishers PublisherMetrics
	Sessions   SessionMetrics
	Counts     CountMetrics
	Refusals   []RefusalCount // all kinds and reasons, also those with a count of 0

	Certificates []CertificateStatus // as in Status
}

// StateMetrics are the state of an instance.
type StateMetrics struct {
	Ready      bool       // clients are served
	Stopping   bool       // the stop has begun
	CatchingUp bool       // as in Status
	Outdated   bool       // no clients are served: the group has left this instance behind
	Damaged    bool       // the journal has damage that is not healed
	Single     bool       // acks are of level single
	Sync       SyncStatus // as in Status
	InSync     bool       // as in InSync: it has everything that the group has acknowledged
}

// JournalMetrics are the measurements of the journal.
type JournalMetrics struct {
	Bytes      int64     // size on disk
	Segments   int       // number of files
	Records    uint64    // numbers of all publishers that retention has not removed
	Tombstones int       // rejected messages that the journal remembers
	Diverged   int       // publishers of which nothing more is accepted
	First      uint64    // position of the oldest record: bytes since the journal began
	Durable    uint64    // position after the newest record on disk
	End        uint64    // position after the newest record
	Oldest     time.Time // when the oldest record was taken; zero: not known, or there is none
	SyncTimes  Histogram // of the syncs of the disk
}

// DiskMetrics are the measurements of the disk of the journal, at the last check, which was at most
// ten seconds ago.
type DiskMetrics struct {
	Free      int64         // bytes
	Reserve   int64         // bytes: with less free space publishes are refused
	Full      bool          // publishes are refused
	UntilFull time.Duration // until Full, at the rate of the last five minutes; negative: the free space does not shrink, or it is not known yet
}

// LinkMetrics are the measurements of the links to and from one peer. Those of a peer that is no
// destination are 0, except ReceivedBytes and SentBytes.
type LinkMetrics struct {
	LinkStatus
	LagBytes      uint64        // of the journal: not sent to the peer yet, or needed for it while it is away
	HoldUsed      int64         // bytes of the journal that are kept for the peer while it is away
	SentBytes     uint64        // of frames
	ReceivedBytes uint64        // of frames
	SingleSince   time.Time     // when the peer was downgraded; zero: it is not
	SingleFor     time.Duration // time for which the peer was downgraded, in all
	AckedAlone    uint64        // messages of this process that were acknowledged without the peer
}

// PublisherMetrics are the measurements of the publishers in the journal.
type PublisherMetrics struct {
	Number int            // of publishers
	Unsafe uint64         // messages that are not known to be on the disks of this instance and of all sync destinations
	Behind []PublisherLag // the twenty publishers with the most of these, most first
}

// A PublisherLag is the number of messages of a publisher that are not safe.
type PublisherLag struct {
	Publisher uint64 // its id
	Messages  uint64
}

// SessionMetrics are the measurements of sessions and subscriptions.
type SessionMetrics struct {
	Number      int                  // of sessions that are logged on
	Live        int                  // subscriptions that have reached the end of the journal
	Behind      int                  // subscriptions that have not, or that get only safe messages
	Slowest     []SubscriptionStatus // the subscription that is furthest behind of each of the twenty slowest clients, slowest first
	Memory      int64                // bytes held by all sessions, such as unread output
	MemoryLimit int64                // Limits.Memory
	AckTimes    Histogram            // from the receipt of a message with a number to its persisted ack
}

// CountMetrics are counts of events, as in Status if they are there.
type CountMetrics struct {
	Logons, TurnedAway, Fenced, Slow          uint64
	Published, Duplicates, Refused, Differing uint64
	Delivered, PublishGaps, Gaps, DiskFull    uint64
	AuthFailures, NotEntitled, Paused         uint64
	LogDropped, AuditDropped                  uint64

	PublishedBytes uint64 // of published messages, as they are in the journal
	ReceivedBytes  uint64 // received from clients
	SentBytes      uint64 // sent to clients
}

// A RefusalCount is the number of refusals with one reason.
type RefusalCount struct {
	Kind   string // what was refused: publish, logon, subscribe, command; session: a session that had logged on was ended
	Reason string // as the client gets it; "other": any reason that is not counted by itself
	Count  uint64
}

// A Histogram counts durations.
type Histogram struct {
	Count   uint64             // number of durations
	Sum     float64            // of the durations, seconds
	Buckets map[float64]uint64 // number of durations up to each bound; bounds in seconds
}

// Metrics returns a snapshot of the measurements. It counts all publishers and sessions, and takes
// locks that publishes need only for a small part of them at once. With 100,000 publishers it takes
// some hundredths of a second, and a publish waits for less than a millisecond.
func (s *Server) Metrics() *Metrics {
	links := s.links.Load()
	measured, census := links.Measure()
	m := &Metrics{
		Name: s.cfg.Name, Group: s.cfg.Group, Version: s.cfg.Version, Started: s.started,
		StateMetrics: StateMetrics{
			Ready: s.isReady(), Stopping: s.isStopping(), CatchingUp: s.catchingUp(), Outdated: links.OutdatedReason() != "",
			Damaged: s.journal.Damage() != nil, Single: links.Single(), Sync: s.instance.SyncStatus(), InSync: s.InSync().InSync,
		},
		Journal: s.journalMetrics(census), Disk: s.space.metrics(time.Now()), HoldLimit: links.Hold(),
		Publishers: PublisherMetrics{Number: s.journal.Publishers(), Unsafe: census.Unsafe},
		Sessions:   s.sessionMetrics(), Counts: s.countMetrics(), Refusals: s.refusalCounts(),
		Certificates: s.certificateStatus(),
	}
	for _, l := range measured {
		m.Links = append(m.Links, LinkMetrics{
			LinkStatus: LinkStatus(l.Status), LagBytes: l.LagBytes, HoldUsed: l.HoldUsed, SentBytes: l.SentBytes,
			ReceivedBytes: l.ReceivedBytes, SingleSince: l.SingleSince, SingleFor: l.SingleFor, AckedAlone: l.AckedAlone,
		})
	}
	for _, p := range census.Behind {
		m.Publishers.Behind = append(m.Publishers.Behind, PublisherLag(p))
	}
	return m
}

func (s *Server) journalMetrics(census *replica.Census) JournalMetrics {
	j := s.journal.Stats()
	return JournalMetrics{
		Bytes: j.Bytes, Segments: j.Segments, Records: census.Records, Tombstones: census.Tombstones,
		Diverged: len(s.journal.AllDiverged()),
		First:    uint64(j.First), Durable: uint64(j.Durable), End: uint64(j.End), Oldest: j.Oldest,
		SyncTimes: histogramOf(&s.syncTimes),
	}
}

func histogramOf(h *histogram.Histogram) Histogram { return Histogram(h.Snapshot()) }

func (s *Server) sessionMetrics() SessionMetrics {
	m := SessionMetrics{AckTimes: histogramOf(&s.instance.Counts.AckTimes)}
	m.Memory, m.MemoryLimit = s.instance.Memory()
	for _, c := range s.instance.Registry.Sessions() {
		if c.LoggedOn() {
			m.Number++
		}
	}
	all := s.allSubscriptions()
	for i := range all {
		if all[i].State == readStates[servercore.ReadsLive] {
			m.Live++
		}
	}
	m.Behind, m.Slowest = len(all)-m.Live, slowest(all)
	return m
}

func (s *Server) countMetrics() CountMetrics {
	c := &s.instance.Counts
	return CountMetrics{
		Logons: c.Logons.Load(), TurnedAway: c.TurnedAway.Load(), Fenced: c.Fenced.Load(), Slow: c.Slow.Load(),
		Published: c.Published.Load(), Duplicates: c.Duplicates.Load(), Refused: c.Refused.Load(), Differing: c.Differing.Load(),
		Delivered: c.Delivered.Load(), PublishGaps: c.PublishGaps.Load(), Gaps: c.Gaps.Load(), DiskFull: c.DiskFull.Load(),
		AuthFailures: c.AuthFailures.Load(), NotEntitled: c.NotEntitled.Load(), Paused: c.Paused.Load(),
		LogDropped: s.cfg.LogDropped(), AuditDropped: s.audit.dropped(),
		PublishedBytes: c.PublishedBytes.Load(), ReceivedBytes: c.ReceivedBytes.Load(), SentBytes: c.SentBytes.Load(),
	}
}

func (s *Server) refusalCounts() (all []RefusalCount) {
	s.instance.Counts.Refusals.Each(func(kind servercore.RefusalKind, reason string, count uint64) {
		all = append(all, RefusalCount{kind.String(), reason, count})
	})
	return all
}

const (
	// spaceWindow is the time over which the rate of the free space is measured.
	spaceWindow = 5 * time.Minute
	// minSpaceWindow is the least time over which the rate is measured. In a shorter time a burst of
	// another program would look like the end of the disk.
	minSpaceWindow = time.Minute
	// spaceSampleInterval is the least time between two samples that are kept.
	spaceSampleInterval = time.Second
)

// A spaceSample is the free space at one moment, with what the newest segment has reserved.
type spaceSample struct {
	at   time.Time
	free int64
}

// noteFree adds a sample of the free space.
func (s *space) noteFree(now time.Time, free, reserve int64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reserve = reserve
	if n := len(s.samples); n > 1 && now.Sub(s.samples[n-2].at) < spaceSampleInterval {
		s.samples = s.samples[:n-1] // replaced, so that the newest one is always there
	}
	s.samples = append(s.samples, spaceSample{now, free})
	old := 0
	for old < len(s.samples)-1 && now.Sub(s.samples[old].at) > spaceWindow {
		old++
	}
	s.samples = slices.Delete(s.samples, 0, old)
}

// metrics returns the measurements of the disk.
func (s *space) metrics(now time.Time) DiskMetrics {
	s.mu.Lock()
	defer s.mu.Unlock()
	return DiskMetrics{Free: s.free.Load(), Reserve: s.reserve, Full: s.full.Load(), UntilFull: s.untilFullLocked(now)}
}

// untilFullLocked returns the time until the reserve is all that is left, negative if there is no
// such time.
func (s *space) untilFullLocked(now time.Time) time.Duration {
	if len(s.samples) < 2 {
		return -1
	}
	first, last := s.samples[0], s.samples[len(s.samples)-1]
	elapsed, used := last.at.Sub(first.at), first.free-last.free
	if elapsed < minSpaceWindow || used <= 0 {
		return -1
	}
	left := float64(last.free-s.reserve) / float64(used) * elapsed.Seconds()
	const longest = 100 * 365 * 24 * time.Hour
	return max(0, time.Duration(min(left, longest.Seconds())*float64(time.Second))-now.Sub(last.at))
}
