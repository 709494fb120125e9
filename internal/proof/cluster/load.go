package cluster

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// A Load is an application that publishes NAME-1, NAME-2 and so on, one each
// few virtual milliseconds, in a goroutine of its own.
type Load struct {
	App *App

	every time.Duration
	once  sync.Once
	quit  chan struct{}
	done  chan struct{}

	mu   sync.Mutex
	sent int   // guarded by mu
	err  error // guarded by mu
}

// Load starts a load, which goes on until Stop, the first error, or the end of the scenario.
func (a *App) Load(topic string, every time.Duration) *Load {
	l := &Load{App: a, every: every, quit: make(chan struct{}), done: make(chan struct{})}
	go l.run(topic)
	a.system.onClose(l.end)
	return l
}

func (l *Load) run(topic string) {
	defer close(l.done)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		<-l.quit
		cancel()
	}()
	c := l.App.Client
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(l.every):
		}
		_, err := c.Publish(ctx, topic, fmt.Appendf(nil, "%s-%d", l.App.Name, n))
		if ctx.Err() != nil && err != nil {
			return
		}
		l.mu.Lock()
		if l.err = err; err == nil {
			l.sent = n
		}
		l.mu.Unlock()
		if err != nil {
			return
		}
	}
}

func (l *Load) end() {
	l.once.Do(func() { close(l.quit) })
	<-l.done
}

// Sent returns how many Publish has taken, and the error that ended the load.
func (l *Load) Sent() (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent, l.err
}

// Stop ends the load, which must not have failed, and returns the published bodies.
func (l *Load) Stop() []string {
	l.App.system.TB.Helper()
	l.end()
	n, err := l.Sent()
	if err != nil {
		l.App.system.TB.Fatalf("%s: publish: %v", l.App.Name, err)
	}
	return Bodies(l.App.Name, 1, n)
}
