package replica

import "github.com/holdfast-mq/holdfast/internal/journal"

// goneMarker returns what is sent for everything of a publisher up to our floor.
func goneMarker(s journal.State) journal.Record {
	r := journal.Record{Kind: journal.Gone, Publisher: s.Publisher, Sequence: s.Floor}
	if s.Floor == s.Have {
		r.RunningCRC = s.RunningCRC
	}
	return r
}
