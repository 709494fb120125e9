package sim

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/clientcore"
	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/wire"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// Topics that are published to.
const (
	topicA       = "a"
	topicB       = "b"
	topicRefused = "refused"  // by every instance alike
	topicNothing = "/devnull" // taken, and nothing to keep
)

const (
	storeMessages = 512 // bound of a publish store
	windowMost    = 64  // messages in flight
	batchMost     = 32  // publishes in one packet
	storeDir      = "outbox"
)

// A publisher is a publisher application with its store.
type publisher struct {
	caller
	memory bool // its store lives as long as the process
	always bool // its store syncs each append
	fs     *memfs.FS
	boot   int // of its machine
	store  pubstore.Store
	core   *clientcore.Publisher
	visit  clientcore.Visit

	life    pubstore.Life
	old     bool
	cursor  pubstore.Cursor
	ready   bool // logged on under life: it may send
	filling bool
	inSync  bool
	quiet   bool // publishes nothing any more
}

func (w *world) addPublisher(name string, memory bool) *publisher {
	p := &publisher{memory: memory, fs: memfs.New()}
	p.always = !memory && w.load.IntN(3) == 0
	p.init(w, name)
	p.connected, p.took, p.gone = p.logon, p.take, p.lost
	w.publishers = append(w.publishers, p)
	return p
}

// start starts the process.
func (p *publisher) start() {
	w := p.w
	p.open()
	p.core = clientcore.NewPublisher(p.store.Lives(), windowMost, 1<<20)
	p.visit = clientcore.Visit{}
	p.cursor, p.ready, p.filling, p.inSync = nil, false, false, false
	w.oracle.opened(p)
	p.launch()
	p.work()
	p.tick()
}

func (p *publisher) newLife() string {
	p.w.lives++
	return fmt.Sprintf("%s-%d-%d", p.name, p.w.o.Seed, p.w.lives)
}

func (p *publisher) open() {
	if p.memory {
		p.store = pubstore.NewMemory(pubstore.MemoryOptions{MaxMessages: storeMessages, FailWhenFull: true, NewLife: p.newLife})
		return
	}
	s, err := pubstore.OpenFile(storeDir, pubstore.FileOptions{
		FS: p.fs, MaxMessages: storeMessages, FailWhenFull: true, SegmentBytes: 16 << 10,
		SyncInterval: -1, SyncAlways: p.always, NewLife: p.newLife,
		BootID: func() (string, error) { return fmt.Sprint(p.boot), nil },
	})
	if err != nil {
		p.w.oracle.violate("%s: its store can't be opened: %v", p.name, err)
		panic(stopRun{})
	}
	p.store = s
}

// work publishes now and then.
func (p *publisher) work() {
	w := p.w
	if !p.quiet {
		for range 1 + w.load.IntN(w.set.burst) {
			p.publish()
		}
		p.fill()
	}
	w.after(between(w.load, w.set.pace/2, w.set.pace*3/2), &p.process, 'p', p.work)
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
		topic = topicNothing
	}
	w.bodies++
	body := w.bodies
	m := pubstore.Message{Topic: topic, Body: binary.LittleEndian.AppendUint64(nil, body)}
	seq, err := p.store.Append(context.Background(), &m)
	switch {
	case errors.Is(err, pubstore.ErrFull):
		return
	case err != nil:
		w.oracle.violate("%s: publish: %v", p.name, err)
		return
	}
	lives := p.store.Lives()
	w.oracle.accepted(p, lives[len(lives)-1].ID, seq, topic, body)
}

// tick is what a store and a session do by time.
func (p *publisher) tick() {
	w := p.w
	if f, is := p.store.(*pubstore.File); is {
		if err := f.Sync(); err != nil {
			w.oracle.violate("%s: sync of its store: %v", p.name, err)
		}
		w.oracle.synced(p)
	}
	if p.up {
		if p.visit.Due(p.store.Lives(), p.inSync, w.now-p.began) && w.now-p.began >= clientcore.AgainSpacing {
			p.visit.StartOver()
			p.reconnect("former lives are offered again")
		} else {
			p.fill()
		}
	}
	w.after(between(w.load, 10*time.Millisecond, 40*time.Millisecond), &p.process, 'y', p.tick)
}

