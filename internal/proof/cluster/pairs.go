package cluster

import (
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
)

// stepCount is at how many points of the story a fault can happen: before each
// step, and after the last.
var stepCount = len(script) + 1

// Singles runs the story once for every kind of fault at every step.
func Singles(t *testing.T, o Options) {
	t.Helper()
	if o.Only != "" {
		events, err := parseEvents(o.Only)
		if err != nil {
			t.Fatal(err)
		}
		o.runOnly(t, func(tb testing.TB) { runStory(tb, events...) })
		return
	}
	at := func(i int) []event { return []event{{i / len(storyFaults), i % len(storyFaults)}} }
	s, skipped := newSweep(o), &skippedFaults{}
	n := stepCount * len(storyFaults)
	s.run(t, n, func(tb testing.TB, i int) { skipped.add(at(i), runStory(tb, at(i)...)) })
	s.report(t, func(i int) string { return eventNames(at(i)) })
	t.Logf("single faults: %d of %d run, %d kinds at %d steps, %d violations", s.ran, n, len(storyFaults), stepCount, len(s.failures))
	skipped.log(t)
}

// Pairs runs the story once for every pair of faults, of those kinds that happen in
// pairs. Each pair has a number; neighbours have nothing in common, so that any range of
// numbers is a mixture.
func Pairs(t *testing.T, o Options) {
	t.Helper()
	events := pairedEvents()
	all := len(events) * (len(events) - 1) / 2
	begin := startNumber(o.From, all)
	at := func(i int) []event { return pairAt(events, scatter((begin+i)%all, all)) }
	s, skipped := newSweep(o), &skippedFaults{}
	s.run(t, all, func(tb testing.TB, i int) { skipped.add(at(i), runStory(tb, at(i)...)) })
	s.report(t, func(i int) string { return eventNames(at(i)) })
	t.Logf("pairs: %d of %d (%.2f %%) run, from number %d to %d, %d violations",
		s.ran, all, 100*float64(s.ran)/float64(all), begin, (begin+s.next)%all, len(s.failures))
	skipped.log(t)
}

// pairedEvents returns the faults that happen in pairs, in the order of their steps.
func pairedEvents() []event {
	var events []event
	for step := range stepCount {
		for kind := range storyFaults {
			if storyFaults[kind].paired {
				events = append(events, event{step, kind})
			}
		}
	}
	return events
}

// pairAt returns pair n: the first row has one pair, event 1 with event 0, the
// second two, and so on.
func pairAt(events []event, n int) []event {
	row, before := 1, 0
	for before+row <= n {
		before += row
		row++
	}
	return []event{events[n-before], events[row]}
}

// scatter returns where a number lies in an order in which neighbours have
// nothing in common.
func scatter(n, all int) int {
	stride := int(0.618 * float64(all))
	for gcd(stride, all) != 1 {
		stride++
	}
	return n * stride % all
}

func gcd(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// startNumber returns the number in text, or one made from the hash of text, such as that
// of a commit.
func startNumber(text string, all int) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n % all
	}
	h := fnv.New32a()
	h.Write([]byte(text))
	return int(h.Sum32()) % all
}

// eventNames names events as parseEvents takes them.
func eventNames(events []event) string {
	var all []string
	for _, e := range events {
		all = append(all, e.String())
	}
	return strings.Join(all, "; ")
}

func parseEvents(text string) ([]event, error) {
	var events []event
	for one := range strings.SplitSeq(text, ";") {
		at, name, _ := strings.Cut(strings.TrimSpace(one), ":")
		step, err := strconv.Atoi(at)
		kind := slices.IndexFunc(storyFaults, func(m storyFault) bool { return m.name == name })
		if err != nil || kind < 0 {
			return nil, fmt.Errorf("%q is no fault of the story, such as 12:kill a", one)
		}
		events = append(events, event{step, kind})
	}
	return events, nil
}

// skippedFaults counts the faults that could not happen, by why.
type skippedFaults struct {
	mu     sync.Mutex
	counts map[string]int // guarded by mu
}

func (p *skippedFaults) add(events []event, reasons []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.counts == nil {
		p.counts = make(map[string]int)
	}
	for i, why := range reasons {
		if why != "" {
			p.counts[storyFaults[events[i].fault].name+": "+why]++
		}
	}
}

func (p *skippedFaults) log(t *testing.T) {
	for _, why := range slices.Sorted(maps.Keys(p.counts)) {
		t.Logf("%6d could not happen, %s", p.counts[why], why)
	}
}
