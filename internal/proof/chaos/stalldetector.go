//go:build linux

package main

import (
	"context"
	"sync"
	"time"
)

// A stallDetector notices when the machine itself stands still, so that the delay is not
// blamed on a fault. Safe for concurrent use.
type stallDetector struct {
	stop context.CancelFunc
	done chan struct{}

	mu           sync.Mutex
	longestStall time.Duration // guarded by mu: the longest since it was asked last
}

// probeInterval is how often it looks.
const probeInterval = 50 * time.Millisecond

func newStallDetector() *stallDetector {
	ctx, stop := context.WithCancel(context.Background())
	p := &stallDetector{stop: stop, done: make(chan struct{})}
	go p.loop(ctx)
	return p
}

func (p *stallDetector) loop(ctx context.Context) {
	defer close(p.done)
	for last := time.Now(); pause(ctx, probeInterval) == nil; {
		now := time.Now()
		p.mu.Lock()
		p.longestStall = max(p.longestStall, now.Sub(last)-probeInterval)
		p.mu.Unlock()
		last = now
	}
}

// longest returns how long the machine stood still at most since it was asked last.
func (p *stallDetector) longest() time.Duration {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.longestStall
	p.longestStall = 0
	return d
}

func (p *stallDetector) end() {
	p.stop()
	<-p.done
}
