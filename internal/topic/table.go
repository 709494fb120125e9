package topic

import (
	"cmp"
	"slices"
)

// A Table finds the subscriptions whose pattern matches a topic, in the order in which they were
// added. It is not safe for concurrent use.
type Table[S comparable] struct {
	// MaxBytes bounds the memory of cached answers in bytes; 0 means 256 KiB.
	MaxBytes int

	entries []entry[S]
	known   map[string][]S
	bytes   int       // approximate memory of known
	recent  answer[S] // the last answer
	work    int
}

const (
	defaultMaxBytes = 256 << 10
	answerOverhead  = 64 // bytes of an answer besides its topic and its subscriptions
)

type entry[S comparable] struct {
	pattern Pattern
	sub     S
}

// An answer is the list of subscriptions that match a topic.
type answer[S comparable] struct {
	topic []byte
	subs  []S
}

// Add adds a subscription.
func (t *Table[S]) Add(p Pattern, sub S) {
	t.entries = append(t.entries, entry[S]{p, sub})
	t.ClearCache()
}

// Remove removes a subscription, if it is there.
func (t *Table[S]) Remove(sub S) {
	t.entries = slices.DeleteFunc(t.entries, func(e entry[S]) bool { return e.sub == sub })
	t.ClearCache()
}

// ClearCache drops the cached answers.
func (t *Table[S]) ClearCache() { t.known, t.bytes, t.recent = nil, 0, answer[S]{} }

// Work returns the matching work since the last ResetWork, in pattern steps times topic bytes.
// Cached answers cost nothing.
func (t *Table[S]) Work() int { return t.work }

// ResetWork resets the counter of Work.
func (t *Table[S]) ResetWork() { t.work = 0 }

// Len returns the number of subscriptions.
func (t *Table[S]) Len() int { return len(t.entries) }

// Match returns the subscriptions that match a topic. The slice belongs to the table and must not
// be modified.
func (t *Table[S]) Match(topic []byte) []S {
	if len(topic) > 0 && string(topic) == string(t.recent.topic) {
		return t.recent.subs
	}
	subs, known := t.known[string(topic)]
	if !known {
		subs = t.match(topic)
	}
	if len(topic) <= maxCachedTopic {
		t.recent = answer[S]{append(t.recent.topic[:0], topic...), subs}
	}
	return subs
}

// match finds the matching subscriptions without the cache.
func (t *Table[S]) match(topic []byte) (subs []S) {
	for _, e := range t.entries {
		t.work += e.pattern.Steps() * len(topic)
		if e.pattern.Match(topic) {
			subs = append(subs, e.sub)
		}
	}
	t.cache(topic, subs)
	return subs
}

// cache caches an answer. If the cache is full, it is cleared first.
func (t *Table[S]) cache(topic []byte, subs []S) {
	if len(topic) > maxCachedTopic {
		return
	}
	bytes := answerOverhead + len(topic) + 8*cap(subs)
	if t.known == nil || t.bytes+bytes > cmp.Or(t.MaxBytes, defaultMaxBytes) {
		t.known, t.bytes = make(map[string][]S), 0
	}
	t.known[string(topic)] = subs
	t.bytes += bytes
}

// All yields all subscriptions in the order in which they were added.
func (t *Table[S]) All(yield func(S) bool) {
	for _, e := range t.entries {
		if !yield(e.sub) {
			return
		}
	}
}
