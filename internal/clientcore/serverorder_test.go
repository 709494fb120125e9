package clientcore

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

func TestServerOrder(t *testing.T) {
	half := func() float64 { return 0.5 }
	const ms = 1_000_000
	type step struct {
		last   Ending
		server int
		delay  int64
	}
	for _, tt := range []struct {
		name   string
		n      int
		prefer bool
		steps  []step
	}{
		{"every server once before any delay", 3, false, []step{
			{EndNone, 0, 0}, {EndFailed, 1, 0}, {EndFailed, 2, 0}, {EndFailed, 0, 25 * ms}, {EndFailed, 1, 50 * ms}, {EndFailed, 2, 100 * ms},
		}},
		{"stays until a failure, then the next; delays start over", 2, false, []step{
			{EndNone, 0, 0}, {EndFailed, 1, 0}, {EndFailed, 0, 25 * ms}, {EndStable, 1, 0}, {EndFailed, 0, 0}, {EndFailed, 1, 25 * ms},
		}},
		{"an unstable connection does not start over", 1, false, []step{
			{EndNone, 0, 0}, {EndFailed, 0, 25 * ms}, {EndFailed, 0, 50 * ms}, {EndStable, 0, 0}, {EndFailed, 0, 25 * ms},
		}},
		{"grows to the maximum", 1, false, []step{
			{EndNone, 0, 0}, {EndFailed, 0, 25 * ms}, {EndFailed, 0, 50 * ms}, {EndFailed, 0, 100 * ms}, {EndFailed, 0, 200 * ms},
			{EndFailed, 0, 400 * ms}, {EndFailed, 0, 800 * ms}, {EndFailed, 0, 1600 * ms}, {EndFailed, 0, 2500 * ms}, {EndFailed, 0, 2500 * ms},
		}},
		{"priority begins at the first, the lost one last", 3, true, []step{
			{EndNone, 0, 0}, {EndFailed, 1, 0}, {EndStable, 0, 0}, {EndStable, 1, 0}, {EndFailed, 2, 0}, {EndFailed, 0, 0},
		}},
		{"priority goes back", 2, true, []step{{EndNone, 0, 0}, {EndFailed, 1, 0}, {EndPlanned, 0, 0}, {EndFailed, 1, 0}}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := NewServerOrder(tt.n, tt.prefer, half)
			for i, s := range tt.steps {
				if server, delay := o.Next(s.last, nil); server != s.server || delay != s.delay {
					t.Fatalf("step %d: server %d after %d ms, want %d after %d ms", i, server, delay/ms, s.server, s.delay/ms)
				}
			}
		})
	}
}

// The worse servers come after all others, and so does the lost one. A round decides at its
// start which servers are worse. It has all servers.
func TestServerOrderWithWorseServers(t *testing.T) {
	none := []bool{false, false, false}
	for _, tt := range []struct {
		name        string
		prefer      bool
		worse       [][]bool // at each step
		last        []Ending
		want        []int
		alternative []bool
	}{
		{"round robin", false, [][]bool{{true, false, false}, nil, nil, nil},
			[]Ending{EndNone, EndFailed, EndFailed, EndFailed}, []int{1, 2, 0, 1}, []bool{true, true, false, true}},
		{"priority", true, [][]bool{{true, true, false}, {true, true, false}, {true, true, false}, none},
			[]Ending{EndNone, EndFailed, EndFailed, EndFailed}, []int{2, 0, 1, 0}, []bool{false, false, false, true}},
		{"the lost one before the worse ones", false, [][]bool{nil, {false, true, false}, nil, nil},
			[]Ending{EndNone, EndStable, EndFailed, EndFailed}, []int{0, 2, 0, 1}, []bool{true, true, true, false}},
		{"all are worse", false, [][]bool{{true, true, true}, {true, true, true}, nil, nil},
			[]Ending{EndNone, EndFailed, EndFailed, EndFailed}, []int{0, 1, 2, 0}, []bool{false, false, false, true}},
		{"a planned move to the first that is not worse", true, [][]bool{nil, nil, {true, false, false}, nil},
			[]Ending{EndNone, EndFailed, EndPlanned, EndFailed}, []int{0, 1, 1, 2}, []bool{true, true, true, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			o := NewServerOrder(3, tt.prefer, func() float64 { return 0.5 })
			for i, last := range tt.last {
				server, _ := o.Next(last, tt.worse[i])
				if alternative := o.HasAlternative(tt.worse[i]); server != tt.want[i] || alternative != tt.alternative[i] {
					t.Errorf("step %d: server %d, alternative %v, want %d, %v", i, server, alternative, tt.want[i], tt.alternative[i])
				}
			}
		})
	}
}

// TestServerOrderIsFair checks any run of attempts without a stable connection: each server is
// chosen as often as any other, give or take one round.
func TestServerOrderIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.IntRange(1, 5).Draw(t, "n")
		o := NewServerOrder(n, rapid.Bool().Draw(t, "prefer"), func() float64 { return rapid.Float64Range(0, 0.999).Draw(t, "r") })
		counts := make([]int, n)
		last := EndNone
		undelayed := 0
		for range rapid.IntRange(1, 60).Draw(t, "attempts") {
			worse := make([]bool, n)
			for i := range worse {
				worse[i] = rapid.Bool().Draw(t, "worse")
			}
			server, delay := o.Next(last, worse)
			if delay < 0 || delay > MaxDelay {
				t.Fatalf("delay %d", delay)
			}
			counts[server]++
			if undelayed < n && delay != 0 {
				t.Fatalf("a delay before every server was tried")
			}
			undelayed++
			last = EndFailed
			if rapid.IntRange(0, 9).Draw(t, "stable") == 0 {
				last, undelayed = EndStable, 0
				clear(counts)
			}
			if slices.Max(counts)-slices.Min(counts) > 2 {
				t.Fatalf("unfair: %v", counts)
			}
		}
	})
}
