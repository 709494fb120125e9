package breakit

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/proof/fleet"
)

// A body is the body of the n-th message of a publisher.
type body struct {
	Publisher string `json:"publisher"`
	N         int    `json:"n"`
}

// keyOf returns a key for a message, made from its body alone.
func keyOf(b []byte) (publisher, key string, err error) {
	var m body
	if err := json.Unmarshal(b, &m); err != nil {
		return "", "", err
	}
	return m.Publisher, strconv.Itoa(m.N), nil
}

// publish publishes one message after the other, paced by turn, until ctx ends.
func publish(ctx context.Context, p *fleet.Publisher, rate int, turn *gate) error {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if !turn.enter(ctx) {
			return nil
		}
		text, err := json.Marshal(body{p.Name, n})
		if err == nil {
			// Not with ctx: it is in the store, or publishing has failed.
			err = p.Publish(context.WithoutCancel(ctx), "orders/"+p.Name, strconv.Itoa(n), text)
		}
		turn.leave()
		if err != nil {
			return fmt.Errorf("publisher %s: %w", p.Name, err)
		}
	}
}

// A gate lets publishers go on, or holds them all.
type gate struct {
	mu   sync.RWMutex
	held atomic.Bool
}

// enter returns false if ctx has ended. Each that returns true has a done.
func (t *gate) enter(ctx context.Context) bool {
	t.mu.RLock()
	if ctx.Err() != nil {
		t.mu.RUnlock()
		return false
	}
	return true
}

func (t *gate) leave() { t.mu.RUnlock() }

// hold returns when no publisher publishes, until release.
func (t *gate) hold() {
	t.mu.Lock()
	t.held.Store(true)
}

// release ends a hold, if there is one.
func (t *gate) release() {
	if t.held.CompareAndSwap(true, false) {
		t.mu.Unlock()
	}
}

// A subscriber reads every message, with a bookmark store of its own. It judges each
// message as it comes: each publisher's messages are counted from 1, so that the next one
// is known.
type subscriber struct {
	name    string
	client  *client.Client
	marks   *bookmarkstore.Bolt
	reading sync.WaitGroup

	mu       sync.Mutex
	received checker.Keys   // guarded by mu
	last     map[string]int // guarded by mu: highest of each publisher
	tally    checker.Verdict
	server   string // guarded by mu: the one it is connected to, empty if none
	err      error  // guarded by mu: why it has ended, by itself
}

// newSubscriber connects and subscribes.
func newSubscriber(ctx context.Context, name, dir string, servers []string) (*subscriber, error) {
	s := &subscriber{name: name, received: make(checker.Keys), last: make(map[string]int)}
	var err error
	if s.marks, err = bookmarkstore.OpenBolt(filepath.Join(dir, "subscriber-"+name+".db"), bookmarkstore.BoltOptions{}); err != nil {
		return nil, err
	}
	s.client, err = client.Dial(ctx, client.Config{
		Name: "subscriber-" + name, Servers: servers, BookmarkStore: s.marks,
		Hooks: client.Hooks{
			Connected:    func(i client.ServerInfo) { s.setServer(i.Server) },
			Disconnected: func(string, error) { s.setServer("") },
		},
	})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("subscriber %s: %w", name, err), s.marks.Close())
	}
	sub, err := s.client.Subscribe(ctx, "^orders/", client.From(client.MostRecent), client.ID("watch"))
	if err != nil {
		s.close()
		return nil, fmt.Errorf("subscriber %s: %w", name, err)
	}
	s.reading.Go(func() { s.read(sub) })
	return s, nil
}

// read takes in messages until the client is closed.
func (s *subscriber) read(sub *client.Subscription) {
	err := sub.Handle(context.Background(), func(m *client.Message) error {
		publisher, key, err := keyOf(m.Body)
		if err == nil {
			s.record(publisher, key)
		}
		return err
	})
	if err != nil && !errors.Is(err, client.ErrClosed) {
		s.mu.Lock()
		s.err = fmt.Errorf("subscriber %s: %w", s.name, err)
		s.mu.Unlock()
	}
}

// record takes in one message.
func (s *subscriber) record(publisher, key string) {
	n, _ := strconv.Atoi(key)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.received[publisher] = append(s.received[publisher], key)
	s.tally.Present++
	switch last := s.last[publisher]; {
	case n == last:
		s.tally.Duplicated++
	case n < last:
		s.tally.Disordered++
	default:
		s.tally.Lost += n - last - 1
		s.last[publisher] = n
	}
}

func (s *subscriber) setServer(server string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.server = server
}

// counts returns the counts so far, and the server that it is connected to.
func (s *subscriber) counts() (v checker.Verdict, server string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.tally, s.server, s.err
}

// keys returns the keys of the received messages.
func (s *subscriber) keys() checker.Keys {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.received)
}

func (s *subscriber) close() {
	s.client.Close()
	s.reading.Wait()
	s.marks.Close()
}
