package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/proof/fleet"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// An honest publisher has a file store, and remembers its messages and their reported
// failures.
type honest struct {
	name   string
	topic  string
	client *client.Client
	store  *pubstore.File
	keys   []string

	mu       sync.Mutex
	failures map[string]string // reasons of failures, by key; guarded by mu
}

const topic = "orders"

// connectHonest connects the honest publishers, half of them to each instance.
func (b *battle) connectHonest(ctx context.Context) error {
	servers := b.pair.URIs()
	for i, name := range []string{"gateway-1", "gateway-2", "gateway-3", "gateway-4"} {
		h, err := newHonest(ctx, b.dir, topic, client.Config{Name: name, Servers: []string{servers[i%2], servers[1-i%2]}})
		if err != nil {
			return err
		}
		b.honest = append(b.honest, h)
	}
	return nil
}

// newHonest connects an honest publisher with the name and the servers of cfg.
func newHonest(ctx context.Context, dir, topic string, cfg client.Config) (h *honest, err error) {
	h = &honest{name: cfg.Name, topic: topic, failures: make(map[string]string)}
	if h.store, err = pubstore.OpenFile(filepath.Join(dir, "publishers", h.name), pubstore.FileOptions{}); err != nil {
		return nil, err
	}
	cfg.PublishStore, cfg.Hooks.FailedWrite = h.store, h.onFailedWrite
	if h.client, err = client.Dial(ctx, cfg); err != nil {
		return nil, errors.Join(fmt.Errorf("publisher %s: %w", h.name, err), h.store.Close())
	}
	return h, nil
}

// publish publishes a message every few milliseconds until ctx ends.
func (h *honest) publish(ctx context.Context) {
	for ctx.Err() == nil {
		key := fmt.Sprint(len(h.keys) + 1)
		// The context ends the waiting only, so it is not given: a message is published or not.
		if _, err := h.client.Publish(context.Background(), h.topic, []byte(h.name+" "+key)); err != nil {
			fmt.Printf("%s: publish: %v\n", h.name, err)
			return
		}
		h.keys = append(h.keys, key)
		select {
		case <-time.After(3 * time.Millisecond):
		case <-ctx.Done():
		}
	}
}

// onFailedWrite notes a failed message.
func (h *honest) onFailedWrite(e *client.RejectedError) {
	h.mu.Lock()
	defer h.mu.Unlock()
	_, key, _ := strings.Cut(string(e.Message.Body), " ")
	h.failures[key] = e.Reason
}

func (h *honest) close() {
	h.client.Close()
	h.store.Close()
}

// expected returns the keys of the messages that were not reported as failed.
func (h *honest) expected() (keys []string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, key := range h.keys {
		if _, failed := h.failures[key]; !failed {
			keys = append(keys, key)
		}
	}
	return keys
}

// verdict stops the pair and judges its journals.
func (b *battle) verdict() (passed bool, err error) {
	published := make(checker.Keys)
	for _, h := range b.honest {
		h.close()
		published[h.name] = h.expected()
		fmt.Printf("%s published %d messages and %d were reported as failed\n", h.name, len(h.keys), len(h.failures))
	}
	var places []checker.Keys
	var indexes [2]journal.Index
	for i, in := range b.pair {
		if err := in.Stop(); err != nil {
			return false, err
		}
		keys, err := fleet.ReadJournal(in.Journal(), keyOf)
		if err == nil {
			indexes[i], err = journal.ReadIndex(seglog.ReadOnly, in.Journal())
		}
		if err != nil {
			return false, err
		}
		for name := range keys {
			if published[name] == nil {
				delete(keys, name) // of attackers, under identities of their own
			}
		}
		places = append(places, keys)
	}
	v := checker.Compare(published, places...)
	compared := journal.Compare(indexes[0], indexes[1])
	fmt.Printf("both journals: %d present, %d lost, %d duplicated, %d out of order, %d foreign; %d publishers differ\n",
		v.Present, v.Lost, v.Duplicated, v.Disordered, v.Foreign, len(compared.Diffs))
	return v.Clean() && compared.Same(), nil
}

// keyOf returns the publisher and the key in a body: "gateway-1 17".
func keyOf(body []byte) (publisher, key string, err error) {
	publisher, key, _ = strings.Cut(string(body), " ")
	return publisher, key, nil
}
