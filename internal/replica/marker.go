package replica

import (
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// goneMarker returns the marker for all sequences of a publisher above the peer's
// have, up to our floor. The running CRC at the floor goes along, so that the
// peer's can be compared with ours for ever after (R11).
func goneMarker(s journal.State, have uint64) journal.Record {
	r := journal.Record{Kind: journal.Gone, Publisher: s.Publisher, Sequence: s.Floor, Prev: have, Check: s.Check}
	if have == 0 && s.Floor <= s.Closed {
		r.Cause = journal.Closed
	}
	switch s.Floor {
	case s.Have:
		r.RunningCRC = s.RunningCRC
	case s.Removed:
		r.RunningCRC = s.RemovedCRC
	}
	if mut.On(mut.R11GoneWithoutCRC) {
		r.RunningCRC = 0
	}
	return r
}
