package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/perf/pair"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/users"
)

const (
	maxSecuredMemory = 128 << 20 // of the instance for one attack, which may have many connections
	securedGateways  = 2
)

// A siege is a secured pair, its well-behaved users, and how long it has been attacked.
type siege struct {
	exhaustion
	gateways battle  // the honest publishers
	away     *honest // one that has published and is gone: its life is free
	reader   *reader
	begin    time.Time
}

// attackSecured has the attackers at work on a secured pair, one after the other, and reports
// whether they cost no more than they may and get nothing that they must not.
func attackSecured(ctx context.Context, dir, binary string, attackers []greedyAttacker) (passed bool, err error) {
	ctx, cancel := context.WithTimeoutCause(ctx, 4*time.Minute, errors.New("took longer than four minutes"))
	defer cancel()
	s := &siege{exhaustion: exhaustion{dir: dir, runs: 1, tries: 3, maxMemory: maxSecuredMemory}}
	authority, err := secureFiles(dir)
	if err != nil {
		return false, err
	}
	s.pair, err = pair.Start(ctx, dir, pair.Options{
		Command: []string{binary}, Clients: securedClients, Replication: securedReplication,
		Config: fmt.Sprintf("max_message: 1MiB\ndrain_timeout: %v\n", drainTimeout),
	})
	if err != nil {
		return false, err
	}
	defer s.pair.Close()
	defer s.closeClients()
	if err := s.connect(ctx, authority); err != nil {
		return false, err
	}
	if passed, err = s.endure(ctx, attackers); err != nil {
		return false, err
	}
	stopped, err := s.stop(ctx, slices.DeleteFunc(slices.Clone(attackers), func(g greedyAttacker) bool { return !g.atStop }))
	if err != nil {
		return false, err
	}
	if err := s.settle(ctx); err != nil {
		return false, err
	}
	clean, err := s.verdict()
	if passed = passed && stopped && clean; passed && err == nil {
		fmt.Println("all is well")
	}
	return passed, err
}

// connect connects the well-behaved users.
func (s *siege) connect(ctx context.Context, authority string) error {
	trust, err := trusting(authority)
	if err != nil {
		return err
	}
	var servers []string
	for _, uri := range s.pair.URIs() {
		servers = append(servers, strings.Replace(uri, "tcp:", "tcps:", 1))
	}
	s.gateways = battle{pair: s.pair, dir: s.dir}
	for i := range securedGateways {
		h, err := newHonest(ctx, s.dir, quotes, securedConfig(gatewayUser, fmt.Sprint(i+1), trust, servers[i], servers[1-i]))
		if err != nil {
			return err
		}
		s.gateways.honest = append(s.gateways.honest, h)
	}
	if err := s.publishAway(ctx, securedConfig(gatewayUser, "away", trust, servers...)); err != nil {
		return err
	}
	if s.reader, err = newReader(ctx, filepath.Join(s.dir, "marks"), securedConfig(readerUser, "1", trust, servers...)); err != nil {
		return err
	}
	s.wellBehaved, err = newWellBehavedClient(ctx, securedConfig(wellBehavedUser, "1", trust, servers[0]))
	// Checking a password that is sent as it is costs most, and waits for those of attackers.
	newcomer := securedConfig(wellBehavedUser, "new", trust, servers[0])
	newcomer.Authenticator = client.Password(wellBehavedUser, wellBehavedUser+passwordSuffix)
	s.newcomer = &newcomer
	s.args = []string{"-authority", authority, "-life", s.away.store.Lives()[0].ID}
	return err
}

// publishAway has a publisher publish for a moment, and leave.
func (s *siege) publishAway(ctx context.Context, cfg client.Config) (err error) {
	if s.away, err = newHonest(ctx, s.dir, quotes, cfg); err != nil {
		return err
	}
	publishing, stop := context.WithTimeout(ctx, 100*time.Millisecond)
	defer stop()
	s.away.publish(publishing)
	return errors.Join(s.away.client.FlushSafe(ctx), s.away.client.Close())
}

