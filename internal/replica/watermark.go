package replica

import (
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/mut"
)

// Watermarks compute safe(p) and settled(p) from how far the disks have it:
// ours, and those of the destinations, by their place in the configuration.
// They aren't safe for concurrent use.
type Watermarks struct {
	marks []mark
	syncs int
	lone  bool // there is nobody to replicate to or from
}

// A mark is what one destination's disk has, as it said on its present connection.
type mark struct {
	sync    bool            // counts
	out     bool            // downgraded
	durable bookmark.Vector // nil: not connected
}

// NewWatermarks returns the watermarks for as many destinations as sync has
// entries; each says whether the destination counts. Nil: a lone instance,
// for which its own disk is all there is.
func NewWatermarks(sync []bool) *Watermarks {
	w := &Watermarks{marks: make([]mark, len(sync)), lone: sync == nil}
	for i, s := range sync {
		if s {
			w.syncs++
		}
		w.marks[i].sync = s || mut.On(mut.AsyncCounts)
	}
	return w
}

// Connected begins a destination's vector with what its hello said.
func (w *Watermarks) Connected(dest int, durable bookmark.Vector) {
	w.marks[dest].durable = durable.Clone()
}

// Acked raises a destination's vector. It does nothing while it isn't connected.
func (w *Watermarks) Acked(dest int, b bookmark.Bookmark) {
	if v := w.marks[dest].durable; v != nil {
		v.Raise(b)
	}
}

// Ended voids a destination's vector: its next connection may come from an
// emptier disk (R2).
func (w *Watermarks) Ended(dest int) {
	if mut.On(mut.R2StaleWatermark) {
		return
	}
	w.marks[dest].durable = nil
}

// Forget drops a publisher that nobody knows any more.
func (w *Watermarks) Forget(publisher uint64) {
	for _, m := range w.marks {
		delete(m.durable, publisher)
	}
}

// LeaveOut says whether a destination is left out of settled (R5).
func (w *Watermarks) LeaveOut(dest int, out bool) { w.marks[dest].out = out }

// Durable returns how far a destination's disk has a publisher on its present
// connection; 0 if there is none.
func (w *Watermarks) Durable(dest int, publisher uint64) uint64 {
	return w.marks[dest].durable[publisher]
}

// Safe returns safe(p), given how far p is durable here.
func (w *Watermarks) Safe(publisher, local uint64) uint64 {
	if mut.On(mut.G2LocalAck) {
		return local
	}
	if !w.lone && w.syncs == 0 && !mut.On(mut.AsyncCounts) {
		return 0
	}
	return w.least(publisher, local, true)
}

// Settled returns settled(p): Safe without the destinations left out.
func (w *Watermarks) Settled(publisher, local uint64) uint64 {
	return w.least(publisher, local, false)
}

// least returns the least of local and what sync destinations have, with those left out or without.
func (w *Watermarks) least(publisher, local uint64, all bool) uint64 {
	for i := range w.marks {
		if m := &w.marks[i]; m.sync && (all || !m.out) {
			local = min(local, m.durable[publisher])
		}
	}
	return local
}

// Single reports whether what is settled may be on one disk only.
func (w *Watermarks) Single() bool {
	for i := range w.marks {
		if w.marks[i].sync && w.marks[i].out {
			return true
		}
	}
	return !w.lone && w.syncs == 0
}
