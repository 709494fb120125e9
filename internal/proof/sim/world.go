package sim

import (
	"cmp"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"
)

// A world is everything in one run: the time, the planned events, the random streams, and
// all participants.
type world struct {
	options    Options
	settings   settings
	now        time.Duration // since the run began
	queue      []*event      // the next one is the last
	eventsDone int           // events that happened

	// Each purpose draws from its own stream, so that one more draw for one does not
	// change the others.
	net, disk, load, chaos, access *rand.Rand

	instances    []*instance
	publishers   []*publisher
	subscribers  []*subscriber
	conns        []*conn
	cuts         map[direction]int // how often a direction is cut; 0: open
	extraLatency time.Duration
	faultsOver   bool            // the faults have ended
	hadOneWay    bool            // a link was one way
	conflicting  map[uint64]bool // publishers that were given two contents for one number
	damaged      bool            // something at rest was damaged
	bodies       uint64          // given out
	lives        int             // given names
	runs         uint64          // starts of instances
	forgers      int             // there have been
	recordings   []*recording    // of links
	restore      restoreFault
	users        userChanges

	oracle oracle
	trace  uint64   // hash of the events
	log    []string // with Options.Log
	counts Counts
}

// epoch is the wall clock at the beginning of every run.
var epoch = time.Unix(1_800_000_000, 0)

// clock returns the time as an instance or application reads it.
func (w *world) clock() time.Time { return epoch.Add(w.now) }

func newWorld(o Options) *world {
	w := &world{options: o, cuts: make(map[direction]int), conflicting: make(map[uint64]bool)}
	for i, r := range []**rand.Rand{&w.net, &w.disk, &w.load, &w.chaos, &w.access} {
		*r = rand.New(rand.NewPCG(o.Seed, uint64(i)))
	}
	h := fnv.New64a()
	fmt.Fprint(h, o.Seed)
	w.trace = h.Sum64()
	w.oracle.init(w)
	return w
}

// A process can be killed and stopped. Its planned events are dropped when it ends, and
// held back while it is stopped.
type process struct {
	w          *world
	name       string
	run        int
	alive      bool
	stopped    bool
	foreign    bool // not of the group
	heldEvents []*event
}

// An event is something that is to happen at a time, to a process as long as
// that is its present run.
type event struct {
	at    time.Duration
	p     *process
	run   int
	f     func()
	label byte // its kind, for the hash
}

// after plans f for the process p, nil for the world itself.
func (w *world) after(d time.Duration, p *process, label byte, f func()) {
	e := &event{at: w.now + max(d, 0), p: p, f: f, label: label}
	if p != nil {
		e.run = p.run
	}
	w.push(e)
}

// push plans an event, after those that are planned for the same time.
func (w *world) push(e *event) {
	n, _ := slices.BinarySearchFunc(w.queue, e.at, func(q *event, at time.Duration) int { return cmp.Compare(at, q.at) })
	w.queue = slices.Insert(w.queue, n, e)
}

// runUntil lets everything happen that is due up to a time.
func (w *world) runUntil(t time.Duration) {
	for last := len(w.queue) - 1; last >= 0 && w.queue[last].at <= t; last = len(w.queue) - 1 {
		e := w.queue[last]
		w.queue = w.queue[:last]
		w.now = e.at
		w.run(e)
	}
	w.now = t
}

// alarm plans f at a time, unless an earlier alarm is planned. planned holds the time.
func (p *process) alarm(planned *time.Duration, d time.Duration, label byte, f func()) {
	at := p.w.now + max(d, 0)
	if *planned > p.w.now && *planned <= at {
		return
	}
	*planned = at
	p.w.after(d, p, label, func() {
		if *planned == at {
			*planned = 0
			f()
		}
	})
}

func (w *world) run(e *event) {
	p := e.p
	switch {
	case p == nil:
	case p.run != e.run || !p.alive:
		return
	case p.stopped:
		p.heldEvents = append(p.heldEvents, e)
		return
	}
	w.eventsDone++
	w.mix(uint64(e.at)<<8 | uint64(e.label))
	e.f()
}

// mix adds a number to the hash of the events.
func (w *world) mix(v uint64) {
	w.trace ^= v
	w.trace *= 1099511628211
	w.trace ^= w.trace >> 29
}

func (w *world) logf(format string, args ...any) {
	if w.options.Log {
		w.log = append(w.log, fmt.Sprintf("%10.6fs  ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// beginRun starts a run of the process.
func (p *process) beginRun() {
	p.endRun()
	p.alive = true
}

// endRun ends it: nothing that was planned for it happens.
func (p *process) endRun() {
	p.run++
	p.alive, p.stopped, p.heldEvents = false, false, nil
}

// stop is SIGSTOP, cont SIGCONT.
func (p *process) stop() { p.stopped = p.alive }

func (p *process) resume() {
	held := p.heldEvents
	p.stopped, p.heldEvents = false, nil
	for _, e := range held {
		e.at = p.w.now
		p.w.push(e)
	}
}

// between draws a time.
func between(r *rand.Rand, least, most time.Duration) time.Duration {
	if most <= least {
		return least
	}
	return least + time.Duration(r.Int64N(int64(most-least)))
}
