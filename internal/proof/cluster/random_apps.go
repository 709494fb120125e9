package cluster

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"go.etcd.io/bbolt"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// A storeKind is the kind of a publisher's store.
type storeKind int

const (
	fileStore   storeKind = iota // as it is by default
	syncedStore                  // SyncAlways
	memoryStore
)

func (k storeKind) String() string { return [...]string{"file", "synced file", "memory"}[k] }

// A publisher is an application that publishes until it is stopped or killed.
type publisher struct {
	run       *randomRun
	app       *App
	kind      storeKind
	plain     bool
	onCommand bool       // publishes on command, and has no load
	topic     string     // the topic of the next message
	rand      *rand.Rand // the load's; one goroutine at a time
	pace      time.Duration
	running   bool

	n            int                    // of the last message; the load's
	published    []*checker.Publication // guarded by mu
	accepted     []time.Time            // when Publish returned, of each of published; guarded by mu
	safe         map[int]bool           // by index in published, those of which a ticket has said so; guarded by mu
	processStart int                    // index in published of this process's first
	mu           sync.Mutex
	killed       bool   // guarded by mu
	letGoThrough uint64 // how far a memory store has let go; guarded by mu

	cancel  context.CancelFunc
	done    chan struct{}
	tickets sync.WaitGroup // the waits for tickets
}

// startPublishers starts three, of which one has a memory store, and one may
// take the servers for plain ones.
func (r *randomRun) startPublishers() {
	for i, kind := range []storeKind{fileStore, syncedStore, memoryStore} {
		p := &publisher{
			run: r, kind: kind, safe: make(map[int]bool),
			plain: kind == fileStore && r.rand.IntN(4) == 0,
			rand:  rand.New(rand.NewPCG(r.seed, uint64(10+i))),
			pace:  time.Duration(5+r.rand.IntN(60)) * time.Millisecond,
		}
		window := []int{0, 0, 3, 50}[r.rand.IntN(4)]
		p.app = r.NewApp(fmt.Sprintf("p%d", i+1), r.serverOrder(), func(c *client.Config) {
			c.WindowMessages = window
			if kind == memoryStore {
				c.PublishStore = p.watchStore(pubstore.NewMemory(pubstore.MemoryOptions{}))
			}
		})
		p.app.plain = p.plain
		p.app.Wrap = p.watchStore
		p.app.Options.SyncAlways = kind == syncedStore
		p.app.Options.SegmentBytes = 64 << 10
		r.logf("%s has a %v store, plain %v, window %d, servers %v", p.app.Name, kind, p.plain, window, p.app.config.Servers)
		r.publishers = append(r.publishers, p)
		r.onClose(p.end)
		p.start()
	}
	// A subscriber that was there before a plain publisher would take the numbers below
	// its first one for a gap when it resumes.
	r.Await("the plain publisher to begin", func() bool {
		p := r.publishers[0]
		return !p.plain || p.app.Store.Lives()[0].Acked > 0
	})
}

// serverOrder returns both instances in one order or the other.
func (r *randomRun) serverOrder() []string {
	if r.rand.IntN(2) == 0 {
		return []string{"b", "a"}
	}
	return []string{"a", "b"}
}

func (p *publisher) watchStore(s pubstore.Store) pubstore.Store { return &watchedStore{Store: s, p: p} }

// watchedStore is a store whose discards are seen.
type watchedStore struct {
	pubstore.Store
	p *publisher
}

// Discard tells the run which messages are about to be let go.
func (w *watchedStore) Discard(life string, through uint64) error {
	for _, l := range w.Store.Lives() {
		if l.ID == life && through > l.Acked {
			w.p.discards(l, min(through, l.Last))
		}
	}
	return w.Store.Discard(life, through)
}

