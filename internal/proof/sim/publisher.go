package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// Topics that are published to.
const (
	topicA       = "a"
	topicB       = "b"
	topicRefused = "refused"       // by every instance alike
	topicDevnull = "/AMPS/devnull" // taken, and nothing to keep
)

const (
	storeMessages = 512 // bound of a publish store
	storeDir      = "outbox"
)

// A publisher is a publisher application with its store.
type publisher struct {
	client
	memoryStore    bool // its store lives as long as the process
	syncAlways     bool // its store syncs each append
	fs             *memfs.FS
	boot           int           // of its machine
	quiet          bool          // publishes nothing any more
	rolledBack     bool          // its machine was rolled back
	sessionTakenAt time.Duration // when a forger last took its session; 0: never
}

func (w *world) addPublisher(name string, memory bool) *publisher {
	p := &publisher{memoryStore: memory, fs: memfs.New()}
	p.syncAlways = !memory && w.load.IntN(3) == 0
	p.init(w, name, p)
	p.user = w.user(userRed)
	w.publishers = append(w.publishers, p)
	return p
}

// start starts the process.
func (p *publisher) start() {
	p.store = p.open()
	p.w.oracle.storeOpened(p)
	p.launch(p.store)
	p.publishBursts()
	p.syncStore()
}

// newLife names a life of a store.
func (c *client) newLife() string {
	c.w.lives++
	return fmt.Sprintf("%s-%d-%d", c.name, c.w.options.Seed, c.w.lives)
}

func (p *publisher) open() pubstore.Store {
	if p.memoryStore {
		return pubstore.NewMemory(pubstore.MemoryOptions{MaxMessages: storeMessages, FailWhenFull: true, NewLife: p.newLife})
	}
	s, err := pubstore.OpenFile(storeDir, testdoor.OnDisk(pubstore.FileOptions{
		MaxMessages: storeMessages, FailWhenFull: true, SegmentBytes: 16 << 10,
		SyncInterval: -1, SyncAlways: p.syncAlways, NewLife: p.newLife,
		BootID: func() (string, error) { return fmt.Sprint(p.boot), nil },
	}, p.fs))
	if err != nil {
		p.w.oracle.violate("%s: its store can't be opened: %v", p.name, err)
		panic(stopRun{})
	}
	return s
}

// publishBursts publishes now and then.
func (p *publisher) publishBursts() {
	w := p.w
	if !p.quiet {
		for range 1 + w.load.IntN(w.settings.burst) {
			p.publish()
		}
		p.fill()
	}
	w.after(between(w.load, w.settings.burstInterval/2, w.settings.burstInterval*3/2), &p.process, 'p', p.publishBursts)
}

func (p *publisher) publish() {
	w := p.w
	topic := topicA
	switch n := w.load.IntN(100); {
	case n < 30:
		topic = topicB
	case n < 33:
		topic = topicRefused
	case n < 34:
		topic = topicDevnull
	}
	w.bodies++
	body := w.bodies
	m := pubstore.Message{Topic: topic, Body: binary.LittleEndian.AppendUint64(nil, body), Headers: headersOf(body)}
	seq, err := p.store.Append(context.Background(), &m)
	if errors.Is(err, pubstore.ErrFull) {
		return
	}
	p.checkStoreError(err)
	lives := p.store.Lives()
	w.oracle.accepted(p, lives[len(lives)-1].ID, seq, topic, body)
}

// headersOf returns the headers of a message, by its body. One of three messages has some.
func headersOf(body uint64) (h pubstore.Headers) {
	if body%3 == 0 {
		h.Set("body", fmt.Sprint(body))
		h.Set("any", string(make([]byte, body%50)))
	}
	return h
}

// syncStore syncs the store.
func (p *publisher) syncStore() {
	w := p.w
	if f, ok := p.store.(*pubstore.File); ok {
		p.checkStoreError(f.Sync())
		w.oracle.storeSynced(p)
	}
	w.after(between(w.load, 10*time.Millisecond, 40*time.Millisecond), &p.process, 'y', p.syncStore)
}

// letGo tells the oracle which messages the store lets go of as safe.
func (p *publisher) letGo(life string, through uint64) {
	if through > 0 {
		p.w.oracle.letGo(p, life, through)
	}
}

// rejected tells the application, a little later, and then lets the message go.
func (p *publisher) rejected(r clientcore.Rejection) {
	m, err := r.Message(p.store)
	p.checkStoreError(err)
	if m == nil {
		p.finishRejection(r)
		return
	}
	p.w.after(between(p.w.load, 0, 5*time.Millisecond), &p.process, 'j', func() {
		p.w.oracle.rejected(p, &r)
		p.checkStoreError(r.LetGo(p.store))
		p.finishRejection(r)
	})
}

func (p *publisher) finishRejection(r clientcore.Rejection) {
	e := p.core.RejectionReported(&r)
	p.applyAck(&e)
}

// A publisher has no subscriptions.
func (p *publisher) acceptsServer(*clientcore.Server) bool { return true }
func (p *publisher) attach()                               {}
func (p *publisher) onDisconnect()                         {}
func (p *publisher) onFrame(*wire.Message)                 {}
func (p *publisher) handleQueued()                         {}

// announceLives has retention remember the lives that a store keeps. In a run of
// seconds retain is seconds, too; that a store keeps a life for longer is
// for some runs only.
func (p *publisher) announceLives(i *instance) {
	if !p.alive && p.w.forgottenReturn() {
		return
	}
	if !p.alive {
		for _, l := range p.w.oracle.livesOf(p) {
			i.j.Touch(l.publisher)
		}
		return
	}
	for _, l := range p.store.Lives() {
		i.j.Touch(publisherOf(l.ID))
	}
}

// kill ends the process; power also cuts the power of its machine.
func (p *publisher) kill(mode memfs.Mode, power bool) {
	p.die(power)
	p.w.oracle.publisherDied(p, power)
	if p.memoryStore {
		return
	}
	p.fs = p.fs.Crash(mode)
	if power {
		p.boot++
	}
}

// publisherOf is the id of a life as servers know it.
func publisherOf(life string) uint64 { return bookmark.IdentityOfLife(life).ID }
