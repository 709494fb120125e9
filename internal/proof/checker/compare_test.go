package checker_test

import (
	"testing"
	"time"

	"github.com/holdfast-mq/holdfast/internal/proof/checker"
)

// Compare finds each kind of flaw.
func TestCompare(t *testing.T) {
	published := checker.Keys{"ak": {"1", "2", "3"}, "us": {"1"}}
	for _, tt := range []struct {
		name string
		got  checker.Keys
		want checker.Verdict
	}{
		{"all there", checker.Keys{"ak": {"1", "2", "3"}, "us": {"1"}}, checker.Verdict{Present: 4}},
		{"one lost", checker.Keys{"ak": {"1", "3"}, "us": {"1"}}, checker.Verdict{Present: 3, Lost: 1}},
		{"a publisher lost", checker.Keys{"ak": {"1", "2", "3"}}, checker.Verdict{Present: 3, Lost: 1}},
		{"twice", checker.Keys{"ak": {"1", "2", "2", "3"}, "us": {"1"}}, checker.Verdict{Present: 4, Duplicated: 1}},
		{"out of order", checker.Keys{"ak": {"1", "3", "2"}, "us": {"1"}}, checker.Verdict{Present: 4, Disordered: 1}},
		{"never published", checker.Keys{"ak": {"1", "2", "3", "4"}, "us": {"1"}, "nc": {"7"}}, checker.Verdict{Present: 4, Foreign: 2}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := checker.Compare(published, tt.got)
			if got != tt.want {
				t.Errorf("Compare = %+v, want %+v", got, tt.want)
			}
			if clean := tt.want.Lost+tt.want.Duplicated+tt.want.Disordered+tt.want.Foreign == 0; got.Clean() != clean {
				t.Errorf("Clean = %v, want %v", got.Clean(), clean)
			}
		})
	}
}

// A message that several places lack is one that is lost.
func TestComparePlaces(t *testing.T) {
	published := checker.Keys{"ak": {"1", "2", "3", "4"}}
	got := checker.Compare(published,
		checker.Keys{"ak": {"3", "4", "9"}, "nc": {"7"}},
		checker.Keys{"ak": {"2", "4", "4", "3", "9"}, "nc": {"7"}},
		checker.Keys{"ak": {"1", "2", "3", "4", "4"}})
	if want := (checker.Verdict{Present: 2, Lost: 2, Duplicated: 1, Disordered: 1, Foreign: 2}); got != want {
		t.Errorf("Compare = %+v, want %+v", got, want)
	}
}

func TestQuantile(t *testing.T) {
	d := []time.Duration{3 * time.Second, time.Second, 2 * time.Second}
	for q, want := range map[float64]time.Duration{0: time.Second, 0.5: 2 * time.Second, 1: 3 * time.Second} {
		if got := checker.Quantile(d, q); got != want {
			t.Errorf("Quantile(%v) = %v, want %v", q, got, want)
		}
	}
	if got := checker.Quantile(nil, 0.5); got != 0 {
		t.Errorf("of nothing: %v", got)
	}
}
