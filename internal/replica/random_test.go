package replica

import (
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/holdfast-mq/holdfast/internal/testkit/memfs"
)

// userOf returns the user of message s of publisher p. Publisher 1 has none; 3 and 4 get theirs late.
func userOf(p, s uint64) string {
	if p == 1 || p > 2 && s < 20*p {
		return ""
	}
	return fmt.Sprint("user ", p, " ", s/25) // each publisher changes its user now and then
}

// randomFaults publishes and breaks things at random. A publisher stays at one instance for a
// while and moves only to an instance that has its safe messages. A message that was safe once
// must be at one of the two instances after any crash.
func randomFaults(w *world, seed uint64) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	w.t.Logf("seed %d", seed)
	a, b := w.pair()
	both := []*instance{a, b}
	w.linked(a, b)
	sent, safe := map[uint64]uint64{}, map[uint64]uint64{}
	for range 40 {
		i := both[rnd.IntN(2)]
		switch rnd.IntN(8) {
		case 0:
			w.Cut("a", "b")
			pass(time.Duration(rnd.IntN(3000)) * time.Millisecond)
			w.Heal("a", "b")
		case 1:
			w.Reset("a", "b")
		case 2:
			mode := memfs.Modes(seed)[rnd.IntN(len(memfs.Modes(seed)))]
			i.kill(mode)
			pass(time.Duration(rnd.IntN(500)) * time.Millisecond)
			i.start()
		case 3:
			w.ResetAfter("a", "b", rnd.Int64N(5000))
		default:
			p := rnd.Uint64N(4) + 1
			if i.have(p) < safe[p] {
				continue // R4: this instance lacks acknowledged messages
			}
			sent[p] = i.have(p) + rnd.Uint64N(30)
			for s := i.have(p) + 1; s <= sent[p]; s++ {
				i.publishBy(userOf(p, s), "x", p, s, s)
			}
		}
		pass(time.Duration(rnd.IntN(200)) * time.Millisecond)
		for _, i := range both {
			for p := range sent {
				safe[p] = max(safe[p], i.l.Safe(p))
			}
		}
		for p, s := range safe {
			if a.have(p) < s && b.have(p) < s {
				w.t.Fatalf("%d|%d was safe, a has %d, b %d", p, s, a.have(p), b.have(p))
			}
		}
	}
	w.linked(a, b)
	w.same(a, b)
}
