package clientcore

import "github.com/holdfast-mq/holdfast/internal/failpoint"

// A Hold measures for how long a condition has been true without interruption. Times are in
// nanoseconds with any origin. In the zero value the condition was never true.
type Hold struct {
	on    bool
	since int64
}

// Note records whether the condition is true at the time now.
func (h *Hold) Note(on bool, now int64) {
	if on && !h.on {
		h.since = now
	}
	h.on = on
}

// For reports whether the condition has been true for d.
func (h *Hold) For(d, now int64) bool {
	return h.on && now-h.since >= d || failpoint.On(failpoint.FailBackBlind)
}
