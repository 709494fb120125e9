package failover

import (
	"io"
	"math/rand/v2"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/proof/checker"
)

// Any flaw, in any place, and any fault that did not happen makes a run fail.
func TestReport(t *testing.T) {
	published := checker.Keys{"ak": {"1", "2", "3"}, "us": {"1"}}
	good := report{published: published, a: published, b: published, delivered: published, faults: 1, plannedFaults: 1}
	for _, tt := range []struct {
		name  string
		spoil func(*report)
		well  bool
	}{
		{"all there", func(*report) {}, true},
		{"lost on a", func(r *report) { r.a = checker.Keys{"ak": {"1", "3"}, "us": {"1"}} }, false},
		{"twice on b", func(r *report) { r.b = checker.Keys{"ak": {"1", "2", "2", "3"}, "us": {"1"}} }, false},
		{"delivered out of order", func(r *report) { r.delivered = checker.Keys{"ak": {"1", "3", "2"}, "us": {"1"}} }, false},
		{"a fault did not happen", func(r *report) { r.plannedFaults = 2 }, false},
		{"nothing published", func(r *report) { *r = report{} }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := good
			tt.spoil(&r)
			if passed := r.print(io.Discard); passed != tt.well {
				t.Errorf("all is well = %v, want %v", passed, tt.well)
			}
		})
	}
}

func TestSchedule(t *testing.T) {
	for seed := range uint64(200) {
		faults := schedule(rand.New(rand.NewPCG(seed, 0)), 20, 10000)
		kinds := make(map[faultKind]int)
		for i, f := range faults {
			kinds[f.kind]++
			if i > 0 && f.after < faults[i-1].after {
				t.Fatalf("seed %d: fault %d fires before the one ahead of it", seed, i)
			}
			if f.hurried && faults[i-1].kind != killInstance {
				t.Fatalf("seed %d: fault %d is apart but does not follow a kill", seed, i)
			}
		}
		if kinds[killInstance] != 20 || kinds[killSubscriber] != 1 {
			t.Fatalf("seed %d: %v", seed, kinds)
		}
	}
}
