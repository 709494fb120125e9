package main

import (
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const rules = "../../../server/deploy/alerts.yml"

// promtool returns the path of promtool. Without it the test is skipped.
func promtool(t *testing.T) string {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		t.Skip("promtool is not installed: Debian has it in the package prometheus")
	}
	return path
}

func runPromtool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command(promtool(t), args...).CombinedOutput(); err != nil {
		t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
	}
}

func TestPromtoolTakesTheRules(t *testing.T) { runPromtool(t, "check", "rules", rules) }

// Prometheus evaluates the rules over the recordings of real faults. The alerts that a fault must
// raise fire, no others do, none fires before the fault, and all end after the repair except those
// that tell of the last minutes.
func TestAlertsOfIncidents(t *testing.T) {
	tool := promtool(t)
	for i := range incidents {
		in := &incidents[i]
		t.Run(in.name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "test.yml")
			if err := os.WriteFile(file, []byte(in.unitTest(t)), 0o644); err != nil {
				t.Fatal(err)
			}
			if out, err := exec.Command(tool, "test", "rules", file).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// unitTest returns the unit test of an incident for promtool.
func (in *incident) unitTest(t *testing.T) string {
	t.Helper()
	path, err := filepath.Abs(rules)
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join("testdata", in.name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "rule_files: [%q]\nevaluation_interval: 1s\ntests:\n  - interval: 1s\n    input_series:\n", path)
	marks := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSuffix(line, "\n")
		if mark, is := strings.CutPrefix(line, "# "); is {
			name, second, _ := strings.Cut(mark, " ")
			if marks[name], err = strconv.Atoi(second); err != nil {
				t.Fatal(err)
			}
			continue
		}
		series, values, _ := strings.Cut(line, "\t")
		fmt.Fprintf(&b, "      - series: '%s'\n        values: '%s'\n", series, values)
	}
	if marks["fault"] == 0 || marks["repair"] <= marks["fault"] || marks["end"] <= marks["repair"] {
		t.Fatalf("the recording has the marks %v", marks)
	}
	b.WriteString("    promql_expr_test:\n")
	expectAlerts(&b, fired, marks["fault"]-1, nil)
	expectAlerts(&b, fired, marks["end"]-1, in.alerts)
	expectAlerts(&b, fires, marks["end"]-1, in.again)
	return b.String()
}

const (
	fired = `count by (alertname, instance) (max_over_time(ALERTS{alertstate="firing"}[1h])) > 0`
	fires = `count by (alertname, instance) (ALERTS{alertstate="firing"}) > 0`
)

// expectAlerts adds the expectation that an expression returns certain alerts.
func expectAlerts(b *strings.Builder, expression string, second int, alerts []string) {
	fmt.Fprintf(b, "      - expr: '%s'\n        eval_time: %ds\n        exp_samples:\n", expression, second)
	for _, alert := range alerts {
		name, instance, _ := strings.Cut(alert, "@")
		labels := fmt.Sprintf("alertname=%q", name)
		if instance != "" { // else the alert is about the pair
			labels += fmt.Sprintf(", instance=%q", instance)
		}
		fmt.Fprintf(b, "          - labels: '{%s}'\n            value: 1\n", labels)
	}
}

// The notation stands for the values.
func TestNotation(t *testing.T) {
	nan := math.NaN()
	for _, c := range []struct {
		values, scraped []float64
		want            string
	}{
		{nil, []float64{1, 1, 1}, "_x3"}, {[]float64{1}, []float64{1}, "1"}, {[]float64{1, 1, 1}, []float64{1, 1, 1}, "1x2"},
		{[]float64{1, 2, 2}, []float64{1, 1, 1}, "1 2x1"}, {[]float64{1}, []float64{1, 1}, "1 stale"},
		{[]float64{1}, []float64{1, 1, 1, 1, 1}, "1 stale _x3"}, {[]float64{nan, nan, 4, nan, 5}, []float64{1, 1, 1, 1, 1}, "_x2 4 stale 5"},
		{[]float64{4, nan, nan, 4}, []float64{1, nan, nan, 1}, "4 _x2 4"}, {[]float64{4}, []float64{1, nan, nan, 1, 1}, "4 _x2 stale _"},
		{[]float64{math.Inf(1), math.Inf(1), 1e-7}, []float64{1, 1, 1}, "+Inf +Inf 1e-07"},
	} {
		if got := notation(c.values, c.scraped); got != c.want {
			t.Errorf("%v, scraped %v: %q, want %q", c.values, c.scraped, got, c.want)
		}
	}
}

func TestParseLine(t *testing.T) {
	for line, want := range map[string]string{
		"a 1\n":                       `a{job="holdfast",instance="x"} 1`,
		`a{b="c d",e="f"} 2.5` + "\n": `a{job="holdfast",instance="x",b="c d",e="f"} 2.5`,
		`a_bucket{le="+Inf"} 7`:       `a_bucket{job="holdfast",instance="x",le="+Inf"} 7`,
		"# TYPE a gauge":              "",
		"":                            "",
	} {
		series, value, ok := parseLine(line, "x")
		if got := fmt.Sprint(series, " ", value); ok != (want != "") || ok && got != want {
			t.Errorf("%q: %q, %v", line, got, ok)
		}
	}
}

// Every incident has a recording, and every recording belongs to one.
func TestRecordings(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.ContainsFunc(incidents, func(in incident) bool { return file == filepath.Join("testdata", in.name+".txt") }) {
			t.Errorf("%s belongs to no incident", file)
		}
	}
	if len(files) != len(incidents) {
		t.Errorf("%d recordings of %d incidents", len(files), len(incidents))
	}
}
