package clientcore

import "github.com/holdfast-mq/holdfast/internal/mut"

// A Hold says for how long something has been so without a break. Times are in
// nanoseconds, counted from anywhere. The zero value has never been so.
type Hold struct {
	on    bool
	since int64
}

// Note says whether it is so now.
func (h *Hold) Note(on bool, now int64) {
	if on && !h.on {
		h.since = now
	}
	h.on = on
}

// For reports whether it has been so for d.
func (h *Hold) For(d, now int64) bool {
	return h.on && now-h.since >= d || mut.On(mut.FailBackBlind)
}
