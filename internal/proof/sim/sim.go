package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// Options choose a run.
type Options struct {
	Seed uint64
	Log  bool // keep a log of the events
	// NoUsers leaves out users and permissions, which half of the seeds have otherwise.
	NoUsers bool
}

// Counts are the counts of a run.
type Counts struct {
	Published uint64 // messages that a store took
	Safe      uint64 // of these, acknowledged as on two disks and let go
	Delivered uint64 // handed to subscribers
	Faults    []uint64
	Gaps      uint64 // connections refused as a publish gap or for a hole
	Skipped   uint64 // gaps reported to subscribers
	Searches  uint64 // for messages that their server has removed
	Overruns  uint64
	LeftOut   uint64 // publishers that places of subscribers left out again
	Revived   uint64 // gaps reported and messages handed over again because of restored images
	RollBacks uint64
	Diverged  uint64 // publishers set apart, once for each instance
	Restored  uint64 // times that old images were restored
	Lost      uint64 // messages that were acknowledged and on no disk then
	Access    AccessCounts
}

// Add adds the counts of another run.
func (c *Counts) Add(o Counts) {
	c.Published += o.Published
	c.Safe += o.Safe
	c.Delivered += o.Delivered
	c.Gaps += o.Gaps
	c.Skipped += o.Skipped
	c.Searches += o.Searches
	c.Overruns += o.Overruns
	c.LeftOut += o.LeftOut
	c.Revived += o.Revived
	c.RollBacks += o.RollBacks
	c.Diverged += o.Diverged
	c.Restored += o.Restored
	c.Lost += o.Lost
	c.Access.add(o.Access)
	if c.Faults == nil {
		c.Faults = make([]uint64, len(faultKinds))
	}
	for n, f := range o.Faults {
		c.Faults[n] += f
	}
}

// FaultsTotal is how many faults there were of all kinds.
func (c *Counts) FaultsTotal() (n uint64) {
	for _, f := range c.Faults {
		n += f
	}
	return n
}

// FaultNames are the kinds of faults, in the order of Counts.Faults.
func FaultNames() []string {
	names := make([]string, len(faultKinds))
	for n, k := range faultKinds {
		names[n] = k.name
	}
	return names
}

// A Result describes a run and its violations.
type Result struct {
	Counts
	Seed       uint64
	Trace      uint64 // the same for the same seed and code
	Events     int
	Virtual    time.Duration
	Violations []string
	Log        []string
}

// settings stay the same during a run.
type settings struct {
	length         time.Duration // of the faults
	faultInterval  time.Duration // between two of them, on average
	burstInterval  time.Duration // between two bursts of a publisher
	burst          int
	downgrade      time.Duration // 0: never
	rejoin         time.Duration
	segment        int64
	retain         time.Duration // 0: for ever
	spare          bool          // a third instance, replicated to asynchronously
	publishToSpare bool          // which publishers try, too
	weights        []int         // of the kinds of faults; 0: left out
	users          bool          // there are users with permissions
	usersFrom      time.Duration // when there are, from then on
	longAbsence    bool          // the link is cut for longer than absent permissions count
}

// drawSettings draws a setting.
func (w *world) drawSettings() {
	r := w.chaos
	w.settings = settings{
		length:        between(r, 20*time.Second, 60*time.Second),
		faultInterval: between(r, 60*time.Millisecond, 300*time.Millisecond),
		burstInterval: between(r, 10*time.Millisecond, 50*time.Millisecond),
		burst:         1 + r.IntN(8),
		rejoin:        2 * time.Second,
		segment:       []int64{8 << 10, 16 << 10, 64 << 10}[r.IntN(3)],
		spare:         r.IntN(4) == 0,
		weights:       make([]int, len(faultKinds)),
	}
	if r.IntN(4) > 0 {
		w.settings.downgrade = between(r, 100*time.Millisecond, 2*time.Second)
	}
	if r.IntN(3) == 0 {
		w.settings.retain = between(r, 2*time.Second, 8*time.Second)
	}
	w.settings.publishToSpare = w.settings.spare && r.IntN(2) == 0
	// In some runs some kinds are left out, so that the others happen more often.
	swarm := r.IntN(5) < 2
	some := false
	for n, k := range faultKinds {
		if !swarm || r.IntN(2) == 0 {
			w.settings.weights[n], some = k.weight, true
		}
	}
	if !some {
		w.settings.weights[0] = 1
	}
	w.drawUsers()
}

// addParticipants makes the instances and the applications.
func (w *world) addParticipants() {
	a, b := w.addInstance("A"), w.addInstance("B")
	a.peers, b.peers = []*instance{b}, []*instance{a}
	if w.settings.spare {
		c := w.addInstance("C")
		c.spare = true
		a.peers, b.peers = append(a.peers, c), append(b.peers, c)
		a.async["C"], b.async["C"] = true, true
	}
	w.addPublisher("file1", false)
	w.addPublisher("file2", false).user = w.user(userBlue)
	w.addPublisher("memory", true)
	w.addSubscriber("all", topicAll, epochText)
	slow := w.addSubscriber("slow", topicA, nowText)
	slow.handleTime, slow.queueLimit = between(w.load, 200*time.Microsecond, 3*time.Millisecond), 16+w.load.IntN(64)
	odd := w.addSubscriber("odd", topicB, epochText)
	odd.user = w.user(userOdd)
	odd.shuffle = true
	odd.fullyDurable = w.load.IntN(2) == 0
}

