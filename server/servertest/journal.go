package servertest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"slices"
	"sync"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A Message is a message in the journal of an instance.
type Message struct {
	Publisher uint64 // id, as in bookmarks
	Sequence  uint64
	Topic     string
	Body      []byte
}

// Have returns the highest sequence of a publisher in the journal, including
// rejected messages, or 0 if there is none. The publisher is an id as
// [Instance.PublisherID] returns it. If the instance is not running, Have reads its
// disk.
func (i *Instance) Have(publisher uint64) uint64 {
	i.t.Helper()
	if i.isRunning() {
		return testdoor.Inside(i.srv).Have(publisher)
	}
	var have uint64
	i.eachRecord(func(r *journal.Record) {
		if r.Publisher == publisher {
			have = max(have, r.Sequence)
		}
	})
	return have
}

// Messages returns the messages of a topic in the journal, in journal order. With
// an empty topic it returns the messages of all topics. If the instance is not
// running, Messages reads its disk.
func (i *Instance) Messages(topic string) (all []Message) {
	i.t.Helper()
	if i.isRunning() {
		found, err := testdoor.Inside(i.srv).Messages(topic)
		if err != nil {
			i.t.Fatalf("servertest: read the journal of %s: %v", i.cfg.Name, err)
		}
		for _, m := range found {
			all = append(all, Message(m))
		}
		return all
	}
	i.eachRecord(func(r *journal.Record) {
		if r.Kind == journal.Message && (topic == "" || topic == string(r.Topic)) {
			all = append(all, Message{
				Publisher: r.Publisher, Sequence: r.Sequence, Topic: string(r.Topic), Body: bytes.Clone(r.Body),
			})
		}
	})
	return all
}

// eachRecord calls f with each record on the disk of an instance that is not running.
func (i *Instance) eachRecord(f func(*journal.Record)) {
	i.t.Helper()
	disk := seglog.OS
	if i.disk != nil {
		disk = i.disk
	}
	err := journals.Dump(disk, i.config().Data, func(r *journal.Record) error {
		f(r)
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		i.t.Fatalf("servertest: read the journal on the disk of %s: %v", i.cfg.Name, err)
	}
}

// PublisherID returns the id under which the client of that name publishes. The id is
// that of its last logon to the instance, or to either instance of a pair. With a
// publish store it identifies the life of the store; a memory store begins a new
// life at each start. If no such client has logged on as a publisher,
// PublisherID fails the test.
func (i *Instance) PublisherID(client string) uint64 {
	i.t.Helper()
	return i.publisherID(client)
}

// PublisherID returns the id under which the client of that name publishes; see
// [Instance.PublisherID].
func (p *Pair) PublisherID(client string) uint64 {
	p.t.Helper()
	return p.publisherID(client)
}

func (w *world) publisherID(client string) uint64 {
	w.t.Helper()
	id, names := w.publishers.lookup(client)
	if id == 0 {
		w.t.Fatalf("servertest: no client named %q has logged on as a publisher; those that have: %q", client, names)
	}
	return id
}

// publishers are the clients that have logged on as publishers. Safe for concurrent use.
type publishers struct {
	mu  sync.Mutex
	ids map[string]uint64 // guarded by mu: by client name
}

func newPublishers() *publishers { return &publishers{ids: make(map[string]uint64)} }

// addLogon notes a logon and returns the publisher id of the client, 0 if it has
// none. With our extensions the id belongs to the life of the client's store,
// without them to the client's name.
func (p *publishers) addLogon(logon *wire.Message) uint64 {
	name := string(logon.ClientName)
	id := servercore.PublisherOf(logon).ID
	if id == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids[name] = id
	return id
}

// lookup returns the id of a client, 0 if there is none, and the names of all clients.
func (p *publishers) lookup(client string) (id uint64, names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ids[client], slices.Sorted(maps.Keys(p.ids))
}

// describe describes a publisher by its id and, if known, its client name.
func (p *publishers) describe(id uint64) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, publisher := range p.ids {
		if publisher == id {
			return fmt.Sprintf("publisher %d (%s)", id, name)
		}
	}
	return fmt.Sprintf("publisher %d", id)
}

// Converged compares the journals of both instances, running or not. It returns nil
// if they hold the same messages of each publisher in the same order, as a linked
// pair promises; otherwise it returns an error that names the first
// difference. Between publishers the order may differ. Messages of topics that the
// pair does not replicate count as a difference.
func (p *Pair) Converged() error {
	p.t.Helper()
	a, b := byPublisher(p.A.Messages("")), byPublisher(p.B.Messages(""))
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, publisher := range slices.Sorted(maps.Keys(all)) {
		if diff := difference(a[publisher], b[publisher]); diff != "" {
			return fmt.Errorf("%s: %s", p.publishers.describe(publisher), diff)
		}
	}
	return nil
}

// AwaitConverged waits until both journals hold the same messages (see Converged),
// for a minute at most. While clients publish, the journals may never be equal.
// Messages that a client has not flushed may not have reached either instance.
func (p *Pair) AwaitConverged() {
	p.t.Helper()
	p.await("both journals to hold the same", p.Converged)
}

func byPublisher(messages []Message) map[uint64][]Message {
	all := make(map[uint64][]Message)
	for _, m := range messages {
		all[m.Publisher] = append(all[m.Publisher], m)
	}
	return all
}

// difference describes the first difference between the messages of one publisher
// on a and b. It returns "" if there is none.
func difference(a, b []Message) string {
	for n := range min(len(a), len(b)) {
		if a[n].Sequence != b[n].Sequence {
			return fmt.Sprintf("where a has sequence %d, b has %d", a[n].Sequence, b[n].Sequence)
		}
		if a[n].Topic != b[n].Topic || !bytes.Equal(a[n].Body, b[n].Body) {
			return fmt.Sprintf("sequence %d has two contents: %s %q at a, %s %q at b", a[n].Sequence, a[n].Topic, a[n].Body, b[n].Topic, b[n].Body)
		}
	}
	if len(a) != len(b) {
		return fmt.Sprintf("a has %d messages, b has %d", len(a), len(b))
	}
	return ""
}
