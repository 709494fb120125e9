package metrics

import (
	"math"
	"runtime"
	"slices"
	"strconv"
	"time"

	"github.com/holdfast-mq/holdfast/server"
)

// families are all metrics, in the order of server/METRICS.md.
var families = slices.Concat(instanceFamilies, journalFamilies, diskFamilies, linkFamilies, publisherFamilies, sessionFamilies, failureFamilies)

type metrics = server.Metrics

var instanceFamilies = []family{
	labelled(kindGauge, "build_info", "The value is always 1. The labels name the instance, its group, the version of the server and that of Go.",
		[]string{"name", "group", "version", "goversion"}, func(m *metrics, s series) { s(1, m.Name, m.Group, m.Version, runtime.Version()) }),
	moment("start_time_seconds", "Time at which the instance was started, in seconds since 1970.", func(m *metrics) time.Time { return m.Started }),
	boolean("ready", "1 if the instance serves clients.", func(m *metrics) bool { return m.Ready && !m.Stopping && !m.Outdated }),
	boolean("stopping", "1 if the instance is about to stop.", func(m *metrics) bool { return m.Stopping }),
	boolean("catching_up", "1 if the instance lacks, or may lack, messages of its peers.", func(m *metrics) bool { return m.CatchingUp }),
	boolean("outdated", "1 if the group has left the instance behind by a decree, so that it serves no clients.", func(m *metrics) bool { return m.Outdated }),
	boolean("single", "1 if acks are single: they stand for one disk, because a sync destination is downgraded or there is none.", func(m *metrics) bool { return m.Single }),
	boolean("in_sync", "1 if the instance has everything that the group has acknowledged, so that the other instances can be stopped (/insync).", func(m *metrics) bool { return m.InSync }),
	labelled(kindGauge, "sync_status", "1 for the present sync status, as clients see it (client.SyncStatus explains the values), and 0 for the others.", []string{"status"}, syncStatus),
	labelled(kindGauge, "certificate_expiry_time_seconds", "Time at which a certificate expires, in seconds since 1970, by the setting that names its file.",
		[]string{"field"}, func(m *metrics, s series) {
			for _, c := range m.Certificates {
				s(seconds(c.NotAfter), c.Field)
			}
		}),
}

// statuses are the values of the label status.
var statuses = []string{"sync", "apart", "single", "catching_up", "async", "one_way", "alone", "stopping"}

func syncStatus(m *metrics, s series) {
	for _, status := range statuses {
		s(one(m.Sync.String() == status), status)
	}
}

var journalFamilies = []family{
	gauge("journal_bytes", "Size of the journal on disk.", func(m *metrics) int64 { return m.Journal.Bytes }),
	gauge("journal_segments", "Number of files of the journal.", func(m *metrics) int { return m.Journal.Segments }),
	gauge("journal_records", "Number of messages in the journal, with those that stand in the place of a message.", func(m *metrics) uint64 { return m.Journal.Records }),
	gauge("journal_tombstones", "Number of rejected messages that the journal remembers, at most 1024 of each publisher.", func(m *metrics) int { return m.Journal.Tombstones }),
	moment("journal_oldest_record_time_seconds", "Time at which the oldest record of the journal was taken, in seconds since 1970. No series: the journal has no record, or the time is not known yet.", func(m *metrics) time.Time { return m.Journal.Oldest }),
	gauge("journal_first_position_bytes", "Position of the oldest record: the bytes that were written before it since the journal began.", func(m *metrics) uint64 { return m.Journal.First }),
	gauge("journal_durable_position_bytes", "Position after the newest record that is on disk.", func(m *metrics) uint64 { return m.Journal.Durable }),
	gauge("journal_end_position_bytes", "Position after the newest record.", func(m *metrics) uint64 { return m.Journal.End }),
	histogram("journal_sync_duration_seconds", "Times that writing and syncing waiting records to disk took.", func(m *metrics) *server.Histogram { return &m.Journal.SyncTimes }),
	boolean("journal_damaged", "1 if the journal has damage that is not healed.", func(m *metrics) bool { return m.Damaged }),
}

var diskFamilies = []family{
	gauge("disk_free_bytes", "Free space on the disk of the journal, at the last check: every 10 seconds and with each new file.", func(m *metrics) int64 { return m.Disk.Free }),
	gauge("disk_reserve_bytes", "Free space below which publishes are refused (log.min_free).", func(m *metrics) int64 { return m.Disk.Reserve }),
	boolean("disk_full", "1 if publishes are refused because the free space is below the reserve.", func(m *metrics) bool { return m.Disk.Full }),
	gauge("disk_until_full_seconds", "Estimated time until the free space is down to the reserve: what is above it, divided by the rate at which the free space has shrunk in the last five minutes. What the newest segment has reserved counts as free. +Inf: it does not shrink, or has been measured for less than a minute.",
		func(m *metrics) float64 {
			if m.Disk.UntilFull < 0 {
				return math.Inf(1)
			}
			return m.Disk.UntilFull.Seconds()
		}),
}

