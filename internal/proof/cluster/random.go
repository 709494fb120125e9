package cluster

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/server"
)

// Random runs a whole system under load and under faults, both drawn from seed, lets the
// faults end and everything come to rest, and judges the history by
// checker.History.Check. It returns how often each kind of fault happened.
func Random(t *testing.T, seed uint64) map[string]int {
	t.Helper()
	var faults map[string]int
	synctest.Test(t, func(t *testing.T) {
		r := newRandom(New(t), seed)
		defer r.report()
		r.start()
		r.injectFaults()
		r.recover()
		r.judge()
		faults = r.faults
	})
	return faults
}

// A randomRun is one random run. It is for one goroutine, except for the fields that mu
// guards.
type randomRun struct {
	*System
	seed     uint64
	rand     *rand.Rand // draws the setting
	settings settings
	haveMet  bool // the instances begin as ones of a group that have met

	publishers  []*publisher
	subscribers []*subscriber
	instances   []*instance
	undo        []undoAction
	begun       time.Time
	unseenUntil time.Time // until then a peer may not see that the other one has died
	log         []string
	faults      map[string]int // by kind

	clock atomic.Int64 // of History

	mu           sync.Mutex
	disks        map[string]*memfs.FS          // of the instances; guarded by mu
	sample       *rand.Rand                    // draws which discards to look at; guarded by mu
	sampleEvery  int                           // look at one discard in sampleEvery
	knownDurable map[*memfs.FS]bookmark.Vector // the known durable content of each disk; guarded by mu
	losses       map[string]loss               // by instance: the content of the disk last wiped; guarded by mu
	acked        map[uint64]bookmark.Bookmark  // by publisher: the last message that its store has let go of; guarded by mu
	letGo        []checker.LetGoEvent          // guarded by mu
	errors       []string                      // guarded by mu
}

// settings stay the same during a run.
type settings struct {
	downgrade     time.Duration // 0: never
	rejoin        time.Duration // 0: as elsewhere
	third         bool          // an asynchronous instance c
	segment       int64
	swarm         bool // some kinds of faults are left out
	length        time.Duration
	faultInterval time.Duration // between two faults, on average
}

// A loss is the content of a disk when it was wiped or damaged.
type loss struct {
	had       bookmark.Vector // its peer counts on it until it has lost the connection
	noticedAt time.Time       // when it has
	safe      bookmark.Vector // the part that the other disk had, too: acks for it are right
	acksUntil time.Time       // when those that were on their way have come
}

// ackGrace is how long an ack may be on its way, silenceTimeout how long a peer may take
// to notice silence.
const (
	ackGrace       = 20 * time.Second
	silenceTimeout = 6 * time.Second
)

// merge adds the content that an earlier loss of the same disk still counts as having.
func (l loss) merge(earlier loss) loss {
	now := time.Now()
	if now.Before(earlier.noticedAt) {
		l.had.Merge(earlier.had)
		if earlier.noticedAt.After(l.noticedAt) {
			l.noticedAt = earlier.noticedAt
		}
	}
	if now.Before(earlier.acksUntil) {
		l.safe.Merge(earlier.safe)
	}
	return l
}

// counted returns how far a disk that has lost something counts as having a publisher.
func (l loss) counted(publisher uint64, on uint64) uint64 {
	now := time.Now()
	if now.Before(l.noticedAt) {
		on = max(on, l.had[publisher])
	}
	if now.Before(l.acksUntil) {
		on = max(on, l.safe[publisher])
	}
	return on
}

func newRandom(s *System, seed uint64) *randomRun {
	r := &randomRun{
		System: s, seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), begun: time.Now(),
		faults:       make(map[string]int),
		sample:       rand.New(rand.NewPCG(seed, 1)),
		sampleEvery:  5,
		disks:        make(map[string]*memfs.FS),
		knownDurable: make(map[*memfs.FS]bookmark.Vector),
		losses:       make(map[string]loss),
		acked:        make(map[uint64]bookmark.Bookmark),
	}
	r.settings = settings{
		third:         r.rand.IntN(4) == 0,
		segment:       1 << 20,
		swarm:         r.rand.IntN(3) == 0,
		length:        time.Duration(4+r.rand.IntN(12)) * time.Second,
		faultInterval: time.Duration(100+r.rand.IntN(600)) * time.Millisecond,
	}
	if r.rand.IntN(3) > 0 {
		r.settings.downgrade = time.Duration(200+r.rand.IntN(1500)) * time.Millisecond
	}
	if r.rand.IntN(2) == 0 {
		r.settings.segment = 64 << 10
	}
	return r
}

