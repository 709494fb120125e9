package sim

import (
	"bytes"
	"slices"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A faultKind is a kind of fault. inject makes it and plans its end; false: it
// can't be done now.
type faultKind struct {
	name   string
	weight int
	inject func(w *world) bool
}

var faultKinds = []faultKind{
	{"kill", 10, atTarget((*world).anyInstance, (*world).kill)},
	{"kill both", 4, bothOfPair((*world).kill)},
	{"power cut", 8, atTarget((*world).anyInstance, (*world).cutPower)},
	{"power cut of both", 4, bothOfPair((*world).cutPower)},
	{"kill then power cut", 5, atTarget((*world).runningInstance, (*world).killThenCutPower)},
	{"wipe", 4, atTarget((*world).runningInstance, (*world).wipe)},
	{"disk rolled back", 3, atTarget((*world).runningInstance, (*world).rollBackDisk)},
	{"old images, then a decree", 6, (*world).restoreImages},
	{"damage at rest", 3, atTarget((*world).runningInstance, (*world).damage)},
	{"stop", 5, func(w *world) bool { return w.pause(&w.anyInstance().process, 6*time.Second) }},
	{"link cut", 8, (*world).cutLink},
	{"link cut one way", 5, atTarget((*world).oneOfPair, (*world).cutLinkOneWay)},
	{"client cut", 6, atTarget((*world).oneOfPair, (*world).cutClient)},
	{"client cut one way", 4, atTarget((*world).oneOfPair, (*world).cutClientOneWay)},
	{"isolated", 4, atTarget((*world).oneOfPair, (*world).isolate)},
	{"flapping link", 3, (*world).flap},
	{"reset", 8, (*world).resetOne},
	{"slow network", 3, (*world).slowNetwork},
	{"slow disk", 4, atTarget((*world).anyInstance, (*world).slowDisk)},
	{"failed sync", 3, atTarget((*world).runningInstance, (*world).failSync)},
	{"full disk", 3, atTarget((*world).runningInstance, (*world).fillDisk)},
	{"publisher killed", 8, atTarget((*world).anyPublisher, (*world).killPublisher)},
	{"publisher's power cut", 6, atTarget((*world).anyPublisher, (*world).cutPublisher)},
	{"publisher stopped", 3, func(w *world) bool { return w.pause(&w.anyPublisher().process, 4*time.Second) }},
	{"store rolled back", 2, atTarget((*world).anyPublisher, (*world).rollBackStore)},
	{"store renewed", 2, atTarget((*world).anyPublisher, (*world).renewStore)},
	{"subscriber killed", 8, atTarget((*world).anySubscriber, (*world).killSubscriber)},
	{"forged: number above 2^63-1", 2, forgerFault(highNumber)},
	{"forged: numbers left out", 3, forgerFault(skippedNumbers)},
	{"forged: numbers said to be rejected", 2, forgerFault(rejectedNumbers)},
	{"forged: acked", 3, forgerFault(falseAcked)},
	{"forged: other content", 5, forgerFault(otherContent)},
	{"forged: name or life", 3, forgerFault(otherName)},
	{"stranger with another secret", 2, stranger(otherSecret, "A", "B", "C", "X")},
	{"stranger with another name", 2, stranger(linkSecret, "X")},
	{"link replayed", 2, (*world).replayLink},
	{"one-way link", 3, atTarget((*world).oneOfPair, (*world).makeOneWay)},
	{"wall clock set", 4, atTarget((*world).anyInstance, (*world).setClock)},
	{"subscriber's store rolled back", 3, atTarget((*world).anySubscriber, (*world).rollBackBookmarks)},
	{"subscriber stopped", 3, func(w *world) bool { return w.pause(&w.anySubscriber().process, 4*time.Second) }},
}

// atTarget makes a fault at a target that pick draws; nil: there is none now.
func atTarget[T any](pick func(*world) *T, inject func(*world, *T) bool) func(*world) bool {
	return func(w *world) bool {
		x := pick(w)
		return x != nil && inject(w, x)
	}
}

// bothOfPair makes a fault at both instances of the pair, as far as it can.
func bothOfPair(inject func(*world, *instance) bool) func(*world) bool {
	return func(w *world) bool {
		a := inject(w, w.instances[0])
		return inject(w, w.instances[1]) || a
	}
}

// injectFaults makes faults now and then until the time is up.
func (w *world) injectFaults(end time.Duration) {
	w.after(between(w.chaos, w.settings.faultInterval/2, w.settings.faultInterval*3/2), nil, 'F', func() {
		if w.now >= end {
			return
		}
		w.injectFault()
		w.injectFaults(end)
	})
}

func (w *world) injectFault() {
	total := 0
	for _, weight := range w.settings.weights {
		total += weight
	}
	pick := w.chaos.IntN(total)
	for n, weight := range w.settings.weights {
		if pick -= weight; pick < 0 {
			w.mix(uint64(n))
			if faultKinds[n].inject(w) {
				w.counts.Faults[n]++
			}
			return
		}
	}
}

// oneOfPair returns one of the pair.
func (w *world) oneOfPair() *instance { return w.instances[w.chaos.IntN(2)] }

// anyInstance returns any instance, the spare one among them.
func (w *world) anyInstance() *instance { return w.instances[w.chaos.IntN(len(w.instances))] }

// runningInstance returns any instance, or nil if that is down.
func (w *world) runningInstance() *instance {
	if i := w.anyInstance(); i.alive {
		return i
	}
	return nil
}

func (w *world) anyPublisher() *publisher { return w.publishers[w.chaos.IntN(len(w.publishers))] }

func (w *world) anySubscriber() *subscriber { return w.subscribers[w.chaos.IntN(len(w.subscribers))] }

// other returns the other one of the pair.
func (i *instance) other() *instance { return i.peers[0] }

// later plans the end of a fault.
func (w *world) later(least, most time.Duration, f func()) {
	w.after(between(w.chaos, least, most), nil, 'e', f)
}

// restartLater starts a process that is down, a little later.
func (w *world) restartLater(p *process, least, most time.Duration, start func()) {
	w.later(least, most, func() {
		if !p.alive {
			start()
		}
	})
}

// pause stops a process for a time.
func (w *world) pause(p *process, most time.Duration) bool {
	if !p.alive || p.stopped {
		return false
	}
	w.logf("FAULT %s is stopped", p.name)
	p.stop()
	run := p.run
	w.later(100*time.Millisecond, most, func() {
		if p.run == run {
			p.resume()
		}
	})
	return true
}

func (w *world) kill(i *instance) bool { return w.crashInstance(i, memfs.KeepAll, false) }

func (w *world) cutPower(i *instance) bool { return w.crashInstance(i, w.crashMode(), true) }

func (w *world) crashInstance(i *instance, mode memfs.Mode, power bool) bool {
	if !i.alive {
		return false
	}
	w.logf("FAULT %s dies: %s", i.name, mode.Name)
	i.crash(mode, power)
	w.restartLater(&i.process, 0, 2*time.Second, i.start)
	return true
}

// crashMode draws the image that a power cut leaves.
func (w *world) crashMode() memfs.Mode {
	modes := memfs.Modes(w.chaos.Uint64())[1:] // without the kill
	return modes[w.chaos.IntN(len(modes))]
}

// killThenCutPower kills an instance, starts it at once, and cuts the power
// before it can have synced much (T3).
func (w *world) killThenCutPower(i *instance) bool {
	w.logf("FAULT %s is killed, starts, and loses power", i.name)
	i.crash(memfs.KeepAll, false)
	i.start()
	w.later(0, 5*time.Millisecond, func() { w.cutPower(i) })
	return true
}

// mayLose reports whether the disk of an instance may lose something:
// everything that was acknowledged as safe is on the other one's, and the decree, too.
func (w *world) mayLose(i *instance) bool {
	if i.spare {
		return true
	}
	o := i.other()
	return (o.disk.complete || w.becameComplete(o)) && w.oracle.incarnation(i) <= w.oracle.incarnation(o)
}

// covers reports whether another instance's disk has everything that this one's has.
func (w *world) covers(other, i *instance) bool {
	for publisher, seq := range i.disk.durable {
		if other.disk.durable[publisher] < seq {
			return false
		}
	}
	return true
}

// becameComplete looks whether an instance whose disk has lost something has got
// it back.
func (w *world) becameComplete(i *instance) bool {
	lacks := func(l *life) bool {
		return i.disk.durable[l.publisher] < l.safe && !l.isLost(l.safe)
	}
	if i.j == nil || i.j.Damage() != nil || !w.covers(i, i.other()) || slices.ContainsFunc(w.oracle.order, lacks) {
		return false
	}
	i.disk.complete = true
	return true
}

// loseDisk replaces an instance's disk. The peer may count on the old content until it
// has lost the connection.
func (w *world) loseDisk(i *instance, fs *memfs.FS, taken time.Duration) {
	lost := diskTruth{durable: bookmark.Vector{}, lostDurable: i.disk.trusted().Clone()} // start sets durable
	for _, s := range i.disk.oldConns {
		if !s.ended() {
			lost.oldConns = append(lost.oldConns, s)
		}
	}
	for s := range w.endpoints() {
		peer := slices.ContainsFunc(w.instances, func(o *instance) bool { return s.process == &o.process && o != i })
		if peer && s.other.process == &i.process {
			lost.oldConns = append(lost.oldConns, s)
		}
	}
	i.crash(memfs.Durable, true)
	i.fs, i.disk = fs, lost
	w.oracle.noteDiskLost()
	w.oracle.noteRevived(i, taken)
	w.restartLater(&i.process, 0, 2*time.Second, i.start)
}

// anyEmpty reports whether an instance has no journal, and has not met its group
// since: another one without would begin another group with it.
func (w *world) anyEmpty() bool {
	return slices.ContainsFunc(w.instances, func(i *instance) bool { return i.empty })
}

func (w *world) wipe(i *instance) bool {
	if !w.mayLose(i) || w.anyEmpty() {
		return false
	}
	w.logf("FAULT %s is wiped", i.name)
	i.empty = true
	w.loseDisk(i, memfs.New(), w.now)
	return true
}

// rollBackDisk takes an image of a disk and puts it back later.
func (w *world) rollBackDisk(i *instance) bool {
	old, taken := i.fs.Image(memfs.Durable), w.now
	incarnation := w.restore.incarnation
	w.later(100*time.Millisecond, 3*time.Second, func() {
		if !i.alive || !w.mayLose(i) || incarnation != w.restore.incarnation {
			return
		}
		w.logf("FAULT the disk of %s is rolled back", i.name)
		w.loseDisk(i, old, taken)
	})
	return true
}

// damage flips bits at rest on the disk of an instance that is down for it.
//
// The damaged records must be on the other disk, too. The only record of a message that
// was never safe may be damaged otherwise, and the message is then refused to its
// publisher (R8), which is not the subject here.
func (w *world) damage(i *instance) bool {
	holder := w.instances[0]
	if !i.spare {
		holder = i.other()
	}
	if w.restore.running || w.restore.incarnation > 0 || !w.mayLose(i) || (!i.spare || w.settings.publishToSpare) && !w.covers(holder, i) {
		return false
	}
	fs := i.fs.Image(memfs.Durable)
	names := fs.Names()
	n := 1 + w.chaos.IntN(3)
	for range n {
		name := names[w.chaos.IntN(len(names))]
		b, err := fs.ReadFile(name)
		b = bytes.TrimRight(b, "\x00") // without the space that is reserved and not yet written
		if err != nil || len(b) == 0 {
			continue
		}
		fs.FlipBits(name, w.chaos.Int64N(int64(len(b))), byte(1+w.chaos.IntN(255)))
	}
	w.logf("FAULT %d bytes on the disk of %s are damaged", n, i.name)
	w.damaged = true
	w.loseDisk(i, fs, w.now)
	return true
}

// cutDirections cuts some directions for a time.
func (w *world) cutDirections(description string, least, most time.Duration, list ...direction) bool {
	w.logf("FAULT %s", description)
	for _, x := range list {
		w.cut(x)
	}
	w.later(least, most, func() {
		for _, x := range list {
			w.heal(x)
		}
	})
	return true
}

const (
	minCutTime = 50 * time.Millisecond
	maxCutTime = 4 * time.Second
)

// bothDirections are the directions from a host to others, and back.
func bothDirections(host string, others ...string) (list []direction) {
	for _, o := range others {
		if o != host {
			list = append(list, direction{host, o}, direction{o, host})
		}
	}
	return list
}

func (w *world) cutLink() bool {
	return w.cutDirections("link cut", minCutTime, maxCutTime, bothDirections(w.instances[0].name, w.instances[1].name)...)
}

func (w *world) cutLinkOneWay(i *instance) bool {
	return w.cutDirections("link cut from "+i.name, minCutTime, maxCutTime, direction{i.name, i.other().name})
}

// applicationHosts are the hosts of all applications.
func (w *world) applicationHosts() (hosts []string) {
	for _, p := range w.publishers {
		hosts = append(hosts, p.name)
	}
	for _, s := range w.subscribers {
		hosts = append(hosts, s.name)
	}
	return hosts
}

// anyClient returns the host of some application.
func (w *world) anyClient() string {
	hosts := w.applicationHosts()
	return hosts[w.chaos.IntN(len(hosts))]
}

func (w *world) cutClient(i *instance) bool {
	c := w.anyClient()
	return w.cutDirections("cut "+i.name+" "+c, minCutTime, maxCutTime, bothDirections(i.name, c)...)
}

func (w *world) cutClientOneWay(i *instance) bool {
	x := direction{i.name, w.anyClient()}
	if w.chaos.IntN(2) == 0 {
		x.from, x.to = x.to, x.from
	}
	return w.cutDirections("cut "+x.from+" to "+x.to, minCutTime, maxCutTime, x)
}

func (w *world) isolate(i *instance) bool {
	others := w.applicationHosts()
	for _, o := range w.instances {
		others = append(others, o.name)
	}
	return w.cutDirections(i.name+" isolated", minCutTime, maxCutTime, bothDirections(i.name, others...)...)
}

func (w *world) flap() bool {
	w.logf("FAULT flapping link")
	for n := range 3 + w.chaos.IntN(5) {
		w.after(time.Duration(n)*200*time.Millisecond, nil, 'P', func() {
			w.cutDirections("link cut", 10*time.Millisecond, 150*time.Millisecond, bothDirections(w.instances[0].name, w.instances[1].name)...)
		})
	}
	return true
}

func (w *world) resetOne() bool {
	open := slices.DeleteFunc(slices.Clone(w.conns), func(c *conn) bool { return c.ends[0].ended() || c.ends[1].ended() })
	if len(open) == 0 {
		return false
	}
	c := open[w.chaos.IntN(len(open))]
	w.logf("FAULT reset between %s and %s", c.ends[0].host, c.ends[1].host)
	c.reset()
	return true
}

func (w *world) slowNetwork() bool {
	if w.extraLatency > 0 {
		return false
	}
	w.extraLatency = between(w.chaos, 5*time.Millisecond, 300*time.Millisecond)
	w.logf("FAULT slow network")
	w.later(500*time.Millisecond, 3*time.Second, func() { w.extraLatency = 0 })
	return true
}

func (w *world) slowDisk(i *instance) bool {
	was := i.syncTime
	if was > 100*time.Millisecond {
		return false
	}
	i.syncTime = between(w.chaos, 200*time.Millisecond, 3*time.Second)
	w.logf("FAULT slow disk of %s", i.name)
	w.later(500*time.Millisecond, 4*time.Second, func() { i.syncTime = was })
	return true
}

func (w *world) failSync(i *instance) bool {
	w.logf("FAULT the next sync of %s fails", i.name)
	i.fs.FailSync(syscall.EIO)
	return true
}

func (w *world) fillDisk(i *instance) bool {
	w.logf("FAULT the disk of %s is full", i.name)
	if w.chaos.IntN(2) == 0 {
		i.fs.ShortWriteNth(1+w.chaos.IntN(3), syscall.ENOSPC)
	} else {
		i.fs.FailNth(1+w.chaos.IntN(6), syscall.ENOSPC)
	}
	return true
}

func (w *world) killPublisher(p *publisher) bool { return w.crashPublisher(p, memfs.KeepAll, false) }

func (w *world) cutPublisher(p *publisher) bool { return w.crashPublisher(p, w.crashMode(), true) }

func (w *world) crashPublisher(p *publisher, mode memfs.Mode, power bool) bool {
	if !p.alive {
		return false
	}
	w.logf("FAULT %s dies: %s", p.name, mode.Name)
	p.kill(mode, power)
	w.restartLater(&p.process, 0, w.publisherAbsence(), p.start)
	return true
}

// publisherAbsence is for how long a publisher may be away: in some runs long enough to be forgotten.
func (w *world) publisherAbsence() time.Duration {
	if w.forgottenReturn() && w.chaos.IntN(2) == 0 {
		return 8 * w.settings.retain
	}
	return time.Second
}

// forgottenReturn reports whether publishers that were forgotten come back in this run.
func (w *world) forgottenReturn() bool { return w.settings.retain > 0 && w.options.Seed%2 == 1 }

// rollBackStore puts back an older image of a publisher's machine: it boots with a store
// that has forgotten its latest messages.
func (w *world) rollBackStore(p *publisher) bool {
	if p.memoryStore || !p.alive {
		return false
	}
	old := p.fs.Image(memfs.Durable)
	given := make(map[*life]int)
	for _, l := range w.oracle.livesOf(p) {
		given[l] = l.synced
	}
	w.later(100*time.Millisecond, 2*time.Second, func() {
		if !p.alive {
			return
		}
		w.logf("FAULT the machine of %s is rolled back", p.name)
		p.rolledBack = true
		p.kill(memfs.Durable, true)
		p.fs = old
		for _, l := range w.oracle.livesOf(p) {
			l.excuse(given[l])
		}
		w.restartLater(&p.process, 0, time.Second, p.start)
	})
	return true
}

func (w *world) renewStore(p *publisher) bool {
	if !p.alive || p.stopped {
		return false
	}
	w.logf("FAULT %s begins a new life", p.name)
	p.checkStoreError(p.store.Renew())
	return true
}

// makeOneWay starts an instance again that does not know its peer's new name: it does not
// replicate back, until its configuration is mended.
func (w *world) makeOneWay(i *instance) bool {
	if !i.alive || i.oneWay {
		return false
	}
	w.logf("FAULT %s does not replicate back", i.name)
	restart := func() {
		if i.alive {
			i.crash(memfs.KeepAll, false)
		}
		w.restartLater(&i.process, 0, 500*time.Millisecond, i.start)
	}
	i.oneWay, w.hadOneWay = true, true
	restart()
	w.later(time.Second, 6*time.Second, func() { i.oneWay = false; restart() })
	return true
}

// setClock sets the wall clock of an instance, for a time or for good.
func (w *world) setClock(i *instance) bool {
	i.clockOffset = between(w.chaos, -240*time.Hour, 240*time.Hour)
	w.logf("FAULT the wall clock of %s is set by %v", i.name, i.clockOffset)
	if w.chaos.IntN(4) > 0 {
		w.later(100*time.Millisecond, 6*time.Second, func() { i.clockOffset = 0 })
	}
	return true
}

// rollBackBookmarks puts back an older image of a subscriber's store: messages that were
// discarded since come again.
func (w *world) rollBackBookmarks(s *subscriber) bool {
	if !s.alive || !s.baseKnown || s.imageKept {
		return false
	}
	old := s.committed.Clone()
	s.imageKept = true // no other image that is newer than the store will be then
	w.later(100*time.Millisecond, 4*time.Second, func() {
		s.imageKept = false
		if s.alive {
			w.logf("FAULT the store of %s is rolled back", s.name)
			s.committed = old
			s.kill(true)
			w.restartLater(&s.process, 0, time.Second, s.startProcess)
		}
	})
	return true
}

func (w *world) killSubscriber(s *subscriber) bool {
	if !s.alive {
		return false
	}
	forgets := w.chaos.IntN(2) == 0
	w.logf("FAULT %s dies, forgets %v", s.name, forgets)
	s.kill(forgets)
	w.restartLater(&s.process, 0, max(time.Second, 3*w.settings.retain), s.startProcess) // long enough for a gap
	return true
}
