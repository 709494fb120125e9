//go:build linux

package main

import (
	"errors"
	"math/rand/v2"
	"slices"
	"time"
)

// A schedule draws the faults of a run from its seed. Without quotas that is
// every kind once in an order of chance, then every kind once more, and so on
// without end; with quotas, kinds of those groups only, until each is used up.
type schedule struct {
	seed   uint64
	kinds  []*faultKind
	quotas map[group]int          // faults that are left to make; nil: no quotas
	rounds map[group][]*faultKind // the rest of the present round
	n      uint64                 // faults drawn
}

// newSchedule returns the schedule that the options ask for, of the available kinds.
func newSchedule(o options, kinds []*faultKind) (*schedule, error) {
	s := &schedule{seed: o.Seed, kinds: kinds, rounds: make(map[group][]*faultKind)}
	if !o.counted() {
		return s, nil
	}
	s.quotas = map[group]int{groupKills: o.Kills, groupPartitions: o.Partitions}
	for g, n := range s.quotas {
		if n > 0 && len(s.round(g)) == 0 {
			return nil, errors.New("the requested kinds of fault have none of this group")
		}
	}
	return s, nil
}

// next draws the next fault, nil if there are to be no more. It depends on the
// seed, the kinds, the quotas and the number of the fault alone.
func (s *schedule) next() *plannedFault {
	s.n++
	rnd := rand.New(rand.NewPCG(s.seed, s.n))
	g := groupAll
	if s.quotas != nil {
		if g = s.draw(rnd); g == groupAll {
			return nil
		}
		s.quotas[g]--
	}
	if len(s.rounds[g]) == 0 {
		s.rounds[g] = s.round(g)
		rnd.Shuffle(len(s.rounds[g]), func(i, j int) { s.rounds[g][i], s.rounds[g][j] = s.rounds[g][j], s.rounds[g][i] })
	}
	f := &plannedFault{faultKind: s.rounds[g][0], rnd: rnd}
	s.rounds[g] = s.rounds[g][1:]
	f.victim = s.victim(f.name, rnd)
	f.length = f.least + randomTime(rnd, f.most-f.least)
	f.hurried = rnd.IntN(5) == 0
	f.pause = randomTime(rnd, time.Second)
	if s.quotas != nil {
		f.pause /= 5
		if g == groupKills && rnd.IntN(10) > 0 {
			f.length /= 10
		}
	}
	return f
}

// victim draws the instance for a fault. The disk that is filled is always the same one,
// and so is the one that is replaced: on a full disk retention removes messages that the
// other one has, and these must not be lost next.
func (s *schedule) victim(kind string, rnd *rand.Rand) int {
	drawn, filled := rnd.IntN(2), int(s.seed%2)
	switch kind {
	case "full-disk", "wipe", "split":
		return filled
	case "power-wipe": // of the other one the disk is replaced
		return 1 - filled
	}
	return drawn
}

// draw draws a group by the rest of the quotas.
func (s *schedule) draw(rnd *rand.Rand) group {
	left := max(0, s.quotas[groupKills]) + max(0, s.quotas[groupPartitions])
	switch {
	case left == 0:
		return groupAll
	case rnd.IntN(left) < s.quotas[groupKills]:
		return groupKills
	default:
		return groupPartitions
	}
}

// round returns the kinds of a group.
func (s *schedule) round(g group) (list []*faultKind) {
	for _, k := range s.kinds {
		if g == groupAll || k.group == g {
			list = append(list, slices.Repeat([]*faultKind{k}, s.share(k))...)
		}
	}
	return list
}

// share returns how often a kind is in a round: with quotas, that of its weight.
func (s *schedule) share(k *faultKind) int {
	if s.quotas == nil {
		return 1
	}
	return max(1, k.weight)
}

// randomTime draws a time from 0 to d.
func randomTime(rnd *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(rnd.Int64N(int64(d) + 1))
}
