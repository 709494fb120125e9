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

// steps is at how many points of the story a fault can happen: before each
// step, and behind the last.
var steps = len(script) + 1

// Singles tells the story once for every kind of fault at every step.
func Singles(t *testing.T, o Options) {
	t.Helper()
	if o.Only != "" {
		events, err := parseEvents(o.Only)
		if err != nil {
			t.Fatal(err)
		}
		o.only(t, func(tb testing.TB) { tell(tb, events...) })
		return
	}
	at := func(i int) []event { return []event{{i / len(mishaps), i % len(mishaps)}} }
	s, not := newSweep(o), &impossible{}
	n := steps * len(mishaps)
	s.run(t, n, func(tb testing.TB, i int) { not.note(at(i), tell(tb, at(i)...)) })
	s.report(t, func(i int) string { return names(at(i)) })
	t.Logf("single faults: %d of %d run, %d kinds at %d steps, %d violations", s.ran, n, len(mishaps), steps, len(s.wrong))
	not.log(t)
}

// Pairs tells the story once for every pair of faults, of those kinds that
// happen in pairs. Each pair has a number; those next to each other have
// nothing in common, so that any share of the numbers has a bit of everything.
func Pairs(t *testing.T, o Options) {
	t.Helper()
	events := paired()
	all := len(events) * (len(events) - 1) / 2
	begin := number(o.From, all)
	at := func(i int) []event { return pair(events, scatter((begin+i)%all, all)) }
	s, not := newSweep(o), &impossible{}
	s.run(t, all, func(tb testing.TB, i int) { not.note(at(i), tell(tb, at(i)...)) })
	s.report(t, func(i int) string { return names(at(i)) })
	t.Logf("pairs: %d of %d (%.2f %%) run, from number %d to %d, %d violations",
		s.ran, all, 100*float64(s.ran)/float64(all), begin, (begin+s.next)%all, len(s.wrong))
	not.log(t)
}

// paired returns the faults that happen in pairs, in the order of their steps.
func paired() []event {
	var events []event
	for step := range steps {
		for kind := range mishaps {
			if mishaps[kind].paired {
				events = append(events, event{step, kind})
			}
		}
	}
	return events
}

// pair returns pair n: the first row has one pair, event 1 with event 0, the
// second two, and so on.
func pair(events []event, n int) []event {
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
	for divisor(stride, all) != 1 {
		stride++
	}
	return n * stride % all
}

func divisor(a, b int) int {
	for b > 0 {
		a, b = b, a%b
	}
	return a
}

// number returns the number that text stands for: itself, or what becomes of
// it as of the hash of a commit.
func number(text string, all int) int {
	if n, err := strconv.Atoi(text); err == nil {
		return n % all
	}
	h := fnv.New32a()
	h.Write([]byte(text))
	return int(h.Sum32()) % all
}

// names names events as parseEvents takes them.
func names(events []event) string {
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
		kind := slices.IndexFunc(mishaps, func(m mishap) bool { return m.name == name })
		if err != nil || kind < 0 {
			return nil, fmt.Errorf("%q is no fault of the story, such as 12:kill a", one)
		}
		events = append(events, event{step, kind})
	}
	return events, nil
}

// impossible counts the faults that could not happen, by why.
type impossible struct {
	mu  sync.Mutex
	why map[string]int // guarded by mu
}

func (p *impossible) note(events []event, not []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why == nil {
		p.why = make(map[string]int)
	}
	for i, why := range not {
		if why != "" {
			p.why[mishaps[events[i].fault].name+": "+why]++
		}
	}
}

func (p *impossible) log(t *testing.T) {
	for _, why := range slices.Sorted(maps.Keys(p.why)) {
		t.Logf("%6d could not happen, %s", p.why[why], why)
	}
}
