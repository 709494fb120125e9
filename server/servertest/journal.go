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
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/server"
)

// Have returns the highest sequence of a publisher that the journal holds,
// refused ones included, 0 if there is none; see Publisher. Of an instance
// that isn't running it is what its disk holds.
func (i *Instance) Have(publisher uint64) uint64 {
	i.t.Helper()
	if i.isRunning() {
		return i.s.Have(publisher)
	}
	var have uint64
	i.dump(func(r *journal.Record) {
		if r.Publisher == publisher {
			have = max(have, r.Sequence)
		}
	})
	return have
}

// Messages returns the messages of a topic that the journal holds, in its
// order, or of all topics if it is empty. Of an instance that isn't running it
// is what its disk holds.
func (i *Instance) Messages(topic string) []server.Message {
	i.t.Helper()
	if i.isRunning() {
		all, err := i.s.Messages(topic)
		if err != nil {
			i.t.Fatalf("servertest: read the journal of %s: %v", i.cfg.Name, err)
		}
		return all
	}
	var all []server.Message
	i.dump(func(r *journal.Record) {
		if r.Kind == journal.Message && (topic == "" || topic == string(r.Topic)) {
			all = append(all, server.Message{
				Publisher: r.Publisher, Sequence: r.Sequence, Topic: string(r.Topic), Body: bytes.Clone(r.Body),
			})
		}
	})
	return all
}

// dump calls f with the records on the disk of an instance that isn't running.
func (i *Instance) dump(f func(*journal.Record)) {
	i.t.Helper()
	cfg := i.config()
	disk := cfg.FS
	if disk == nil {
		disk = seglog.OS
	}
	err := journals.Dump(disk, cfg.Data, func(r *journal.Record) error {
		f(r)
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		i.t.Fatalf("servertest: read the journal on the disk of %s: %v", i.cfg.Name, err)
	}
}

// Publisher returns the id under which the client of that name publishes, as
// it has last logged on to the instance, or to either of a pair: with a publish
// store it is the store's life, and a memory store has a new one at each start.
func (i *Instance) Publisher(client string) uint64 {
	i.t.Helper()
	return i.idOf(client)
}

// Publisher returns the id under which the client of that name publishes, see
// [Instance.Publisher].
func (p *Pair) Publisher(client string) uint64 {
	p.t.Helper()
	return p.idOf(client)
}

func (w *world) idOf(client string) uint64 {
	w.t.Helper()
	id, names := w.publishers.of(client)
	if id == 0 {
		w.t.Fatalf("servertest: no client named %q has logged on as a publisher; those that have: %q", client, names)
	}
	return id
}

// publishers are the clients that have logged on. Safe for concurrent use.
type publishers struct {
	mu  sync.Mutex
	ids map[string]uint64 // guarded by mu: by client name
}

func newPublishers() *publishers { return &publishers{ids: make(map[string]uint64)} }

// loggedOn notes a logon and returns the id that it publishes as, 0 for none:
// with our extensions that of its store's life, without that of its name.
func (p *publishers) loggedOn(logon *wire.Message) uint64 {
	name := string(logon.ClientName)
	id := servercore.IdentityOf(logon).ID
	if id == 0 {
		return 0
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.ids[name] = id
	return id
}

// of returns the id of a client, 0 if there is none, and the names of all.
func (p *publishers) of(client string) (id uint64, names []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ids[client], slices.Sorted(maps.Keys(p.ids))
}

// name says who a publisher is, as far as that is known.
func (p *publishers) name(id uint64) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for name, publisher := range p.ids {
		if publisher == id {
			return fmt.Sprintf("publisher %d (%s)", id, name)
		}
	}
	return fmt.Sprintf("publisher %d", id)
}

// Converged returns nil if the journals of both, running or not, hold the same
// messages of every publisher in the same order (G5), and otherwise an error
// that names the first difference. Between publishers the order may differ.
// Topics that the pair does not replicate make a difference.
func (p *Pair) Converged() error {
	p.t.Helper()
	a, b := byPublisher(p.A.Messages("")), byPublisher(p.B.Messages(""))
	all := maps.Clone(a)
	maps.Copy(all, b)
	for _, publisher := range slices.Sorted(maps.Keys(all)) {
		if what := difference(a[publisher], b[publisher]); what != "" {
			return fmt.Errorf("%s: %s", p.publishers.name(publisher), what)
		}
	}
	return nil
}

// AwaitConverged waits until both journals hold the same, see Converged, for a
// minute at most. While messages are being published they may never do, and
// what a client has not flushed may not have reached either.
func (p *Pair) AwaitConverged() {
	p.t.Helper()
	p.await("both journals to hold the same", p.Converged)
}

func byPublisher(messages []server.Message) map[uint64][]server.Message {
	by := make(map[uint64][]server.Message)
	for _, m := range messages {
		by[m.Publisher] = append(by[m.Publisher], m)
	}
	return by
}

// difference says where the messages of one publisher differ, if they do.
func difference(a, b []server.Message) string {
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
