package replica

import (
	"fmt"
	"slices"

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

func (h *Hello) encode(e *encoder) {
	e.begin(frameHello)
	e.string(h.Name)
	e.uint(h.Run)
	e.string(h.Group)
	e.string(h.Digest)
	e.bool(h.Outbound)
	e.bool(h.Sync)
	if h.Topics == nil {
		e.nil()
	} else {
		e.array(len(h.Topics))
		for _, t := range h.Topics {
			e.string(t)
		}
	}
	e.bool(h.Damaged)
	id := h.Cluster[:]
	if h.Cluster.IsZero() {
		id = id[:0]
	}
	e.bytes(id)
	e.bool(h.Empty)
	e.bool(h.Intact)
	e.uint(uint64(h.Compares))
	encodeDecree(e, h.Decree)
	e.closing(h.Closing)
}

func (h *Hello) decode(d *decoder) error {
	*h = Hello{Name: d.string(), Run: d.uint(), Group: d.string(), Digest: d.string()}
	h.Outbound, h.Sync = d.bool(), d.bool()
	if n := d.array(1); n > maxPatterns {
		d.fail(fmt.Errorf("%d topics", n))
	} else if n >= 0 {
		h.Topics = make([]string, 0, n)
		for range n {
			h.Topics = append(h.Topics, d.string())
		}
	}
	h.Damaged = d.bool()
	switch id := d.bytes(); len(id) {
	case 0:
	case len(h.Cluster):
		h.Cluster = journal.ClusterID(id)
	default:
		d.fail(fmt.Errorf("cluster id of %d bytes", len(id)))
	}
	h.Empty, h.Intact = d.bool(), d.bool()
	h.Compares, h.Decree = d.uint32(), decodeDecree(d)
	h.Closing = d.closing()
	return d.err
}

func encodeStates(e *encoder, states []journal.State, last bool) {
	e.begin(frameStates)
	e.bool(last)
	e.array(len(states))
	for _, s := range states {
		e.uint(s.Publisher)
		e.bytes(s.Check[:])
		e.uint(s.Have)
		e.uint(s.Durable)
		e.uint(s.Floor)
		e.uint(uint64(s.RunningCRC))
		e.uint(s.Diverged)
		e.bool(s.Closing)
	}
}

func decodeStates(d *decoder, to []journal.State) (states []journal.State, last bool, err error) {
	last = d.bool()
	n := d.array(7 + checkBytes)
	if n+len(to) > maxStates {
		d.fail(fmt.Errorf("more than %d publishers", maxStates))
		n = 0
	}
	for range n {
		to = append(to, journal.State{
			Publisher: d.uint(), Check: d.check(), Have: d.sequence(), Durable: d.sequence(), Floor: d.sequence(), RunningCRC: d.uint32(),
			Diverged: d.sequence(), Closing: d.bool(),
		})
	}
	return to, last, d.err
}

func encodeAck(e *encoder, moved []bookmark.Bookmark) { encodeVector(e, frameAck, moved) }

// encodeVector encodes a frame of publishers, each with a sequence.
func encodeVector(e *encoder, t frameType, list []bookmark.Bookmark) {
	e.begin(t)
	e.array(len(list))
	for _, m := range list {
		e.uint(m.Publisher)
		e.uint(m.Sequence)
	}
}

func decodeAck(d *decoder, moved []bookmark.Bookmark) ([]bookmark.Bookmark, error) {
	n := d.publishers(pairBytes)
	moved = slices.Grow(moved, n)
	for range n {
		moved = append(moved, bookmark.Bookmark{Publisher: d.uint(), Sequence: d.sequence()})
	}
	return moved, d.err
}

func encodeNotice(e *encoder, id uint64, n *Notice) {
	e.begin(frameNotice)
	e.uint(id)
	e.string(n.ClientName)
	e.string(n.User)
	e.uint(n.Publisher)
	e.bytes(n.Check[:])
	e.uint(n.Counter)
	e.string(n.Instance)
}

func decodeNotice(d *decoder) (id uint64, n Notice, err error) {
	id = d.uint()
	n = Notice{
		ClientName: d.string(), User: d.string(), Publisher: d.uint(),
		Check: d.check(), Counter: d.sequence(), Instance: d.string(),
	}
	return id, n, d.err
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

func (a *answer) encode(e *encoder) {
	e.begin(frameAnswer)
	e.uint(a.id)
	e.uint(a.have)
	e.bool(a.Refused)
	e.bool(a.Other)
	e.bool(a.Lost)
	e.bool(a.intact)
	e.bool(a.settled)
	e.closing(a.closing)
}

func (a *answer) decode(d *decoder) error {
	a.id, a.have, a.Refused, a.Other, a.Lost = d.uint(), d.sequence(), d.bool(), d.bool(), d.bool()
	a.intact, a.settled = d.bool(), d.bool()
	a.closing = d.closing()
	return d.err
}

// A beat is one heartbeat: publishers that moved, as far as we have them.
type beat struct {
	damaged bool // our journal is being healed
	more    bool // there are publishers that moved and are not in it
	moved   []journal.State
	closing journal.Closing
	wall    uint64 // our wall clock, microseconds
}

func (b *beat) encode(e *encoder) {
	e.begin(frameHeartbeat)
	e.bool(b.damaged)
	e.bool(b.more)
	e.array(len(b.moved))
	for _, s := range b.moved {
		e.uint(s.Publisher)
		e.uint(s.Have)
		e.uint(uint64(s.RunningCRC))
	}
	e.closing(b.closing)
	e.uint(b.wall)
}

func (b *beat) decode(d *decoder) error {
	*b = beat{damaged: d.bool(), more: d.bool()}
	for range d.publishers(3) {
		b.moved = append(b.moved, journal.State{Publisher: d.uint(), Have: d.sequence(), RunningCRC: d.uint32()})
	}
	b.closing = d.closing()
	b.wall = d.sequence()
	return d.err
}

// A refuseCode says what kind of wrong a refusal is about.
type refuseCode uint8

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

func (e *RefusedError) encode(to *encoder) {
	to.begin(frameRefuse)
	to.uint(uint64(e.Code))
	to.string(e.Reason)
}

func decodeRefuse(d *decoder) (*RefusedError, error) {
	e := &RefusedError{Code: refuseCode(d.uint() & 0xff), Reason: d.string(), ByPeer: true}
	return e, d.err
}
