package sim

import (
	"bytes"
	"syscall"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// A kind is a kind of fault. strike does it and plans its end; false: it
// can't be done now.
type kind struct {
	name   string
	weight int
	strike func(w *world) bool
}

var kinds = []kind{
	{"kill", 10, (*world).killInstance},
	{"kill both", 4, (*world).killBoth},
	{"power cut", 8, (*world).cutPower},
	{"power cut of both", 4, (*world).cutPowerOfBoth},
	{"kill then power cut", 5, (*world).killThenCutPower},
	{"wipe", 4, (*world).wipe},
	{"disk rolled back", 3, (*world).rollBackDisk},
	{"damage at rest", 3, (*world).damage},
	{"stop", 5, (*world).stopInstance},
	{"link cut", 8, (*world).cutLink},
	{"link cut one way", 5, (*world).cutLinkOneWay},
	{"client cut", 6, (*world).cutClient},
	{"client cut one way", 4, (*world).cutClientOneWay},
	{"isolated", 4, (*world).isolate},
	{"flapping link", 3, (*world).flap},
	{"reset", 8, (*world).resetOne},
	{"slow network", 3, (*world).slowNetwork},
	{"slow disk", 4, (*world).slowDisk},
	{"failed sync", 3, (*world).failSync},
	{"full disk", 3, (*world).fillDisk},
	{"publisher killed", 8, (*world).killPublisher},
	{"publisher's power cut", 6, (*world).cutPublisher},
	{"publisher stopped", 3, (*world).stopPublisher},
	{"store rolled back", 2, (*world).rollBackStore},
	{"store renewed", 2, (*world).renewStore},
	{"subscriber killed", 8, (*world).killSubscriber},
	{"subscriber stopped", 3, (*world).stopSubscriber},
}

// strike has a fault happen now and then until the time is up.
func (w *world) strikeUntil(end time.Duration) {
	w.after(between(w.chaos, w.set.gap/2, w.set.gap*3/2), nil, 'F', func() {
		if w.now >= end {
			return
		}
		w.strike()
		w.strikeUntil(end)
	})
}

func (w *world) strike() {
	total := 0
	for n, k := range kinds {
		if w.set.kinds[n] {
			total += k.weight
		}
	}
	pick := w.chaos.IntN(total)
	for n, k := range kinds {
		if !w.set.kinds[n] {
			continue
		}
		if pick -= k.weight; pick < 0 {
			w.mix(uint64(n))
			if k.strike(w) {
				w.counts.Faults[n]++
			}
			return
		}
	}
}

// either returns one of the pair.
func (w *world) either() *instance { return w.instances[w.chaos.IntN(2)] }

// one returns any instance, the spare one among them.
func (w *world) one() *instance { return w.instances[w.chaos.IntN(len(w.instances))] }

func (i *instance) other() *instance { return i.w.instances[1-i.index()] }

func (i *instance) index() int {
	for n, o := range i.w.instances {
		if o == i {
			return n
		}
	}
	panic("BUG: an instance of another world")
}

func (w *world) instance(name string) *instance {
	for _, i := range w.instances {
		if i.name == name {
			return i
		}
	}
	return nil
}

// later plans the end of a fault.
func (w *world) later(least, most time.Duration, f func()) {
	w.after(between(w.chaos, least, most), nil, 'e', f)
}

// restart starts an instance that is down, a little later.
func (w *world) restart(i *instance, most time.Duration) {
	w.later(0, most, func() {
		if !i.alive {
			i.start()
		}
	})
}

func (w *world) killInstance() bool {
	i := w.one()
	return w.kill(i, memfs.KeepAll, false)
}

func (w *world) kill(i *instance, mode memfs.Mode, power bool) bool {
	if !i.alive {
		return false
	}
	w.say("FAULT %s dies: %s", i.name, mode.Name)
	i.crash(mode, power)
	w.restart(i, 2*time.Second)
	return true
}

func (w *world) killBoth() bool {
	a := w.kill(w.instances[0], memfs.KeepAll, false)
	b := w.kill(w.instances[1], memfs.KeepAll, false)
	return a || b
}

// mode draws what a power cut leaves.
func (w *world) mode() memfs.Mode {
	modes := memfs.Modes(w.chaos.Uint64())[1:] // without the kill
	return modes[w.chaos.IntN(len(modes))]
}

func (w *world) cutPower() bool { return w.kill(w.one(), w.mode(), true) }

func (w *world) cutPowerOfBoth() bool {
	a := w.kill(w.instances[0], w.mode(), true)
	b := w.kill(w.instances[1], w.mode(), true)
	return a || b
}

// killThenCutPower kills an instance, starts it at once, and cuts the power
// before it can have synced much (T3).
func (w *world) killThenCutPower() bool {
	i := w.one()
	if !i.alive {
		return false
	}
	w.say("FAULT %s is killed, starts, and loses power", i.name)
	i.crash(memfs.KeepAll, false)
	i.start()
	w.later(0, 5*time.Millisecond, func() { w.kill(i, w.mode(), true) })
	return true
}

// expendable reports whether the disk of an instance may lose something:
// everything that was acknowledged as safe is on the other one's.
func (w *world) expendable(i *instance) bool {
	if i.spare {
		return true
	}
	o := i.other()
	return o.disk.whole || w.becameWhole(o)
}

// covers reports whether what is on the disk of an instance is on another one's.
func (w *world) covers(other, i *instance) bool {
	for publisher, seq := range i.disk.has {
		if other.disk.has[publisher] < seq {
			return false
		}
	}
	return true
}

// becameWhole looks whether an instance whose disk has lost something has got
// it back.
func (w *world) becameWhole(i *instance) bool {
	o := i.other()
	for _, l := range w.oracle.order {
		if has := i.disk.has[l.publisher]; has < l.safe || has < o.disk.has[l.publisher] {
			return false
		}
	}
	if i.j == nil || i.j.Damage() != nil {
		return false
	}
	i.disk.whole = true
	return true
}

// lose takes what an instance's disk had. The other one may count on it until
// it has lost the connection.
func (w *world) lose(i *instance, fs *memfs.FS) {
	lost := diskTruth{has: bookmark.Vector{}, lost: bookmark.Vector{}} // what it has start says
	for publisher := range i.disk.everHad() {
		lost.lost[publisher] = i.disk.counted(publisher)
	}
	for _, s := range i.disk.via {
		if !s.closed && !s.told {
			lost.via = append(lost.via, s)
		}
	}
	for _, c := range w.conns {
		for _, s := range c.sides {
			if s.p != &i.process && s.other.p == &i.process && w.instance(s.host) != nil {
				lost.via = append(lost.via, s)
			}
		}
	}
	i.crash(memfs.Durable, true)
	i.fs, i.disk = fs, lost
	w.restart(i, 2*time.Second)
}

func (w *world) wipe() bool {
	i := w.one()
	if !i.alive || !w.expendable(i) {
		return false
	}
	w.say("FAULT %s is wiped", i.name)
	w.lose(i, memfs.New())
	return true
}

// rollBackDisk takes an image of a disk and puts it back later.
func (w *world) rollBackDisk() bool {
	i := w.one()
	if !i.alive {
		return false
	}
	old := i.fs.Image(memfs.Durable)
	w.later(100*time.Millisecond, 3*time.Second, func() {
		if !i.alive || !w.expendable(i) {
			return
		}
		w.say("FAULT the disk of %s is rolled back", i.name)
		w.lose(i, old)
	})
	return true
}

// damage flips bits of what is at rest on the disk of an instance that is down for it.
//
// What is damaged must be on the other disk, too: of a message that was never
// safe the only record may be damaged, and then it is refused to its publisher
// (R8), which is not what is looked for here.
func (w *world) damage() bool {
	i := w.one()
	if !i.alive || !w.expendable(i) || !i.spare && !w.covers(i.other(), i) {
		return false
	}
	fs := i.fs.Image(memfs.Durable)
	names := fs.Names()
	n := 1 + w.chaos.IntN(3)
	for range n {
		name := names[w.chaos.IntN(len(names))]
		b, err := fs.ReadFile(name)
		b = bytes.TrimRight(b, "\x00") // what is reserved and not yet written
		if err != nil || len(b) == 0 {
			continue
		}
		fs.FlipBits(name, w.chaos.Int64N(int64(len(b))), byte(1+w.chaos.IntN(255)))
	}
	w.say("FAULT %d bytes on the disk of %s are damaged", n, i.name)
	w.damaged = true
	w.lose(i, fs)
	return true
}

func (w *world) stopInstance() bool {
	i := w.one()
	if !i.alive || i.stopped {
		return false
	}
	w.say("FAULT %s is stopped", i.name)
	i.stop()
	run := i.run
	w.later(100*time.Millisecond, 6*time.Second, func() {
		if i.run == run {
			i.cont()
		}
	})
	return true
}

// ways cuts ways for a time.
func (w *world) ways(what string, least, most time.Duration, list ...way) bool {
	w.say("FAULT %s", what)
	for _, x := range list {
		w.cut(x.from, x.to)
	}
	w.later(least, most, func() {
		for _, x := range list {
			w.heal(x.from, x.to)
		}
	})
	return true
}

func (w *world) cutLink() bool {
	a, b := w.instances[0].name, w.instances[1].name
	return w.ways("link cut", 50*time.Millisecond, 4*time.Second, way{a, b}, way{b, a})
}

func (w *world) cutLinkOneWay() bool {
	i := w.either()
	return w.ways("link cut from "+i.name, 50*time.Millisecond, 4*time.Second, way{i.name, i.other().name})
}

// client returns the host of some application.
func (w *world) client() string {
	n := w.chaos.IntN(len(w.publishers) + len(w.subscribers))
	if n < len(w.publishers) {
		return w.publishers[n].name
	}
	return w.subscribers[n-len(w.publishers)].name
}

func (w *world) cutClient() bool {
	i, c := w.either().name, w.client()
	return w.ways("cut "+i+" "+c, 50*time.Millisecond, 4*time.Second, way{i, c}, way{c, i})
}

func (w *world) cutClientOneWay() bool {
	from, to := w.either().name, w.client()
	if w.chaos.IntN(2) == 0 {
		from, to = to, from
	}
	return w.ways("cut "+from+" to "+to, 50*time.Millisecond, 4*time.Second, way{from, to})
}

func (w *world) isolate() bool {
	i := w.either()
	var list []way
	add := func(host string) { list = append(list, way{i.name, host}, way{host, i.name}) }
	for _, o := range w.instances {
		if o != i {
			add(o.name)
		}
	}
	for _, p := range w.publishers {
		add(p.name)
	}
	for _, s := range w.subscribers {
		add(s.name)
	}
	return w.ways(i.name+" isolated", 50*time.Millisecond, 4*time.Second, list...)
}

func (w *world) flap() bool {
	a, b := w.instances[0].name, w.instances[1].name
	w.say("FAULT flapping link")
	for n := range 3 + w.chaos.IntN(5) {
		w.after(time.Duration(n)*200*time.Millisecond, nil, 'P', func() {
			w.ways("link cut", 10*time.Millisecond, 150*time.Millisecond, way{a, b}, way{b, a})
		})
	}
	return true
}

func (w *world) resetOne() bool {
	var open []*conn
	for _, c := range w.conns {
		if !c.sides[0].closed && !c.sides[1].closed && !c.sides[0].told && !c.sides[1].told {
			open = append(open, c)
		}
	}
	if len(open) == 0 {
		return false
	}
	c := open[w.chaos.IntN(len(open))]
	w.say("FAULT reset between %s and %s", c.sides[0].host, c.sides[1].host)
	c.breakOff()
	return true
}

func (w *world) slowNetwork() bool {
	if w.slow > 0 {
		return false
	}
	w.slow = between(w.chaos, 5*time.Millisecond, 300*time.Millisecond)
	w.say("FAULT slow network")
	w.later(500*time.Millisecond, 3*time.Second, func() { w.slow = 0 })
	return true
}

func (w *world) slowDisk() bool {
	i := w.one()
	was := i.syncTime
	if was > 100*time.Millisecond {
		return false
	}
	i.syncTime = between(w.chaos, 200*time.Millisecond, 3*time.Second)
	w.say("FAULT slow disk of %s", i.name)
	w.later(500*time.Millisecond, 4*time.Second, func() { i.syncTime = was })
	return true
}

func (w *world) failSync() bool {
	i := w.one()
	if !i.alive {
		return false
	}
	w.say("FAULT the next sync of %s fails", i.name)
	i.fs.FailSync(syscall.EIO)
	return true
}

func (w *world) fillDisk() bool {
	i := w.one()
	if !i.alive {
		return false
	}
	w.say("FAULT the disk of %s is full", i.name)
	if w.chaos.IntN(2) == 0 {
		i.fs.ShortWriteNth(1+w.chaos.IntN(3), syscall.ENOSPC)
	} else {
		i.fs.FailNth(1+w.chaos.IntN(6), syscall.ENOSPC)
	}
	return true
}

func (w *world) publisher() *publisher { return w.publishers[w.chaos.IntN(len(w.publishers))] }

func (w *world) killPublisher() bool { return w.endPublisher(w.publisher(), memfs.KeepAll, false) }

func (w *world) endPublisher(p *publisher, mode memfs.Mode, power bool) bool {
	if !p.alive {
		return false
	}
	w.say("FAULT %s dies: %s", p.name, mode.Name)
	p.kill(mode, power)
	w.later(0, time.Second, func() {
		if !p.alive {
			p.start()
		}
	})
	return true
}

func (w *world) cutPublisher() bool { return w.endPublisher(w.publisher(), w.mode(), true) }

func (w *world) stopPublisher() bool { return w.stopApplication(&w.publisher().process) }

func (w *world) stopSubscriber() bool {
	return w.stopApplication(&w.subscribers[w.chaos.IntN(len(w.subscribers))].process)
}

func (w *world) stopApplication(p *process) bool {
	if !p.alive || p.stopped {
		return false
	}
	w.say("FAULT %s is stopped", p.name)
	p.stop()
	run := p.run
	w.later(100*time.Millisecond, 4*time.Second, func() {
		if p.run == run {
			p.cont()
		}
	})
	return true
}

// rollBackStore puts back an older image of a publisher's machine: it boots
// with a store that has forgotten what came since.
func (w *world) rollBackStore() bool {
	p := w.publisher()
	if p.memory || !p.alive {
		return false
	}
	old := p.fs.Image(memfs.Durable)
	given := make(map[*life]int)
	for _, l := range w.oracle.of(p) {
		given[l] = l.synced
	}
	w.later(100*time.Millisecond, 2*time.Second, func() {
		if !p.alive {
			return
		}
		w.say("FAULT the machine of %s is rolled back", p.name)
		p.kill(memfs.Durable, true)
		p.fs = old
		for _, l := range w.oracle.of(p) {
			l.excuse(given[l])
		}
		w.later(0, time.Second, func() {
			if !p.alive {
				p.start()
			}
		})
	})
	return true
}

func (w *world) renewStore() bool {
	p := w.publisher()
	if !p.alive || p.stopped {
		return false
	}
	w.say("FAULT %s begins a new life", p.name)
	if err := p.store.Renew(); err != nil {
		w.oracle.violate("%s: renew: %v", p.name, err)
	}
	return true
}

func (w *world) killSubscriber() bool {
	s := w.subscribers[w.chaos.IntN(len(w.subscribers))]
	if !s.alive {
		return false
	}
	forgets := w.chaos.IntN(2) == 0
	w.say("FAULT %s dies, forgets %v", s.name, forgets)
	s.kill(forgets)
	w.later(0, time.Second, func() {
		if !s.alive {
			s.begin()
		}
	})
	return true
}
