//go:build failpoint

package bookmarkstore

import "github.com/holdfast-mq/holdfast/internal/failpoint"

// failpointDiscard discards every message of p up to sequence.
func (w *window) failpointDiscard(bug failpoint.Bug, p *publisher, sequence uint64) {
	if !failpoint.On(bug) {
		return
	}
	for i := range p.queue.after(sequence) {
		if e := p.queue.At(i); e.state == entryWaiting {
			e.state = entryDone
			w.outstanding--
		}
	}
}

// failpointSingleBookmark reduces v to the bookmark of the publisher used last.
func (w *window) failpointSingleBookmark(v Vector) Vector {
	if failpoint.On(failpoint.R9SingleBookmark) && w.recent != nil {
		return Vector{w.recent.id: v[w.recent.id]}
	}
	return v
}
