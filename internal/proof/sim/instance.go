package sim

import (
	"errors"
	"net"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/servercore"
	"github.com/holdfast-mq/holdfast/internal/syncstatus"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

const (
	dataDir    = "data"
	maxMessage = 1 << 16
)

// loggedTopics are the topics that every instance logs.
var loggedTopics, _ = topic.NewSet([]string{topicA, topicB})

// An instance is one server of the group: its disk, and while its process
// lives its journal, links and sessions.
type instance struct {
	process
	fs     *memfs.FS
	spare  bool        // replicated to asynchronously, and no subscriber's
	peers  []*instance // those it replicates to
	async  map[string]bool
	oneWay bool // it does not replicate to the other one of the pair
	empty  bool // it was wiped, and has not served since

	j           *journal.Journal
	links       *replica.SteppedLinks
	shared      *servercore.Instance // the state that its sessions share
	runID       uint64               // of this start
	serving     bool
	clockOffset time.Duration // its wall clock is
	failure     error         // its disk, or why it could not start
	syncing     bool          // an fsync is under way
	syncEnding  bool          // an fsync of ours is ending
	turnPlanned bool          // a turn of links and sessions is planned
	linkStepAt  time.Duration
	linkEnds    []*linkEnd
	sessions    []*session

	usersFile   *permissions  // what its file of users says; nil: it has no users
	access      *permissions  // of the users, as its process has them
	accessSince time.Duration // when the process took them in
	peerSeen    time.Duration // when a link to the other one of the pair last ended, or the process began

	linkName string // said on links
	secret   []byte
	syncTime time.Duration // the longest time of an fsync
	disk     diskTruth
}

// A diskTruth is the oracle's knowledge of an instance's disk.
type diskTruth struct {
	durable  bookmark.Vector // covered by an fsync that has been done
	complete bool            // nothing that was acknowledged as safe is missing from it
	// After the disk has lost something its peer may act on the old content until its
	// side of the earlier connections has ended: frames sent on them may still be on
	// their way.
	lostDurable bookmark.Vector
	oldConns    []*endpoint
}

// trusted is how far a peer may count on this disk.
func (d *diskTruth) trusted() bookmark.Vector {
	if !slices.ContainsFunc(d.oldConns, func(s *endpoint) bool { return !s.ended() }) {
		return d.durable
	}
	v := d.durable.Clone()
	v.Merge(d.lostDurable)
	return v
}

func (w *world) addInstance(name string) *instance {
	i := &instance{process: process{w: w, name: name}, fs: memfs.New(), async: make(map[string]bool)}
	i.linkName, i.secret = name, linkSecret
	i.disk = diskTruth{durable: bookmark.Vector{}, complete: true}
	i.syncTime = between(w.disk, 50*time.Microsecond, 2*time.Millisecond)
	w.instances = append(w.instances, i)
	return i
}

// start starts the process on its disk.
func (i *instance) start() {
	w := i.w
	i.beginRun()
	w.runs++
	i.runID = w.runs
	i.syncEnding = false
	i.serving, i.failure, i.syncing, i.turnPlanned, i.linkStepAt = false, nil, false, false, 0
	i.linkEnds, i.sessions = nil, nil
	i.access, i.accessSince, i.peerSeen = i.usersFile, w.now, w.now
	w.oracle.permissionsChanged()
	w.answerStale(&i.process)
	if err := i.open(); err != nil {
		w.logf("%s can't start: %v", i.name, err)
		i.fail(err)
		return
	}
	i.disk.durable = w.oracle.onDisk(i)
	w.logf("%s starts: %v", i.name, i.disk.durable)
	for _, p := range i.destinations() {
		i.dial(p, 50*time.Millisecond, 0)
	}
	i.stepLinks()
	i.heartbeat()
	i.runRetention()
}

func (i *instance) open() (err error) {
	i.links = nil
	i.shared = &servercore.Instance{
		Name: i.name, Version: "5.3.5.0.holdfast-sim", Run: i.runID, MaxMessage: maxMessage,
		Logged: loggedTopics, Registry: servercore.NewRegistry(0),
	}
	i.j, err = journal.Open(journal.Options{
		FS: i.fs, Dir: dataDir, SegmentBytes: i.w.settings.segment, Stepped: true, SetAside: true,
		Now:     func() time.Time { return i.w.clock().Add(i.clockOffset) },
		Elapsed: func() time.Duration { return i.w.now },
		OnAppend: func(p, s uint64) {
			if i.links != nil { // they are made while records set aside are merged
				i.links.Appended(p, s)
			}
		},
		OnDurable: func(moved []journal.Advance, idle bool) {
			if !i.syncEnding { // the journal has synced by itself, to be sure of a state record
				for _, m := range moved {
					i.disk.durable[m.Publisher] = max(i.disk.durable[m.Publisher], m.Sequence)
				}
			}
			if i.links != nil {
				i.links.Durable(moved, idle)
			}
			i.shared.DurableMoved()
			i.wake()
		},
		OnFail: func(err error) { i.failure = err },
	})
	if err != nil {
		return err
	}
	if i.links, err = replica.NewSteppedLinks(i.linkOptions()); err != nil {
		return err
	}
	i.shared.Ledger, i.shared.MayReject = watchedLedger{i.links.Ledger(), i}, i.links.MayReject
	return nil
}

// watermarksMoved has acks sent and plans a turn.
func (i *instance) watermarksMoved(publishers []uint64) {
	i.shared.Registry.WatermarksMoved(publishers)
	i.wake()
}

// diverged ends the sessions of diverged publishers. No store is copied here, and a store
// that is rolled back begins a new life, so only forged publishers may be among them.
func (i *instance) diverged(diverged []bookmark.Bookmark) {
	for _, b := range diverged {
		if i.w.isConflicting(b.Publisher) {
			i.w.counts.Diverged++
			continue
		}
		i.w.oracle.violate("%s sets %d apart from %d on although no number has two contents", i.name, b.Publisher, b.Sequence)
	}
	i.shared.Registry.PublishersDiverged(diverged)
}

func (i *instance) linkOptions() replica.Options {
	o := replica.Options{
		Name: i.linkName, Group: "group", Digest: "digest", Run: i.runID,
		Journal: i.j, Listener: new(net.TCPListener), HoldBytes: 1 << 40,
		Secrets:       replica.FixedSecret(i.secret),
		RejoinTimeout: i.w.settings.rejoin, Now: i.w.clock,
		OnWatermark: i.watermarksMoved, OnSyncStatus: i.shared.Registry.WakeAll, OnNotice: i.shared.OnNotice,
		Permissions: func() (uint64, [32]byte) { return i.access.hash() },
		OnReceived:  i.shared.Registry.RecordsReceived, OnDiverged: i.diverged, OnClosed: i.shared.Registry.PublishersClosed,
	}
	switch { // those that feed it
	case i.spare:
		o.Peers = []string{"A", "B"}
	case i.oneWay:
		o.Peers = []string{i.other().name}
	}
	for _, p := range i.destinations() {
		o.Destinations = append(o.Destinations, replica.Destination{
			Name: p.name, Address: p.name, Sync: !i.async[p.name], DowngradeAfter: i.w.settings.downgrade,
		})
	}
	return o
}

// destinations are those that it replicates to.
func (i *instance) destinations() []*instance {
	if i.oneWay {
		return i.peers[1:]
	}
	return i.peers
}

// wake plans a turn of everything that may have something to do.
func (i *instance) wake() {
	if i.turnPlanned {
		return
	}
	i.turnPlanned = true
	i.w.after(20*time.Microsecond+time.Duration(i.w.net.Int64N(int64(100*time.Microsecond))), &i.process, 'w', func() {
		i.turnPlanned = false
		i.turn()
	})
}

// turn lets links and sessions send, and the disk begin.
func (i *instance) turn() {
	busy := false
	for _, e := range i.linkEnds {
		busy = e.turn() || busy
	}
	for _, s := range i.sessions {
		busy = s.turn() || busy
	}
	i.dropEnded()
	i.startSync()
	if i.links.Woken() {
		i.stepLinks()
	}
	if i.failure != nil {
		i.fail(i.failure)
		return
	}
	if busy {
		i.wake()
	}
}

// dropEnded drops ends and sessions that have ended.
func (i *instance) dropEnded() {
	i.linkEnds = slices.DeleteFunc(i.linkEnds, func(e *linkEnd) bool {
		gone := e.closed || e.end.Ended()
		if gone {
			e.close(errors.New("replaced"))
		}
		return gone
	})
	i.sessions = slices.DeleteFunc(i.sessions, func(s *session) bool { return s.closed })
}

// startSync begins an fsync if there is something to sync and none is under way.
func (i *instance) startSync() {
	if i.syncing || i.failure != nil {
		return
	}
	step, err := i.j.BeginSync()
	if step == nil || err != nil {
		return
	}
	i.syncing = true
	took := between(i.w.disk, 30*time.Microsecond, i.syncTime)
	early := i.w.disk.IntN(2) == 0 // the disk may have done it long before it says so
	if early && !i.doSync(step.Sync) {
		return
	}
	i.w.after(took, &i.process, 'd', func() {
		i.syncing = false
		if !early && !i.doSync(step.Sync) {
			i.fail(i.failure)
			return
		}
		i.syncEnding = true
		step.End()
		i.syncEnding = false
		i.turn()
	})
}

// doSync has the disk do an fsync of all that the journal has, and the oracle know.
func (i *instance) doSync(sync func() error) bool {
	states := i.j.States()
	if err := sync(); err != nil {
		i.failure = err
		i.wake()
		return false
	}
	i.disk.noteSynced(states)
	return true
}

// noteSynced notes that all that a journal has is covered by an fsync.
func (d *diskTruth) noteSynced(states []journal.PublisherState) {
	for _, s := range states {
		d.durable[s.Publisher] = max(d.durable[s.Publisher], s.Have)
	}
}

// stepLinks does the timed work of the links.
func (i *instance) stepLinks() {
	damaged := i.j.Damage() != nil
	next := i.links.Step()
	if damaged && i.j.Damage() == nil && i.j.DurableEnd() == i.j.End() {
		i.disk.noteSynced(i.j.States()) // healing has synced
	}
	select {
	case <-i.links.Ready():
		i.serve()
	default:
	}
	if next >= 0 {
		i.alarm(&i.linkStepAt, next, 's', func() { i.stepLinks(); i.wake() })
	}
}

// serve serves the clients that wait, and those that come.
func (i *instance) serve() {
	if i.serving {
		return
	}
	i.serving, i.empty = true, false
	if i.links.Cluster() == "" {
		i.w.oracle.violate("%s serves clients before it has met a group", i.name)
	}
	i.w.logf("%s serves, catching up %v", i.name, i.links.CatchingUp())
	for _, s := range i.sessions {
		s.executeWaiting()
	}
}

// heartbeat is how often a link and a session say that they live.
const (
	linkHeartbeat   = 500 * time.Millisecond
	clientHeartbeat = time.Second
)

// heartbeat keeps links and sessions alive and finds those that are not.
func (i *instance) heartbeat() {
	for _, e := range i.linkEnds {
		e.checkHeartbeat()
	}
	for _, s := range i.sessions {
		s.checkHeartbeat()
	}
	i.w.oracle.checkOwners(i)
	if i.oneWay && i.isFed() && i.links.SyncStatus() != syncstatus.OneWay {
		i.w.oracle.violate("%s does not replicate back but reports %v", i.name, i.links.SyncStatus())
	}
	i.wake()
	i.w.after(linkHeartbeat, &i.process, 'b', i.heartbeat)
}

// runRetention has retention remove old messages.
func (i *instance) runRetention() {
	w := i.w
	if w.settings.retain > 0 && !w.faultsOver && !i.syncing && i.doSync(i.j.Sync) {
		for _, p := range w.publishers {
			p.announceLives(i)
		}
		before, known := w.oracle.floors(i), w.oracle.knownLives(i)
		if _, err := i.j.Trim(journal.Retention{Age: i.retention(), SegmentNeeded: i.links.MustKeep, AgreeToForget: i.links.AgreeToForget}); err != nil && i.failure == nil {
			i.failure = err
		}
		w.oracle.checkTrim(i, before)
		w.oracle.noteForgotten(i, known)
		for _, s := range w.subscribers {
			if s.alive {
				w.oracle.noteUnnamedClosed(s)
			}
		}
		i.wake()
	}
	w.after(between(w.disk, time.Second, 2*time.Second), &i.process, 't', i.runRetention)
}

// retention is how long the instance keeps messages. In some runs B keeps them longer, so
// that it has messages that A has removed (R9).
func (i *instance) retention() time.Duration {
	if i == i.w.instances[1] {
		return i.w.settings.retain * time.Duration(1+5*(i.w.options.Seed%3))
	}
	return i.w.settings.retain
}

// fail is the end of an instance whose disk has failed (R7): its process
// exits. It is started again, on a disk that works.
func (i *instance) fail(err error) {
	i.w.logf("%s ends: %v", i.name, err)
	i.crash(memfs.Durable, false)
	i.w.restartLater(&i.process, 100*time.Millisecond, time.Second, i.start)
}

// addCounts adds the counts of the process to those of the run.
func (i *instance) addCounts() {
	c := &i.shared.Counts
	i.w.counts.Gaps += c.PublishGaps.Swap(0)
	n, o := c.Differing.Swap(0), &i.w.oracle
	if n > o.differing {
		o.violate("%s: %d messages were there with other content", i.name, n)
		return
	}
	o.differing -= n
}

// crash ends the process: by a kill if mode is KeepAll, otherwise by a power cut whose
// image mode describes.
func (i *instance) crash(mode memfs.Mode, power bool) {
	if i.alive {
		i.w.closeConnections(&i.process, power)
	}
	i.addCounts()
	i.endRun()
	i.j, i.links, i.linkEnds, i.sessions, i.serving = nil, nil, nil, nil, false
	i.fs = i.fs.Crash(mode)
}

// isFed reports whether the other one of the pair is linked.
func (i *instance) isFed() bool {
	return slices.ContainsFunc(i.linkEnds, func(e *linkEnd) bool {
		return e.conn.other.process == &i.other().process && e.end.Peer() != "" && !e.end.Ended()
	})
}

// isLinked reports whether the peer of that name is connected.
func (i *instance) isLinked(name string) bool {
	return slices.ContainsFunc(i.linkEnds, func(e *linkEnd) bool { return e.end.Peer() == name && !e.end.Ended() })
}