// stopRun ends a run that can't go on.
type stopRun struct{}

// Run makes one run: a group and its applications under load and under faults;
// then the faults end, everything comes to rest, and the oracle judges.
func Run(o Options) (r Result) {
	w := newWorld(o)
	w.counts.Faults = make([]uint64, len(faultKinds))
	w.drawSettings()
	w.addParticipants()
	w.logf("%+v", w.settings)
	defer func() {
		if p := recover(); p != nil {
			if _, ok := p.(stopRun); !ok {
				w.oracle.violate("panic: %v", p)
				if o.Log {
					panic(p)
				}
			}
		}
		r = Result{Counts: w.counts, Seed: o.Seed, Trace: w.trace, Events: w.eventsDone, Virtual: w.now, Violations: w.oracle.violations, Log: w.log}
	}()
	w.startUsers()
	for _, i := range w.instances {
		i.start()
	}
	for _, p := range w.publishers {
		p.start()
	}
	for _, s := range w.subscribers {
		s.startProcess()
	}
	if o.Seed%3 == 0 {
		w.writeConflicts(w.settings.length)
	}
	w.injectFaults(w.settings.length)
	w.runUntil(w.settings.length)
	w.awaitRest()
	for _, i := range w.instances {
		i.addCounts()
	}
	w.oracle.checkLost()
	w.oracle.judge()
	return r
}

// restTimeout is how long everything may take to come to rest.
const restTimeout = 3 * time.Minute

// awaitRest ends all faults and waits until everything is safe and handed over.
func (w *world) awaitRest() {
	w.logf("the faults end")
	w.runUntil(w.now + 7*time.Second) // they end by themselves
	for _, p := range w.publishers {
		p.quiet = true
	}
	if w.options.Seed%4 == 1 { // long enough for places to leave publishers out, not for these to be forgotten
		w.runUntil(w.now + 5*w.settings.retain)
	}
	w.faultsOver = true
	for _, s := range w.subscribers {
		s.shuffle = false
	}
	for end := w.now + restTimeout; ; {
		why := w.unrest()
		if why == "" {
			return
		}
		if w.now >= end {
			w.oracle.violate("not at rest after %v: %s", restTimeout, why)
			return
		}
		w.runUntil(w.now + 100*time.Millisecond)
	}
}

// anyIntact reports whether an instance is intact. If there is none, each disk was lost
// before another one was known to have all.
func (w *world) anyIntact() bool {
	return slices.ContainsFunc(w.instances, func(i *instance) bool { return i.alive && !i.stopped && i.links.Intact() })
}

// unrest returns the reason why the run is not at rest, empty if it is.
func (w *world) unrest() string {
	if w.restore.running {
		return "the operator has not made the decree"
	}
	for _, i := range w.instances {
		switch {
		case !i.alive || i.stopped || !i.serving:
			return i.name + " doesn't serve"
		case i.links.CatchingUp():
			return i.name + " catches up"
		case i.links.Cluster() != w.instances[0].links.Cluster():
			return i.name + " is of another cluster"
		case w.anyIntact() && !i.links.Intact():
			return i.name + " is not intact"
		}
	}
	have := w.pairVector()
	checks, owners := make(map[uint64]bookmark.Check), make(map[uint64]string)
	for _, p := range w.publishers {
		if n := p.store.Usage().Messages; n > 0 || !p.live {
			return fmt.Sprintf("%s keeps %d messages of %v, live %v", p.name, n, p.store.Lives(), p.live)
		}
		if lost := w.oracle.unreportedLosses(p); lost != nil {
			return fmt.Sprintf("%s was not told that %v are lost", p.name, lost)
		}
	}
	for _, i := range w.instances {
		for _, s := range i.j.States() {
			if w.isConflicting(s.Publisher) {
				continue
			}
			if s.Have < have[s.Publisher] || s.Durable < s.Have || i.disk.durable[s.Publisher] < s.Have {
				return fmt.Sprintf("%s has %d of %d up to %d", i.name, s.Durable, s.Publisher, have[s.Publisher])
			}
			if s.Check == (bookmark.Check{}) && w.damaged {
				continue // lost with a head, or never sent by an instance that had lost it
			}
			if check, known := checks[s.Publisher]; s.Check == (bookmark.Check{}) || known && s.Check != check {
				return fmt.Sprintf("%s has check %x of %d, another has %x", i.name, s.Check, s.Publisher, check)
			}
			checks[s.Publisher] = s.Check
			if owner, known := owners[s.Publisher]; known && s.Owner != owner && !w.damaged {
				return fmt.Sprintf("%s has the owner %q of %d, another has %q", i.name, s.Owner, s.Publisher, owner)
			}
			owners[s.Publisher] = s.Owner
		}
	}
	for _, s := range w.subscribers {
		for len(s.undiscarded) > 0 {
			s.discardOne()
		}
		if m := w.oracle.firstMissing(s, have); m != nil || !s.live {
			return fmt.Sprintf("%s: live %v, received %v, but was not handed %+v", s.name, s.live, s.sub.Received(), m)
		}
	}
	return ""
}

// pairVector returns the highest sequence of each publisher on either instance of the
// pair.
func (w *world) pairVector() bookmark.Vector {
	have := bookmark.Vector{}
	for _, i := range w.instances[:2] {
		for _, s := range i.j.States() {
			have[s.Publisher] = max(have[s.Publisher], s.Have)
		}
	}
	return have
}
