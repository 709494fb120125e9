package cluster

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/testkit/journals"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// An instance is a node that faults happen to.
type instance struct {
	*Node
	run      *randomRun
	syncTime time.Duration // the time of an fsync when nothing slows it down
	armed    bool          // its disk was told to fail
}

// An undoAction is the end of a fault.
type undoAction struct {
	at time.Time
	f  func()
}

// later has f called after d, or when all faults end.
func (r *randomRun) later(d time.Duration, f func()) {
	r.undo = append(r.undo, undoAction{time.Now().Add(d), f})
	slices.SortStableFunc(r.undo, func(a, b undoAction) int { return a.at.Compare(b.at) })
}

// A fault is a kind of it. do may find that it can't be done now.
type fault struct {
	name   string
	weight int
	inject func(r *randomRun, d *draw) bool
}

// A draw draws the details of one fault.
type draw struct{ *rand.Rand }

func (d *draw) duration(least, most time.Duration) time.Duration {
	return least + time.Duration(d.Int64N(int64(most-least)))
}

// mode draws the image that a power cut leaves.
func (d *draw) mode() memfs.Mode {
	modes := memfs.Modes(d.Uint64())[1:]
	return modes[d.IntN(len(modes))]
}

// absence draws how long something is away: most often shortly, sometimes longer
// than heartbeats and downgrades take.
func (d *draw) absence() time.Duration {
	switch d.IntN(4) {
	case 0:
		return d.duration(0, 20*time.Millisecond)
	case 1:
		return d.duration(2*time.Second, 7*time.Second)
	default:
		return d.duration(20*time.Millisecond, 1500*time.Millisecond)
	}
}

var faultKinds = []fault{
	{"kill", 3, func(r *randomRun, d *draw) bool { return r.crash(r.anyInstance(d), memfs.KeepAll, d.absence()) }},
	{"power cut", 3, func(r *randomRun, d *draw) bool { return r.crash(r.anyInstance(d), d.mode(), d.absence()) }},
	{"power cut of both", 1, (*randomRun).powerCutOfBoth},
	{"kill, then power cut", 2, (*randomRun).killThenPowerCut},
	{"rolling restart", 1, (*randomRun).shutdown},
	{"wipe", 3, (*randomRun).wipe},
	{"damage at rest", 2, (*randomRun).damage},
	{"disk error", 2, (*randomRun).diskError},
	{"crash inside a step", 3, (*randomRun).crashInside},
	{"slow disk", 2, (*randomRun).slowDisk},
	{"cut of the link", 4, func(r *randomRun, d *draw) bool { return r.cut(d, "a", "b") }},
	{"cut of a client", 4, func(r *randomRun, d *draw) bool { return r.cut(d, r.anyApp(d).Name, r.anyInstance(d).Name) }},
	{"cut inside a frame", 3, (*randomRun).cutInside},
	{"reset", 3, (*randomRun).reset},
	{"pause of an instance", 1, func(r *randomRun, d *draw) bool { return r.pause(r.anyInstance(d).Name, d.absence()) }},
	{"pause of a client", 1, func(r *randomRun, d *draw) bool { return r.pause(r.anyApp(d).Name, d.absence()) }},
	{"death of a publisher", 3, (*randomRun).killPublisher},
	{"death of a subscriber", 3, (*randomRun).killSubscriber},
	{"split brain", 2, (*randomRun).splitBrain},
}

// injectFaults lets faults happen for a while.
func (r *randomRun) injectFaults() {
	kinds := r.kinds()
	end := time.Now().Add(r.settings.length)
	for n := uint64(0); ; n++ {
		d := &draw{rand.New(rand.NewPCG(r.seed, 1000+n))}
		r.advanceUntil(time.Now().Add(d.duration(0, 2*r.settings.faultInterval)), d)
		if time.Now().After(end) {
			return
		}
		r.restartEnded(d)
		kind := kinds[d.IntN(len(kinds))]
		if kind.inject(r, d) {
			r.faults[kind.name]++
		}
	}
}

// kinds returns the kinds of faults of this run, each as often as it weighs.
func (r *randomRun) kinds() []fault {
	var kinds []fault
	for _, k := range faultKinds {
		if r.settings.swarm && r.rand.IntN(2) == 0 && k.name != "kill" {
			continue
		}
		for range k.weight {
			kinds = append(kinds, k)
		}
	}
	return kinds
}

// advanceUntil lets time pass and ends the faults that are over by then.
func (r *randomRun) advanceUntil(at time.Time, d *draw) {
	for len(r.undo) > 0 && r.undo[0].at.Before(at) {
		u := r.undo[0]
		r.undo = r.undo[1:]
		<-time.After(time.Until(u.at))
		u.f()
	}
	<-time.After(time.Until(at))
	if d.IntN(2) == 0 {
		r.Advance(0) // otherwise others run at the same time
	}
}

