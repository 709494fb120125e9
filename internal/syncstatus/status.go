// Package syncstatus names the states of an instance towards its failover equivalents. The links,
// the server, the wire, the client and the command line all use its one type.
package syncstatus

// A Status is the state of an instance towards its sync destinations: the instances that it
// replicates to synchronously and whose disks acks wait for.
type Status uint32

const (
	// Unknown: the instance does not report its status, because it lacks our extensions, or it
	// reports one that only a later version knows.
	Unknown Status = iota
	// InSync: each sync destination has everything and counts for acks.
	InSync
	// Apart: a sync destination is away or behind, and acks wait for it. All of them have the
	// acknowledged messages.
	Apart
	// Single: a sync destination is downgraded, so acks stand for one disk only (R5). The
	// destination lacks the messages acknowledged since.
	Single
	// CatchingUp: the instance itself lacks, or may lack, messages that its peers have (R6).
	CatchingUp
	// Async: the instance has no sync destination. Acks always stand for one disk.
	Async
	// OneWay: a peer replicates to the instance synchronously, and the instance does not replicate
	// back. Messages published on the instance never get to the peer.
	OneWay
	// Alone: the instance does not replicate at all.
	Alone
	// Stopping: the instance is about to end its sessions.
	Stopping
)

// texts are the statuses on the wire and in JSON.
var texts = [...]string{
	Unknown: "unknown", InSync: "sync", Apart: "apart", Single: "single",
	CatchingUp: "catching_up", Async: "async", OneWay: "one_way", Alone: "alone", Stopping: "stopping",
}

// String returns the status as it is on the wire.
func (s Status) String() string {
	if int(s) < len(texts) {
		return texts[s]
	}
	return texts[Unknown]
}

// MarshalText returns String as text, for JSON.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText sets the status to the result of Parse. It never fails.
func (s *Status) UnmarshalText(text []byte) error {
	*s = Parse(text)
	return nil
}

// Lags reports whether an instance is a worse choice than one with an unknown status: it lacks
// messages that others have, or others never get the messages published on it.
func (s Status) Lags() bool { return s == CatchingUp || s.Unpaired() }

// Unpaired reports whether the instance is configured to replicate to no instance synchronously.
// The instances that could take its place then lack messages that were published on it.
func (s Status) Unpaired() bool { return s == Async || s == OneWay }

// Parse returns the status of a text, or Unknown for any other text.
func Parse(text []byte) Status {
	for s, t := range texts {
		if t == string(text) {
			return Status(s)
		}
	}
	return Unknown
}