func (p *publisher) discards(l pubstore.Life, through uint64) {
	p.mu.Lock()
	if !p.killed {
		p.letGoThrough = through
	}
	p.mu.Unlock()
	b := bookmark.Bookmark{Publisher: bookmark.IdentityOfLife(l.ID).ID, Sequence: through}
	if p.plain {
		b = bookmark.Bookmark{Publisher: bookmark.IdentityOfName(p.app.Name).ID, Sequence: l.PlainOffset + through}
	}
	p.run.noteDiscard(p.app.Name, b, p.plain && p.run.settings.downgrade > 0)
}

// start starts a process.
func (p *publisher) start() {
	p.mu.Lock()
	p.killed, p.letGoThrough = false, 0
	p.processStart = len(p.published)
	p.mu.Unlock()
	p.app.start()
	ctx, cancel := context.WithCancel(context.Background())
	p.cancel, p.done, p.running = cancel, make(chan struct{}), true
	if p.onCommand {
		close(p.done)
		return
	}
	go p.load(ctx, p.app.Client)
}

// load publishes in bursts.
func (p *publisher) load(ctx context.Context, c *client.Client) {
	defer close(p.done)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(p.rand.Int64N(int64(2 * p.pace)))):
		}
		for range 1 + p.rand.IntN(4) {
			if !p.publish(ctx, c) {
				return
			}
		}
		if p.rand.IntN(20) == 0 {
			short, cancel := context.WithTimeout(ctx, time.Duration(p.rand.IntN(300))*time.Millisecond)
			c.Flush(short)
			cancel()
		}
		if p.kind == syncedStore && p.rand.IntN(200) == 0 {
			if err := c.RenewLife(); err != nil && ctx.Err() == nil {
				p.renewFailed(err)
			}
		}
	}
}

// renewFailed notes that a new life could not begin, unless the process is dead.
func (p *publisher) renewFailed(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.killed {
		p.run.reportError("%s: renew: %v", p.app.Name, err)
	}
}

// publish publishes one message; false ends the load.
func (p *publisher) publish(ctx context.Context, c *client.Client) bool {
	p.n++
	m := &checker.Publication{App: p.app.Name, N: p.n, Topic: "orders", PublishedAt: p.run.clock.Add(1), HasBase: p.plain}
	m.Body = fmt.Sprintf("%s-%d ", m.App, m.N) + strings.Repeat(".", p.size())
	if p.n%3 == 1 && !p.plain {
		m.Body += withHeaders
	}
	if p.onCommand {
		m.Topic = p.topic
	} else if p.rand.IntN(3) == 0 {
		m.Topic = "ticks"
	}
	p.mu.Lock()
	p.published, p.accepted = append(p.published, m), append(p.accepted, time.Time{})
	p.mu.Unlock()

	sequence, err := p.publishTo(ctx, c, m)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case err == nil:
		m.Fate, m.Sequence = checker.Accepted, sequence
		p.accepted[len(p.accepted)-1] = time.Now()
	case p.killed: // the message may be in the store
	case ctx.Err() != nil:
		m.Fate = checker.Refused
	default:
		m.Fate = checker.Refused
		p.run.reportError("%s: publish: %v", p.app.Name, err)
	}
	return err == nil
}

// withHeaders is the end of the body of a message that has headers.
const withHeaders = "h"

// headersOf returns the headers of a message, by its body.
func headersOf(body string) (h pubstore.Headers) {
	if strings.HasSuffix(body, withHeaders) {
		h.Set("length", fmt.Sprint(len(body)))
		h.Set("any", body[:min(len(body), 20)]+"\x00\xff")
	}
	return h
}

// contentText returns the body of a message, and its headers if they are not those of the body.
func contentText(body, headers []byte) string {
	if bytes.Equal(headers, headersOf(string(body)).Encoded()) {
		return string(body)
	}
	return fmt.Sprintf("%s with headers %q", body, headers)
}