func (r *randomRun) anyInstance(d *draw) *instance { return r.instances[d.IntN(len(r.instances))] }

// one of a and b, and the other.
func (r *randomRun) oneOfPair(d *draw) (one, other *instance) {
	n := d.IntN(2)
	return r.instances[n], r.instances[1-n]
}

func (r *randomRun) anyApp(d *draw) *App {
	apps := r.apps()
	return apps[d.IntN(len(apps))]
}

// crash ends an instance for a while.
func (r *randomRun) crash(i *instance, mode memfs.Mode, away time.Duration) bool {
	if i.Server == nil {
		return false
	}
	r.logf("%s dies, %s, for %v", i.Name, mode.Name, away)
	i.crash(mode)
	r.later(away, i.restore)
	return true
}

func (i *instance) crash(mode memfs.Mode) {
	i.Crash(mode)
	i.armed = false
	i.FS.SetSyncDelay(i.syncTime)
	i.run.noteDisk(i)
}

// restore starts an instance that is down.
func (i *instance) restore() {
	if i.Server != nil && i.FS.Crashed() {
		i.crash(memfs.KeepAll)
	}
	if i.Server != nil {
		select {
		case <-i.Server.Done():
			i.noteDeath()
		default:
			return
		}
	}
	i.run.logf("%s starts", i.Name)
	i.Start()
}

// noteDeath notes the end of an instance that has ended by itself.
func (i *instance) noteDeath() {
	err := i.Server.Err()
	i.run.logf("%s has ended: %v", i.Name, err)
	if !i.armed {
		i.run.reportError("%s ended with %v although its disk works", i.Name, err)
	}
	i.crash(memfs.KeepAll)
}

// restartEnded has instances that ended by themselves restarted after a while.
func (r *randomRun) restartEnded(d *draw) {
	for _, i := range r.instances {
		if i.Server == nil {
			continue
		}
		select {
		case <-i.Server.Done():
			mode := memfs.KeepAll
			if i.FS.Crashed() && d.IntN(2) == 0 {
				mode = d.mode()
			}
			if i.armed {
				r.logf("%s has ended: %v; %s", i.Name, i.Server.Err(), mode.Name)
				i.crash(mode)
			} else {
				i.noteDeath()
			}
			r.later(d.absence(), i.restore)
		default:
		}
	}
}

func (r *randomRun) powerCutOfBoth(d *draw) bool {
	a, b := r.crash(r.instances[0], d.mode(), d.absence()), r.crash(r.instances[1], d.mode(), d.absence())
	return a || b
}

// killThenPowerCut makes the records that were read back from the page cache get lost
// after all.
func (r *randomRun) killThenPowerCut(d *draw) bool {
	i := r.anyInstance(d)
	if i.Server == nil {
		return false
	}
	mode := d.mode()
	r.logf("%s dies and starts, then dies, %s", i.Name, mode.Name)
	i.crash(memfs.KeepAll)
	i.Start()
	<-time.After(d.duration(0, 30*time.Millisecond))
	if i.Server != nil {
		i.crash(mode)
	}
	r.later(d.absence(), i.restore)
	return true
}

// shutdown stops an instance in order.
func (r *randomRun) shutdown(d *draw) bool {
	i := r.anyInstance(d)
	if i.Server == nil || i.armed {
		return false
	}
	i.Resume()
	err := i.Server.Shutdown(context.Background())
	r.logf("%s has shut down: %v", i.Name, err) // with acks outstanding if the peer is away
	i.Server = nil
	r.later(d.absence(), i.restore)
	return true
}

// wipe gives one of the pair an empty disk, if the other one has all on disk
// that any store has let go of, or may yet on an ack that is on its way.
func (r *randomRun) wipe(d *draw) bool {
	i, other := r.oneOfPair(d)
	if r.settings.third && d.IntN(3) == 0 {
		i = r.instances[2]
	}
	if d.IntN(2) == 0 { // which has things on disk that the other one has not yet
		slow := d.duration(5*time.Millisecond, 200*time.Millisecond)
		r.logf("%s: an fsync takes %v, for a moment", other.Name, slow)
		other.FS.SetSyncDelay(slow)
		r.later(2*slow, func() { other.FS.SetSyncDelay(other.syncTime) })
		<-time.After(d.duration(0, slow))
	}
	if !r.mayLose(i, other) {
		return false
	}
	away := d.absence()
	r.logf("%s dies and has an empty disk, for %v", i.Name, away)
	r.loseDisk(i, other, func() {
		i.Wipe()
		i.FS.SetSyncDelay(i.syncTime)
	})
	r.later(away, i.restore)
	return true
}

