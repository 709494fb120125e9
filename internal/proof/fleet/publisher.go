// Package fleet has publishers with file stores of their own, and the outcome of their
// messages, for the examples that break a pair on purpose.
package fleet

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A Publisher is a client with a file store of its own. One goroutine publishes.
type Publisher struct {
	Name   string
	Client *client.Client

	store     *pubstore.File
	published atomic.Int64 // accepted by the store
	server    atomic.Value // string: the server it is connected to, empty if none
	keys      []string     // of the published messages, in order; of the goroutine that publishes
}

// NewPublisher opens the publisher's store below dir and connects to the pair. config has
// the name and the hooks of the client.
func NewPublisher(ctx context.Context, name, dir string, servers []string, config client.Config) (*Publisher, error) {
	store, err := pubstore.OpenFile(filepath.Join(dir, "publishers", name), pubstore.FileOptions{})
	if err != nil {
		return nil, err
	}
	p := &Publisher{Name: name, store: store}
	p.server.Store("")
	config.Servers, config.PublishStore = servers, store
	config.Hooks.Connected = func(s client.ServerInfo) { p.server.Store(s.Server) }
	config.Hooks.Disconnected = func(string, error) { p.server.Store("") }
	if p.Client, err = client.Dial(ctx, config); err != nil {
		store.Close()
		return nil, fmt.Errorf("publisher %s: %w", name, err)
	}
	return p, nil
}

// Publish publishes one message, which the key tells from every other of the publisher.
func (p *Publisher) Publish(ctx context.Context, topic, key string, body []byte) error {
	if _, err := p.Client.Publish(ctx, topic, body); err != nil {
		return err
	}
	p.keys = append(p.keys, key)
	p.published.Add(1)
	return nil
}

// Published returns how many messages its store has accepted.
func (p *Publisher) Published() int { return int(p.published.Load()) }

// Safe returns how many messages are acknowledged by both servers.
func (p *Publisher) Safe() int { return p.Published() - p.store.Usage().Messages }

// Acknowledged returns how many messages a server has acknowledged, at either level.
func (p *Publisher) Acknowledged() int {
	published := p.Published() // before the store is asked: it may only have more
	u := p.store.Usage()
	return published - u.Messages + u.Single
}

// Close closes client and store.
func (p *Publisher) Close() {
	p.Client.Close()
	p.store.Close()
}

// A Fleet is all publishers.
type Fleet []*Publisher

// New connects a publisher for each name, made by one.
func New(names, servers []string, connect func(name string, servers []string) (*Publisher, error)) (Fleet, error) {
	all := make(Fleet, len(names))
	errs := make([]error, len(names))
	var wg sync.WaitGroup
	for i, name := range names {
		order := servers
		if i%2 == 1 { // half of them prefer the other instance
			order = []string{servers[1], servers[0]}
		}
		wg.Go(func() { all[i], errs[i] = connect(name, order) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		all.Close()
		return nil, err
	}
	return all, nil
}

// Published returns how many messages the stores have accepted.
func (f Fleet) Published() int { return f.sum((*Publisher).Published) }

// Safe returns how many messages are acknowledged by both servers.
func (f Fleet) Safe() int { return f.sum((*Publisher).Safe) }

// Acknowledged returns how many messages are acknowledged, at either level.
func (f Fleet) Acknowledged() int { return f.sum((*Publisher).Acknowledged) }

func (f Fleet) sum(of func(*Publisher) int) (n int) {
	for _, p := range f {
		n += of(p)
	}
	return n
}

// Sessions returns how many publishers are connected to a server.
func (f Fleet) Sessions(server string) (n int) {
	for _, p := range f {
		if p.server.Load() == server {
			n++
		}
	}
	return n
}

// PublishedCounts returns how much each publisher has published by now.
func (f Fleet) PublishedCounts() []int {
	counts := make([]int, len(f))
	for i, p := range f {
		counts[i] = p.Published()
	}
	return counts
}

// AckedSince reports whether a message is acknowledged that was published after counts
// were taken by PublishedCounts. acknowledged is Acknowledged or Safe.
func (f Fleet) AckedSince(counts []int, acknowledged func(*Publisher) int) bool {
	for i, p := range f {
		if acknowledged(p) > counts[i] {
			return true
		}
	}
	return false
}

// Resent returns how many messages were sent more than once so far.
func (f Fleet) Resent() int {
	return f.sum(func(p *Publisher) int { return p.Client.Stats().Publish.Resent })
}

// Keys returns the keys of the published messages. No publisher may publish meanwhile.
func (f Fleet) Keys() checker.Keys {
	h := make(checker.Keys)
	for _, p := range f {
		h[p.Name] = p.keys
	}
	return h
}

// Drain returns when everything published is safe.
func (f Fleet) Drain(ctx context.Context) error {
	for _, p := range f {
		if err := p.Client.FlushSafe(ctx); err != nil {
			return fmt.Errorf("publisher %s: %w", p.Name, err)
		}
	}
	return nil
}

// Close closes all publishers.
func (f Fleet) Close() {
	for _, p := range f {
		if p != nil {
			p.Close()
		}
	}
}
