package sim

import (
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"time"
)

// A world is all there is in one run: time, what is to happen, chance, and
// everybody in it.
type world struct {
	o     Options
	set   setting
	now   time.Duration // since the run began
	queue []event       // a heap by time, then by number
	count uint64        // of events that were planned
	done  int           // of events that happened

	// Each purpose draws from a stream of its own, so that one draw more for
	// one does not change the others.
	net, disk, load, chaos *rand.Rand

	instances   []*instance
	publishers  []*publisher
	subscribers []*subscriber
	conns       []*conn
	cuts        map[way]int // how often a way is cut; 0: open
	slow        time.Duration
	resting     bool   // the faults have ended
	damaged     bool   // something at rest was damaged
	bodies      uint64 // given out
	lives       int    // given names
	runs        uint64 // starts of instances

	oracle oracle
	trace  uint64   // hash of what happened
	log    []string // with Options.Log
	counts Counts
}

// epoch is the time at which every run begins, for those who ask for a date.
var epoch = time.Unix(1_800_000_000, 0)

// clock returns the time as an instance or application reads it.
func (w *world) clock() time.Time { return epoch.Add(w.now) }

func newWorld(o Options) *world {
	w := &world{o: o, cuts: make(map[way]int)}
	for i, r := range []**rand.Rand{&w.net, &w.disk, &w.load, &w.chaos} {
		*r = rand.New(rand.NewPCG(o.Seed, uint64(i)))
	}
	h := fnv.New64a()
	fmt.Fprint(h, o.Seed)
	w.trace = h.Sum64()
	w.oracle.begin(w)
	return w
}

// A process can be killed and stopped. What is planned for it is dropped with
// its run, and kept back while it is stopped.
type process struct {
	w       *world
	name    string
	run     int
	alive   bool
	stopped bool
	held    []event
}

// An event is something that is to happen at a time, to a process as long as
// that is its present run.
type event struct {
	at    time.Duration
	n     uint64
	p     *process
	run   int
	f     func()
	label byte // what it is, for the hash
}

func (e *event) before(o *event) bool { return e.at < o.at || e.at == o.at && e.n < o.n }

// after plans f for the process p, nil for the world itself.
func (w *world) after(d time.Duration, p *process, label byte, f func()) {
	e := event{at: w.now + max(d, 0), n: w.count, p: p, f: f, label: label}
	if p != nil {
		e.run = p.run
	}
	w.count++
	w.push(e)
}

func (w *world) push(e event) {
	q := append(w.queue, e)
	i := len(q) - 1
	for i > 0 {
		up := (i - 1) / 2
		if !q[i].before(&q[up]) {
			break
		}
		q[i], q[up] = q[up], q[i]
		i = up
	}
	w.queue = q
}

func (w *world) pop() event {
	q := w.queue
	e := q[0]
	last := len(q) - 1
	q[0] = q[last]
	q[last] = event{}
	q = q[:last]
	for i := 0; ; {
		least, l := i, 2*i+1
		if l < last && q[l].before(&q[least]) {
			least = l
		}
		if l+1 < last && q[l+1].before(&q[least]) {
			least = l + 1
		}
		if least == i {
			break
		}
		q[i], q[least] = q[least], q[i]
		i = least
	}
	w.queue = q
	return e
}

// runUntil lets everything happen that is due up to a time.
func (w *world) runUntil(t time.Duration) {
	for len(w.queue) > 0 && w.queue[0].at <= t {
		e := w.pop()
		w.now = e.at
		w.happen(e)
	}
	w.now = t
}

func (w *world) happen(e event) {
	p := e.p
	switch {
	case p == nil:
	case p.run != e.run || !p.alive:
		return
	case p.stopped:
		p.held = append(p.held, e)
		return
	}
	w.done++
	w.mix(uint64(e.at)<<8 | uint64(e.label))
	e.f()
}

// mix adds a number to the hash of what happened.
func (w *world) mix(v uint64) {
	w.trace ^= v
	w.trace *= 1099511628211
	w.trace ^= w.trace >> 29
}

func (w *world) say(format string, args ...any) {
	if w.o.Log {
		w.log = append(w.log, fmt.Sprintf("%10.6fs  ", w.now.Seconds())+fmt.Sprintf(format, args...))
	}
}

// begin starts a run of the process.
func (p *process) begin() {
	p.run++
	p.alive, p.stopped, p.held = true, false, nil
}

// end ends it: nothing that was planned for it happens.
func (p *process) end() {
	p.run++
	p.alive, p.stopped, p.held = false, false, nil
}

// stop is SIGSTOP, cont SIGCONT.
func (p *process) stop() { p.stopped = p.alive }

func (p *process) cont() {
	held := p.held
	p.stopped, p.held = false, nil
	for _, e := range held {
		e.at, e.n = p.w.now, p.w.count
		p.w.count++
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
