package crashimages

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testdoor"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// writeBackTime is more than a store takes to write back its changes.
const writeBackTime = 50 * time.Millisecond

// File is pubstore.File as it is by default, FileAlways with SyncAlways, and
// FileCompacting with a script that lets go of most but for old messages.
var (
	File = Subject{"file", func(seed uint64) Model {
		return newFile(seed, pubstore.FileOptions{SegmentBytes: 700})
	}}

	FileAlways = Subject{"file-sync-always", func(seed uint64) Model {
		return newFile(seed, pubstore.FileOptions{SegmentBytes: 900, SyncAlways: true})
	}}

	FileCompacting = Subject{"file-compacting", func(seed uint64) Model {
		l := newFile(seed, pubstore.FileOptions{SegmentBytes: 1500})
		l.Churn = true
		return l
	}}
)

// A fileModel is a pubstore.File on a disk in memory.
type fileModel struct {
	*PublishStoreModel
	o pubstore.FileOptions
}

func newFile(seed uint64, o pubstore.FileOptions) *fileModel {
	p := NewPublishStoreModel(seed)
	p.SyncAlways, p.RejectSurvivesKill = o.SyncAlways, true
	return &fileModel{p, o}
}

// Open implements Model.
func (l *fileModel) Open(disk *memfs.FS, killed bool) error {
	o := testdoor.OnDisk(l.o, disk)
	return l.PublishStoreModel.Open(killed, func(boot func() (string, error)) (pubstore.Store, error) {
		o.BootID = boot
		return pubstore.OpenFile("store", o)
	})
}

// Clone implements Model.
func (l *fileModel) Clone(seed uint64) Model { return &fileModel{l.PublishStoreModel.Clone(seed), l.o} }

// A promise is the promise of a store for one life (R10). A life is called a stream here.
type promise struct {
	tried     uint64 // Append was called for it
	appended  uint64 // Append returned it
	durable   uint64 // it is safe against a power cut as well
	discarded uint64 // Discard was called for it
	letGo     uint64 // that is safe against a power cut as well
	rejected  map[uint64]rejection
}

// A rejection says how far a Reject got.
type rejection uint8

const (
	rejecting       rejection = iota // it was called
	rejectReturned                   // it has returned
	rejectedForGood                  // it is safe against a power cut as well
)

// least returns up to where messages must be there.
func (p *promise) least(cut bool) uint64 {
	if cut {
		return p.durable
	}
	return p.appended
}

// mayVanish reports whether nothing of the stream need be kept.
func (p *promise) mayVanish(cut bool) bool {
	for n := p.discarded + 1; n <= p.least(cut); n++ {
		if _, rejected := p.rejected[n]; !rejected {
			return false
		}
	}
	return true
}

// allDurable notes that all of it has reached the disk.
func (p *promise) allDurable() {
	p.durable, p.letGo = p.appended, p.discarded
	for n, r := range p.rejected {
		if r == rejectReturned {
			p.rejected[n] = rejectedForGood
		}
	}
}

// A PublishStoreModel is a publish store and its promises.
type PublishStoreModel struct {
	// SyncAlways says that an Append that has returned is safe against a power
	// cut, RejectSurvivesKill that a Reject that has returned is safe against a kill.
	SyncAlways, RejectSurvivesKill bool
	// Churn has it reject nearly all that it publishes.
	Churn bool
	// WriteBack makes the store write back its changes; by default it just waits.
	WriteBack func(pubstore.Store) error

	rand    *rand.Rand
	store   pubstore.Store
	streams map[string]*promise
	current string
	counter uint64
	boot    int

	openReturned bool // Open has returned
	renewing     bool // Renew was called and has not returned
	closing      bool // Close was called
	powerLost    bool // power was lost since the last check
	rebooted     bool // the same, since Open last returned
}