// reconnect ends the connection to log on again at the same server.
func (p *publisher) reconnect(why string) {
	p.w.say("%s: %s", p.name, why)
	p.leave()
	if p.s != nil {
		p.s.close()
		p.s = nil
	}
	p.up = false
	p.connect(p.server)
}

// logon says which life is published under.
func (p *publisher) logon() {
	p.life, p.old = p.visit.Next(p.store.Lives())
	counter, err := p.store.Logon(p.name)
	if err != nil {
		p.w.oracle.violate("%s: logon counter: %v", p.name, err)
		return
	}
	p.core.Expect(p.life, p.old)
	cmd := wire.LogonCommand{
		CommandID: logonID, ClientName: p.name, Acks: wire.AckProcessed,
		Ext: true, Store: p.life.ID, Counter: counter, Acked: p.life.Acked,
	}
	p.send(cmd.AppendTo)
}

func (p *publisher) take(m *wire.Message) {
	switch {
	case isLogonAck(m):
		p.loggedOn(m)
	case m.Command == wire.Ack && m.Acks == wire.AckPersisted && m.HasSequence:
		p.persisted(m)
	}
}

func (p *publisher) loggedOn(m *wire.Message) {
	b := p.core.Begin(p.life, clientcore.LogonAnswer{Ext: true, Safe: m.Sequence, Have: m.Have, Clock: 1})
	if b.Gap {
		p.ended(errGap)
		return
	}
	p.letGo(b.LetGo)
	if b.RolledBack {
		p.w.counts.RollBacks++
		if err := p.store.Renew(); err != nil {
			p.w.oracle.violate("%s: renew: %v", p.name, err)
		}
		p.old = true
	}
	after := b.After
	if mut.On(mut.R1NewBeforeReplay) {
		lives := p.store.Lives()
		after = lives[len(lives)-1].Last
	}
	cursor, err := p.store.Cursor(p.life.ID, after)
	if errors.Is(err, pubstore.ErrNoLife) {
		p.visit.Settled(p.life.ID, false)
		p.up = true
		p.reconnect("the life keeps nothing")
		return
	}
	p.up, p.ready, p.cursor = true, true, cursor
	p.w.say("%s: on %s as %s, safe %d, have %d", p.name, p.server.name, p.life.ID, m.Sequence, m.Have)
	p.fill()
}

// letGo has the store let go of what is safe.
func (p *publisher) letGo(through uint64) {
	if through == 0 {
		return
	}
	p.w.oracle.letGo(p, p.life.ID, through)
	if err := p.store.Discard(p.life.ID, through); err != nil {
		p.w.oracle.violate("%s: discard: %v", p.name, err)
	}
}

// fill sends as far as store and window allow.
func (p *publisher) fill() {
	if !p.ready || p.s == nil {
		return
	}
	if lives := p.store.Lives(); !p.old && lives[len(lives)-1].ID != p.life.ID {
		p.old = true
		p.core.Renewed()
	}
	var batch []byte
	for n := 0; p.core.Room(); n++ {
		var m pubstore.Message
		more, err := p.cursor.Next(&m)
		if err != nil {
			p.w.oracle.violate("%s: read the store: %v", p.name, err)
			return
		}
		if !more {
			p.core.Exhausted()
			break
		}
		if n > 0 && n%batchMost == 0 {
			p.s.send(batch)
			batch = nil
		}
		batch = p.appendPublish(batch, &m)
	}
	if len(batch) > 0 {
		p.s.send(batch)
	}
	p.settled()
}

