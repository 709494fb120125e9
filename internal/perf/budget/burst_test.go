package budget_test

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/perf/budget"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
	"github.com/holdfast-mq/holdfast/server"
	"github.com/holdfast-mq/holdfast/server/servertest"
)

// A system is a pair, a publisher and a subscriber in virtual time. Only writes and
// syncs take time, so that batching is the same on every machine.
type system struct {
	pair      *servertest.Pair
	publisher *client.Client
	messages  *client.Subscription

	store, published, received *budget.Meter // the publish store; the publisher's connection; the subscriber's connection
	journal                    map[string]*budget.Meter
	clients, links             map[string]*budget.Meter // connections of the instances
}

const (
	writeTime = 20 * time.Microsecond
	syncTime  = time.Millisecond
)

func meter() *budget.Meter { return &budget.Meter{WriteDelay: writeTime} }

func perInstance() map[string]*budget.Meter {
	return map[string]*budget.Meter{"a": meter(), "b": meter()}
}

func newSystem(t *testing.T) *system {
	s := &system{
		store: meter(), published: meter(), received: meter(),
		journal: perInstance(), clients: perInstance(), links: perInstance(),
	}
	s.pair = servertest.NewPair(t, servertest.Config(s.measure))
	testdoor.Part[*memfs.FS](s.pair.A).SetSyncDelay(syncTime)
	testdoor.Part[*memfs.FS](s.pair.B).SetSyncDelay(syncTime)

	store := openStore(t, s.store, false)
	s.publisher = s.dial(t, client.Config{Name: "publisher", PublishStore: store}, s.published)
	s.subscribe(t, "subscriber")
	return s
}

// subscribe starts a new subscriber from the start of the log. From now on receive reads from it.
func (s *system) subscribe(t *testing.T, name string) {
	t.Helper()
	c := s.dial(t, client.Config{Name: name, QueueMessages: 1 << 20, QueueBytes: 1 << 30}, s.received)
	var err error
	s.messages, err = c.Subscribe(t.Context(), "orders", client.From(client.Epoch))
	if err != nil {
		t.Fatal(err)
	}
}