// NewPublishStoreModel returns a model whose calls are drawn from seed.
func NewPublishStoreModel(seed uint64) *PublishStoreModel {
	return &PublishStoreModel{WriteBack: sleepForWriteBack, rand: newRand(seed), streams: make(map[string]*promise)}
}

// sleepForWriteBack gives the store the time to write back its changes, and returns its
// error.
func sleepForWriteBack(s pubstore.Store) error {
	time.Sleep(writeBackTime)
	lives := s.Lives()
	_, err := s.Cursor(lives[len(lives)-1].ID, 0)
	return err
}

// Clone returns a Publisher with the same promises and no store.
func (w *PublishStoreModel) Clone(seed uint64) *PublishStoreModel {
	c := *w
	c.store, c.rand, c.streams = nil, newRand(seed), make(map[string]*promise, len(w.streams))
	for id, p := range w.streams {
		copied := *p
		copied.rejected = maps.Clone(p.rejected)
		c.streams[id] = &copied
	}
	return &c
}

// Open opens the store with the boot id of the machine, which is another one
// if the last process wasn't just killed.
func (w *PublishStoreModel) Open(killed bool, open func(boot func() (string, error)) (pubstore.Store, error)) (err error) {
	if !killed {
		w.boot++
		w.powerLost, w.rebooted = true, true
	}
	boot := fmt.Sprint("boot ", w.boot)
	w.openReturned = w.openReturned && len(w.streams) > 0
	s, err := open(func() (string, error) { return boot, nil })
	if err != nil {
		w.openReturned = false
		return err
	}
	w.store = s
	if len(w.streams) == 0 {
		w.streamBegun()
		w.openReturned, w.rebooted, w.powerLost, w.closing = true, false, false, false
	}
	return nil
}

// streamBegun takes note of a stream that the store has begun.
func (w *PublishStoreModel) streamBegun() {
	lives := w.store.Lives()
	w.current = lives[len(lives)-1].ID
	w.streams[w.current] = &promise{rejected: make(map[uint64]rejection)}
}

// Use implements Model.
func (w *PublishStoreModel) Use(steps int) error {
	for range steps {
		if err := w.step(w.rand.IntN(20)); err != nil {
			return err
		}
	}
	return nil
}

func (w *PublishStoreModel) step(action int) error {
	switch {
	case w.Churn && action%2 == 0:
		return w.churn()
	case action < 8:
		return w.append(1 + w.rand.IntN(4))
	case action < 11:
		return w.discard(w.anyStream())
	case action < 13:
		return w.reject(w.anyStream())
	case action < 17:
		return w.awaitDurable()
	case action < 18:
		return w.renew()
	case action < 19:
		return w.logon()
	}
	return w.store.SetPlainOffset(w.current, 99)
}

// anyStream returns a stream, mostly one with messages.
func (w *PublishStoreModel) anyStream() string {
	ids := slices.Sorted(maps.Keys(w.streams))
	ids = slices.DeleteFunc(ids, func(id string) bool { p := w.streams[id]; return p.discarded == p.appended })
	if len(ids) == 0 {
		return w.current
	}
	return ids[w.rand.IntN(len(ids))]
}

func (w *PublishStoreModel) append(n int) error {
	for range n {
		p := w.streams[w.current]
		p.tried++
		seq, err := w.store.Append(context.Background(), publishMessage(w.current, p.tried))
		if err != nil {
			return err
		}
		if seq != p.tried {
			return Violatef("Append gave out %d, want %d", seq, p.tried)
		}
		p.appended = seq
		if w.SyncAlways {
			p.durable = seq
		}
	}
	return nil
}

// publishMessage is a message that says which it is.
func publishMessage(stream string, seq uint64) *pubstore.Message {
	body := make([]byte, 0, 256)
	body = fmt.Appendf(body, "%s %d ", stream, seq)
	m := &pubstore.Message{Topic: "orders", Body: append(body, strings.Repeat(".", int(seq*37%150))...)}
	if seq%3 == 0 {
		m.Headers.Set("n", fmt.Sprint(seq, "\x00\xff"))
	}
	return m
}

