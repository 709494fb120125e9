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

// A restoreFault puts old images of the pair back, and makes the operator's decree about
// it. There is one at a time, so images are of the present incarnation.
type restoreFault struct {
	running     bool   // from taking the images to the decree
	incarnation uint64 // incarnation that the decree is to begin
}

// decreeRetryInterval is the time between two attempts of the operator, and for how long one
// waits for answers.
const (
	decreeRetryInterval = 3 * time.Second
	decreeTimeout       = 2 * time.Second
)

// restoreImages puts back old images of both disks, or of one whose messages the other
// can restore. The operator then declares lost the messages that are on neither.
func (w *world) restoreImages() bool {
	// A message that a publisher has sent to the third instance does not come back to the
	// pair.
	if w.restore.running || w.damaged || w.settings.publishToSpare || !w.instances[0].alive || !w.instances[1].alive {
		return false
	}
	w.restore.running = true
	back := w.instances[:2]
	if w.chaos.IntN(4) == 0 {
		back = back[:1]
	}
	images, taken := make([]*memfs.FS, len(back)), make([]time.Duration, len(back))
	for n, i := range back {
		w.later(0, time.Second, func() {
			if !i.empty {
				images[n], taken[n] = i.fs.Image(memfs.Durable), w.now
			}
		})
	}
	w.later(2*time.Second, 10*time.Second, func() {
		if slices.Contains(images, nil) || w.anyEmpty() || len(back) == 1 && !w.mayLose(back[0]) {
			w.restore.running = false
			return
		}
		w.logf("FAULT old images of %d disks", len(back))
		for n, i := range back {
			w.loseDisk(i, images[n], taken[n])
		}
		if len(back) == 2 && w.settings.spare { // otherwise the third instance might give back lost messages
			w.loseDisk(w.instances[2], memfs.New(), w.now)
			w.instances[2].empty = true
		}
		w.counts.Restored++
		w.restore.incarnation = w.oracle.noteRestored() + 1
		w.later(100*time.Millisecond, 3*time.Second, w.declareLoss)
	})
	return true
}

// declareLoss has the operator make the decree until both have it.
func (w *world) declareLoss() {
	w.oracle.checkLost()
	waits := 0
	for _, i := range w.instances[:2] {
		if i.j == nil || i.j.Decree().Incarnation < w.restore.incarnation {
			waits++
		}
	}
	if waits == 0 {
		w.restore.running = false
		return
	}
	w.after(decreeRetryInterval, nil, 'D', w.declareLoss)
	i := w.oneOfPair()
	if !i.alive || i.stopped || !i.serving || i.j.Decree().Incarnation >= w.restore.incarnation { // the other one is away
		return
	}
	o, id := i.other().linkName, w.chaos.Uint64()
	if w.chaos.IntN(2) == 0 && i.isLinked(o) {
		if done, err := i.links.Decree([]string{o}, id)(false); !done || err == nil {
			w.oracle.violate("%s declares the messages of %s lost although it is linked", i.name, o)
		}
	}
	order := i.links.EndDecree
	if d := i.j.Decree(); !d.Stands() {
		order = func() replica.DecreePoll { return i.links.Decree(nil, id) }
	}
	w.logf("the operator's command at %s", i.name)
	i.awaitOrder(order(), w.now+decreeTimeout)
}

// awaitOrder waits for the end of an order.
func (i *instance) awaitOrder(order replica.DecreePoll, until time.Duration) {
	done, err := order(i.w.now >= until)
	i.wake()
	if done {
		i.w.logf("%s: the command has ended: %v, %+v", i.name, err, i.j.Decree())
		return
	}
	i.w.after(20*time.Millisecond, &i.process, 'D', func() { i.awaitOrder(order, until) })
}

// A loss is a range of messages that were acknowledged and are on no disk. It may be
// declared lost from an incarnation on, not before.
type loss struct {
	ledger.Range
	since uint64
}

// A lossReport is the report of a loss to a publisher, in an incarnation, by a run of an
// instance.
type lossReport struct {
	loss
	instance *instance
	run      int
}

// isDurable reports whether the instance must remember the report. If its process has
// ended since, the record of the loss may have been lost before it was durable.
func (t *lossReport) isDurable() bool { return t.instance.run == t.run }

// A diskState is the content of all disks of the group together.
type diskState struct {
	incarnation  uint64
	decreeStands bool             // the decree does
	usedDecree   map[*life]bool   // lives that have made use of the decree
	highest      map[*life]uint64 // highest number of each life
}

func (o *oracle) readDisks() diskState {
	r := diskState{usedDecree: make(map[*life]bool), highest: make(map[*life]uint64)}
	for _, i := range o.w.instances {
		o.readDisk(i, func(j *journal.Journal) error {
			d := j.Decree()
			r.incarnation, r.decreeStands = max(r.incarnation, d.Incarnation), r.decreeStands || d.Stands()
			for _, l := range o.order {
				s, _ := j.State(l.publisher)
				r.highest[l] = max(r.highest[l], s.Have)
				r.usedDecree[l] = r.usedDecree[l] || j.DecreeUsed(l.publisher)
			}
			return nil
		})
	}
	return r
}