// damage flips bits at rest of a journal. The other one must have all that is
// in it: a record is lost if every disk that has it has damaged it (R8).
func (r *randomRun) damage(d *draw) bool {
	i, other := r.oneOfPair(d)
	if !r.mayLose(i, other) || !covers(durableOn(other.FS), durableOn(i.FS)) {
		return false
	}
	done := false
	r.loseDisk(i, other, func() {
		durable := i.FS.Image(memfs.Durable)
		names := append(durable.Names(), "none")
		name := names[d.IntN(len(names))]
		content, err := durable.ReadFile(name)
		there := err == nil && slices.Contains(i.FS.Names(), name) // it may have been removed since
		if there && strings.HasSuffix(name, ".log") && len(content) > 0 {
			at := damageOffset(d, len(content))
			r.logf("%s dies, byte %d of %s is damaged", i.Name, at, name)
			i.FS.FlipBits(name, int64(at), byte(1+d.IntN(255)))
			done = true
		}
	})
	r.later(d.absence(), i.restore)
	return done
}

// damageOffset draws a byte of a segment's file: any, or, as they are few, one of
// those that stand before or after its records.
func damageOffset(d *draw, size int) int {
	const start, few = 4096, 400
	switch d.IntN(4) {
	case 0:
		return min(start+d.IntN(few), size-1)
	case 1:
		return max(size-1-d.IntN(few), 0)
	default:
		return d.IntN(size)
	}
}

// loseDisk ends an instance, changes its disk, and notes the old content.
func (r *randomRun) loseDisk(i, other *instance, change func()) {
	l := loss{had: durableOn(i.FS), safe: durableOn(other.FS), noticedAt: time.Now(), acksUntil: time.Now().Add(ackGrace)}
	for p, s := range l.safe {
		l.safe[p] = min(s, l.had[p])
	}
	if time.Now().Before(r.unseenUntil) {
		l.noticedAt = time.Now().Add(silenceTimeout)
	}
	if i.Server != nil {
		i.crash(memfs.KeepAll)
	}
	change()
	r.noteDisk(i)
	r.mu.Lock()
	defer r.mu.Unlock()
	r.losses[i.Name] = l.merge(r.losses[i.Name])
	clear(r.knownDurable)
}

// mayLose reports whether no message is lost on both disks while no store keeps it.
func (r *randomRun) mayLose(i, other *instance) bool {
	if i.Name == "c" {
		return true
	}
	if damaged(other.FS) {
		return false // it may count on the content of this one
	}
	has := durableOn(other.FS)
	r.mu.Lock()
	defer r.mu.Unlock()
	for p, through := range r.acked {
		if has[p] < through.Sequence {
			return false
		}
	}
	if time.Now().After(r.losses[other.Name].acksUntil) && !r.plainSingle() {
		return true
	}
	return covers(has, durableOn(i.FS))
}

// damaged reports whether a journal has damage that is not healed.
func damaged(fs *memfs.FS) bool {
	return journals.Dump(fs.Image(memfs.Durable), "data", func(*journal.Record) error { return nil }) != nil
}

// covers reports whether a vector covers all of another one.
func covers(v, all bookmark.Vector) bool {
	for p, s := range all {
		if v[p] < s {
			return false
		}
	}
	return true
}

// plainSingle reports whether a store lets go of messages that are on one disk.
func (r *randomRun) plainSingle() bool {
	return r.settings.downgrade > 0 && slices.ContainsFunc(r.publishers, func(p *publisher) bool { return p.plain })
}

var errDisk = errors.New("input/output error")

// diskError lets an instance's disk fail once, soon.
func (r *randomRun) diskError(d *draw) bool {
	i := r.anyInstance(d)
	if i.Server == nil || i.armed {
		return false
	}
	i.armed = true
	n := 1 + d.IntN(12)
	switch d.IntN(3) {
	case 0:
		r.logf("%s: the next fsync fails", i.Name)
		i.FS.FailSync(errDisk)
	case 1:
		r.logf("%s: change %d of the disk fails", i.Name, n)
		i.FS.FailNth(n, errDisk)
	case 2:
		r.logf("%s: write %d is cut short", i.Name, n)
		i.FS.ShortWriteNth(n, syscall.ENOSPC)
	}
	return true
}

// crashInside lets an instance's machine die before one of the next changes of its disk.
func (r *randomRun) crashInside(d *draw) bool {
	i := r.anyInstance(d)
	if i.Server == nil || i.armed {
		return false
	}
	n := 1 + d.IntN(20)
	r.logf("%s dies before change %d of its disk", i.Name, n)
	i.armed = true
	i.FS.CrashAt(n)
	return true
}

