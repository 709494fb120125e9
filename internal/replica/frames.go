package replica

import (
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/record"
)

// A Hello is an instance's description of itself and of its half of the link.
type Hello struct {
	Name     string
	Run      uint64 // random number of this process
	Group    string
	Digest   string
	Outbound bool     // the side sends records on this link
	Sync     bool     // the side waits for the acks of these records
	Topics   []string // topics that the side sends; nil: all
	Damaged  bool     // its journal is being repaired (R8)

	Cluster    journal.ClusterID  // cluster id of the journal; zero: none yet
	Empty      bool               // the journal knows no publisher
	Intact     bool               // the journal has everything that the instance has acknowledged
	CRCTopics  uint32             // hash of the topics that running CRCs cover
	Decree     journal.Decree     // the newest decree that the side knows
	GroupClock journal.GroupClock // the group's clock as far as the side knows it (R10)

	Permissions Permissions // of clients on the side

	States []journal.PublisherState // sent in frames of their own
}

func (h *Hello) fields(c codec) {
	c.string(&h.Name)
	c.uint(&h.Run)
	c.string(&h.Group)
	c.string(&h.Digest)
	c.bool(&h.Outbound)
	c.bool(&h.Sync)
	topicFields(c, &h.Topics)
	c.bool(&h.Damaged)
	c.fixed(h.Cluster[:], true)
	c.bool(&h.Empty)
	c.bool(&h.Intact)
	c.uint32(&h.CRCTopics)
	decreeFields(c, &h.Decree)
	groupClockFields(c, &h.GroupClock)
	h.Permissions.fields(c)
}

// topicFields codes a list of topics, where nil differs from an empty list.
func topicFields(c codec, topics *[]string) {
	n := len(*topics)
	if *topics == nil {
		n = -1
	}
	if n, reads := c.array(n, 1, maxPatterns); reads && n >= 0 {
		*topics = make([]string, n)
	}
	for i := range *topics {
		c.string(&(*topics)[i])
	}
}

func groupClockFields(c codec, closing *journal.GroupClock) {
	c.sequence(&closing.Now)
	c.sequence(&closing.Forgotten)
}

// A statesFrame is a part of the states of a hello. A decoder appends to states.
type statesFrame struct {
	last   bool
	owners []string          // each owner in states once
	index  map[string]uint64 // index of each in owners, from 1; a decoder needs none
	states []journal.PublisherState
}

// newStatesFrame returns a frame with the first states of a list, as many as fit.
func newStatesFrame(states []journal.PublisherState) *statesFrame {
	f, n, size := &statesFrame{index: make(map[string]uint64)}, 0, 0
	for n < min(len(states), statesBatch) {
		if owner := states[n].Owner; owner != "" && f.index[owner] == 0 && !failpoint.On(failpoint.R10OwnerNotStated) {
			if size += len(owner); size > ownersBatch {
				break
			}
			f.owners = append(f.owners, owner)
			f.index[owner] = uint64(len(f.owners))
		}
		n++
	}
	f.last, f.states = n == len(states), states[:n]
	return f
}

func (f *statesFrame) fields(c codec) {
	c.bool(&f.last)
	list(c, &f.owners, 1, statesBatch, func(owner *string) { c.stringUpTo(owner, record.MaxUser) })
	list(c, &f.states, 8+checkBytes, maxStates, func(s *journal.PublisherState) {
		c.uint(&s.Publisher)
		c.fixed(s.Check[:], false)
		c.sequence(&s.Have)
		c.sequence(&s.Durable)
		c.sequence(&s.Floor)
		c.uint32(&s.RunningCRC)
		c.sequence(&s.Diverged)
		c.bool(&s.Closing)
		owner := f.index[s.Owner]
		c.uintUpTo(&owner, uint64(len(f.owners)))
		if isDecoder := f.index == nil; isDecoder && owner > 0 { // others may read the states of an encoder
			s.Owner = f.owners[owner-1]
		}
	})
}

// A vectorFrame is a list of publishers, each with a sequence.
type vectorFrame []bookmark.Bookmark

func (f *vectorFrame) fields(c codec) {
	list(c, (*[]bookmark.Bookmark)(f), pairBytes, maxStates, func(b *bookmark.Bookmark) {
		c.uint(&b.Publisher)
		c.sequence(&b.Sequence)
	})
}

