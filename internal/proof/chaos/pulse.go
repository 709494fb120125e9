//go:build linux

package main

import (
	"context"
	"sync"
	"time"
)

// A pulse notices when the machine itself stands still, so that what it holds
// up isn't taken for the work of a fault. Safe for concurrent use.
type pulse struct {
	stop context.CancelFunc
	done chan struct{}

	mu    sync.Mutex
	still time.Duration // guarded by mu: the longest since it was asked last
}

// beat is how often it looks.
const beat = 50 * time.Millisecond

func newPulse() *pulse {
	ctx, stop := context.WithCancel(context.Background())
	p := &pulse{stop: stop, done: make(chan struct{})}
	go p.feel(ctx)
	return p
}

func (p *pulse) feel(ctx context.Context) {
	defer close(p.done)
	for last := time.Now(); pause(ctx, beat) == nil; {
		now := time.Now()
		p.mu.Lock()
		p.still = max(p.still, now.Sub(last)-beat)
		p.mu.Unlock()
		last = now
	}
}

// longest returns how long the machine stood still at most since it was asked last.
func (p *pulse) longest() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.still
	p.still = 0
	return d
}

func (p *pulse) end() {
	p.stop()
	<-p.done
}
