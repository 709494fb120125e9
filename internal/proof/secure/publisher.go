package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A publisher is an application that publishes all the time.
type publisher struct {
	*app
	topics []string // used in turn

	mu        sync.Mutex
	store     *pubstore.File // guarded by mu, like the rest
	client    *client.Client
	published int // messages that the store has accepted; the next one has this number
	ended     bool

	toldMu sync.Mutex
	told   map[string]int // guarded by toldMu: by key, how often the message was reported as not entitled
	faults []error        // guarded by toldMu: other reports
}

// newPublisher returns a publisher that is not started.
func newPublisher(a *app, topics ...string) *publisher {
	p := &publisher{app: a, topics: topics, told: make(map[string]int)}
	a.hooks.FailedWrite = p.failed
	return p
}

// failed takes the report of a message that was rejected.
func (p *publisher) failed(e *client.RejectedError) {
	p.toldMu.Lock()
	defer p.toldMu.Unlock()
	_, key, err := keyOf(e.Message.Body)
	if err == nil && errors.Is(e, client.ErrNotEntitled) {
		p.told[key]++
		return
	}
	p.faults = append(p.faults, fmt.Errorf("%s: %w", p.name, e))
}

// reports returns the keys of rejected messages with the number of reports, and the other reports.
func (p *publisher) reports() (told map[string]int, faults []error) {
	p.toldMu.Lock()
	defer p.toldMu.Unlock()
	return maps.Clone(p.told), p.faults
}

// restart starts the application, after it has ended if it runs. The load waits meanwhile.
func (p *publisher) restart(ctx context.Context, x access) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.endLocked(ctx)
	cfg, err := p.config(x)
	if err != nil {
		return err
	}
	if p.store, err = pubstore.OpenFile(p.file("outbox"), pubstore.FileOptions{}); err != nil {
		return err
	}
	cfg.PublishStore = p.store
	ctx, cancel := context.WithTimeout(ctx, awaitLimit)
	defer cancel()
	p.client, err = client.Dial(ctx, cfg)
	return err
}

// endLocked ends the application as SIGTERM should: what is not settled within a second stays in the
// store.
func (p *publisher) endLocked(ctx context.Context) {
	if p.client != nil {
		ctx, cancel := context.WithTimeout(ctx, time.Second)
		defer cancel()
		_ = p.client.Drain(ctx)
	}
	if p.store != nil {
		p.store.Close()
	}
	p.client, p.store = nil, nil
}

func (p *publisher) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	p.endLocked(ctx)
}

// publish publishes until ctx ends.
func (p *publisher) publish(ctx context.Context, rate int) error {
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
		if err := p.publishOne(ctx); err != nil && ctx.Err() == nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
}

func (p *publisher) publishOne(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		return nil
	}
	if p.client == nil {
		return errors.New("its client could not be started")
	}
	topic := p.topics[p.published%len(p.topics)]
	_, err := p.client.Publish(ctx, topic, bodyOf(p.name, p.published))
	if err == nil {
		p.published++
	}
	return err
}

// bodyOf returns the body of the publisher's n-th message.
func bodyOf(publisher string, n int) []byte { return fmt.Appendf(nil, "%s %d", publisher, n) }

// keyOf returns the publisher and the key of a message.
func keyOf(body []byte) (publisher, key string, err error) {
	publisher, key, found := strings.Cut(string(body), " ")
	if !found {
		return "", "", fmt.Errorf("no message of a publisher: %q", body)
	}
	return publisher, key, nil
}

// count returns how many messages were published, and how many of them a server has settled.
func (p *publisher) count() (published, settled int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.countLocked()
}

// tryCount is count that does not wait. ok is false while the application restarts.
func (p *publisher) tryCount() (settled int, ok bool) {
	if !p.mu.TryLock() {
		return 0, false
	}
	defer p.mu.Unlock()
	_, settled = p.countLocked()
	return settled, p.store != nil
}

func (p *publisher) countLocked() (published, settled int) {
	if p.store == nil {
		return p.published, 0
	}
	u := p.store.Usage()
	return p.published, p.published - u.Messages + u.Single
}

// end ends the application once all of its messages are on both disks. The load ends with it.
func (p *publisher) end(ctx context.Context) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ended = true
	flushCtx, cancel := context.WithTimeout(ctx, 2*awaitLimit)
	defer cancel()
	if err := p.client.FlushSafe(flushCtx); err != nil {
		return p.explain(fmt.Errorf("wait until its messages are safe: %w", err))
	}
	p.endLocked(ctx)
	return nil
}

// keys returns the keys of all published messages, without those that were reported as not entitled.
func (p *publisher) keys(told map[string]int) (kept []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := range p.published {
		if key := strconv.Itoa(n); told[key] == 0 {
			kept = append(kept, key)
		}
	}
	return kept
}

// add adds the keys of a publisher to those of others.
func add(to checker.Keys, p *publisher) {
	told, _ := p.reports()
	to[p.name] = p.keys(told)
}
