package client

import (
	"sync"

	"github.com/holdfast-mq/holdfast/internal/signal"
)

// events are functions for the session goroutine to run, in order. Hooks are
// called that way.
type events struct {
	wake signal.Signal // there are some

	mu   sync.Mutex
	list []func() // guarded by mu
}

func (e *events) post(f func()) {
	e.mu.Lock()
	e.list = append(e.list, f)
	e.mu.Unlock()
	e.wake.Set()
}

// run runs those that were posted, and what they post.
func (e *events) run() {
	for {
		e.mu.Lock()
		list := e.list
		e.list = nil
		e.mu.Unlock()
		if len(list) == 0 {
			return
		}
		for _, f := range list {
			f()
		}
	}
}
