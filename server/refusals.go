package server

import (
	"slices"
	"sync"
	"time"
)

// refusalWindow is how long the status shows a refusal. A client that cannot recover tries again
// within that time, so the refusal stays visible.
const refusalWindow = time.Minute

// refusals are the recent refusals of clients that cannot recover without help. They are safe for
// concurrent use.
type refusals struct {
	mu sync.Mutex
	at map[string]time.Time // guarded by mu: time of the last refusal, by reason
}

func (r *refusals) add(reason string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.at == nil {
		r.at = make(map[string]time.Time)
	}
	r.at[reason] = time.Now()
}

// recent returns the reasons of the recent refusals, sorted.
func (r *refusals) recent() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	reasons := []string{}
	for reason, last := range r.at {
		if time.Since(last) < refusalWindow {
			reasons = append(reasons, reason)
		}
	}
	slices.Sort(reasons)
	return reasons
}
