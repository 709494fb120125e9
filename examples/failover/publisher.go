package main

import (
	"context"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/verdict"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A publisher is one network: a client with a file store of its own.
type publisher struct {
	network string
	store   *pubstore.File
	client  *client.Client

	published atomic.Int64 // accepted by the store
	server    atomic.Value // string: the server it is connected to, empty if none
	keys      []string     // of what was published, in order; of the goroutine that publishes
}

// newPublisher opens the network's store and connects to the pair.
func newPublisher(ctx context.Context, network, dir string, servers []string, t *timeline) (*publisher, error) {
	store, err := pubstore.OpenFile(filepath.Join(dir, "publishers", network), pubstore.FileOptions{})
	if err != nil {
		return nil, err
	}
	p := &publisher{network: network, store: store}
	p.server.Store("")
	p.client, err = client.Dial(ctx, client.Config{
		Name:      "earthquakes-" + network,
		Servers:   servers,
		Publishes: store,
		Hooks: client.Hooks{
			Connected:    func(s client.ServerInfo) { p.server.Store(s.Server) },
			Disconnected: func(string, error) { p.server.Store("") },
			FailedWrite:  func(e *client.RejectedError) { t.printf("%s: %v", network, e) },
		},
	})
	if err != nil {
		store.Close()
		return nil, fmt.Errorf("publisher %s: %w", network, err)
	}
	return p, nil
}

// acknowledged returns how many messages a server has acknowledged, at either level.
func (p *publisher) acknowledged() int {
	u := p.store.Usage()
	return int(p.published.Load()) - u.Messages + u.Single
}

// publish publishes one event, which must be of the publisher's network.
func (p *publisher) publish(ctx context.Context, body []byte) error {
	_, key, err := keyOf(body)
	if err != nil {
		return err
	}
	if _, err := p.client.Publish(ctx, "earthquakes/"+p.network, body); err != nil {
		return err
	}
	p.keys = append(p.keys, key)
	p.published.Add(1)
	return nil
}

func (p *publisher) close() {
	p.client.Close()
	p.store.Close()
}

// A fleet is all publishers.
type fleet []*publisher

// newFleet connects one publisher for each network.
func newFleet(ctx context.Context, networks []string, dir string, servers []string, t *timeline) (fleet, error) {
	all := make(fleet, len(networks))
	errs := make([]error, len(networks))
	var wg sync.WaitGroup
	for i, network := range networks {
		order := servers
		if i%2 == 1 { // half of them prefer the other instance
			order = []string{servers[1], servers[0]}
		}
		wg.Go(func() { all[i], errs[i] = newPublisher(ctx, network, dir, order, t) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return all, nil
}

func (f fleet) acknowledged() (n int) {
	for _, p := range f {
		n += p.acknowledged()
	}
	return n
}

// sessions returns how many publishers are connected to a server.
func (f fleet) sessions(server string) (n int) {
	for _, p := range f {
		if p.server.Load() == server {
			n++
		}
	}
	return n
}

// marks returns how much each publisher has published by now.
func (f fleet) marks() []int64 {
	marks := make([]int64, len(f))
	for i, p := range f {
		marks[i] = p.published.Load()
	}
	return marks
}

// acknowledgedBeyond reports whether something that was published after marks is acknowledged.
func (f fleet) acknowledgedBeyond(marks []int64) bool {
	for i, p := range f {
		if int64(p.acknowledged()) > marks[i] {
			return true
		}
	}
	return false
}

// resent returns how many messages were sent more than once so far.
func (f fleet) resent() (n int) {
	for _, p := range f {
		n += p.client.Stats().Publish.Resent
	}
	return n
}

// publishAll publishes every round of the events, spread evenly over the given
// time. One goroutine per network, in the order of the input.
func (f fleet) publishAll(ctx context.Context, events []event, rounds int, over time.Duration) error {
	start := time.Now()
	errs := make([]error, len(f))
	var wg sync.WaitGroup
	for i, p := range f {
		wg.Go(func() { errs[i] = p.publishRounds(ctx, events, rounds, start, over) })
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func (p *publisher) publishRounds(ctx context.Context, events []event, rounds int, start time.Time, over time.Duration) error {
	all := len(events) * rounds
	for round := range rounds {
		for i, e := range events {
			if e.network != p.network {
				continue
			}
			due := start.Add(over * time.Duration(round*len(events)+i) / time.Duration(all))
			select {
			case <-time.After(time.Until(due)):
			case <-ctx.Done():
				return ctx.Err()
			}
			if err := p.publish(ctx, bodyOf(e, round+1)); err != nil {
				return err
			}
		}
	}
	return nil
}

// history returns what was published.
func (f fleet) history() verdict.Keys {
	h := make(verdict.Keys)
	for _, p := range f {
		h[p.network] = p.keys
	}
	return h
}

// drain returns when everything published is safe.
func (f fleet) drain(ctx context.Context) error {
	for _, p := range f {
		if err := p.client.FlushSafe(ctx); err != nil {
			return fmt.Errorf("publisher %s: %w", p.network, err)
		}
	}
	return nil
}