func outbound(l *server.LinkMetrics) bool { return l.Outbound }
func synced(l *server.LinkMetrics) bool   { return l.Sync }

var linkFamilies = []family{
	gauge("hold_limit_bytes", "How much of the journal is kept for an absent destination before it is given up (hold).", func(m *metrics) int64 { return m.HoldLimit }),
	ofLinks(kindGauge, "hold_used_bytes", "How much of the journal is kept for the destination because it is away. 0 while it is linked, and once it is given up.", outbound, func(l *server.LinkMetrics) float64 { return float64(l.HoldUsed) }),
	labelled(kindGauge, "link_hold_left_bytes", "How much more of the journal may be kept for the destination before it is given up.", []string{"peer"}, func(m *metrics, s series) {
		for i := range m.Links {
			if l := &m.Links[i]; l.Outbound {
				s(float64(max(0, m.HoldLimit-l.HoldUsed)), l.Peer)
			}
		}
	}),
	ofLinks(kindGauge, "up", "1 if the peer is linked.", nil, func(l *server.LinkMetrics) float64 { return one(l.State != "down") }),
	labelled(kindGauge, "link_role", "1 for the role of the peer, 0 for the others: sync, async, or none if this instance does not replicate to it.", []string{"peer", "role"}, linkRole),
	labelled(kindGauge, "link_state", "1 for the state of the link, 0 for the others: down, catching-up, sync, or live (of an async destination, or of a peer that is no destination).", []string{"peer", "state"}, linkState),
	ofLinks(kindGauge, "single", "1 if the destination is downgraded: acks do not wait for it. Sync destinations only.", synced, func(l *server.LinkMetrics) float64 { return one(l.Ack == "downgraded") }),
	labelled(kindGauge, "link_single_since_time_seconds", "Time at which the destination was downgraded, in seconds since 1970. No series: it counts.", []string{"peer"}, func(m *metrics, s series) {
		for i := range m.Links {
			if l := &m.Links[i]; !l.SingleSince.IsZero() {
				s(seconds(l.SingleSince), l.Peer)
			}
		}
	}),
	ofLinks(kindCounter, "single_intervals_total", "Number of times that the destination was downgraded.", synced, func(l *server.LinkMetrics) float64 { return float64(l.Downgrades) }),
	ofLinks(kindCounter, "single_seconds_total", "Time for which the destination was downgraded.", synced, func(l *server.LinkMetrics) float64 { return l.SingleFor.Seconds() }),
	ofLinks(kindCounter, "acked_alone_messages_total", "Messages taken by this process that were acknowledged without the destination. It never falls: unsafe_messages counts those that the destination still lacks, with those not acknowledged yet.", synced, func(l *server.LinkMetrics) float64 { return float64(l.AckedAlone) }),
	ofLinks(kindGauge, "given_up", "1 if the destination was given up: retention removes messages that it lacks.", outbound, func(l *server.LinkMetrics) float64 { return one(l.GivenUp) }),
	ofLinks(kindGauge, "lag_records", "Messages in the journal that the destination has not acknowledged, at most those that retention has not removed. Before its first acknowledgement since the start all of them count.", outbound, func(l *server.LinkMetrics) float64 { return float64(l.Unacknowledged) }),
	ofLinks(kindGauge, "lag_bytes", "Bytes of the journal that have not been sent to the destination yet; while it is away, those from the first message that it has not acknowledged on.", outbound, func(l *server.LinkMetrics) float64 { return float64(l.LagBytes) }),
	ofLinks(kindGauge, "lag_seconds", "How long the oldest message that the destination has not acknowledged has waited.", outbound, func(l *server.LinkMetrics) float64 { return float64(l.OldestWaitMS) / 1e3 }),
	ofLinks(kindGauge, "left_out", "1 if an operator has had the destination left out of acks (holdfast admin single).", synced, func(l *server.LinkMetrics) float64 { return one(l.LeftOut) }),
	ofReceiving("receiving_lag_records", "Records that the peer has yet to send to this instance, about, by its last heartbeat. No series: the peer is not linked.", func(h *server.Headway) float64 { return float64(h.Remaining) }),
	ofReceiving("receiving_left_seconds", "Estimated time until the peer has sent them. +Inf: they do not become fewer.", func(h *server.Headway) float64 {
		if h.LeftMS < 0 {
			return math.Inf(1)
		}
		return float64(h.LeftMS) / 1e3
	}),
	ofLinks(kindCounter, "sent_records_total", "Records sent to the peer.", nil, func(l *server.LinkMetrics) float64 { return float64(l.Sent) }),
	ofLinks(kindCounter, "received_records_total", "Records received from the peer.", nil, func(l *server.LinkMetrics) float64 { return float64(l.Received) }),
	ofLinks(kindCounter, "sent_bytes_total", "Bytes sent to the peer after the handshake.", nil, func(l *server.LinkMetrics) float64 { return float64(l.SentBytes) }),
	ofLinks(kindCounter, "received_bytes_total", "Bytes received from the peer after the handshake.", nil, func(l *server.LinkMetrics) float64 { return float64(l.ReceivedBytes) }),
	ofLinks(kindCounter, "refused_total", "Records and connections that this instance or the peer has refused.", nil, func(l *server.LinkMetrics) float64 { return float64(l.Refused) }),
	ofLinks(kindGauge, "clock_skew_seconds", "How far the wall clock of the peer is ahead of that of this instance, by the last heartbeats.", nil, func(l *server.LinkMetrics) float64 { return float64(l.ClockSkewMS) / 1e3 }),
	ofLinks(kindGauge, "one_way", "1 if one of the two replicates synchronously to the other, which does not replicate back.", nil, func(l *server.LinkMetrics) float64 { return one(l.OneWay) }),
	ofLinks(kindGauge, "rivals", "1 if two processes have run under the name of the peer within the last minute.", nil, func(l *server.LinkMetrics) float64 { return one(l.Rivals) }),
}

