//go:build linux

package main

import (
	"fmt"
	"io"
	"slices"
	"strings"
)

// A result holds the runs of one benchmark: the samples of each contender, by name.
type result struct {
	benchmark
	runs         map[string][]sample
	notInstalled []string // names of contenders that are not installed
}

// printTable writes all results as one Markdown table with a column for each contender
// that has figures or is not installed, holdfast's first.
func printTable(out io.Writer, results []result) {
	columns := columnsOf(results)
	printRow(out, append([]string{"benchmark", "measured"}, columns...))
	printRow(out, slices.Repeat([]string{"---"}, 2+len(columns)))
	for _, r := range results {
		title := r.id + " " + r.title
		for _, row := range r.rows {
			cells := []string{title, row.label()}
			for _, c := range columns {
				cells = append(cells, r.cell(row, c))
			}
			printRow(out, cells)
			title = ""
		}
	}
}

func printRow(out io.Writer, cells []string) { fmt.Fprintln(out, "| "+strings.Join(cells, " | ")+" |") }

// columnsOf returns the contenders that have figures or are not installed: holdfast,
// the peers in the order of the benchmarks, then the contenders without guarantees.
func columnsOf(results []result) []string {
	var names []string
	for _, r := range results {
		for _, c := range r.contenders {
			if (len(r.runs[c.name]) > 0 || slices.Contains(r.notInstalled, c.name)) && !slices.Contains(names, c.name) {
				names = append(names, c.name)
			}
		}
	}
	slices.SortStableFunc(names, func(a, b string) int { return columnOrder(a) - columnOrder(b) })
	return names
}

func columnOrder(contender string) int {
	switch contender {
	case holdfast:
		return 0
	case pipeline:
		return 2
	case rawFdatasync:
		return 3
	default:
		return 1
	}
}

// cell returns the figure of a contender in a row, with the ratio of holdfast's to it.
func (r result) cell(row row, contender string) string {
	v, ok := r.value(row, contender)
	switch {
	case slices.Contains(r.notInstalled, contender):
		return "not installed"
	case !ok:
		return ""
	}
	own, measured := r.value(row, holdfast)
	if contender == holdfast || !measured || own == 0 || v == 0 {
		return formatFigure(v)
	}
	return fmt.Sprintf("%s (%s ×)", formatFigure(v), formatRatio(own/v))
}

// value returns the value of a contender in a row, if its runs measured it.
func (r result) value(row row, contender string) (v float64, ok bool) {
	var runs []float64
	for _, s := range r.runs[contender] {
		if v, ok := s[row.measure]; ok {
			runs = append(runs, v)
		}
	}
	if len(runs) == 0 {
		return 0, false
	}
	if row.worst {
		return slices.Max(runs), true
	}
	return median(runs), true
}

// median returns the middle value, or the mean of the middle two.
func median(runs []float64) float64 {
	s := slices.Sorted(slices.Values(runs))
	return (s[(len(s)-1)/2] + s[len(s)/2]) / 2
}

// quantile returns the value that a share of the sorted values does not exceed.
func quantile(sorted []float64, share float64) float64 {
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

// formatFigure formats a number with three significant digits and a unit prefix.
func formatFigure(v float64) string {
	switch {
	case v >= 1e6:
		return formatDigits(v/1e6) + "M"
	case v >= 1e4:
		return formatDigits(v/1e3) + "k"
	default:
		return formatDigits(v)
	}
}

// formatDigits formats three digits, or all digits before the point.
func formatDigits(v float64) string {
	if v >= 100 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}

// formatRatio formats a ratio with two digits, or all digits before the point.
func formatRatio(v float64) string {
	if v >= 10 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.2g", v)
}

func plural(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