// incarnation returns the incarnation that the disk of an instance knows.
func (o *oracle) incarnation(i *instance) (n uint64) {
	if o.w.restore.incarnation > 0 && !o.w.damaged { // else there is none to lose, or any journal may be lost
		o.readDisk(i, func(j *journal.Journal) error {
			n = j.Decree().Incarnation
			return nil
		})
	}
	return n
}

// lossSince is the incarnation from which on a loss of a life may be declared.
func (r *diskState) lossSince(l *life) uint64 {
	if r.decreeStands && !r.usedDecree[l] {
		return r.incarnation
	}
	return r.incarnation + 1
}

// noteRestored notes the messages that are on none of the restored images, and returns
// the present incarnation.
func (o *oracle) noteRestored() (incarnation uint64) {
	r := o.readDisks()
	for _, l := range o.order {
		top := r.highest[l]
		if top == 0 {
			l.publishedAtErase = uint64(len(l.messages))
		}
		if l.safe <= top {
			continue
		}
		lost := loss{ledger.Range{From: top + 1, To: l.safe}, r.lossSince(l)}
		if l.lost = append(l.lost, lost); top == 0 {
			l.lostUnknown = l.safe // before the decree such messages count as removed by retention (R10)
		}
		for seq := lost.From; seq <= lost.To; seq++ {
			l.messages[seq-1].Fate = checker.Unknown // it may be kept, too, and be sent again
		}
		o.w.logf("of %s %d to %d are lost", l.id, lost.From, lost.To)
		o.w.counts.Lost += lost.To - top
	}
	return r.incarnation
}

// noteDiskLost notes that with a disk it may be lost that a decree has ended, or that a
// publisher has made use of it: messages that were lost before may then be declared
// lost by it.
func (o *oracle) noteDiskLost() {
	o.diskLost = true
	if o.w.damaged { // no journal need be readable, and anything may be lost
		return
	}
	r := o.readDisks()
	for _, l := range o.order {
		for n := range l.lost {
			l.lost[n].since = min(l.lost[n].since, r.lossSince(l))
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
					o.violate("%s reports in incarnation %d that %d to %d of %s are lost: the lost ones are %v", i.name, incarnation, r.From, r.To, l.id, l.lost)
				}
			}
		}
	}
}

// isLost reports whether a message was on no disk with some images.
func (l *life) isLost(seq uint64) bool {
	return slices.ContainsFunc(l.lost, func(x loss) bool { return x.From <= seq && seq <= x.To })
}

// mayBeLost reports whether an instance may report a range as lost in an incarnation. An
// instance whose peers do not know that they replicate to it asks no peer about an
// unknown life. A record that is damaged on both disks is lost, too.
func (o *oracle) mayBeLost(l *life, r ledger.Range, incarnation uint64) bool {
	return o.w.damaged || o.w.hadOneWay && r.From == 1 || slices.ContainsFunc(l.lost, func(x loss) bool { return x.From <= r.From && r.To <= x.To && x.since <= incarnation })
}

// unreportedLosses returns the losses that a publisher has not been told, of the life
// that its store continues.
func (o *oracle) unreportedLosses(p *publisher) (lost []ledger.Range) {
	lives := p.store.Lives()
	l := o.life(p, lives[len(lives)-1].ID)
	for _, r := range o.w.instances[0].j.LostRanges(l.publisher) {
		if l.isLost(r.From) && !slices.ContainsFunc(l.lossReports, func(t lossReport) bool { return t.From <= r.From && r.To <= t.To }) {
			lost = append(lost, r)
		}
	}
	return lost
}

// noteLossReport notes the losses that a publisher is told, of a life and in an
// incarnation that its store has not met.
func (o *oracle) noteLossReport(p *publisher, m *wire.Message, again bool) {
	spans, err := wire.ParseSpans(m.Lost)
	o.checkError(err, p.name, "lost")
	l := o.life(p, p.core.LifeID())
	for _, s := range spans {
		t := lossReport{loss{ledger.Range(s), m.Incarnation}, p.server, p.server.run}
		twice := slices.ContainsFunc(l.lossReports, func(x lossReport) bool { return x.loss == t.loss && x.isDurable() })
		if twice && !again {
			o.violate("%s is told a second time in incarnation %d that %d to %d of %s are lost", p.name, t.since, t.From, t.To, l.id)
		}
		if !o.mayBeLost(l, t.Range, t.since) {
			o.violate("%s is told in incarnation %d that %d to %d of %s are lost: the lost ones are %v", p.name, t.since, t.From, t.To, l.id, l.lost)
		}
		l.lossReports = append(l.lossReports, t)
	}
}

// onGroup takes in the group of the server that has accepted a logon, and the reported losses.
func (p *publisher) onGroup(m *wire.Message) {
	_, seen := p.store.Group()
	if seen > m.Incarnation {
		p.w.oracle.violate("%s is served by %s of incarnation %d although it has met %d", p.name, p.server.name, m.Incarnation, seen)
	}
	former := p.core.Former()
	p.w.oracle.noteLossReport(p, m, former || p.rolledBack)
	if !former {
		p.checkStoreError(p.store.SetGroup(string(m.Cluster), m.Incarnation))
	}
}
