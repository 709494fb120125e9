package server

// A session takes one file descriptor, and for a moment another one when it reads
// an old segment. So many descriptors are kept for the journal, the links, the
// admin port and these.
const (
	descriptorShare = 4 // one part of so many
	descriptorLeast = 32
)

// mostSessions returns how many sessions there may be, so that clients can't take
// the descriptors that the journal and the links need; 0: no bound.
func mostSessions() int {
	all := descriptors()
	if all == 0 {
		return 0
	}
	return max(all-max(all/descriptorShare, descriptorLeast), 1)
}
