package sim_test

import (
	"flag"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/proof/sim"
	"github.com/holdfast-mq/holdfast/internal/testkit/detector"
)

var seeds = flag.Uint64("seeds", 10, "how many seeds TestRuns runs")

// Whole groups run under faults and keep their promises, and the same seed
// does the same again.
func TestRuns(t *testing.T) {
	n := *seeds
	if testing.Short() || detector.On {
		n = min(n, 3)
	}
	var counts sim.Counts
	for seed := uint64(1); seed <= n; seed++ {
		r := sim.Run(sim.Options{Seed: seed})
		counts.Add(r.Counts)
		if len(r.Violations) > 0 {
			t.Errorf("seed %d:\n%s", seed, strings.Join(r.Violations, "\n"))
		}
		if seed <= 3 && sim.Run(sim.Options{Seed: seed}).Trace != r.Trace {
			t.Errorf("seed %d did something else the second time", seed)
		}
	}
	if a := counts.Access; n >= 10 && (a.Rejected == 0 || a.Differ == 0 || a.NoUser == 0 || a.OtherOwner == 0 || a.Withheld == 0) {
		t.Errorf("%d seeds do not cover users: %+v", n, a)
	}
	t.Logf("%d faults, %d messages safe, %d delivered", counts.FaultsTotal(), counts.Safe, counts.Delivered)
	if counts.Safe < 100*n || counts.FaultsTotal() < 10*n {
		t.Errorf("%d seeds: only %d messages and %d faults", n, counts.Safe, counts.FaultsTotal())
	}
}

// Seeds that have found something keep their promises.
func TestFound(t *testing.T) {
	const older = 8 // than users
	found := []uint64{205, 696, 2084, 1004587, 1020160, 1021844, 2001657, 5000968, 171}
	if detector.On {
		found = found[:1]
	}
	for n, seed := range found {
		if r := sim.Run(sim.Options{Seed: seed, NoUsers: n < older}); len(r.Violations) > 0 {
			t.Errorf("seed %d:\n%s", seed, strings.Join(r.Violations, "\n"))
		}
	}
}
