package server

import (
	"slices"
	"sync"
	"time"
)

// refusalShown is for how long the status shows a refusal: a client that is refused
// for good comes again within that time.
const refusalShown = time.Minute

// refusals are why clients were refused lately that can't go on by themselves. Safe
// for concurrent use.
type refusals struct {
	mu sync.Mutex
	at map[string]time.Time // guarded by mu: the last time, by reason
}

func (r *refusals) note(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = make(map[string]time.Time)
	}
	r.at[reason] = time.Now()
}

// lately returns the reasons, sorted.
func (r *refusals) lately() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	reasons := []string{}
	for reason, at := range r.at {
		if time.Since(at) < refusalShown {
			reasons = append(reasons, reason)
		}
	}
	slices.Sort(reasons)
	return reasons
}
