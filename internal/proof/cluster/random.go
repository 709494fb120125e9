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

// Random runs a whole system under load and under faults, both drawn from
// seed, lets the faults end and everything come to rest, and judges what was
// seen by checker.History.Check. It returns how often each kind of fault happened.
func Random(t *testing.T, seed uint64) map[string]int {
	t.Helper()
	var faults map[string]int
	synctest.Test(t, func(t *testing.T) {
		r := newRandom(New(t), seed)
		defer r.report()
		r.start()
		r.chaos()
		r.recover()
		r.judge()
		faults = r.faults
	})
	return faults
}

// A random is one random run. It is for one goroutine but for what mu guards.
type random struct {
	*System
	seed uint64
	rand *rand.Rand // draws the setting
	set  setting
	met  bool // the instances begin as ones of a group that have met

	publishers  []*publisher
	subscribers []*subscriber
	instances   []*instance
	undo        []undo
	begun       time.Time
	quiet       time.Time // until then a peer may not see that the other one has died
	log         []string
	faults      map[string]int // by kind

	clock atomic.Int64 // of History

	mu     sync.Mutex
	disks  map[string]*memfs.FS          // of the instances; guarded by mu
	sample *rand.Rand                    // draws which discards to look at; guarded by mu
	looks  int                           // at one in so many
	known  map[*memfs.FS]bookmark.Vector // what a disk is known to have durable; guarded by mu
	lost   map[string]loss               // by instance: what the disk last wiped had; guarded by mu
	acked  map[uint64]bookmark.Bookmark  // by publisher: what its store has let go of; guarded by mu
	letGo  []checker.LetGoEvent          // guarded by mu
	errors []string                      // guarded by mu
}

// A setting is what stays the same in a run.
type setting struct {
	downgrade time.Duration // 0: never
	rejoin    time.Duration // 0: as elsewhere
	third     bool          // an asynchronous instance c
	segment   int64
	swarm     bool // some kinds of faults are left out
	length    time.Duration
	pace      time.Duration // between two faults, on average
}

// A loss is what a disk had when it was wiped or damaged.
type loss struct {
	had     bookmark.Vector // what its peer counts on until it has lost the connection
	noticed time.Time       // when it has
	safe    bookmark.Vector // what the other disk had, too: acks for it are right
	until   time.Time       // when those that were on their way have come
}

// grace is how long an ack may be on its way, silence how long a peer may take
// to find out that nothing comes any more.
const (
	grace   = 20 * time.Second
	silence = 6 * time.Second
)

// and adds what an earlier loss of the same disk still counts as having.
func (l loss) and(earlier loss) loss {
	now := time.Now()
	if now.Before(earlier.noticed) {
		l.had.Merge(earlier.had)
		if earlier.noticed.After(l.noticed) {
			l.noticed = earlier.noticed
		}
	}
	if now.Before(earlier.until) {
		l.safe.Merge(earlier.safe)
	}
	return l
}

// of returns what a disk that has lost something counts as having.
func (l loss) of(publisher uint64, on uint64) uint64 {
	now := time.Now()
	if now.Before(l.noticed) {
		on = max(on, l.had[publisher])
	}
	if now.Before(l.until) {
		on = max(on, l.safe[publisher])
	}
	return on
}

func newRandom(s *System, seed uint64) *random {
	r := &random{
		System: s, seed: seed, rand: rand.New(rand.NewPCG(seed, 0)), begun: time.Now(),
		faults: make(map[string]int),
		sample: rand.New(rand.NewPCG(seed, 1)),
		looks:  5,
		disks:  make(map[string]*memfs.FS),
		known:  make(map[*memfs.FS]bookmark.Vector),
		lost:   make(map[string]loss),
		acked:  make(map[uint64]bookmark.Bookmark),
	}
	r.set = setting{
		third:   r.rand.IntN(4) == 0,
		segment: 1 << 20,
		swarm:   r.rand.IntN(3) == 0,
		length:  time.Duration(4+r.rand.IntN(12)) * time.Second,
		pace:    time.Duration(100+r.rand.IntN(600)) * time.Millisecond,
	}
	if r.rand.IntN(3) > 0 {
		r.set.downgrade = time.Duration(200+r.rand.IntN(1500)) * time.Millisecond
	}
	if r.rand.IntN(2) == 0 {
		r.set.segment = 64 << 10
	}
	return r
}