// ofReceiving is a gauge of what comes from each peer.
func ofReceiving(name, help string, value func(*server.Headway) float64) family {
	return labelled(kindGauge, "link_"+name, help, []string{"peer"}, func(m *metrics, s series) {
		for i := range m.Links {
			if h := m.Links[i].Receiving; h != nil {
				s(value(h), m.Links[i].Peer)
			}
		}
	})
}

func linkRole(m *metrics, s series) {
	for i := range m.Links {
		l := &m.Links[i]
		s(one(l.Sync), l.Peer, "sync")
		s(one(l.Outbound && !l.Sync), l.Peer, "async")
		s(one(!l.Outbound), l.Peer, "none")
	}
}

func linkState(m *metrics, s series) {
	for i := range m.Links {
		for _, state := range []string{"down", "catching-up", "sync", "live"} {
			s(one(m.Links[i].State == state), m.Links[i].Peer, state)
		}
	}
}

var publisherFamilies = []family{
	gauge("publishers", "Number of publishers in the journal.", func(m *metrics) int { return m.Publishers.Number }),
	gauge("diverged_publishers", "Number of publishers of which nothing more is accepted, because instances have two contents under one number.", func(m *metrics) int { return m.Journal.Diverged }),
	gauge("unsafe_messages", "Messages that are not known to be on the disks of this instance and of all sync destinations.", func(m *metrics) uint64 { return m.Publishers.Unsafe }),
	labelled(kindGauge, "publisher_unsafe_messages", "The same for each of the twenty publishers with the most of them; the others have no series. The label is the id of the publisher.",
		[]string{"publisher"}, func(m *metrics, s series) {
			for _, p := range m.Publishers.Behind {
				s(float64(p.Messages), strconv.FormatUint(p.Publisher, 10))
			}
		}),
	counter("published_messages_total", "Messages accepted from clients.", func(m *metrics) uint64 { return m.Counts.Published }),
	counter("published_bytes_total", "Bytes of these messages as they are in the journal.", func(m *metrics) uint64 { return m.Counts.PublishedBytes }),
	counter("duplicate_messages_total", "Messages from clients that the journal had already.", func(m *metrics) uint64 { return m.Counts.Duplicates }),
	counter("differing_messages_total", "Messages from clients whose number the journal has with another content, as a copied store produces them.", func(m *metrics) uint64 { return m.Counts.Differing }),
	counter("rejected_messages_total", "Messages from clients that were rejected.", func(m *metrics) uint64 { return m.Counts.Refused }),
	histogram("ack_duration_seconds", "Times from the receipt of a message to its persisted ack. One message of a session is measured at a time, so a stream of messages counts once for each round of acks. Messages without a number are not measured.",
		func(m *metrics) *server.Histogram { return &m.Sessions.AckTimes }),
}

