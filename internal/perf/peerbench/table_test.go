//go:build linux

package main

import (
	"strings"
	"testing"
)

func TestMedian(t *testing.T) {
	for _, tt := range []struct {
		runs []float64
		want float64
	}{
		{[]float64{7}, 7},
		{[]float64{9, 1, 5}, 5},
		{[]float64{4, 1, 3, 9}, 3.5},
		{[]float64{100, 103, 20, 400, 99}, 100},
	} {
		if got := median(tt.runs); got != tt.want {
			t.Errorf("median(%v) = %v, want %v", tt.runs, got, tt.want)
		}
	}
}

func TestQuantile(t *testing.T) {
	sorted := make([]float64, 1000)
	for i := range sorted {
		sorted[i] = float64(i)
	}
	for share, want := range map[float64]float64{0: 0, 0.5: 500, 0.99: 990, 1: 999} {
		if got := quantile(sorted, share); got != want {
			t.Errorf("quantile(0..999, %v) = %v, want %v", share, got, want)
		}
	}
}

func TestFigure(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.1374: "0.137", 2.2: "2.2", 4213.4: "4213", 103_400: "103k", 999_999: "1000k", 1_049_000: "1.05M",
	} {
		if got := formatFigure(v); got != want {
			t.Errorf("figure(%v) = %q, want %q", v, got, want)
		}
	}
}

// The table has a column that one benchmark lacks, a measure that one contender lacks,
// ratios, and zeros without a ratio.
func TestTable(t *testing.T) {
	peer := contender{name: "peer"}
	results := []result{
		{
			benchmark: benchmark{id: "B1", title: "publish", rows: medians(published), contenders: []contender{{name: pipeline}, peer, {name: holdfast}, {name: "absent"}}},
			runs: map[string][]sample{
				holdfast: {{published: 500_000}, {published: 100_000}, {published: 600_000}},
				"peer":   {{published: 90_000}, {published: 100_000}, {published: 110_000}},
				pipeline: {{published: 1_000_000}},
			},
		},
		{
			benchmark: benchmark{id: "B5", title: "kill", rows: append(medians(nextAck), row{lost, true}), contenders: []contender{{name: holdfast}, peer}},
			runs: map[string][]sample{
				holdfast: {{nextAck: 20, lost: 0}, {nextAck: 30, lost: 0}},
				"peer":   {{nextAck: 4200, lost: 0}, {nextAck: 4000, lost: 2}, {nextAck: 4400, lost: 0}},
			},
		},
	}
	var out strings.Builder
	printTable(&out, results)
	const want = `| benchmark | measured | holdfast | peer | bare pipeline |
| --- | --- | --- | --- | --- |
| B1 publish | msg/s | 500k | 100k (5 ×) | 1M (0.5 ×) |
| B5 kill | ms to the next ack | 25 | 4200 (0.006 ×) |  |
|  | lost, worst run | 0 | 2 |  |
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
}
