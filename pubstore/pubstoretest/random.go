package pubstoretest

import (
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"

	"github.com/holdfast-mq/holdfast/pubstore"
)

// A model is the simplest implementation of the numbers that a store keeps.
type model struct {
	lives []*modelLife
}

type modelLife struct {
	id       string
	acked    uint64
	last     uint64
	rejected map[uint64]bool
	kept     []uint64
}

func (m *model) current() *modelLife { return m.lives[len(m.lives)-1] }

func (m *model) prune() {
	m.lives = slices.DeleteFunc(m.lives, func(l *modelLife) bool { return l != m.current() && len(l.kept) == 0 })
}

func (l *modelLife) discard(n uint64) {
	l.acked = max(l.acked, min(n, l.last))
	l.kept = slices.DeleteFunc(l.kept, func(seq uint64) bool { return seq <= l.acked })
}

func (l *modelLife) reject(n uint64) {
	if i := slices.Index(l.kept, n); i >= 0 {
		l.kept = slices.Delete(l.kept, i, i+1)
		l.rejected[n] = true
	}
}

func (l *modelLife) prev(n uint64) uint64 {
	for n--; n > l.acked && l.rejected[n]; n-- {
	}
	return n
}

// newRand returns a generator with a random seed, or with the one in HOLDFAST_SEED, and logs the
// seed.
func newRand(t *testing.T) *rand.Rand {
	n := rand.Uint64()
	if s := os.Getenv("HOLDFAST_SEED"); s != "" {
		n, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("HOLDFAST_SEED=%d", n)
	return rand.New(rand.NewPCG(n, 0))
}

// A randomWalk takes a store and its model through the same random steps.
type randomWalk struct {
	t     *testing.T
	rnd   *rand.Rand
	s     store
	model model
}

func newRandomWalk(t *testing.T, h Harness) *randomWalk {
	w := &randomWalk{t: t, rnd: newRand(t), s: open(t, h, Options{})}
	w.addLife()
	return w
}

// addLife adds the store's new life to the model.
func (w *randomWalk) addLife() {
	w.model.lives = append(w.model.lives, &modelLife{id: w.s.life().ID, rejected: map[uint64]bool{}})
	w.model.prune()
}

func (w *randomWalk) step() {
	life := w.model.lives[w.rnd.IntN(len(w.model.lives))]
	n := life.acked + uint64(w.rnd.IntN(int(life.last-life.acked)+3))
	switch w.rnd.IntN(10) {
	case 0, 1:
		w.s.discard(life.id, n)
		life.discard(n)
	case 2, 3:
		for range w.rnd.IntN(3) + 1 {
			w.s.reject(life.id, n)
			life.reject(n)
			n++
		}
	case 4:
		if w.rnd.IntN(5) == 0 {
			w.s.renew()
			w.addLife()
		}
	default:
		life = w.model.current()
		for range w.rnd.IntN(8) {
			life.last++
			life.kept = append(life.kept, life.last)
			w.s.publish(life.last)
		}
	}
	w.model.prune()
}

// verify compares the store with its model.
func (w *randomWalk) verify() {
	w.t.Helper()
	lives := w.s.Lives()
	if len(lives) != len(w.model.lives) {
		w.t.Fatalf("lives are %+v, want %d", lives, len(w.model.lives))
	}
	total := 0
	for i, l := range w.model.lives {
		want := pubstore.Life{ID: l.id, Acked: l.acked, Last: l.last, Kept: len(l.kept)}
		if lives[i] != want {
			w.t.Fatalf("life is %+v, want %+v", lives[i], want)
		}
		after := uint64(w.rnd.IntN(int(l.last) + 2))
		var refs []uint64
		for _, seq := range l.kept {
			if seq > after {
				refs = append(refs, seq, l.prev(seq))
			}
		}
		w.s.checkKept(l.id, after, refs...)
		total += len(l.kept)
	}
	if u := w.s.Usage(); u.Messages != total || (u.Bytes == 0) != (total == 0) {
		w.t.Fatalf("usage is %+v, want %d messages", u, total)
	}
}

func testRandom(t *testing.T, h Harness) {
	w := newRandomWalk(t, h)
	for range 150 {
		w.step()
		w.verify()
	}
}

func testRandomReopen(t *testing.T, h Harness) {
	w := newRandomWalk(t, h)
	for range 12 {
		for range 15 {
			w.step()
		}
		w.verify()
		w.s.close()
		w.s = wrap(t, h.Reopen(t, w.s.Store))
		w.verify()
	}
}
