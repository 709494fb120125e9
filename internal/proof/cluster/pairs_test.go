package cluster

import "testing"

// Every pair has a number, and every number a pair.
func TestPairNumbers(t *testing.T) {
	for n := 2; n < 40; n++ {
		events := make([]event, n)
		for i := range events {
			events[i].step = i
		}
		all := n * (n - 1) / 2
		seen := make(map[[2]int]bool)
		for i := range all {
			p := pairAt(events, scatter(i, all))
			if p[0].step >= p[1].step {
				t.Errorf("of %d events: pair %v", n, p)
			}
			seen[[2]int{p[0].step, p[1].step}] = true
		}
		if len(seen) != all {
			t.Errorf("of %d events: %d pairs, want %d", n, len(seen), all)
		}
	}
}

func TestNames(t *testing.T) {
	for _, e := range pairedEvents() {
		if got, err := parseEvents(eventNames([]event{e, e})); err != nil || len(got) != 2 || got[0] != e || got[1] != e {
			t.Errorf("%v was parsed as %v, %v", e, got, err)
		}
	}
	for _, d := range directions {
		c := cut{d, endSilence, 17}
		if got, err := parseCut(c.String()); err != nil || got != c {
			t.Errorf("%v was parsed as %v, %v", c, got, err)
		}
	}
	for _, name := range []string{"", "a>b", "a>b/reset/x", "a>b/never/1"} {
		if _, err := parseCut(name); err == nil {
			t.Errorf("%q was taken for a cut", name)
		}
	}
}