// publishTo publishes m, which is the last of published, every third time with a ticket.
// A message that the ticket has reported as safe must not be lost with the process.
func (p *publisher) publishTo(ctx context.Context, c *client.Client, m *checker.Publication) (sequence uint64, err error) {
	if p.onCommand || p.n%3 != 0 {
		return c.PublishMessage(ctx, &pubstore.Message{Topic: m.Topic, Body: []byte(m.Body), Headers: headersOf(m.Body)})
	}
	ticket, err := c.PublishTicket(ctx, m.Topic, []byte(m.Body))
	if err != nil {
		return 0, err
	}
	p.mu.Lock()
	i := len(p.published) - 1
	p.mu.Unlock()
	p.tickets.Go(func() {
		if ticket.AwaitSafe(ctx) == nil {
			p.mu.Lock()
			defer p.mu.Unlock()
			p.safe[i] = true
		}
	})
	return ticket.Sequence(), nil
}

// size draws the length of a message.
func (p *publisher) size() int {
	if p.onCommand {
		return 8
	}
	if p.rand.IntN(50) == 0 {
		return p.rand.IntN(20_000)
	}
	return p.rand.IntN(200)
}

// kill ends the process, and with it its machine unless mode is memfs.KeepAll.
func (p *publisher) kill(mode memfs.Mode) {
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	p.app.Crash(mode)
	p.processEnded(mode)
}

// close ends the process in order, with whatever is on its way.
func (p *publisher) close() {
	p.run.Net.Resume(p.app.Name)
	p.stop()
	p.mu.Lock()
	p.killed = true
	p.mu.Unlock()
	p.app.close()
	p.processEnded(memfs.KeepAll)
}

// processEnded notes the messages that are lost with the process.
func (p *publisher) processEnded(mode memfs.Mode) {
	p.cancel()
	<-p.done
	p.tickets.Wait()
	p.running = false
	p.mu.Lock()
	defer p.mu.Unlock()
	for i := range p.published {
		m := p.published[i]
		lost := p.kind == memoryStore && i >= p.processStart && m.Sequence > p.letGoThrough ||
			p.kind == fileStore && mode != memfs.KeepAll && time.Since(p.accepted[i]) < 100*time.Millisecond
		if lost && !p.safe[i] && m.Fate == checker.Accepted {
			m.Fate = checker.Unknown
		}
	}
}

// restart starts another process if there is none.
func (p *publisher) restart() {
	if p.running {
		return
	}
	if p.kind == memoryStore {
		p.app.Configure(func(c *client.Config) { c.PublishStore = p.watchStore(pubstore.NewMemory(pubstore.MemoryOptions{})) })
	}
	p.start()
}

// stop ends the load.
func (p *publisher) stop() {
	if p.running {
		p.cancel()
		<-p.done
		p.tickets.Wait()
	}
}

// end ends the load and the process in order.
func (p *publisher) end() {
	p.stop()
	p.running = false
}

// A subscriber is an application that reads one subscription.
type subscriber struct {
	run     *randomRun
	name    string
	app     *App
	history *checker.Reader
	rand    *rand.Rand // the loop's; one goroutine at a time
	opts    []client.SubscribeOption
	pace    time.Duration // the time that a message takes
	maxHeld int           // messages that wait to be discarded in any order
	running bool

	// Of one whose process is restarted with its place: the file, and how often it was.
	dir    string
	copies int
	db     *bbolt.DB
	store  *bookmarkstore.Bolt

	mu            sync.Mutex
	killed        bool            // guarded by mu
	handledBodies map[string]bool // bodies that need not be handed any more to this process; guarded by mu

	cancel context.CancelFunc
	done   chan struct{}
}