// openStore opens an empty File on a counted disk in memory.
func openStore(t *testing.T, m *budget.Meter, syncAlways bool) *pubstore.File {
	t.Helper()
	disk := memfs.New()
	disk.SetSyncDelay(syncTime)
	s, err := pubstore.OpenFile("store", testdoor.OnDisk(pubstore.FileOptions{
		BootID: func() (string, error) { return "boot", nil }, SyncAlways: syncAlways,
	}, m.Disk(disk)))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// measure counts the disk and the connections of an instance.
func (s *system) measure(cfg *server.Config) {
	name, listen, dial := cfg.Name, cfg.Listen, cfg.Dial
	*cfg = testdoor.OnDisk(*cfg, s.journal[name].Disk(testdoor.DiskOf(*cfg)))
	cfg.Listen = func(address string) (net.Listener, error) {
		ln, err := listen(address)
		if err != nil {
			return nil, err
		}
		if strings.HasSuffix(address, ":9007") {
			return s.clients[name].Listener(ln), nil
		}
		return s.links[name].Listener(ln), nil
	}
	cfg.Dial = func(ctx context.Context, address string) (net.Conn, error) {
		nc, err := dial(ctx, address)
		if err != nil {
			return nil, err
		}
		return s.links[name].Conn(nc), nil
	}
}

func (s *system) dial(t *testing.T, cfg client.Config, m *budget.Meter) *client.Client {
	t.Helper()
	cfg.Servers = s.pair.A.Client(cfg.Name).Servers
	cfg.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		nc, err := s.pair.Dial(ctx, network, address)
		if err != nil {
			return nil, err
		}
		return m.Conn(nc), nil
	}
	c, err := client.Dial(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// publish publishes messages as fast as it can and waits until they are on two disks.
func (s *system) publish(t *testing.T, n int, body []byte) {
	for range n {
		if _, err := s.publisher.Publish(t.Context(), "orders", body); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.publisher.FlushSafe(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// receive receives messages and discards them.
func (s *system) receive(t *testing.T, n int) {
	for m, err := range s.messages.Messages(t.Context()) {
		if err == nil {
			err = m.Discard()
		}
		if err != nil {
			t.Fatal(err)
		}
		if n--; n == 0 {
			return
		}
	}
}

// A limit is the limit of a hop's cost: calls for all messages together, bytes per message.
type limit struct{ writes, reads, syncs, bytes int64 }

// hops returns the meters of all hops, by name.
func (s *system) hops() map[string]*budget.Meter {
	return map[string]*budget.Meter{
		"publish store": s.store, "publisher": s.published, "subscriber": s.received,
		"journal of a": s.journal["a"], "journal of b": s.journal["b"],
		"a to b": s.links["a"], "b to a": s.links["b"],
		"a to clients": s.clients["a"], "b to clients": s.clients["b"],
	}
}

// check fails the test if work on n messages costs a hop more than its limit.
func (s *system) check(t *testing.T, n int64, limits map[string]limit, work func()) {
	t.Helper()
	hops, before := s.hops(), make(map[string]budget.Reading)
	for name, m := range hops {
		before[name] = m.Read()
	}
	work()
	time.Sleep(time.Second) // of virtual time: later operations count too
	for name, m := range hops {
		r, bound := m.Since(before[name]), limits[name]
		t.Logf("%-13s %4d writes (limit %d), %4d reads (%d), %3d syncs (%d), %3d bytes per message (%d)",
			name, r.Writes, bound.writes, r.Reads, bound.reads, r.Syncs, bound.syncs, r.Bytes/n, bound.bytes)
		if r.Writes > bound.writes || r.Reads > bound.reads || r.Syncs > bound.syncs || r.Bytes > n*bound.bytes {
			t.Errorf("%s: %+v for %d messages is above the limit", name, r, n)
		}
	}
}

// Messages that are published at full speed are written in batches at every hop, and
// take little more space than their own 262 bytes.
func TestBurst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 10_000
		s := newSystem(t)
		body := make([]byte, 256)
		s.publish(t, 1000, body)
		s.receive(t, 1000)
		s.check(t, messages, map[string]limit{
			"publish store": {40, 0, 8, 360},
			"publisher":     {60, 20, 0, 320},
			"journal of a":  {25, 0, 8, 325},
			"journal of b":  {25, 0, 8, 325},
			"a to b":        {70, 20, 0, 310},
			"b to a":        {10, 150, 0, 1},
			"a to clients":  {35, 150, 0, 340},
			"b to clients":  {5, 5, 0, 1},
			"subscriber":    {5, 150, 0, 1},
		}, func() {
			s.publish(t, messages, body)
			s.receive(t, messages)
		})
	})
}

// A single message is one write at every hop, and one sync on each of two disks. In
// addition there are the note that the journal is durable (R8) and the link acks.
func TestOneAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 100
		s := newSystem(t)
		body := make([]byte, 256)
		s.publish(t, 1, body)
		s.receive(t, 1)
		s.check(t, messages, map[string]limit{
			"publish store": {20, 0, 15, 340},
			"publisher":     {105, 105, 0, 320},
			"journal of a":  {205, 0, 102, 370},
			"journal of b":  {205, 0, 102, 370},
			"a to b":        {210, 110, 0, 340},
			"b to a":        {110, 210, 0, 30},
			"a to clients":  {210, 110, 0, 430},
			"b to clients":  {5, 5, 0, 1},
			"subscriber":    {5, 110, 0, 1},
		}, func() {
			for range messages {
				s.publish(t, 1, body)
				s.receive(t, 1)
			}
		})
	})
}

// Appends that each wait for the disk share its syncs.
func TestSyncsAreShared(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const goroutines, each = 64, 50
		m := meter()
		s := openStore(t, m, true)
		before := m.Read()
		var all sync.WaitGroup
		for range goroutines {
			all.Go(func() {
				msg := pubstore.Message{Topic: "orders", Body: make([]byte, 256)}
				for range each {
					if _, err := s.Append(t.Context(), &msg); err != nil {
						t.Error(err)
					}
				}
			})
		}
		all.Wait()
		r := m.Since(before)
		t.Logf("%+v", r)
		// In the worst case half of them wait for one sync and half for the next.
		if r.Syncs > 2*each+each/2 {
			t.Errorf("%d syncs for %d messages of %d goroutines", r.Syncs, goroutines*each, goroutines)
		}
	})
}

// Old messages are read from disk and sent in large pieces.
func TestReplay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const messages = 40_000 // more than a journal keeps in memory
		s := newSystem(t)
		s.publish(t, messages, make([]byte, 256))
		s.receive(t, messages)
		time.Sleep(time.Second)
		s.check(t, messages, map[string]limit{
			"journal of a": {0, 30, 0, 0},
			"a to clients": {110, 15, 0, 340},
			"a to b":       {10, 10, 0, 1},
			"b to a":       {10, 10, 0, 1},
			"publisher":    {5, 5, 0, 1},
			"subscriber":   {10, 450, 0, 1},
			"b to clients": {5, 5, 0, 1},
		}, func() {
			s.subscribe(t, "late subscriber")
			s.receive(t, messages)
		})
	})
}
