package client

import (
	"sync"

	"github.com/holdfast-mq/holdfast/internal/signal"
)

// events are functions that the session goroutine runs in order, such as hooks.
type events struct {
	wake signal.Signal // set when there are functions to run

	mu   sync.Mutex
	list []func() // guarded by mu
}

func (e *events) post(f func()) {
	e.mu.Lock()
	e.list = append(e.list, f)
	e.mu.Unlock()
	e.wake.Set()
}

// run calls the posted functions, including those that they post.
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
