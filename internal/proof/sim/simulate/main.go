// Command simulate makes many runs of package sim and reports their events. It exits
// with 1 if a promise was broken in one, and prints the seed of that run.
//
//	go run ./internal/proof/sim/simulate -seeds 1000
//	go run ./internal/proof/sim/simulate -messages 100000000 -faults 3000000
//	go run ./internal/proof/sim/simulate -first 42 -seeds 1 -log
package main

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/sim"
)

type options struct {
	first, seeds     uint64
	messages, faults uint64
	duration         time.Duration
	replay           uint64
	workers          int
	log              bool
	find             bool
}

func main() {
	var o options
	flag.Uint64Var(&o.first, "first", 1, "the first seed")
	flag.Uint64Var(&o.seeds, "seeds", 0, "number of seeds; 0: until -messages, -faults or -for is reached")
	flag.Uint64Var(&o.messages, "messages", 0, "run until this number of messages were acknowledged as safe")
	flag.Uint64Var(&o.faults, "faults", 0, "run until this number of faults happened, too")
	flag.DurationVar(&o.duration, "for", 0, "run for this time")
	flag.Uint64Var(&o.replay, "replay", 20, "run every nth seed a second time and compare the traces; 0: none")
	flag.IntVar(&o.workers, "workers", runtime.NumCPU(), "runs at the same time")
	flag.BoolVar(&o.log, "log", false, "print the events of the runs")
	flag.BoolVar(&o.find, "find", false, "stop at the first run that breaks a promise and print how many runs it took; exits with 0 if there is none")
	flag.Parse()
	if o.seeds == 0 && o.messages == 0 && o.faults == 0 && o.duration == 0 {
		o.seeds = 100
	}
	c := newCampaign(o)
	c.run()
	if o.find {
		c.reportFind()
		return
	}
	c.report()
	if c.failed() {
		os.Exit(1)
	}
}

// A campaign is many runs.
type campaign struct {
	o     options
	began time.Time

	mu        sync.Mutex
	next      uint64     // seed
	counts    sim.Counts // guarded by mu, like the rest
	runs      uint64
	events    uint64
	virtual   time.Duration
	replays   uint64
	differed  []uint64 // seeds whose second run was another one
	violating []sim.Result
}

func newCampaign(o options) *campaign { return &campaign{o: o, next: o.first, began: time.Now()} }

func (c *campaign) run() {
	var workers sync.WaitGroup
	for range c.o.workers {
		workers.Go(func() {
			for seed, more := c.nextSeed(); more; seed, more = c.nextSeed() {
				c.runSeed(seed)
			}
		})
	}
	workers.Wait()
}

// nextSeed returns the next seed to run, false if it is enough.
func (c *campaign) nextSeed() (uint64, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	done := c.next - c.o.first
	counted := c.o.messages > 0 || c.o.faults > 0
	switch {
	case len(c.violating) >= c.violationLimit(), len(c.differed) >= 5,
		c.o.seeds > 0 && done >= c.o.seeds,
		counted && c.counts.Safe >= c.o.messages && c.counts.FaultsTotal() >= c.o.faults,
		c.o.duration > 0 && time.Since(c.began) >= c.o.duration:
		return 0, false
	}
	c.next++
	return c.next - 1, true
}

// violationLimit is how many runs with violations end the campaign.
func (c *campaign) violationLimit() int {
	if c.o.find {
		return 1
	}
	return 5
}

// reportFind says after how many seeds the first violation was found.
func (c *campaign) reportFind() {
	if len(c.violating) == 0 {
		fmt.Printf("not found in %d seeds\n", c.runs)
		return
	}
	first := slices.MinFunc(c.violating, func(a, b sim.Result) int { return cmp.Compare(a.Seed, b.Seed) })
	fmt.Printf("found after %d seeds: %s\n", first.Seed-c.o.first+1, first.Violations[0])
}

// runTimeout is how long no run ever takes.
const runTimeout = time.Minute

func (c *campaign) runSeed(seed uint64) {
	watchdog := time.AfterFunc(runTimeout, func() { c.reportHang(seed) })
	defer watchdog.Stop()
	r := sim.Run(sim.Options{Seed: seed, Log: c.o.log})
	again := c.o.replay > 0 && seed%c.o.replay == 0
	same := !again || sim.Run(sim.Options{Seed: seed}).Trace == r.Trace
	c.mu.Lock()
	defer c.mu.Unlock()
	c.runs++
	c.events += uint64(r.Events)
	c.virtual += r.Virtual
	c.counts.Add(r.Counts)
	if again {
		c.replays++
	}
	if !same {
		c.differed = append(c.differed, seed)
	}
	if c.o.log {
		for _, line := range r.Log {
			fmt.Println(line)
		}
	}
	if len(r.Violations) > 0 {
		c.violating = append(c.violating, r)
		if c.o.find {
			return
		}
		fmt.Printf("seed %d:\n", seed)
		for _, v := range r.Violations {
			fmt.Println("   ", v)
		}
	}
}

// reportHang ends the process because of a run that does not end.
func (c *campaign) reportHang(seed uint64) {
	if c.o.find {
		fmt.Printf("found after %d seeds: the run does not end\n", seed-c.o.first+1)
		os.Exit(0)
	}
	fmt.Printf("seed %d does not end\n", seed)
	os.Exit(1)
}

func (c *campaign) failed() bool { return len(c.violating) > 0 || len(c.differed) > 0 }

func (c *campaign) report() {
	took := time.Since(c.began)
	for n, name := range sim.FaultNames() {
		if c.counts.Faults != nil {
			fmt.Printf("%10d times %s\n", c.counts.Faults[n], name)
		}
	}
	fmt.Printf("%d connections refused as a publish gap or for a hole, %d searches for removed messages, %d gaps reported to subscribers, %d publishers left out by a place (%d gaps and messages of these came again after old images), %d overruns, %d stores rolled back, %d forged publishers set apart; old images were restored %d times, after which %d acknowledged messages were on no disk\n",
		c.counts.Gaps, c.counts.Searches, c.counts.Skipped, c.counts.LeftOut, c.counts.Revived, c.counts.Overruns, c.counts.RollBacks, c.counts.Diverged,
		c.counts.Restored, c.counts.Lost)
	a := &c.counts.Access
	fmt.Printf("%d seeds with users: %d changes of permissions, %d of them removed a user; %d messages rejected as not entitled, %d sessions ended because permissions differ, %d logons of removed users and %d of other users with a store refused, %d subscriptions ended, %d messages withheld from a subscriber, %d publishers without an owner got one, %d seeds ended early by a message that was accepted and rejected by instances apart\n",
		a.Runs, a.Changes, a.Removed, a.Rejected, a.Differ, a.NoUser, a.OtherOwner, a.Ended, a.Withheld, a.Owned, a.Contrary)
	for _, seed := range c.differed {
		fmt.Printf("seed %d had a different trace the second time\n", seed)
	}
	fmt.Printf("simulator: %d seeds, %d faults, %d messages acknowledged as safe, %d delivered, %d events, %.1f simulated hours in %.0f s (%.1f seeds/s); %d of %d replays differ; %d violations\n",
		c.runs, c.counts.FaultsTotal(), c.counts.Safe, c.counts.Delivered, c.events, c.virtual.Hours(), took.Seconds(),
		float64(c.runs)/took.Seconds(), len(c.differed), c.replays, len(c.violating))
}
