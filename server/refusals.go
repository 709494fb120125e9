package server

import (
	"slices"
	"sync"
	"time"
)

// refusalShown is how long the status shows a refusal. A client that is refused for good tries
// again within that time, so the refusal stays visible.
const refusalShown = time.Minute

// refusals are the recent refusals of clients that cannot recover without help. They are safe for
// concurrent use.
type refusals struct {
	mu sync.Mutex
	at map[string]time.Time // guarded by mu: time of the last refusal, by reason
}

func (r *refusals) note(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = make(map[string]time.Time)
	}
	r.at[reason] = time.Now()
}

// lately returns the reasons of the recent refusals, sorted.
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
