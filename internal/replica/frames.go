package replica

import (
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/ledger"
)

// A Hello is what each side says first.
type Hello struct {
	Name     string
	Run      uint64 // tells a start of the process
	Group    string
	Digest   string
	Outbound bool     // the side sends records on this link
	Sync     bool     // and takes the acks for sync
	Topics   []string // that it sends; nil: all
	Damaged  bool     // its journal is being healed (R8)

	Cluster  journal.ClusterID // of its journal; zero: it has none yet
	Empty    bool              // its journal knows no publisher
	Intact   bool              // its journal has what it has acknowledged
	Compares uint32            // names the topics that its running CRCs are made of
	Decree   journal.Decree    // the newest one that it knows
	Closing  journal.Closing   // how far it has come with forgetting publishers (R10)

	States []journal.State // in frames of their own
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
	c.uint32(&h.Compares)
	decreeFields(c, &h.Decree)
	closingFields(c, &h.Closing)
}

// topicFields are those of a list of topics, where nil is another thing than none.
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

func closingFields(c codec, closing *journal.Closing) {
	c.sequence(&closing.Clock)
	c.sequence(&closing.Forgotten)
}

// A statesFrame is a part of the states of a hello. What is read is appended.
type statesFrame struct {
	last   bool
	states []journal.State
}

func (f *statesFrame) fields(c codec) {
	c.bool(&f.last)
	list(c, &f.states, 7+checkBytes, maxStates, func(s *journal.State) {
		c.uint(&s.Publisher)
		c.fixed(s.Check[:], false)
		c.sequence(&s.Have)
		c.sequence(&s.Durable)
		c.sequence(&s.Floor)
		c.uint32(&s.RunningCRC)
		c.sequence(&s.Diverged)
		c.bool(&s.Closing)
	})
}

// A vectorFrame is publishers, each with a sequence.
type vectorFrame []bookmark.Bookmark

func (f *vectorFrame) fields(c codec) {
	list(c, (*[]bookmark.Bookmark)(f), pairBytes, maxStates, func(b *bookmark.Bookmark) {
		c.uint(&b.Publisher)
		c.sequence(&b.Sequence)
	})
}

// A closingFrame is publishers that may be forgotten.
type closingFrame struct {
	publishers vectorFrame
	leaving    bool // places can do without them
}

func (f *closingFrame) fields(c codec) {
	f.publishers.fields(c)
	c.bool(&f.leaving)
}

// A noticeFrame is a notice with the number that its answer names.
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
	c.sequence(&f.Counter)
	c.string(&f.Instance)
}

// An answer is what an instance says to a notice: its have(p), its reply, and
// whether it is intact.
type answer struct {
	id, have uint64
	ledger.Reply
	intact  bool
	settled bool // the publisher has made use of the decree that stands (R4)
	closing journal.Closing
}

func (a *answer) fields(c codec) {
	c.uint(&a.id)
	c.sequence(&a.have)
	c.bool(&a.Refused)
	c.bool(&a.Other)
	c.bool(&a.Lost)
	c.bool(&a.intact)
	c.bool(&a.settled)
	closingFields(c, &a.closing)
}

// A beat is one heartbeat: publishers that moved, as far as we have them.
type beat struct {
	damaged bool // our journal is being healed
	more    bool // there are publishers that moved and are not in it
	moved   []journal.State
	closing journal.Closing
	wall    uint64 // our wall clock, microseconds
}

func (b *beat) fields(c codec) {
	c.bool(&b.damaged)
	c.bool(&b.more)
	list(c, &b.moved, 3, maxStates, func(s *journal.State) {
		c.uint(&s.Publisher)
		c.sequence(&s.Have)
		c.uint32(&s.RunningCRC)
	})
	closingFields(c, &b.closing)
	c.sequence(&b.wall)
}

// A refuseCode says what kind of wrong a refusal is about.
type refuseCode uint64

const (
	refuseCrossed refuseCode = iota + 1
	refuseHello
	refuseRecord
	_ // of a link version before
	refuseStranger
	refuseCluster
	refuseIncarnation
)

// A RefusedError says why one side of a link would not have the other.
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

// aboutPeer reports whether the refusal is about who the peer is.
func (e *RefusedError) aboutPeer() bool {
	return e.Code == refuseHello || e.Code == refuseStranger || e.Code == refuseCluster || e.Code == refuseIncarnation
}

// aboutRecord reports whether the refusal is about what was sent, not about who sent it.
func (e *RefusedError) aboutRecord() bool { return e.Code == refuseRecord }

func (e *RefusedError) fields(c codec) {
	c.uint((*uint64)(&e.Code))
	c.string(&e.Reason)
}