func (p *publisher) appendPublish(batch []byte, m *pubstore.Message) []byte {
	seq, _ := p.core.Write(m.Sequence, m.Size())
	cmd := wire.PublishCommand{Topic: m.Topic, Acks: wire.AckPersisted, Sequence: seq, Body: m.Body}
	if m.Prev != m.Sequence-1 && !mut.On(mut.R1RejectIsHole) {
		cmd.Prev, cmd.HasPrev = m.Prev, true
	}
	return cmd.AppendTo(batch)
}

// settled goes on to the next life when this one is finished.
func (p *publisher) settled() {
	if p.core.Finished() {
		p.visit.Settled(p.life.ID, false)
		p.reconnect("life " + p.life.ID + " is settled")
	}
}

func (p *publisher) persisted(m *wire.Message) {
	if string(m.Status) == wire.StatusFailure {
		p.rejected(m.Sequence)
		return
	}
	e := p.core.Persisted(m.Sequence, string(m.Level) == wire.LevelSingle)
	p.letGo(e.LetGo)
	if e.Single > 0 {
		p.store.Single(p.life.ID, e.Single)
	}
	if e.InSync && p.visit.Unsafe() {
		p.inSync = true
	}
	if !p.ready {
		return
	}
	if e.Opened {
		p.fill()
	} else if p.s != nil {
		p.settled()
	}
}

// rejected has the application told, a little later, and lets the message go then.
func (p *publisher) rejected(sequence uint64) {
	p.w.oracle.refused(p, p.life.ID, sequence)
	seq, ok := p.core.Reject(sequence)
	if !ok {
		return
	}
	life := p.life.ID
	if _, err := p.store.Get(life, seq); errors.Is(err, pubstore.ErrNotKept) {
		p.told(life, seq)
		return
	}
	p.w.after(between(p.w.load, 0, 5*time.Millisecond), &p.process, 'j', func() {
		p.w.oracle.rejected(p, life, seq)
		if err := p.store.Reject(life, seq); err != nil {
			p.w.oracle.violate("%s: reject: %v", p.name, err)
		}
		p.told(life, seq)
	})
}

func (p *publisher) told(life string, seq uint64) {
	p.core.Told(life, seq)
	if p.ready && p.s != nil {
		p.fill()
	}
}

// leave ends what a connection has open.
func (p *publisher) leave() {
	p.ready, p.inSync = false, false
	if p.cursor != nil {
		p.cursor.Close()
		p.cursor = nil
	}
}

// lost is told of the end of a connection.
func (p *publisher) lost(cause error) (again bool) {
	p.leave()
	p.core.Forget(p.store.Lives())
	switch {
	case errors.Is(cause, errGap) && p.old:
		p.w.counts.Gaps++
		p.visit.Settled(p.life.ID, true)
		return true
	case errors.Is(cause, errName):
		p.core.NameInUse()
	}
	p.visit = clientcore.Visit{}
	return false
}

// seen has retention remember the lives that a store keeps. In a run of
// seconds retain is seconds, too; a store that keeps a life for twice as long
// as retain is another matter.
func (p *publisher) seen(i *instance) {
	if !p.alive {
		for _, l := range p.w.oracle.of(p) {
			i.j.Seen(l.publisher)
		}
		return
	}
	for _, l := range p.store.Lives() {
		i.j.Seen(publisherOf(l.ID))
	}
}

// kill ends the process; power also cuts the power of its machine.
func (p *publisher) kill(mode memfs.Mode, power bool) {
	p.leave()
	p.die(power)
	p.w.oracle.closed(p, power)
	if p.memory {
		return
	}
	p.fs = p.fs.Crash(mode)
	if power {
		p.boot++
	}
}

// describe says how a publisher stands, for a run that does not come to rest.
func (p *publisher) describe() string {
	text := fmt.Sprintf("up %v on %s as %s, old %v, in flight %d, lives %v", p.up, p.server.name, p.life.ID, p.old, p.core.InFlight(), p.store.Lives())
	for _, i := range p.w.instances {
		text += fmt.Sprintf("; %s links %+v", i.name, i.links.Status())
	}
	return text
}

// publisherOf is the id of a life as servers know it.
func publisherOf(life string) uint64 { return bookmark.Hash(life) }
