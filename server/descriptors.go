package server

// A session takes one file descriptor, and briefly a second one to read an old segment. This share
// of the descriptors is reserved for the journal, the links, the admin port, and these second ones.
const (
	reservedShare = 4 // one of this many parts is reserved
	minReserved   = 32
)

// maxSessions returns the largest number of sessions that leaves enough descriptors for the
// journal and the links. 0 means no limit.
func maxSessions() int {
	all := descriptorLimit()
	if all == 0 {
		return 0
	}
	return max(all-max(all/reservedShare, minReserved), 1)
}
