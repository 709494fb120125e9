package sim

import (
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
)

// forgeGap is the time between two forged publishers.
const forgeGap = 3 * time.Second

// forge has the pair take one number of a publisher that no application has with two
// contents, now and then, as a copied store or who knows a life has it. Nothing of that
// may change what is promised to others, whether and when it is found (R11). Both
// contents deliver nothing.
func (w *world) forge(end time.Duration) {
	w.after(forgeGap, nil, 'Z', func() {
		if w.now >= end {
			return
		}
		who := bookmark.OfLife(fmt.Sprintf("forged %d", len(w.forged)))
		w.say("FAULT %d is forged", who.ID)
		w.forged[who.ID] = true
		for n, i := range w.instances[:2] {
			kind := []journal.Kind{journal.Empty, journal.Tombstone}[n]
			for s := range uint64(n + 1) {
				w.forgeAt(i, &journal.Record{Kind: kind, Publisher: who.ID, Check: who.Check, Sequence: s + 1, Prev: s})
			}
		}
		w.forge(end)
	})
}

func (w *world) forgeAt(i *instance, r *journal.Record) {
	if !i.alive || i.stopped || i.j == nil || i.j.Cluster().ID.IsZero() { // it takes nothing yet
		return
	}
	if _, err := i.j.Append(r); err != nil {
		w.say("%s: %v", i.name, err)
	}
	i.wake()
}

// apart reports whether a publisher was forged, so that nothing is promised of it.
func (w *world) apart(publisher uint64) bool { return w.forged[publisher] }