// startSubscribers starts one that is killed and restarted, and some of the others.
func (r *randomRun) startSubscribers() {
	all := []func(s *subscriber){
		func(s *subscriber) {
			s.name, s.dir, s.maxHeld = "again", memoryDir(r.TB), r.rand.IntN(6)
			s.opts = []client.SubscribeOption{client.From(client.MostRecent), client.ID("place")}
		},
		func(s *subscriber) {
			s.name, s.history.Topic = "epoch", "orders"
			s.opts = []client.SubscribeOption{client.From(client.Epoch)}
		},
		func(s *subscriber) {
			s.name = "now"
			s.opts = []client.SubscribeOption{client.From(client.Now)}
		},
		func(s *subscriber) {
			s.name, s.history.FullyDurable = "sure", true
			s.opts = []client.SubscribeOption{client.From(client.Epoch), client.FullyDurable()}
		},
		func(s *subscriber) {
			s.name, s.history.Topic, s.maxHeld = "slow", "orders", 3
			s.pace = time.Duration(1+r.rand.IntN(15)) * time.Millisecond
			s.opts = []client.SubscribeOption{client.From(client.Epoch)}
		},
	}
	for i, n := range append([]int{0}, r.rand.Perm(4)[:2+r.rand.IntN(2)]...) {
		if i > 0 {
			n++
		}
		r.subscribe(n, r.serverOrder(), all[n])
	}
	if r.settings.third {
		r.subscribe(5, []string{"c"}, func(s *subscriber) {
			s.name = "aside"
			s.opts = []client.SubscribeOption{client.From(client.Epoch)}
		})
	}
}

func (r *randomRun) subscribe(n int, servers []string, configure func(*subscriber)) {
	s := &subscriber{run: r, history: &checker.Reader{}, rand: rand.New(rand.NewPCG(r.seed, uint64(20+n)))}
	configure(s)
	s.history.Name = s.name
	// A fully durable one would wait on the third for ever (R13).
	if r.settings.third && !s.history.FullyDurable && len(servers) > 1 && s.rand.IntN(2) == 0 {
		servers = append(servers, "c")
	}
	queue := []int{0, 8, 100}[r.rand.IntN(3)]
	if s.pace > 0 {
		queue = 8
	}
	s.app = r.NewApp(s.name, servers, func(c *client.Config) {
		c.QueueMessages = queue
		c.PublishStore = pubstore.NewMemory(pubstore.MemoryOptions{})
	})
	r.logf("%s reads %q from %v, queue %d", s.name, s.history.Topic, servers, queue)
	r.subscribers = append(r.subscribers, s)
	r.onClose(s.end)
	s.start()
}

// start starts a process.
func (s *subscriber) start() {
	has := make(map[string]bool)
	for _, life := range s.history.Processes {
		for _, m := range life {
			if m.State != checker.NotDiscarded {
				has[m.Body] = true
			}
		}
	}
	s.history.Processes = append(s.history.Processes, nil)
	s.mu.Lock()
	s.killed, s.handledBodies = false, has
	s.mu.Unlock()
	if s.dir != "" {
		s.open()
		s.app.Configure(func(c *client.Config) { c.BookmarkStore = s.store })
	}
	s.app.start()
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel, s.done, s.running = cancel, make(chan struct{}), true
	go s.read(ctx, s.app.Client)
}

// read subscribes and reads.
func (s *subscriber) read(ctx context.Context, c *client.Client) {
	defer close(s.done)
	topic, opts := s.history.Topic, s.opts
	if topic == "" {
		topic = ".*"
	}
	sub, err := c.Subscribe(ctx, topic, opts...)
	if err != nil {
		s.subscriptionEnded(ctx, err)
		return
	}
	if s.name == "now" {
		s.mu.Lock()
		s.history.Since = s.run.clock.Add(1)
		s.mu.Unlock()
	}
	var held []*heldMessage
	for m, err := range sub.Messages(ctx) {
		if err != nil {
			s.subscriptionEnded(ctx, err)
			return
		}
		if s.pace > 0 {
			<-time.After(time.Duration(s.rand.Int64N(int64(2 * s.pace))))
		}
		if h := s.recordHanded(m); h != nil {
			held = s.discard(ctx, sub, append(held, h))
		}
	}
}

// heldMessage is a message that was handed over and is not discarded.
type heldMessage struct {
	*checker.Delivery
	mark client.MessageRef
}

// recordHanded notes a message; nil if the process is dead.
func (s *subscriber) recordHanded(m *client.Message) *heldMessage {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.killed {
		return nil
	}
	h := &checker.Delivery{Bookmark: m.Bookmark, Body: contentText(m.Body, m.Headers.Encoded())}
	life := &s.history.Processes[len(s.history.Processes)-1]
	*life = append(*life, h)
	s.handledBodies[h.Body] = true
	return &heldMessage{h, m.Ref()}
}

