// Package syncstatus names how an instance stands to its failover equivalents:
// one type from the links through the server and the wire to the client and the
// command line.
package syncstatus

// A Status says how an instance stands to its sync destinations, the instances
// that it replicates to synchronously and whose disks acks wait for.
type Status uint32

const (
	// Unknown: the instance does not say; it lacks our extensions, or a later
	// version says something new.
	Unknown Status = iota
	// InSync: each sync destination has everything and counts for acks.
	InSync
	// Apart: a destination is away or behind, and acks wait for it. What was
	// acknowledged is on all of them.
	Apart
	// Single: a destination is left out, so that acks are of one disk only
	// (R5). It lacks what was acknowledged since.
	Single
	// CatchingUp: the instance itself lacks, or may lack, what its peers have (R6).
	CatchingUp
	// Async: it has no sync destination. Acks are of one disk for ever.
	Async
	// OneWay: a peer replicates to it synchronously, and it does not replicate back.
	// Messages published here never get there.
	OneWay
	// Alone: it does not replicate at all.
	Alone
	// Stopping: it is about to end its sessions.
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

// MarshalText returns String, for JSON.
func (s Status) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText takes what Parse does.
func (s *Status) UnmarshalText(text []byte) error {
	*s = Parse(text)
	return nil
}

// Lags reports whether an instance is worse than one of which nothing is known:
// it lacks messages that others have, or others never get what is published there.
func (s Status) Lags() bool { return s == CatchingUp || s.Unpaired() }

// Unpaired reports whether others that could take the instance's place lack what is
// published there, by the configuration and for as long as that stays.
func (s Status) Unpaired() bool { return s == Async || s == OneWay }

// Parse returns the status of a text, Unknown for one that it does not know.
func Parse(text []byte) Status {
	for s, t := range texts {
		if t == string(text) {
			return Status(s)
		}
	}
	return Unknown
}
