//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A publisherSpec is the job of a process of publishers.
type publisherSpec struct {
	Dir     string
	Servers []string
	Rate    int // messages a second of each
	Names   []string
	Next    []uint64 // number of the first message of each
}

// runPublishers is a process of publishers, each with a file store of its own.
func runPublishers(text string) error {
	var spec publisherSpec
	if err := json.Unmarshal([]byte(text), &spec); err != nil {
		return err
	}
	all := make([]*publisher, len(spec.Names))
	for i, name := range spec.Names {
		p, err := newPublisher(spec, name, spec.Next[i])
		if err != nil {
			return err
		}
		defer p.close()
		all[i] = p
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	var work sync.WaitGroup
	for i, p := range all {
		late := time.Second / time.Duration(spec.Rate) * time.Duration(i) / time.Duration(len(all))
		work.Go(func() { p.publishLoop(ctx, spec.Rate, late) })
	}
	if awaitLine() != nil {
		return nil // the end of standard input
	}
	stop()
	work.Wait()
	for _, p := range all {
		if err := p.client.FlushSafe(context.Background()); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	writeEvent(historyEvent{Kind: eventDrained})
	awaitInputEnd()
	return nil
}

// A publisher is one client with its store.
type publisher struct {
	name   string
	next   uint64 // number of the next message
	store  *reportingStore
	client *client.Client
}

// newPublisher opens the store and the client, which goes back to its first
// server when it can, so that there are publishers on both.
func newPublisher(spec publisherSpec, name string, next uint64) (*publisher, error) {
	file, err := pubstore.OpenFile(filepath.Join(spec.Dir, name), pubstore.FileOptions{})
	if err != nil {
		return nil, err
	}
	p := &publisher{name: name, next: next, store: newReportingStore(file, name)}
	p.client, err = client.Dial(context.Background(), client.Config{
		Name: name, Chooser: client.NewPriority(client.FailBackAtOnce(), spec.Servers...), PublishStore: p.store, StartOffline: true,
		Hooks: client.Hooks{
			Connected: func(s client.ServerInfo) {
				writeEvent(historyEvent{Kind: eventConnected, Client: name, Text: s.Server})
			},
			Disconnected: func(server string, err error) {
				writeEvent(historyEvent{Kind: eventLost, Client: name, Text: fmt.Sprint(server, ": ", err)})
			},
			FailedWrite: func(e *client.RejectedError) {
				writeEvent(historyEvent{Kind: eventStrange, Client: name, Text: e.Error()})
			},
			LifeRenewed: func(err error) { writeEvent(historyEvent{Kind: eventStrange, Client: name, Text: err.Error()}) },
		},
	})
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("publisher %s: %w", name, err)
	}
	return p, nil
}

func (p *publisher) close() {
	p.client.Close()
	p.store.Close()
}

// publishLoop publishes at a steady rate until ctx ends.
func (p *publisher) publishLoop(ctx context.Context, rate int, delay time.Duration) {
	select {
	case <-time.After(delay):
	case <-ctx.Done():
		return
	}
	tick := time.NewTicker(time.Second / time.Duration(rate))
	defer tick.Stop()
	for ctx.Err() == nil {
		// Not with ctx: a message must be in the store or not when this returns.
		s, err := p.client.Publish(context.Background(), topicOf(p.name), bodyOf(p.name, p.next))
		if err != nil {
			writeEvent(historyEvent{Kind: eventStrange, Client: p.name, Text: "publish: " + err.Error()})
			return
		}
		writeEvent(historyEvent{Kind: eventPublished, Client: p.name, N: p.next, Sequence: s})
		p.next++
		select {
		case <-tick.C:
		case <-ctx.Done():
		}
	}
}

// A reportingStore reports the acknowledgements.
type reportingStore struct {
	*pubstore.File
	name string
	life string // the one that new messages belong to

	mu       sync.Mutex
	reported map[bool]uint64 // guarded by mu: acknowledged by a single server or by both, as far as was said
}

func newReportingStore(file *pubstore.File, name string) *reportingStore {
	lives := file.Lives()
	return &reportingStore{File: file, name: name, life: lives[len(lives)-1].ID, reported: make(map[bool]uint64)}
}

// appendDelay is how long a store takes to take a message, as one would that syncs
// each: time enough for a kill to come between.
const appendDelay = 2 * time.Millisecond

// Append implements pubstore.Store.
func (s *reportingStore) Append(ctx context.Context, m *pubstore.Message) (uint64, error) {
	time.Sleep(appendDelay)
	return s.File.Append(ctx, m)
}

// Discard implements pubstore.Store.
func (s *reportingStore) Discard(life string, through uint64) error {
	err := s.File.Discard(life, through)
	if err == nil {
		s.report(life, through, false)
	}
	return err
}

// SetSingle implements pubstore.Store.
func (s *reportingStore) SetSingle(life string, through uint64) {
	s.File.SetSingle(life, through)
	s.report(life, through, true)
}

func (s *reportingStore) report(life string, through uint64, single bool) {
	s.mu.Lock()
	news := life == s.life && through > s.reported[single]
	if news {
		s.reported[single] = through
	}
	s.mu.Unlock()
	if news {
		writeEvent(historyEvent{Kind: eventAcked, Client: s.name, Sequence: through, Single: single})
	}
}

// A body identifies its message, so that the verdict does not depend on the identities
// under test.
type body struct {
	Publisher string `json:"p"`
	N         uint64 `json:"n"`
	Padding   string `json:"padding"`
}

// keyOf names a message.
func keyOf(publisher string, n uint64) string { return fmt.Sprintf("%s-%d", publisher, n) }

// topicOf returns the topic of a publisher.
func topicOf(publisher string) string { return "chaos/" + publisher }

// bodyOf makes a body. Most are small, one of 200 is of 64 KiB, one of 4,000 of 1 MiB.
func bodyOf(publisher string, n uint64) []byte {
	h := fnv.New32a()
	fmt.Fprintf(h, "%s %d", publisher, n)
	size := int(h.Sum32() % 600)
	switch {
	case h.Sum32()%4000 == 1:
		size = 1 << 20
	case h.Sum32()%200 == 0:
		size = 64 << 10
	}
	text, err := json.Marshal(body{publisher, n, strings.Repeat("x", size)})
	if err != nil {
		panic("BUG: " + err.Error())
	}
	return text
}

// readBody parses a body of bodyOf. It must be unchanged.
func readBody(text []byte) (publisher string, n uint64, err error) {
	var b body
	if err := json.Unmarshal(text, &b); err != nil {
		return "", 0, fmt.Errorf("body of a message: %w", err)
	}
	if string(bodyOf(b.Publisher, b.N)) != string(text) {
		return "", 0, fmt.Errorf("the body of %s %d is not as it was published", b.Publisher, b.N)
	}
	return b.Publisher, b.N, nil
}
