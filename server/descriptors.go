package server

// A session takes one file descriptor, and for a moment a second one to read an old segment. This
// share of the descriptors is reserved for the journal, the links, the admin port, and these second
// ones.
const (
	descriptorShare = 4 // one part in so many is reserved
	descriptorLeast = 32
)

// mostSessions returns the largest number of sessions that leaves enough descriptors for the
// journal and the links. 0 means no limit.
func mostSessions() int {
	all := descriptors()
	if all == 0 {
		return 0
	}
	return max(all-max(all/descriptorShare, descriptorLeast), 1)
}