// publishers returns all honest publishers.
func (s *siege) publishers() []*honest { return append([]*honest{s.away}, s.gateways.honest...) }

func (s *siege) closeClients() {
	if s.away != nil {
		s.away.close()
	}
	s.gateways.close()
	if s.reader != nil {
		s.reader.close()
	}
	if s.wellBehaved != nil {
		s.wellBehaved.client.Close()
	}
}

// endure has the attackers at work while the gateways publish, and waits until all honest messages
// are safe and delivered.
func (s *siege) endure(ctx context.Context, attackers []greedyAttacker) (passed bool, err error) {
	publishing, stop := context.WithCancel(ctx)
	defer stop()
	var all sync.WaitGroup
	for _, h := range s.gateways.honest {
		all.Go(func() { h.publish(publishing) })
	}
	s.begin = time.Now()
	passed, err = s.judgeAll(ctx, attackers)
	stop()
	all.Wait()
	if err != nil {
		return false, err
	}
	if err := s.gateways.awaitRest(ctx); err != nil {
		return false, err
	}
	expected := 0
	for _, h := range s.publishers() {
		expected += len(h.expected())
	}
	if s.forbidden > 0 {
		fmt.Printf("attackers got what they must not, in %d runs\n", s.forbidden)
	}
	return passed && s.forbidden == 0, s.reader.await(ctx, expected)
}

// settle starts the instance again that was stopped under attack, and stops both once they have the
// same messages.
func (s *siege) settle(ctx context.Context) error {
	err := s.pair[0].Start(ctx)
	if err == nil {
		err = s.pair.AwaitSync(ctx)
	}
	return errors.Join(err, s.pair[0].Stop(), s.pair[1].Stop())
}

// verdict judges the journals of the stopped pair.
func (s *siege) verdict() (passed bool, err error) {
	took := time.Since(s.begin)
	published := make(checker.Keys)
	for _, h := range s.publishers() {
		published[h.name] = h.expected()
		fmt.Printf("%s published %d messages and %d were reported as failed\n", h.name, len(h.keys), len(h.failures))
		passed = passed || len(h.failures) > 0
	}
	passed = !passed
	delivered, foreign := s.reader.result()
	places := []checker.Keys{delivered}
	var indexes [2]journal.Index
	for i, in := range s.pair {
		r, err := s.readJournal(in.Journal())
		if err == nil {
			indexes[i], err = journal.ReadIndex(seglog.ReadOnly, in.Journal())
		}
		if err != nil {
			return false, err
		}
		places = append(places, r.honest)
		passed = r.judge(in.Name, took) && passed
	}
	v, compared := checker.Compare(published, places...), journal.Compare(indexes[0], indexes[1])
	fmt.Printf("both journals and the reader: %d present, %d lost, %d duplicated, %d out of order, %d foreign; %d deliveries of others; %d publishers differ\n",
		v.Present, v.Lost, v.Duplicated, v.Disordered, v.Foreign, foreign, len(compared.Diffs))
	return passed && v.Clean() && compared.Same() && foreign == 0, nil
}

// An account is what a journal has of the users.
type account struct {
	honest     checker.Keys
	forbidden  []string                       // messages that their users may not publish
	tombstones map[string]int                 // by user
	bytes      map[string]int                 // of messages, by user
	publishers map[string]map[uint64]struct{} // by user
}