func (w *PublishStoreModel) discard(stream string) error {
	p := w.streams[stream]
	p.discarded += uint64(w.rand.IntN(int(min(p.appended-p.discarded, 6)) + 1))
	return w.store.Discard(stream, p.discarded)
}

func (w *PublishStoreModel) reject(stream string) error {
	p := w.streams[stream]
	if p.discarded == p.appended {
		return nil
	}
	return w.rejectOne(stream, p.discarded+1+w.rand.Uint64N(p.appended-p.discarded))
}

func (w *PublishStoreModel) rejectOne(stream string, n uint64) error {
	p := w.streams[stream]
	if _, again := p.rejected[n]; again {
		return nil
	}
	p.rejected[n] = rejecting
	err := w.store.Reject(stream, n)
	if err == nil {
		p.rejected[n] = rejectReturned
	}
	return err
}

// churn publishes some messages and has all but the last rejected.
func (w *PublishStoreModel) churn() error {
	if err := w.append(6); err != nil {
		return err
	}
	last := w.streams[w.current].appended
	for n := last - 5; n < last; n++ {
		if err := w.rejectOne(w.current, n); err != nil {
			return err
		}
	}
	return w.awaitDurable()
}

// awaitDurable waits until all changes are safe against a power cut.
func (w *PublishStoreModel) awaitDurable() error {
	if err := w.WriteBack(w.store); err != nil {
		return err
	}
	for _, p := range w.streams {
		p.allDurable()
	}
	return nil
}

func (w *PublishStoreModel) renew() error {
	w.renewing = true
	err := w.store.Renew()
	if err == nil {
		w.renewing = false
		w.streamBegun()
	}
	return err
}

func (w *PublishStoreModel) logon() error {
	counter, err := w.store.Logon("gateway")
	if err == nil && counter <= w.counter {
		err = Violatef("Logon counts %d after %d", counter, w.counter)
	}
	if err == nil {
		w.counter = counter
	}
	return err
}

// Close implements Model.
func (w *PublishStoreModel) Close() error {
	w.closing = true
	err := w.store.Close()
	if err == nil {
		for _, p := range w.streams {
			p.allDurable()
		}
	}
	return err
}

// Kill implements Model.
func (w *PublishStoreModel) Kill() {
	if w.store != nil {
		w.store.Close()
	}
}

// CheckFailed implements Model.
func (w *PublishStoreModel) CheckFailed() error {
	if w.store == nil {
		return nil
	}
	_, appendErr := w.store.Append(context.Background(), &pubstore.Message{Topic: "t"})
	_, logonErr := w.store.Logon("gateway")
	_, cursorErr := w.store.Cursor(w.current, 0)
	for call, err := range map[string]error{
		"Append": appendErr, "Logon": logonErr, "Cursor": cursorErr, "Discard": w.store.Discard(w.current, 1),
		"Reject": w.store.Reject(w.current, 1), "SetBase": w.store.SetPlainOffset(w.current, 1), "Renew": w.store.Renew(), "Close": w.store.Close(),
	} {
		if _, failed := errors.AsType[*pubstore.FailedError](err); !failed {
			return Violatef("%s after the disk failed: %v", call, err)
		}
	}
	return nil
}

// A finding is the content of a stream.
type finding struct {
	pubstore.Life
	kept, prev []uint64
}

// Check implements Model.
func (w *PublishStoreModel) Check() error {
	var found []finding
	for _, l := range w.store.Lives() {
		f, err := w.findStream(l)
		if err != nil {
			return err
		}
		found = append(found, f)
	}
	current := found[len(found)-1].ID
	for _, f := range found {
		p := w.streams[f.ID]
		if p == nil { // a new one, or one whose Renew (or Open) had not returned
			if f.Last != 0 || f.ID != current {
				return Violatef("a life that was never used: %+v", f)
			}
			continue
		}
		// A life that continues has all messages that it ever gave out.
		if err := w.checkStream(f, p, w.powerLost && f.ID != current); err != nil {
			return err
		}
	}
	for id, p := range w.streams {
		if !p.mayVanish(w.powerLost) && !slices.ContainsFunc(found, func(f finding) bool { return f.ID == id }) {
			return Violatef("life %s is missing although it has %+v", id, *p)
		}
	}
	if err := w.checkCurrent(current); err != nil {
		return err
	}
	w.adopt(found)
	return nil
}