// start starts the instances and the applications.
func (r *random) start() {
	r.TB.Helper()
	names := map[string][]string{"a": {"b"}, "b": {"a"}}
	if r.set.third {
		names["c"] = nil
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		r.addInstance(name, time.Duration(20+r.rand.IntN(1500))*time.Microsecond, names[name]...)
	}
	r.AwaitSync()
	r.startPublishers()
	r.startSubscribers()
	r.note("%+v", r.set)
}

// addInstance starts an instance on which an fsync takes so long.
func (r *random) addInstance(name string, sync time.Duration, peers ...string) {
	r.TB.Helper()
	n := r.Add(name, func(c *server.Config) { r.configure(c, name) }, peers...)
	i := &instance{Node: n, r: r, sync: sync}
	r.instances = append(r.instances, i)
	n.FS.SetSyncDelay(i.sync)
	r.disk(i)
	if r.met {
		n.Join(journal.ClusterID{1}, true)
	}
	n.Start()
}

func (r *random) configure(c *server.Config, name string) {
	c.Log.Segment = server.Size(r.set.segment)
	c.DrainTimeout = server.Duration(500 * time.Millisecond)
	if r.set.rejoin > 0 {
		c.RejoinTimeout = server.Duration(r.set.rejoin)
	}
	if name == "c" {
		return
	}
	for i := range c.Replication.Destinations {
		c.Replication.Destinations[i].DowngradeAfter = server.Duration(r.set.downgrade)
	}
	if r.set.third {
		c.Replication.Destinations = append(c.Replication.Destinations, server.Destination{Name: "c", Address: "c:9107", Ack: "async"})
	}
}

// note writes to the log of the run.
func (r *random) note(format string, args ...any) {
	r.log = append(r.log, fmt.Sprintf("%9.4fs  ", time.Since(r.begun).Seconds())+fmt.Sprintf(format, args...))
}

// report prints the log of a run that has failed.
func (r *random) report() {
	if r.TB.Failed() {
		r.TB.Logf("seed %d:\n%s", r.seed, strings.Join(r.log, "\n"))
	}
}

// fail notes an error that nothing entitles an application or instance to.
func (r *random) fail(format string, args ...any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.errors = append(r.errors, fmt.Sprintf(format, args...))
}

// recover ends all faults and waits until everything is at rest: all that was
// published is safe, and was handed to every subscriber.
func (r *random) recover() {
	r.TB.Helper()
	for len(r.undo) > 0 {
		u := r.undo[0]
		r.undo = r.undo[1:]
		u.f() // may be the beginning of another fault
	}
	r.note("all faults end")
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
	r.settle("the instances to be in sync", func() bool {
		return !slices.ContainsFunc(r.instances, func(i *instance) bool { return i.Server == nil || !i.inSync() })
	})
	r.settle("all to be safe", func() bool {
		return !slices.ContainsFunc(r.publishers, func(p *publisher) bool { return p.app.Store.Usage().Messages > 0 })
	})
	for _, s := range r.subscribers {
		r.settle(s.name+" to be handed all", s.complete)
	}
	r.Advance(3 * time.Second) // for what comes too often
}

