//go:build linux

package main

import (
	"math/rand/v2"
	"slices"
	"time"
)

// A schedule draws the faults of a run from its seed: every kind once in an
// order of chance, then every kind once more, and so on.
type schedule struct {
	seed  uint64
	kinds []*kind
	round []*kind // what is left of the present round
	n     uint64  // faults drawn
}

// next draws the next fault. It depends on the seed, the kinds and the number of the fault alone.
func (s *schedule) next() *blow {
	s.n++
	rnd := rand.New(rand.NewPCG(s.seed, s.n))
	if len(s.round) == 0 {
		s.round = slices.Clone(s.kinds)
		rnd.Shuffle(len(s.round), func(i, j int) { s.round[i], s.round[j] = s.round[j], s.round[i] })
	}
	f := &blow{kind: s.round[0], rnd: rnd}
	s.round = s.round[1:]
	f.victim = rnd.IntN(2)
	f.length = f.least + upTo(rnd, f.most-f.least)
	f.hurried = rnd.IntN(5) == 0
	f.pause = upTo(rnd, time.Second)
	return f
}

// upTo draws a time from 0 to d.
func upTo(rnd *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(rnd.Int64N(int64(d) + 1))
}