// start starts the instances and the applications.
func (r *randomRun) start() {
	r.TB.Helper()
	names := map[string][]string{"a": {"b"}, "b": {"a"}}
	if r.settings.third {
		names["c"] = nil
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		r.addInstance(name, time.Duration(20+r.rand.IntN(1500))*time.Microsecond, names[name]...)
	}
	r.AwaitSync()
	r.startPublishers()
	r.startSubscribers()
	r.logf("%+v", r.settings)
}

// addInstance starts an instance with a given time of an fsync.
func (r *randomRun) addInstance(name string, sync time.Duration, peers ...string) {
	r.TB.Helper()
	n := r.Add(name, func(c *server.Config) { r.configure(c, name) }, peers...)
	i := &instance{Node: n, run: r, syncTime: sync}
	r.instances = append(r.instances, i)
	n.FS.SetSyncDelay(i.syncTime)
	r.noteDisk(i)
	if r.haveMet {
		n.Join(journal.ClusterID{1}, true)
	}
	n.Start()
}

func (r *randomRun) configure(c *server.Config, name string) {
	c.Log.Segment = server.Size(r.settings.segment)
	c.DrainTimeout = server.Duration(500 * time.Millisecond)
	if r.settings.rejoin > 0 {
		c.RejoinTimeout = server.Duration(r.settings.rejoin)
	}
	if name == "c" {
		return
	}
	for i := range c.Replication.Destinations {
		c.Replication.Destinations[i].DowngradeAfter = server.Duration(r.settings.downgrade)
	}
	if r.settings.third {
		c.Replication.Destinations = append(c.Replication.Destinations, server.Destination{Name: "c", Address: "c:9107", Ack: "async"})
	}
}

// logf writes to the log of the run.
func (r *randomRun) logf(format string, args ...any) {
	r.log = append(r.log, fmt.Sprintf("%9.4fs  ", time.Since(r.begun).Seconds())+fmt.Sprintf(format, args...))
}

// report prints the log of a run that has failed.
func (r *randomRun) report() {
	if r.TB.Failed() {
		r.TB.Logf("seed %d:\n%s", r.seed, strings.Join(r.log, "\n"))
	}
}