// findStream reads the messages of a stream.
func (w *PublishStoreModel) findStream(l pubstore.Life) (finding, error) {
	f := finding{Life: l}
	c, err := w.store.Cursor(l.ID, 0)
	if err != nil {
		return f, err
	}
	defer c.Close()
	for {
		var m pubstore.Message
		ok, err := c.Next(&m)
		if !ok || err != nil {
			return f, err
		}
		if want := publishMessage(l.ID, m.Sequence); !bytes.Equal(m.Body, want.Body) || m.Topic != want.Topic || !bytes.Equal(m.Headers.Encoded(), want.Headers.Encoded()) {
			return f, Violatef("message %d of %s reads %q on %q", m.Sequence, l.ID, m.Body, m.Topic)
		}
		f.kept, f.prev = append(f.kept, m.Sequence), append(f.prev, m.Prev)
	}
}

// checkCurrent checks that a new stream was begun exactly if one had to be (R10).
func (w *PublishStoreModel) checkCurrent(id string) error {
	_, old := w.streams[id]
	switch {
	case w.rebooted && old && !w.closing:
		return Violatef("goes on with %s although the machine has booted", id)
	case !w.rebooted && id != w.current && w.openReturned && !w.renewing && !w.closing:
		return Violatef("goes on with %s instead of %s although the machine has not booted", id, w.current)
	}
	return nil
}

// checkStream checks one stream. cut: the machine may have lost changes that were not
// synced.
func (w *PublishStoreModel) checkStream(f finding, p *promise, cut bool) error {
	if f.Acked > p.discarded || f.Acked < p.letGo || f.Last > p.tried || f.Last < p.least(cut) {
		return Violatef("life is %+v, promised %+v", f.Life, *p)
	}
	prev, i := f.Acked, 0
	for n := f.Acked + 1; n <= f.Last; n++ {
		kept := i < len(f.kept) && f.kept[i] == n
		r, rejected := p.rejected[n]
		gone := r == rejectedForGood || r == rejectReturned && !w.powerLost && w.RejectSurvivesKill
		switch {
		case kept && f.prev[i] != prev:
			return Violatef("message %d names %d before it, want %d: %+v", n, f.prev[i], prev, f)
		case kept && gone:
			return Violatef("message %d was rejected and is kept: %+v", n, f)
		case !kept && !rejected:
			return Violatef("message %d is missing: %+v, promised %+v", n, f, *p)
		}
		if kept {
			prev = n
			i++
		}
	}
	if i != len(f.kept) || f.Kept != len(f.kept) {
		return Violatef("life is %+v, %d above its acked were kept", f, i)
	}
	return nil
}

// adopt makes the findings the promises: Open has made them durable.
func (w *PublishStoreModel) adopt(found []finding) {
	w.streams = make(map[string]*promise, len(found))
	for _, f := range found {
		p := &promise{
			tried: f.Last, appended: f.Last, durable: f.Last,
			discarded: f.Acked, letGo: f.Acked, rejected: make(map[uint64]rejection),
		}
		for n := f.Acked + 1; n <= f.Last; n++ {
			if !slices.Contains(f.kept, n) {
				p.rejected[n] = rejectedForGood
			}
		}
		w.streams[f.ID], w.current = p, f.ID
	}
	if w.powerLost {
		w.counter = 0 // a new life is a new publisher, whose logons count anew
	}
	w.openReturned, w.renewing, w.closing, w.powerLost, w.rebooted = true, false, false, false, false
}