// A closingFrame lists publishers that the sender may forget.
type closingFrame struct {
	publishers vectorFrame
	leaving    bool // places need not name them any more
}

func (f *closingFrame) fields(c codec) {
	f.publishers.fields(c)
	c.bool(&f.leaving)
}

// A noticeFrame is a notice with the number that its answer repeats.
type noticeFrame struct {
	id uint64
	Notice
}

func (f *noticeFrame) fields(c codec) {
	c.uint(&f.id)
	c.string(&f.ClientName)
	c.string(&f.User)
	c.uint(&f.Publisher)
	c.fixed(f.Check[:], false)
	c.sequence(&f.LogonCounter)
	c.string(&f.Instance)
}

// A noticeAnswer is an instance's answer to a notice: its have(p), its reply, and whether it is
// intact.
type noticeAnswer struct {
	id, have uint64
	ledger.Reply
	intact     bool
	decreeUsed bool // the publisher has used the standing decree (R4)
	groupClock journal.GroupClock
	owner      string // of the publisher
}

func (a *noticeAnswer) fields(c codec) {
	c.uint(&a.id)
	c.sequence(&a.have)
	c.bool(&a.NameTaken)
	c.bool(&a.OtherPublisher)
	c.bool(&a.Outbid)
	c.bool(&a.intact)
	c.bool(&a.decreeUsed)
	groupClockFields(c, &a.groupClock)
	c.stringUpTo(&a.owner, record.MaxUser)
}

// A heartbeat names the publishers that moved, with our have of each.
type heartbeat struct {
	damaged    bool // our journal is being repaired
	more       bool // other publishers moved that did not fit
	moved      []journal.PublisherState
	groupClock journal.GroupClock
	wall       uint64 // our wall clock in microseconds

	permissions Permissions // of clients here

	state  halfState // of our half of the link
	unsent uint64    // records of our journal that we have not sent to the peer, about
}

// A halfState is the state of one half of a link, as its sender sees it.
type halfState uint64

const (
	halfUnknown    halfState = iota // the sender does not replicate on this link, or has not told yet
	halfCatchingUp                  // the receiver has not acknowledged everything that it lacked
	halfSync                        // acks wait for the receiver, and it has everything that was acknowledged before
	halfLive                        // asynchronous
	halfLeftOut                     // the receiver is downgraded: acks do not wait for it
)

// halfStates are the names of the states for users.
var halfStates = [...]string{halfUnknown: "", halfCatchingUp: "catching-up", halfSync: "sync", halfLive: "live", halfLeftOut: "left-out"}

func (s halfState) String() string { return halfStates[s] }

func (b *heartbeat) fields(c codec) {
	c.bool(&b.damaged)
	c.bool(&b.more)
	list(c, &b.moved, 3, maxStates, func(s *journal.PublisherState) {
		c.uint(&s.Publisher)
		c.sequence(&s.Have)
		c.uint32(&s.RunningCRC)
	})
	groupClockFields(c, &b.groupClock)
	c.sequence(&b.wall)
	b.permissions.fields(c)
	c.uintUpTo((*uint64)(&b.state), uint64(halfLeftOut))
	c.sequence(&b.unsent)
}

// A refuseCode is the kind of a refusal.
type refuseCode uint64

const (
	refuseCrossed refuseCode = iota + 1
	refuseHello
	refuseRecord
	_ // used by an earlier link version
	refuseStranger
	refuseCluster
	refuseIncarnation
)

// A RefusedError is the reason why one side of a link refused the other.
type RefusedError struct {
	Code   refuseCode
	Reason string
	ByPeer bool // the peer refused us
}

func (e *RefusedError) Error() string {
	switch {
	case e.Code == refuseStranger:
		return "refused by the peer, whose log says why: it has another link secret or link version, or does not name this instance"
	case e.ByPeer:
		return "refused by the peer: " + e.Reason
	}
	return "refused: " + e.Reason
}

// aboutPeer reports whether the refusal is about the identity of the peer.
func (e *RefusedError) aboutPeer() bool {
	return e.Code == refuseHello || e.Code == refuseStranger || e.Code == refuseCluster || e.Code == refuseIncarnation
}

// aboutRecord reports whether the refusal is about the records, not about their sender.
func (e *RefusedError) aboutRecord() bool { return e.Code == refuseRecord }

func (e *RefusedError) fields(c codec) {
	c.uint((*uint64)(&e.Code))
	c.string(&e.Reason)
}