// discard discards some of the held messages, in any order, and now and then waits until
// that is on disk.
func (s *subscriber) discard(ctx context.Context, sub *client.Subscription, all []*heldMessage) []*heldMessage {
	for len(all) > s.maxHeld {
		i := s.rand.IntN(len(all))
		s.setDiscard([]*heldMessage{all[i]}, checker.Discarding)
		if err := sub.Discard(all[i].mark); err != nil {
			s.subscriptionEnded(ctx, err)
			return nil
		}
		all = append(all[:i], all[i+1:]...)
	}
	if s.store != nil && s.rand.IntN(30) == 0 {
		s.sync(ctx)
	}
	return all
}

// sync waits until all discards are on disk.
func (s *subscriber) sync(ctx context.Context) {
	s.mu.Lock()
	life := s.history.Processes[len(s.history.Processes)-1]
	s.mu.Unlock()
	var discarded []*heldMessage
	for _, h := range life {
		if h.State == checker.Discarding {
			discarded = append(discarded, &heldMessage{Delivery: h})
		}
	}
	if err := s.store.Sync(ctx); err != nil {
		s.subscriptionEnded(ctx, err)
		return
	}
	s.setDiscard(discarded, checker.DiscardDurable)
}

// setDiscard notes how far discards have come, unless the process is dead.
func (s *subscriber) setDiscard(all []*heldMessage, to checker.DiscardState) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, h := range all {
		if !s.killed {
			h.State = to
		}
	}
}

// subscriptionEnded notes the error of a subscription, unless its end was wanted.
func (s *subscriber) subscriptionEnded(ctx context.Context, err error) {
	s.mu.Lock()
	killed := s.killed
	s.mu.Unlock()
	if !killed && ctx.Err() == nil {
		s.run.reportError("%s: %v", s.name, err)
	}
}

func (s *subscriber) path() string { return filepath.Join(s.dir, fmt.Sprintf("%d.db", s.copies)) }

// open opens the place. Nothing but the process dies here, so that the file
// need not be synced.
func (s *subscriber) open() {
	s.run.TB.Helper()
	db, err := bbolt.Open(s.path(), 0o600, &bbolt.Options{NoSync: true, NoFreelistSync: true})
	if err != nil {
		s.run.TB.Fatal(err)
	}
	store, err := bookmarkstore.OpenBoltIn(db, "bookmarks", bookmarkstore.BoltOptions{CommitInterval: 40 * time.Millisecond})
	if err != nil {
		s.run.TB.Fatal(err)
	}
	s.db, s.store = db, store
}

// kill ends the process; its file stays as it is at this moment.
func (s *subscriber) kill() {
	s.run.TB.Helper()
	s.run.Advance(0)
	image, err := os.ReadFile(s.path())
	if err != nil {
		s.run.TB.Fatal(err)
	}
	s.close()
	s.copies++
	if err := os.WriteFile(s.path(), image, 0o600); err != nil {
		s.run.TB.Fatal(err)
	}
}

func (s *subscriber) close() {
	s.mu.Lock()
	s.killed = true
	s.mu.Unlock()
	s.app.Kill()
	s.cancel()
	<-s.done
	s.running = false
	if s.store != nil {
		s.store.Close()
		s.db.Close()
	}
}

// restart starts another process if there is none.
func (s *subscriber) restart() {
	if !s.running {
		s.start()
	}
}

// end ends the process, whatever comes of its place.
func (s *subscriber) end() {
	if s.running {
		s.close()
	}
}

// complete reports whether all that was taken has been handed over.
func (s *subscriber) complete() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.run.publishers {
		for _, m := range p.published {
			if m.Fate == checker.Accepted && (s.history.Topic == "" || m.Topic == s.history.Topic) &&
				(s.name != "now" || s.history.Since > 0 && m.PublishedAt > s.history.Since) && !s.handledBodies[m.Body] {
				return false
			}
		}
	}
	return true
}
