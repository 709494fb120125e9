package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
)

// A subscriber is an application that takes all messages that it may have of some topics.
type subscriber struct {
	*app
	topic string

	client *client.Client
	marks  *bookmarkstore.Bolt
	loop   chan error // gets the end of the loop; nil: the application does not run

	mu       sync.Mutex
	received checker.Keys // guarded by mu
}

func newSubscriber(a *app, topic string) *subscriber {
	return &subscriber{app: a, topic: topic, received: make(checker.Keys)}
}

// restart starts the application, after it has ended if it runs.
func (s *subscriber) restart(ctx context.Context, x access) error {
	if err := s.end(ctx); err != nil {
		return err
	}
	cfg, err := s.config(x)
	if err != nil {
		return err
	}
	if s.marks, err = bookmarkstore.OpenBolt(s.file("marks.db"), bookmarkstore.BoltOptions{}); err != nil {
		return err
	}
	cfg.BookmarkStore = s.marks
	dialCtx, cancel := context.WithTimeout(ctx, awaitLimit)
	defer cancel()
	if s.client, err = client.Dial(dialCtx, cfg); err != nil {
		return err
	}
	sub, err := s.client.Subscribe(dialCtx, s.topic, client.From(client.MostRecent), client.ID("all"))
	if err != nil {
		return err
	}
	s.loop = make(chan error, 1)
	go func() { s.loop <- s.take(ctx, sub) }()
	return nil
}

// take records messages until the subscription ends.
func (s *subscriber) take(ctx context.Context, sub *client.Subscription) error {
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			return err
		}
		publisher, key, err := keyOf(m.Body)
		if err != nil {
			return err
		}
		s.mu.Lock()
		s.received[publisher] = append(s.received[publisher], key)
		s.mu.Unlock()
		if err := m.Discard(); err != nil {
			return err
		}
	}
	return nil
}

// end ends the application as SIGTERM should. It returns the error of its loop, unless that is the
// end of the client.
func (s *subscriber) end(ctx context.Context) (err error) {
	if s.loop != nil {
		drainCtx, cancel := context.WithTimeout(ctx, awaitLimit)
		defer cancel()
		err = s.client.Drain(drainCtx)
		if loop := <-s.loop; loop != nil && !errors.Is(loop, client.ErrClosed) && ctx.Err() == nil {
			err = errors.Join(err, fmt.Errorf("the loop of %s: %w", s.name, loop))
		}
	}
	if s.marks != nil {
		err = errors.Join(err, s.marks.Close())
	}
	s.client, s.marks, s.loop = nil, nil, nil
	return err
}

// taken returns the received keys.
func (s *subscriber) taken() checker.Keys {
	s.mu.Lock()
	defer s.mu.Unlock()
	k := maps.Clone(s.received)
	for publisher, keys := range k {
		k[publisher] = slices.Clone(keys)
	}
	return k
}

func (s *subscriber) close() {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if s.client != nil {
		s.client.Close()
	}
	_ = s.end(ctx)
}