// settle is Await that says more when it takes too long.
func (r *random) settle(what string, condition func() bool) {
	r.TB.Helper()
	for begun := time.Now(); ; {
		synctest.Wait()
		if condition() {
			return
		}
		if time.Since(begun) > bound {
			r.describe()
			r.TB.Fatalf("seed %d: waited %v for %s", r.seed, bound, what)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// describe logs the state of everything.
func (r *random) describe() {
	for _, e := range r.errors {
		r.note("%s", e)
	}
	for _, i := range r.instances {
		if i.Server != nil {
			r.note("%s: %+v", i.Name, i.Server.Status())
		}
	}
	for _, p := range r.publishers {
		if p.up {
			r.note("%s: %+v, lives %+v", p.app.Name, p.app.Client.Stats(), p.app.Store.Lives())
		}
	}
	for _, s := range r.subscribers {
		if s.up {
			r.note("%s: %+v", s.name, s.app.Client.Stats())
		}
	}
}

// judge stops everything and checks the history.
func (r *random) judge() {
	r.TB.Helper()
	r.alarms()
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

// alarms collects what instances and applications complain of that never happened.
func (r *random) alarms() {
	for _, i := range r.instances {
		if i.Server == nil {
			continue
		}
		st := i.Server.Status()
		if st.Differing > 0 {
			r.fail("%s found %d identities with two contents", i.Name, st.Differing)
		}
		for _, l := range st.Links {
			if l.Diverged > 0 {
				r.fail("%s found its journal and that of %s to differ", i.Name, l.Peer)
			}
		}
	}
	for _, a := range r.apps() {
		for _, e := range a.Events() {
			for _, bad := range []string{"rejected", "rolled back", "subscription gap"} {
				if strings.HasPrefix(e, bad) {
					r.fail("%s was told: %s", a.Name, e)
				}
			}
		}
	}
}

// history puts together what was seen.
func (r *random) history() *checker.History {
	r.TB.Helper()
	h := &checker.History{LetGo: r.letGo, Errors: r.errors}
	for _, p := range r.publishers {
		h.Published = append(h.Published, p.published...)
	}
	for _, i := range r.instances {
		j := checker.Journal{Instance: i.Name, OneWay: i.Name == "c"}
		i.dump(func(rec *journal.Record) { j.Records = append(j.Records, stored(rec)) })
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
		Prev:     r.Prev, Kind: r.Kind, Topic: string(r.Topic), Body: string(r.Body),
	}
}

// disk tells the oracle which disk an instance has.
func (r *random) disk(i *instance) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.disks[i.Name] = i.FS
}

// durable returns how far a disk has a publisher durable, or at least want.
func (r *random) durableLocked(fs *memfs.FS, want bookmark.Bookmark) uint64 {
	if v := r.known[fs]; v[want.Publisher] >= want.Sequence {
		return v[want.Publisher]
	}
	v := durableOn(fs)
	r.known[fs] = v
	return v[want.Publisher]
}

// durableOn returns what would be on a disk after a power cut; what is behind
// damage doesn't count.
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

// discards is called before a store lets go of messages.
func (r *random) discards(app string, through bookmark.Bookmark, single bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.acked[through.Publisher].Sequence >= through.Sequence {
		return
	}
	r.acked[through.Publisher] = through
	if r.sample.IntN(r.looks) > 0 {
		return // reading the disks takes long
	}
	l := checker.LetGoEvent{App: app, Through: through, Durable: make(map[string]bookmark.Bookmark), Single: single}
	for name, fs := range r.disks {
		if name == "c" {
			continue
		}
		on := r.lost[name].of(through.Publisher, r.durableLocked(fs, through))
		l.Durable[name] = bookmark.Bookmark{Publisher: through.Publisher, Sequence: on}
	}
	r.letGo = append(r.letGo, l)
}

// hosts returns the names of all hosts.
func (r *random) hosts() []string {
	var names []string
	for _, i := range r.instances {
		names = append(names, i.Name)
	}
	for _, a := range r.apps() {
		names = append(names, a.Name)
	}
	return names
}

func (r *random) apps() []*App {
	var apps []*App
	for _, p := range r.publishers {
		apps = append(apps, p.app)
	}
	for _, s := range r.subscribers {
		apps = append(apps, s.app)
	}
	return apps
}
