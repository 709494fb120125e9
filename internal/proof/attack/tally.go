package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// A tally counts the results of an attacker's attempts. It is safe for concurrent use.
type tally struct {
	mu        sync.Mutex
	counts    map[string]int // guarded by mu
	forbidden map[string]int // results that the role must not have; guarded by mu
}

// results are those of this process.
var results = &tally{counts: make(map[string]int), forbidden: make(map[string]int)}

// forbiddenMark begins the forbidden results in the text of a tally.
const forbiddenMark = "FORBIDDEN: "

func (t *tally) add(result string) { t.addN(result, 1) }

func (t *tally) addN(result string, n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counts[result] += n
}

// forbid counts a result that the role must not have.
func (t *tally) forbid(result string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.forbidden[result]++
}

// addError counts the end of an attempt: the reason of a refusal, or that it was cut off.
func (t *tally) addError(err error) {
	reason, refused := errors.AsType[refusal](err)
	switch {
	case refused:
		t.add(string(reason))
	case err != nil:
		t.add("cut off")
	}
}

// mustRefuse counts the end of an attempt that must fail.
func (t *tally) mustRefuse(attempt string, err error) {
	if err == nil {
		t.forbid(attempt)
		return
	}
	t.addError(err)
}

// String returns the results in one line, the most frequent ones first.
func (t *tally) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	text := listCounts(t.counts)
	if len(t.forbidden) > 0 {
		text += " " + forbiddenMark + listCounts(t.forbidden)
	}
	return text
}

func listCounts(counts map[string]int) string {
	keys := slices.SortedFunc(maps.Keys(counts), func(a, b string) int { return counts[b] - counts[a] })
	var parts []string
	for _, k := range keys {
		parts = append(parts, fmt.Sprintf("%d %s", counts[k], k))
	}
	return strings.Join(parts, ", ")
}