func (r *randomRun) slowDisk(d *draw) bool {
	i := r.anyInstance(d)
	slow, long := d.duration(5*time.Millisecond, 400*time.Millisecond), d.absence()
	r.logf("%s: an fsync takes %v, for %v", i.Name, slow, long)
	i.FS.SetSyncDelay(slow)
	r.later(long, func() { i.FS.SetSyncDelay(i.syncTime) })
	return true
}

// cut cuts the connections of two hosts, in both directions or one.
func (r *randomRun) cut(d *draw, one, other string) bool {
	long := d.absence()
	switch d.IntN(4) {
	case 0:
		r.logf("%s to %s is cut, for %v", one, other, long)
		r.Net.CutOneWay(one, other)
	case 1:
		r.logf("%s to %s is cut, for %v", other, one, long)
		r.Net.CutOneWay(other, one)
	default:
		r.logf("%s and %s are cut, for %v", one, other, long)
		r.Cut(one, other)
	}
	r.noteUnseen(one, other, long)
	r.later(long, func() { r.Heal(one, other) })
	return true
}

// noteUnseen notes that hosts don't reach each other for a while.
func (r *randomRun) noteUnseen(one, other string, long time.Duration) {
	if until := time.Now().Add(long); len(one) == 1 && len(other) == 1 && until.After(r.unseenUntil) {
		r.unseenUntil = until
	}
}

// anyHosts draws two hosts that talk to each other.
func (r *randomRun) anyHosts(d *draw) (one, other string) {
	if d.IntN(3) == 0 {
		return "a", "b"
	}
	one, other = r.anyApp(d).Name, r.anyInstance(d).Name
	if d.IntN(2) == 0 {
		return other, one
	}
	return one, other
}

// cutInside cuts, or resets, after some more bytes.
func (r *randomRun) cutInside(d *draw) bool {
	one, other := r.anyHosts(d)
	bytes, long := int64(d.IntN(3000)), d.absence()
	if d.IntN(2) == 0 {
		r.logf("%s and %s are cut after %d bytes, for %v", one, other, bytes, long)
		r.Net.CutAfter(one, other, bytes)
		r.noteUnseen(one, other, long)
		r.later(long, func() { r.Heal(one, other) })
		return true
	}
	r.logf("%s and %s are reset after %d bytes", one, other, bytes)
	r.Net.ResetAfter(one, other, bytes)
	return true
}

func (r *randomRun) reset(d *draw) bool {
	one, other := r.anyHosts(d)
	r.logf("%s and %s are reset", one, other)
	r.Net.Reset(one, other)
	return true
}

func (r *randomRun) pause(host string, long time.Duration) bool {
	r.logf("%s is paused, for %v", host, long)
	r.Net.Pause(host)
	r.noteUnseen(host, "a", long)
	r.later(long, func() { r.Net.Resume(host) })
	return true
}

func (r *randomRun) killPublisher(d *draw) bool {
	p := r.publishers[d.IntN(len(r.publishers))]
	if !p.running {
		return false
	}
	mode := memfs.KeepAll
	if d.IntN(3) == 0 && !p.plain {
		// A plain one would begin a new life, whose numbers jump as only servers
		// without our extensions take it.
		mode = d.mode()
	}
	away := d.absence()
	if d.IntN(4) == 0 {
		r.logf("%s is closed, for %v", p.app.Name, away)
		p.close()
		r.later(away, p.restart)
		return true
	}
	r.logf("%s dies, %s, for %v", p.app.Name, mode.Name, away)
	p.kill(mode)
	r.later(away, p.restart)
	return true
}

func (r *randomRun) killSubscriber(d *draw) bool {
	s := r.subscribers[0]
	if !s.running {
		return false
	}
	away := d.absence()
	r.logf("%s dies, for %v", s.name, away)
	s.kill()
	r.later(away, s.restart)
	return true
}

// splitBrain cuts the link for so long that both instances go on alone if they may, and
// makes publishers move between them meanwhile.
func (r *randomRun) splitBrain(d *draw) bool {
	long := d.duration(2*time.Second, 6*time.Second)
	r.logf("split brain, for %v", long)
	r.Cut("a", "b")
	r.noteUnseen("a", "b", long)
	r.later(long, func() { r.Heal("a", "b") })
	for range 1 + d.IntN(5) {
		p, i := r.publishers[d.IntN(len(r.publishers))], r.instances[d.IntN(2)]
		at, away := d.duration(0, long), d.duration(100*time.Millisecond, time.Second)
		r.later(at, func() {
			r.logf("%s has to leave %s, for %v", p.app.Name, i.Name, away)
			r.Cut(p.app.Name, i.Name)
			r.Net.Reset(p.app.Name, i.Name)
			r.later(away, func() { r.Heal(p.app.Name, i.Name) })
		})
	}
	return true
}
