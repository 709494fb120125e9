package fuseimages

import (
	"context"
	"errors"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/bookmarkstore"
	"github.com/holdfast-mq/holdfast/internal/proof/crashimages"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// Bookmarks returns bookmarkstore.Bolt on m, and the same with SyncAlways.
func Bookmarks(m *Mount, always bool) crashimages.Subject {
	name := "bolt-bookmarks"
	if always {
		name += "-sync-always"
	}
	return crashimages.Subject{Name: name, New: func(seed uint64) crashimages.Model {
		return &bookmarksModel{m: m, always: always, rand: newRand(seed), publishers: map[uint64]*discards{}}
	}}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 11)) }

// discards are the calls for the messages of one publisher.
type discards struct {
	base      uint64          // messages up to it are not the subscription's
	received  uint64          // highest one received
	discarded map[uint64]bool // Discard was called; true: that is durable
}

// through returns up to where all were discarded, or durably so.
func (p *discards) through(durably bool) uint64 {
	n := p.base
	for {
		durable, discarded := p.discarded[n+1]
		if !discarded || durably && !durable {
			return n
		}
		n++
	}
}

// A bookmarksModel is a subscription in a bookmark store and the calls for its messages.
type bookmarksModel struct {
	m       *Mount
	always  bool
	rand    *rand.Rand
	release func()
	store   *bookmarkstore.Bolt
	sub     bookmarkstore.Subscription

	baseKnown  bool // SetBase has returned
	publishers map[uint64]*discards
}

// Clone implements crashimages.Model.
func (l *bookmarksModel) Clone(seed uint64) crashimages.Model {
	c := &bookmarksModel{m: l.m, always: l.always, rand: newRand(seed), baseKnown: l.baseKnown, publishers: map[uint64]*discards{}}
	for id, p := range l.publishers {
		copied := *p
		copied.discarded = maps.Clone(p.discarded)
		c.publishers[id] = &copied
	}
	return c
}

// Open implements crashimages.Model.
func (l *bookmarksModel) Open(disk *memfs.FS, _ bool) error {
	path, release, err := l.m.Attach(disk, file)
	if err != nil {
		return err
	}
	l.release = release
	l.store, err = bookmarkstore.OpenBolt(path, bookmarkstore.BoltOptions{CommitInterval: time.Hour, SyncAlways: l.always})
	if err == nil {
		l.sub, err = l.store.OpenSubscription("s", bookmarkstore.Query{Topic: "orders"})
	}
	return err
}

// Use implements crashimages.Model.
func (l *bookmarksModel) Use(steps int) error {
	if !l.baseKnown {
		if err := l.setBase(); err != nil {
			return err
		}
	}
	for range steps {
		if err := l.step(l.rand.IntN(10)); err != nil {
			return err
		}
	}
	return nil
}

func (l *bookmarksModel) setBase() error {
	base := bookmarkstore.Vector{1: 5, 2: 1}
	for id := range uint64(3) {
		if l.publishers[id+1] == nil {
			l.publishers[id+1] = &discards{base: base[id+1], received: base[id+1], discarded: map[uint64]bool{}}
		}
	}
	err := l.sub.SetBase(base)
	l.baseKnown = err == nil
	return err
}

func (l *bookmarksModel) step(action int) error {
	id := 1 + l.rand.Uint64N(3)
	switch {
	case action < 4:
		for range 1 + l.rand.IntN(3) {
			p := l.publishers[id]
			p.received++
			if !l.sub.Receive(bookmarkstore.Bookmark{Publisher: id, Sequence: p.received}) {
				return crashimages.Violatef("message %d of %d is new and is dropped", p.received, id)
			}
		}
		return nil
	case action < 8:
		return l.discard(id)
	}
	return l.sync()
}

// discard discards some of the outstanding messages, in no order.
func (l *bookmarksModel) discard(id uint64) error {
	p := l.publishers[id]
	for range 2 {
		if p.received == p.base {
			return nil
		}
		n := p.base + 1 + l.rand.Uint64N(p.received-p.base)
		if _, again := p.discarded[n]; again {
			continue
		}
		p.discarded[n] = false
		if err := l.sub.Discard(bookmarkstore.Bookmark{Publisher: id, Sequence: n}); err != nil {
			return err
		}
		p.discarded[n] = l.always
	}
	return nil
}

func (l *bookmarksModel) sync() error {
	err := l.store.Sync(context.Background())
	if err == nil {
		l.allDurable()
	}
	return err
}

// allDurable notes that all that was discarded is durable.
func (l *bookmarksModel) allDurable() {
	for _, p := range l.publishers {
		for n := range p.discarded {
			p.discarded[n] = true
		}
	}
}

// Close implements crashimages.Model.
func (l *bookmarksModel) Close() error {
	err := l.store.Close()
	if err == nil {
		l.allDurable()
	}
	return err
}

// CheckFailed implements crashimages.Model.
func (l *bookmarksModel) CheckFailed() error {
	if l.sub == nil {
		return nil
	}
	_, subErr := l.store.OpenSubscription("t", bookmarkstore.Query{Topic: "orders"})
	discardErr := l.sub.Discard(bookmarkstore.Bookmark{Publisher: 1, Sequence: 1})
	for i, err := range []error{l.store.Sync(context.Background()), subErr, discardErr, l.store.Close()} {
		if _, failed := errors.AsType[*bookmarkstore.FailedError](err); !failed {
			return crashimages.Violatef("call %d after the disk failed: %v", i, err)
		}
	}
	return nil
}

// Kill implements crashimages.Model.
func (l *bookmarksModel) Kill() {
	if l.store != nil {
		l.store.Close()
	}
	if l.release != nil {
		l.release()
	}
}

// Check implements crashimages.Model: the place is never ahead of the discards, and never
// behind the durable ones (R9).
func (l *bookmarksModel) Check() error {
	v, known := l.sub.Discarded()
	if !known {
		if l.baseKnown {
			return crashimages.Violatef("the subscription is not known")
		}
		l.publishers = map[uint64]*discards{}
		return nil
	}
	for _, id := range slices.Sorted(maps.Keys(v)) {
		if l.publishers[id] == nil {
			return crashimages.Violatef("a publisher that was never used: %v", v)
		}
	}
	for id, p := range l.publishers {
		if err := l.checkPublisher(id, p, v[id]); err != nil {
			return err
		}
	}
	l.baseKnown = true
	return nil
}

// checkPublisher receives again all above the place of one publisher.
func (l *bookmarksModel) checkPublisher(id uint64, p *discards, place uint64) error {
	if least, most := p.through(true), p.through(false); place < least || place > most {
		return crashimages.Violatef("the place of %d is %d, discarded are %v from %d on", id, place, p.discarded, p.base)
	}
	found := make(map[uint64]bool)
	for n := place + 1; n <= p.received; n++ {
		fresh := l.sub.Receive(bookmarkstore.Bookmark{Publisher: id, Sequence: n})
		durable, discarded := p.discarded[n]
		switch {
		case fresh && durable:
			return crashimages.Violatef("message %d of %d was durably discarded and comes again", n, id)
		case !fresh && !discarded:
			return crashimages.Violatef("message %d of %d was not discarded and is dropped", n, id)
		case !fresh:
			found[n] = true
		}
	}
	p.base, p.discarded, p.received = place, found, max(p.received, place)
	return nil
}