// reportError notes an error that nothing entitles an application or instance to.
func (r *randomRun) reportError(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// recover ends all faults and waits until everything is at rest: all that was
// published is safe, and was handed to every subscriber.
func (r *randomRun) recover() {
	r.TB.Helper()
	for len(r.undo) > 0 {
		u := r.undo[0]
		r.undo = r.undo[1:]
		u.f() // may be the beginning of another fault
	}
	r.logf("all faults end")
	for _, host := range r.hosts() {
		for _, other := range r.hosts() {
			r.Heal(host, other)
		}
		r.Net.Resume(host)
	}
	for _, i := range r.instances {
		if i.armed && i.Server != nil {
			i.crash(memfs.KeepAll) // or its disk would fail later
		}
		i.restore()
	}
	for _, p := range r.publishers {
		p.restart()
	}
	for _, s := range r.subscribers {
		s.restart()
	}
	r.Advance(100 * time.Millisecond)
	for _, p := range r.publishers {
		p.stop()
	}
	r.awaitOrDescribe("the instances to be in sync", func() bool {
		return !slices.ContainsFunc(r.instances, func(i *instance) bool { return i.Server == nil || !i.inSync() })
	})
	r.awaitOrDescribe("all to be safe", func() bool {
		return !slices.ContainsFunc(r.publishers, func(p *publisher) bool { return p.app.Store.Usage().Messages > 0 })
	})
	for _, s := range r.subscribers {
		r.awaitOrDescribe(s.name+" to be handed all", s.complete)
	}
	r.Advance(3 * time.Second) // for messages that come too often
}

// awaitOrDescribe is Await that says more when it takes too long.
func (r *randomRun) awaitOrDescribe(description string, condition func() bool) {
	r.TB.Helper()
	for start := time.Now(); ; {
		synctest.Wait()
		if condition() {
			return
		}
		if time.Since(start) > waitTimeout {
			r.describe()
			r.TB.Fatalf("seed %d: waited %v for %s", r.seed, waitTimeout, description)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// describe logs the state of everything.
func (r *randomRun) describe() {
	for _, e := range r.errors {
		r.logf("%s", e)
	}
	for _, i := range r.instances {
		if i.Server != nil {
			r.logf("%s: %+v", i.Name, i.Server.Status())
		}
	}
	for _, p := range r.publishers {
		if p.running {
			r.logf("%s: %+v, lives %+v", p.app.Name, p.app.Client.Stats(), p.app.Store.Lives())
		}
	}
	for _, s := range r.subscribers {
		if s.running {
			r.logf("%s: %+v", s.name, s.app.Client.Stats())
		}
	}
}

// judge stops everything and checks the history.
func (r *randomRun) judge() {
	r.TB.Helper()
	r.collectErrors()
	for _, p := range r.publishers {
		p.end()
	}
	for _, s := range r.subscribers {
		s.end()
	}
	r.Finish()
	h := r.history()
	found := h.Check()
	for _, v := range found[:min(len(found), 12)] {
		r.TB.Errorf("seed %d: %s", r.seed, v)
	}
	if len(found) > 12 {
		r.TB.Errorf("seed %d: and %d more", r.seed, len(found)-12)
	}
}

// collectErrors collects the complaints of instances and applications about things that
// never happened.
func (r *randomRun) collectErrors() {
	for _, i := range r.instances {
		if i.Server == nil {
			continue
		}
		st := i.Server.Status()
		if st.Differing > 0 {
			r.reportError("%s found %d identities with two contents", i.Name, st.Differing)
		}
		for _, l := range st.Links {
			if l.Diverged > 0 {
				r.reportError("%s found its journal and that of %s to differ", i.Name, l.Peer)
			}
		}
	}
	for _, a := range r.apps() {
		for _, e := range a.Events() {
			for _, bad := range []string{"rejected", "rolled back", "subscription gap"} {
				if strings.HasPrefix(e, bad) {
					r.reportError("%s was told: %s", a.Name, e)
				}
			}
		}
	}
}

// history puts together the history of the run.
func (r *randomRun) history() *checker.History {
	r.TB.Helper()
	h := &checker.History{LetGo: r.letGo, Errors: r.errors}
	for _, p := range r.publishers {
		h.Published = append(h.Published, p.published...)
	}
	for _, i := range r.instances {
		j := checker.Journal{Instance: i.Name, OneWay: i.Name == "c"}
		i.eachRecord(func(rec *journal.Record) { j.Records = append(j.Records, stored(rec)) })
		h.Journals = append(h.Journals, j)
	}
	for _, s := range r.subscribers {
		h.Readers = append(h.Readers, s.history)
	}
	return h
}

func stored(r *journal.Record) checker.Record {
	return checker.Record{
		Bookmark: bookmark.Bookmark{Publisher: r.Publisher, Sequence: r.Sequence},
		Prev:     r.Prev, Kind: r.Kind, Topic: string(r.Topic), Body: contentText(r.Body, r.Headers),
	}
}

// noteDisk tells the oracle which disk an instance has.
func (r *randomRun) noteDisk(i *instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.disks[i.Name] = i.FS
}

// durable returns how far a disk has a publisher durable, or at least want.
func (r *randomRun) durableLocked(fs *memfs.FS, want bookmark.Bookmark) uint64 {
	if v := r.knownDurable[fs]; v[want.Publisher] >= want.Sequence {
		return v[want.Publisher]
	}
	v := durableOn(fs)
	r.knownDurable[fs] = v
	return v[want.Publisher]
}

// durableOn returns the content of a disk after a power cut, without records after
// damage.
func durableOn(fs *memfs.FS) bookmark.Vector {
	v := make(bookmark.Vector)
	j, err := journal.Open(journal.Options{FS: fs.Image(memfs.Durable), Dir: "data", SetAside: true})
	if err != nil {
		return v
	}
	defer j.Close()
	f := j.Follow(j.First(), journal.Durable)
	defer f.Close()
	for {
		var r journal.Record
		if ok, err := f.Next(&r); !ok || err != nil {
			return v
		}
		v[r.Publisher] = r.Sequence
	}
}

// noteDiscard is called before a store lets go of messages.
func (r *randomRun) noteDiscard(app string, through bookmark.Bookmark, single bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.acked[through.Publisher].Sequence >= through.Sequence {
		return
	}
	r.acked[through.Publisher] = through
	if r.sample.IntN(r.sampleEvery) > 0 {
		return // reading the disks takes long
	}
	l := checker.LetGoEvent{App: app, Through: through, Durable: make(map[string]bookmark.Bookmark), Single: single}
	for name, fs := range r.disks {
		if name == "c" {
			continue
		}
		on := r.losses[name].counted(through.Publisher, r.durableLocked(fs, through))
		l.Durable[name] = bookmark.Bookmark{Publisher: through.Publisher, Sequence: on}
	}
	r.letGo = append(r.letGo, l)
}

// hosts returns the names of all hosts.
func (r *randomRun) hosts() []string {
	var names []string
	for _, i := range r.instances {
		names = append(names, i.Name)
	}
	for _, a := range r.apps() {
		names = append(names, a.Name)
	}
	return names
}

func (r *randomRun) apps() []*App {
	var apps []*App
	for _, p := range r.publishers {
		apps = append(apps, p.app)
	}
	for _, s := range r.subscribers {
		apps = append(apps, s.app)
	}
	return apps
}
