package transaction

import (
	"math/rand/v2"
	"time"
)

// An episode is one process of the application and its end, with the outage of instances
// meanwhile.
type episode struct {
	death
	life   time.Duration // until it is killed from outside
	outage outage
}

// An outage is kill -9 of instances, which come back after downtime.
type outage struct {
	victims  []int // by their place in the pair
	running  bool  // while the application runs, and not between two lives of it
	wait     time.Duration
	downtime time.Duration
}

// outsideKillsPerRound is how often in a round the application is killed at any instant,
// lives how often it dies in all.
const outsideKillsPerRound, deathsPerRound = 5, 18

// schedule draws the episodes of a run: in each round one death at every step and some
// from outside, in any order, and the given number of outages among them.
func schedule(rnd *rand.Rand, rounds, outages int) []episode {
	var all []episode
	for range rounds {
		for _, s := range steps {
			all = append(all, episode{death: drawDeath(rnd, s)})
		}
		for range outsideKillsPerRound {
			all = append(all, episode{death: death{step: outside}, life: 100*time.Millisecond + drawTime(rnd, 500*time.Millisecond)})
		}
	}
	rnd.Shuffle(len(all), func(i, k int) { all[i], all[k] = all[k], all[i] })
	targets := [][]int{{0}, {1}, {0, 1}}
	for n := range outages {
		at := n * len(all) / outages
		all[min(at, len(all)-1)].outage = drawOutage(rnd, targets[n%len(targets)])
	}
	return all
}

func drawDeath(rnd *rand.Rand, s step) death {
	d := death{step: s, occurrence: 1 + rnd.IntN(20)}
	switch {
	case s.starting():
		d.occurrence = 1
	case s == rolledBack:
		d.occurrence = 1 + rnd.IntN(4)
	case s == committing:
		d.occurrence++ // the first commit shows how long one takes
		d.percent = rnd.IntN(151)
	}
	return d
}

func drawOutage(rnd *rand.Rand, victims []int) outage {
	return outage{
		victims: victims, running: rnd.IntN(2) == 0,
		wait: drawTime(rnd, 300*time.Millisecond), downtime: 100*time.Millisecond + drawTime(rnd, time.Second),
	}
}

func drawTime(rnd *rand.Rand, below time.Duration) time.Duration {
	return time.Duration(rnd.Int64N(int64(below)))
}
