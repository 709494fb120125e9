package main

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// missing is the value of a series that a scrape did not have.
var missing = math.NaN()

// A recording has the values of all series, one for each second.
type recording struct {
	mu     sync.Mutex
	began  time.Time
	length int                  // guarded by mu; number of scrapes
	series map[string][]float64 // guarded by mu; by name with labels; shorter than length: missing at the end
	types  map[string]string    // guarded by mu; of the metrics
	marks  []string             // guarded by mu; what was done when, as "name second"
}

func newRecording() *recording {
	return &recording{series: make(map[string][]float64), types: make(map[string]string)}
}

// mark notes what is done now.
func (r *recording) mark(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.marks = append(r.marks, fmt.Sprintf("%s %d", name, r.length))
}

// scrape scrapes both instances once a second until ctx ends.
func (r *recording) scrape(ctx context.Context, p pair.Pair) {
	r.began = time.Now().Truncate(time.Second)
	ticks := time.NewTicker(time.Second)
	defer ticks.Stop()
	for ctx.Err() == nil {
		var texts [len(p)][]byte
		var wg sync.WaitGroup
		for i, in := range p {
			wg.Go(func() { texts[i], _ = in.Get("/metrics") }) // no text: it is down
		}
		wg.Wait()
		for i, in := range p {
			r.add(in.Name, texts[i])
		}
		r.next()
		select {
		case <-ticks.C:
		case <-ctx.Done():
		}
	}
}

// add adds a scrape of an instance.
func (r *recording) add(instance string, text []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	up := 0.0
	if len(text) > 0 {
		up = 1
	}
	r.setLocked(fmt.Sprintf(`up{job="holdfast",instance=%q}`, instance), up)
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) == 4 && fields[1] == "TYPE" {
			r.types[fields[2]] = fields[3]
			continue
		}
		if series, value, ok := parseLine(line, instance); ok {
			r.setLocked(series, value)
		}
	}
}

// parseLine parses a sample, such as name{label="value"} 1.
func parseLine(line, instance string) (series string, value float64, ok bool) {
	line = strings.TrimSpace(line)
	at := strings.LastIndexByte(line, ' ')
	if at < 0 || line[0] == '#' {
		return "", 0, false
	}
	value, err := strconv.ParseFloat(line[at+1:], 64)
	name, labels, _ := strings.Cut(line[:at], "{")
	labels = strings.TrimSuffix(labels, "}")
	if labels != "" {
		labels = "," + labels
	}
	return fmt.Sprintf(`%s{job="holdfast",instance=%q%s}`, name, instance, labels), value, err == nil
}

func (r *recording) setLocked(series string, value float64) {
	values := r.series[series]
	for len(values) < r.length {
		values = append(values, missing)
	}
	r.series[series] = append(values, value)
}

func (r *recording) next() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.length++
}

// metricsIn returns the names of our metrics in a text, and up.
func metricsIn(text string) map[string]bool {
	names := map[string]bool{"up": true}
	for _, name := range regexp.MustCompile(`\bholdfast_[a-z_]+`).FindAllString(text, -1) {
		names[name] = true
	}
	return names
}

// text returns the series of some metrics, in the notation of promtool's unit tests.
func (r *recording) text(names map[string]bool) []byte {
	var b bytes.Buffer
	for _, m := range append(r.marks, fmt.Sprintf("end %d", r.length)) {
		fmt.Fprintf(&b, "# %s\n", m)
	}
	for _, series := range slices.Sorted(maps.Keys(r.series)) {
		if name, _, _ := strings.Cut(series, "{"); names[name] {
			fmt.Fprintf(&b, "%s\t%s\n", series, notation(r.series[series], r.length))
		}
	}
	return b.Bytes()
}

// notation returns values in promtool's notation: 1x3 stands for four ones, 1+2x3 for 1 3 5 7, _ for
// a missing value, and stale for the first one that is missing, as Prometheus notes it.
func notation(values []float64, length int) string {
	for len(values) < length {
		values = append(values, missing)
	}
	var words []string
	for i := 0; i < len(values); {
		if math.IsNaN(values[i]) {
			if i > 0 && !math.IsNaN(values[i-1]) {
				words = append(words, "stale")
				i++
				continue
			}
			n := i
			for n < len(values) && math.IsNaN(values[n]) {
				n++
			}
			words = append(words, repeat("_", n-i))
			i = n
			continue
		}
		n := i + 1
		for n < len(values) && values[n] == values[i] {
			n++
		}
		words = append(words, repeat(strconv.FormatFloat(values[i], 'g', -1, 64), n-i))
		i = n
	}
	return strings.Join(words, " ")
}

// repeat returns the notation of n equal values.
func repeat(value string, n int) string {
	switch {
	case n == 1:
		return value
	case strings.HasSuffix(value, "Inf"): // there is no notation for many of them
		return strings.TrimSpace(strings.Repeat(value+" ", n))
	case value == "_":
		return fmt.Sprintf("_x%d", n)
	}
	return fmt.Sprintf("%sx%d", value, n-1)
}

// openMetrics returns all series with their times.
func (r *recording) openMetrics() []byte {
	families := make(map[string][]string) // series by metric
	for series := range r.series {
		name, _, _ := strings.Cut(series, "{")
		for _, suffix := range []string{"_bucket", "_sum", "_count"} {
			if base := strings.TrimSuffix(name, suffix); r.types[base] == "histogram" {
				name = base
			}
		}
		families[name] = append(families[name], series)
	}
	var b bytes.Buffer
	for _, name := range slices.Sorted(maps.Keys(families)) {
		if r.types[name] == "summary" {
			continue
		}
		fmt.Fprintf(&b, "# TYPE %s unknown\n", name) // the database does not keep types
		slices.Sort(families[name])
		for _, series := range families[name] {
			for i, v := range r.series[series] {
				if !math.IsNaN(v) {
					fmt.Fprintf(&b, "%s %s %d\n", series, strconv.FormatFloat(v, 'g', -1, 64), r.began.Unix()+int64(i))
				}
			}
		}
	}
	b.WriteString("# EOF\n")
	return b.Bytes()
}