// readJournal returns the account of a journal.
func (s *siege) readJournal(dir string) (a account, err error) {
	set, err := users.Load(filepath.Join(s.dir, "users.yaml"))
	if err != nil {
		return a, err
	}
	a = account{make(checker.Keys), nil, make(map[string]int), make(map[string]int), make(map[string]map[uint64]struct{})}
	return a, journals.Dump(seglog.ReadOnly, dir, func(r *journal.Record) error {
		user := string(r.User)
		if a.publishers[user] == nil {
			a.publishers[user] = make(map[uint64]struct{})
		}
		a.publishers[user][r.Publisher] = struct{}{}
		if r.Kind != journal.Message {
			a.tombstones[user]++
			return nil
		}
		a.bytes[user] += len(r.Topic) + len(r.Body)
		of, known := set.User(user)
		switch {
		case !known, !of.Publish.Allows(r.Topic), string(r.Body) == forbiddenBody:
			a.forbidden = append(a.forbidden, fmt.Sprintf("user %q, topic %q", user, r.Topic))
		case string(r.Topic) == quotes:
			name, key, _ := keyOf(r.Body)
			a.honest[name] = append(a.honest[name], key)
		}
		return nil
	})
}

// judge reports whether the journal has only what its users may publish, within their limits.
func (a account) judge(instance string, took time.Duration) (passed bool) {
	rate := float64(a.bytes[noisyUser]) / took.Seconds()
	tombstones := float64(a.tombstones[guestUser]) / took.Seconds()
	fmt.Printf("journal %s: %d forbidden messages; guest: %d tombstones (%.0f/s), %d publishers; noisy: %.2f MiB/s, %d publishers\n", instance, len(a.forbidden),
		a.tombstones[guestUser], tombstones, len(a.publishers[guestUser]), rate/(1<<20), len(a.publishers[noisyUser]))
	for _, text := range a.forbidden[:min(len(a.forbidden), 5)] {
		fmt.Println("  forbidden:", text)
	}
	most := max(len(a.publishers[guestUser]), len(a.publishers[noisyUser]))
	return len(a.forbidden) == 0 && most <= attackerPublishers && rate <= noisyBytesPerSecond && tombstones <= maxTombstones
}

// A reader subscribes to the quotes and keeps count of them.
type reader struct {
	client *client.Client
	marks  *bookmarkstore.Bolt
	ended  chan error // of the subscription

	mu      sync.Mutex
	keys    checker.Keys // guarded by mu, like the rest
	count   int
	foreign int // deliveries that are not of the gateways' user
}

func newReader(ctx context.Context, marks string, cfg client.Config) (r *reader, err error) {
	r = &reader{ended: make(chan error, 1), keys: make(checker.Keys)}
	if r.marks, err = bookmarkstore.OpenBolt(marks, bookmarkstore.BoltOptions{}); err != nil {
		return nil, err
	}
	cfg.BookmarkStore = r.marks
	if r.client, err = client.Dial(ctx, cfg); err != nil {
		return nil, errors.Join(err, r.marks.Close())
	}
	sub, err := r.client.Subscribe(ctx, quotes, client.From(client.Epoch), client.ID("quotes"))
	if err != nil {
		r.close()
		return nil, err
	}
	go func() { r.ended <- sub.Handle(context.WithoutCancel(ctx), r.receive) }() // ends with the client
	return r, nil
}

func (r *reader) receive(m *client.Message) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	name, key, err := keyOf(m.Body)
	r.keys[name] = append(r.keys[name], key)
	if r.count++; m.UserID != gatewayUser || m.Topic != quotes {
		r.foreign++
	}
	return err
}

// await waits until n messages have come.
func (r *reader) await(ctx context.Context, n int) error {
	for ends := time.Now().Add(patience); ; {
		r.mu.Lock()
		count := r.count
		r.mu.Unlock()
		if count >= n {
			return nil
		}
		select {
		case err := <-r.ended:
			return fmt.Errorf("the reader's subscription has ended: %w", err)
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(ends) {
			return fmt.Errorf("the reader has %d of %d messages after %v", count, n, patience)
		}
	}
}

// result returns the messages that have come, and how many were not of the gateways.
func (r *reader) result() (keys checker.Keys, foreign int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.keys, r.foreign
}

func (r *reader) close() {
	r.client.Close()
	r.marks.Close()
}
