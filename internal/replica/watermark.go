package replica

import (
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
)

// Watermarks compute safe(p) and settled(p) from the durable sequences of our disk and of the
// destinations' disks. A destination is named by its index in the configuration. Watermarks are
// not safe for concurrent use.
type Watermarks struct {
	disks []destinationDisk
	syncs int
	lone  bool // the instance has no peers
}

// A destinationDisk is the state of one destination's disk, as reported on its present connection.
type destinationDisk struct {
	sync    bool            // the destination counts
	leftOut bool            // downgraded
	durable bookmark.Vector // nil: not connected
}

// NewWatermarks returns the watermarks for len(sync) destinations. Each entry says whether the
// destination counts. Nil stands for a lone instance, for which only its own disk counts.
func NewWatermarks(sync []bool) *Watermarks {
	w := &Watermarks{disks: make([]destinationDisk, len(sync)), lone: sync == nil}
	for i, s := range sync {
		if s {
			w.syncs++
		}
		w.disks[i].sync = s || failpoint.On(failpoint.AsyncCounts)
	}
	return w
}

// Connected begins a destination's vector with the durable numbers of its hello.
func (w *Watermarks) Connected(dest int, durable bookmark.Vector) {
	w.disks[dest].durable = durable.Clone()
}

// Acked raises a destination's vector. It does nothing while the destination is not connected.
func (w *Watermarks) Acked(dest int, b bookmark.Bookmark) {
	if v := w.disks[dest].durable; v != nil {
		v.Raise(b)
	}
}

// Disconnected voids a destination's vector, because its next connection may come from an emptier
// disk (R2).
func (w *Watermarks) Disconnected(dest int) {
	if failpoint.On(failpoint.R2StaleWatermark) {
		return
	}
	w.disks[dest].durable = nil
}

// Forget drops a publisher that no instance knows any more.
func (w *Watermarks) Forget(publisher uint64) {
	for _, m := range w.disks {
		delete(m.durable, publisher)
	}
}

// LeaveOut sets whether a destination is left out of settled (R5).
func (w *Watermarks) LeaveOut(dest int, out bool) { w.disks[dest].leftOut = out }

// Durable returns durable(p) of a destination, as reported on its present connection, 0 without
// one.
func (w *Watermarks) Durable(dest int, publisher uint64) uint64 {
	return w.disks[dest].durable[publisher]
}

// Safe returns safe(p). local is durable(p) here.
func (w *Watermarks) Safe(publisher, local uint64) uint64 {
	if failpoint.On(failpoint.G2LocalAck) {
		return local
	}
	if !w.lone && w.syncs == 0 && !failpoint.On(failpoint.AsyncCounts) {
		return 0
	}
	return w.least(publisher, local, true)
}

// Settled returns settled(p), which is Safe without the destinations left out.
func (w *Watermarks) Settled(publisher, local uint64) uint64 {
	return w.least(publisher, local, false)
}

// least returns the least of local and the sync destinations' numbers. all includes those left
// out.
func (w *Watermarks) least(publisher, local uint64, all bool) uint64 {
	for i := range w.disks {
		if m := &w.disks[i]; m.sync && (all || !m.leftOut) {
			local = min(local, m.durable[publisher])
		}
	}
	return local
}

// Single reports whether settled messages may be on one disk only.
func (w *Watermarks) Single() bool {
	for i := range w.disks {
		if w.disks[i].sync && w.disks[i].leftOut {
			return true
		}
	}
	return !w.lone && w.syncs == 0
}