var sessionFamilies = []family{
	gauge("sessions", "Number of clients that are logged on.", func(m *metrics) int { return m.Sessions.Number }),
	labelled(kindGauge, "subscriptions", "Number of subscriptions: live ones have reached the end of the journal once and get what comes, those behind have not, or get only safe messages.",
		[]string{"state"}, func(m *metrics, s series) {
			s(float64(m.Sessions.Live), "live")
			s(float64(m.Sessions.Behind), "behind")
		}),
	labelled(kindGauge, "subscription_lag_bytes", "Bytes of the journal of this instance that the slowest subscription of a client has not read yet; what only a peer has does not count. Only the twenty slowest clients have a series.",
		[]string{"client"}, func(m *metrics, s series) {
			for _, l := range m.Sessions.Slowest {
				s(float64(l.BytesBehind), valid(l.Client))
			}
		}),
	labelled(kindGauge, "subscription_lag_records", "Records of the journal, on any topic, that this subscription has not read yet, about.",
		[]string{"client"}, func(m *metrics, s series) {
			for _, l := range m.Sessions.Slowest {
				s(float64(l.RecordsBehind), valid(l.Client))
			}
		}),
	labelled(kindGauge, "subscription_lag_seconds", "Age of the oldest record that this subscription has not read yet, about.",
		[]string{"client"}, func(m *metrics, s series) {
			for _, l := range m.Sessions.Slowest {
				s(float64(l.BehindMS)/1e3, valid(l.Client))
			}
		}),
	counter("delivered_messages_total", "Messages sent to subscriptions, once for each subscription.", func(m *metrics) uint64 { return m.Counts.Delivered }),
	counter("clients_sent_bytes_total", "Bytes sent to clients, before TLS.", func(m *metrics) uint64 { return m.Counts.SentBytes }),
	counter("clients_received_bytes_total", "Bytes received from clients, without TLS.", func(m *metrics) uint64 { return m.Counts.ReceivedBytes }),
	gauge("sessions_memory_bytes", "Memory that all sessions hold: input, unread output, subscriptions and their places, waiting acks.", func(m *metrics) int64 { return m.Sessions.Memory }),
	gauge("sessions_memory_limit_bytes", "Limit of that memory (limits.memory).", func(m *metrics) int64 { return m.Sessions.MemoryLimit }),
	counter("logons_total", "Accepted logons.", func(m *metrics) uint64 { return m.Counts.Logons }),
	counter("logon_failures_total", "Logons refused because the client did not prove its user.", func(m *metrics) uint64 { return m.Counts.AuthFailures }),
	labelled(kindCounter, "refusals_total", "What was refused, and why: a publish, logon, subscribe or other command; or a session that had logged on was ended. The reason is the text that the client gets, or other.",
		[]string{"kind", "reason"}, func(m *metrics, s series) {
			for _, r := range m.Refusals {
				s(float64(r.Count), r.Kind, r.Reason)
			}
		}),
	counter("turned_away_total", "Connections closed because there were too many, or too many without a logon.", func(m *metrics) uint64 { return m.Counts.TurnedAway }),
	counter("fenced_sessions_total", "Sessions that lost their name to another session.", func(m *metrics) uint64 { return m.Counts.Fenced }),
	counter("slow_sessions_total", "Sessions ended because the client did not read.", func(m *metrics) uint64 { return m.Counts.Slow }),
	counter("pauses_total", "Waits of sessions whose users sent more than they may.", func(m *metrics) uint64 { return m.Counts.Paused }),
	counter("not_entitled_total", "Publishes that their users may not make.", func(m *metrics) uint64 { return m.Counts.NotEntitled }),
}

var failureFamilies = []family{
	counter("publish_gaps_total", "Sessions refused or ended because the instance lacks acknowledged messages of the publisher.", func(m *metrics) uint64 { return m.Counts.PublishGaps }),
	counter("subscription_gaps_total", "Gaps told to running subscriptions: retention removed messages that they had not seen.", func(m *metrics) uint64 { return m.Counts.Gaps }),
	counter("disk_full_sessions_total", "Sessions ended because they published while the disk was nearly full. A client that tries again counts again.", func(m *metrics) uint64 { return m.Counts.DiskFull }),
	counter("log_lines_dropped_total", "Lines of the log that were dropped because nobody read it.", func(m *metrics) uint64 { return m.Counts.LogDropped }),
	counter("audit_lines_dropped_total", "Lines missing in the audit log because it was written too slowly, or not at all.", func(m *metrics) uint64 { return m.Counts.AuditDropped }),
}
