package main

import (
	"io"
	"math/rand/v2"
	"testing"
)

// The judge must see each kind of harm.
func TestCompare(t *testing.T) {
	published := history{"ak": {"1", "2", "3"}, "us": {"1"}}
	for _, tt := range []struct {
		name string
		got  history
		want verdict
	}{
		{"all there", history{"ak": {"1", "2", "3"}, "us": {"1"}}, verdict{present: 4}},
		{"one lost", history{"ak": {"1", "3"}, "us": {"1"}}, verdict{present: 3, lost: 1}},
		{"a publisher lost", history{"ak": {"1", "2", "3"}}, verdict{present: 3, lost: 1}},
		{"twice", history{"ak": {"1", "2", "2", "3"}, "us": {"1"}}, verdict{present: 4, duplicated: 1}},
		{"out of order", history{"ak": {"1", "3", "2"}, "us": {"1"}}, verdict{present: 4, disordered: 1}},
		{"never published", history{"ak": {"1", "2", "3", "4"}, "us": {"1"}, "nc": {"7"}}, verdict{present: 4, foreign: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := compare(published, tt.got); got != tt.want {
				t.Errorf("compare = %+v, want %+v", got, tt.want)
			}
			r := report{published: published, a: tt.got, b: published, delivered: published, faults: 1, wanted: 1}
			if well, want := r.print(io.Discard), tt.want == (verdict{present: 4}); well != want {
				t.Errorf("all is well = %v, want %v", well, want)
			}
		})
	}
	if (report{published: published, a: published, b: published, delivered: published, faults: 1, wanted: 2}).print(io.Discard) {
		t.Error("a fault that did not happen passed")
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
			if f.apart && faults[i-1].kind != killInstance {
				t.Fatalf("seed %d: fault %d is apart but does not follow a kill", seed, i)
			}
		}
		if kinds[killInstance] != 20 || kinds[killSubscriber] != 1 {
			t.Fatalf("seed %d: %v", seed, kinds)
		}
	}
}
