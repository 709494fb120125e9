package sim

import (
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/journal"
	"github.com/holdfast-mq/holdfast/internal/ledger"
	"github.com/holdfast-mq/holdfast/internal/proof/checker"
	"github.com/holdfast-mq/holdfast/internal/replica"
	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// A restoring is that old images of the pair are put back, and the operator's decree
// about that. There is one at a time: images are thus of the present incarnation.
type restoring struct {
	under bool   // way: from the images to the decree
	want  uint64 // incarnation that the decree is to begin
}

// decreeRetryInterval is the time between two attempts of the operator, and for how long one
// waits for answers.
const (
	decreeRetryInterval = 3 * time.Second
	decreeTimeout       = 2 * time.Second
)

// restoreImages puts images of the disks of both back, or of one that the other can make
// good, and has the operator declare lost what is on neither.
func (w *world) restoreImages() bool {
	// What a publisher has put on the third does not come back to the pair.
	if w.restoring.under || w.damaged || w.set.drill || !w.instances[0].alive || !w.instances[1].alive {
		return false
	}
	w.restoring.under = true
	back := w.instances[:2]
	if w.chaos.IntN(4) == 0 {
		back = back[:1]
	}
	images, taken := make([]*memfs.FS, len(back)), make([]time.Duration, len(back))
	for n, i := range back {
		w.later(0, time.Second, func() {
			if !i.blank {
				images[n], taken[n] = i.fs.Image(memfs.Durable), w.now
			}
		})
	}
	w.later(2*time.Second, 10*time.Second, func() {
		if slices.Contains(images, nil) || w.anyEmpty() || len(back) == 1 && !w.expendable(back[0]) {
			w.restoring.under = false
			return
		}
		w.say("FAULT old images of %d disks", len(back))
		for n, i := range back {
			w.lose(i, images[n], taken[n])
		}
		if len(back) == 2 && w.set.spare { // or nobody might give back what it has
			w.lose(w.instances[2], memfs.New(), w.now)
			w.instances[2].blank = true
		}
		w.counts.Restored++
		w.restoring.want = w.oracle.restored() + 1
		w.later(100*time.Millisecond, 3*time.Second, w.declare)
	})
	return true
}

// declare has the operator make the decree until both have it.
func (w *world) declare() {
	w.oracle.checkLost()
	waits := 0
	for _, i := range w.instances[:2] {
		if i.j == nil || i.j.Decree().Incarnation < w.restoring.want {
			waits++
		}
	}
	if waits == 0 {
		w.restoring.under = false
		return
	}
	w.after(decreeRetryInterval, nil, 'D', w.declare)
	i := w.either()
	if !i.alive || i.stopped || !i.serving || i.j.Decree().Incarnation >= w.restoring.want { // the other one is away
		return
	}
	o, id := i.other().linkName, w.chaos.Uint64()
	if w.chaos.IntN(2) == 0 && i.linked(o) {
		if done, err := i.links.Decree([]string{o}, id)(false); !done || err == nil {
			w.oracle.violate("%s declares lost what %s has, which is linked", i.name, o)
		}
	}
	order := i.links.EndDecree
	if d := i.j.Decree(); !d.Stands() {
		order = func() replica.DecreePoll { return i.links.Decree(nil, id) }
	}
	w.say("the operator's order at %s", i.name)
	i.follow(order(), w.now+decreeTimeout)
}

// follow waits for the end of an order.
func (i *instance) follow(order replica.DecreePoll, until time.Duration) {
	done, err := order(i.w.now >= until)
	i.wake()
	if done {
		i.w.say("%s: the order has ended: %v, %+v", i.name, err, i.j.Decree())
		return
	}
	i.w.after(20*time.Millisecond, &i.process, 'D', func() { i.follow(order, until) })
}

// A loss is what was acknowledged and is on no disk. It may be declared lost from an
// incarnation on, not before.
type loss struct {
	ledger.Range
	since uint64
}

// A telling is that a publisher was told of a loss, in an incarnation, by a run of an
// instance.
type telling struct {
	loss
	by  *instance
	run int
}

// lasts reports whether the instance must know that it told so. If its process has ended
// since, the record of the loss may be gone that was not durable yet.
func (t *telling) lasts() bool { return t.by.run == t.run }

// Remains are what the disks of the group have together.
type remains struct {
	incarnation uint64
	stands      bool             // the decree does
	settled     map[*life]bool   // lives that have made use of the decree
	top         map[*life]uint64 // highest number of each life
}

func (o *oracle) remains() remains {
	r := remains{settled: make(map[*life]bool), top: make(map[*life]uint64)}
	for _, i := range o.w.instances {
		o.read(i, func(j *journal.Journal) error {
			d := j.Decree()
			r.incarnation, r.stands = max(r.incarnation, d.Incarnation), r.stands || d.Stands()
			for _, l := range o.order {
				s, _ := j.State(l.publisher)
				r.top[l] = max(r.top[l], s.Have)
				r.settled[l] = r.settled[l] || j.DecreeUsed(l.publisher)
			}
			return nil
		})
	}
	return r
}

// incarnation returns the incarnation that the disk of an instance knows.
func (o *oracle) incarnation(i *instance) (n uint64) {
	if o.w.restoring.want > 0 && !o.w.damaged { // else there is none to lose, or any journal may be lost
		o.read(i, func(j *journal.Journal) error {
			n = j.Decree().Incarnation
			return nil
		})
	}
	return n
}

// since is the incarnation from which on a loss of a life may be declared.
func (r *remains) since(l *life) uint64 {
	if r.stands && !r.settled[l] {
		return r.incarnation
	}
	return r.incarnation + 1
}

// restored notes the messages that are on none of the images that were put back, and
// returns the present incarnation.
func (o *oracle) restored() (incarnation uint64) {
	r := o.remains()
	for _, l := range o.order {
		top := r.top[l]
		if top == 0 {
			l.erased = uint64(len(l.messages))
		}
		if l.safe <= top {
			continue
		}
		lost := loss{ledger.Range{From: top + 1, To: l.safe}, r.since(l)}
		if l.lost = append(l.lost, lost); top == 0 {
			l.unheard = l.safe // before the decree that is taken for what retention has removed (R10)
		}
		for seq := lost.From; seq <= lost.To; seq++ {
			l.messages[seq-1].Fate = checker.Unknown // it may be kept, too, and be sent again
		}
		o.w.say("of %s %d to %d are lost", l.id, lost.From, lost.To)
		o.w.counts.Lost += lost.To - top
	}
	return r.incarnation
}

// noteDiskLost notes that with a disk it may be lost that a decree has ended, or that a
// publisher has made use of it: messages that were lost before may then be declared
// lost by it.
func (o *oracle) noteDiskLost() {
	if o.w.damaged { // no journal need be readable, and anything may be lost
		return
	}
	r := o.remains()
	for _, l := range o.order {
		for n := range l.lost {
			l.lost[n].since = min(l.lost[n].since, r.since(l))
		}
	}
}

// checkLost checks that nothing is said to be lost that is not.
func (o *oracle) checkLost() {
	for _, i := range o.w.instances {
		if i.j == nil {
			continue
		}
		incarnation := i.j.Decree().Incarnation
		for _, l := range o.order {
			for _, r := range i.j.LostRanges(l.publisher) {
				if !o.mayBeLost(l, r, incarnation) {
					o.violate("%s says in incarnation %d that %d to %d of %s are lost: lost are %v", i.name, incarnation, r.From, r.To, l.id, l.lost)
				}
			}
		}
	}
}

// isLost reports whether a message was on no disk with some images.
func (l *life) isLost(seq uint64) bool {
	return slices.ContainsFunc(l.lost, func(x loss) bool { return x.From <= seq && seq <= x.To })
}

// mayBeLost reports whether a range is lost, and may be said to be in an incarnation.
// An instance whose peers do not know it to be one that they replicate to asks nobody
// about a life that it does not know, and what is damaged on both disks is lost, too.
func (o *oracle) mayBeLost(l *life, r ledger.Range, incarnation uint64) bool {
	return o.w.damaged || o.w.muted && r.From == 1 || slices.ContainsFunc(l.lost, func(x loss) bool { return x.From <= r.From && r.To <= x.To && x.since <= incarnation })
}

// untold returns what a publisher was not told of what is lost of the life that its
// store goes on with.
func (o *oracle) untold(p *publisher) (lost []ledger.Range) {
	lives := p.store.Lives()
	l := o.life(p, lives[len(lives)-1].ID)
	for _, r := range o.w.instances[0].j.LostRanges(l.publisher) {
		if l.isLost(r.From) && !slices.ContainsFunc(l.told, func(t telling) bool { return t.From <= r.From && r.To <= t.To }) {
			lost = append(lost, r)
		}
	}
	return lost
}

// noteLossReport notes that a publisher is told what is lost of a life, in an incarnation
// that its store has not met.
func (o *oracle) noteLossReport(p *publisher, m *wire.Message, again bool) {
	spans, err := wire.ParseSpans(m.Lost)
	o.check(err, p.name, "lost")
	l := o.life(p, p.core.LifeID())
	for _, s := range spans {
		t := telling{loss{ledger.Range(s), m.Incarnation}, p.server, p.server.run}
		twice := slices.ContainsFunc(l.told, func(x telling) bool { return x.loss == t.loss && x.lasts() })
		if twice && !again {
			o.violate("%s is told a second time in incarnation %d that %d to %d of %s are lost", p.name, t.since, t.From, t.To, l.id)
		}
		if !o.mayBeLost(l, t.Range, t.since) {
			o.violate("%s is told in incarnation %d that %d to %d of %s are lost: lost are %v", p.name, t.since, t.From, t.To, l.id, l.lost)
		}
		l.told = append(l.told, t)
	}
}

// meet takes in the group of a server that has accepted a logon, and what is lost.
func (p *publisher) meet(m *wire.Message) {
	_, seen := p.store.Group()
	if seen > m.Incarnation {
		p.w.oracle.violate("%s is served by %s of incarnation %d, and has met %d", p.name, p.server.name, m.Incarnation, seen)
	}
	former := p.core.Former()
	p.w.oracle.noteLossReport(p, m, former || p.rolled)
	if !former {
		p.stored(p.store.SetGroup(string(m.Cluster), m.Incarnation))
	}
}
