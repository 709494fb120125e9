package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
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
	mu      sync.Mutex
	began   time.Time
	series  map[string][]float64 // guarded by mu; by name with labels; shorter than the recording: missing at the end
	scraped map[string][]float64 // guarded by mu; by instance: 1 for the seconds with a scrape, otherwise missing
	marks   []string             // guarded by mu; what was done when, as "name second"
}

func newRecording() *recording {
	return &recording{series: make(map[string][]float64), scraped: make(map[string][]float64)}
}

// second returns the number of the present second.
func (r *recording) second() int { return int(time.Since(r.began) / time.Second) }

// mark notes what is done now.
func (r *recording) mark(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.marks = append(r.marks, fmt.Sprintf("%s %d", name, r.second()))
}

// scrape scrapes both instances once a second until ctx ends.
func (r *recording) scrape(ctx context.Context, p pair.Pair) {
	var running sync.WaitGroup
	for _, in := range p {
		running.Go(func() {
			ticks := time.NewTicker(time.Second)
			defer ticks.Stop()
			for ctx.Err() == nil {
				second := r.second()
				text, _ := get("http://" + in.AdminAddress() + "/metrics") // no text: it is down
				r.add(second, in.Name, text)
				select {
				case <-ticks.C:
				case <-ctx.Done():
				}
			}
		})
	}
	running.Wait()
	r.mark("end")
}

// get requests a page.
func get(url string) ([]byte, error) {
	client := http.Client{Timeout: 5 * time.Second}
	response, err := client.Get(url)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, errors.New(response.Status)
	}
	return io.ReadAll(response.Body)
}

// add adds the scrape of an instance in a second.
func (r *recording) add(second int, instance string, text []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	up := 0.0
	if len(text) > 0 {
		up = 1
	}
	set(r.scraped, instance, second, 1)
	set(r.series, fmt.Sprintf(`up{job="holdfast",instance=%q}`, instance), second, up)
	for line := range strings.Lines(string(text)) {
		if series, value, ok := parseLine(line, instance); ok {
			set(r.series, series, second, value)
		}
	}
}

// set sets a value of a series.
func set(all map[string][]float64, series string, second int, value float64) {
	all[series] = padded(all[series], second+1)
	all[series][second] = value
}

// padded returns values with missing ones at the end, so that there are length of them at least.
func padded(values []float64, length int) []float64 {
	for len(values) < length {
		values = append(values, missing)
	}
	return values
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
	for _, m := range r.marks {
		fmt.Fprintf(&b, "# %s\n", m)
	}
	for _, series := range slices.Sorted(maps.Keys(r.series)) {
		if name, _, _ := strings.Cut(series, "{"); names[name] {
			fmt.Fprintf(&b, "%s\t%s\n", series, notation(r.series[series], r.scraped[instanceOf(series)]))
		}
	}
	return b.Bytes()
}

// instanceOf returns the instance in the labels of a series.
func instanceOf(series string) string {
	_, rest, _ := strings.Cut(series, `instance="`)
	instance, _, _ := strings.Cut(rest, `"`)
	return instance
}

// notation returns values in promtool's notation: 1x3 stands for four ones, _x2 for two missing
// values, and stale for the first scrape without the series, as Prometheus notes it. scraped has a
// value for each second with a scrape.
func notation(values, scraped []float64) string {
	length := max(len(values), len(scraped))
	values, scraped = padded(slices.Clone(values), length), padded(slices.Clone(scraped), length)
	words, there := []string{}, false // there: the series was in the last scrape
	for i, n := 0, 0; i < length; i += n {
		word := strconv.FormatFloat(values[i], 'g', -1, 64)
		switch n = 1; {
		case !math.IsNaN(values[i]):
			there = true
			for i+n < length && values[i+n] == values[i] {
				n++
			}
		case there && !math.IsNaN(scraped[i]):
			word, there = "stale", false
		default:
			word = "_"
			for i+n < length && math.IsNaN(values[i+n]) && (!there || math.IsNaN(scraped[i+n])) {
				n++
			}
		}
		words = append(words, repeat(word, n))
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

// openMetrics returns all series with their times. The database of Prometheus keeps no types.
func (r *recording) openMetrics() []byte {
	var b bytes.Buffer
	for _, series := range slices.Sorted(maps.Keys(r.series)) {
		for i, v := range r.series[series] {
			if !math.IsNaN(v) {
				fmt.Fprintf(&b, "%s %s %d\n", series, strconv.FormatFloat(v, 'g', -1, 64), r.began.Unix()+int64(i))
			}
		}
	}
	b.WriteString("# EOF\n")
	return b.Bytes()
}
