package topic

// A Table finds the subscriptions whose pattern matches a topic, in the order
// in which they were added. It isn't safe for concurrent use.
type Table[S comparable] struct {
	entries []entry[S]
	known   map[string][]S
}

type entry[S comparable] struct {
	pattern Pattern
	sub     S
}

// Add adds a subscription.
func (t *Table[S]) Add(p Pattern, sub S) {
	t.entries = append(t.entries, entry[S]{p, sub})
	clear(t.known)
}

// Remove removes a subscription, if it is there.
func (t *Table[S]) Remove(sub S) {
	kept := t.entries[:0]
	for _, e := range t.entries {
		if e.sub != sub {
			kept = append(kept, e)
		}
	}
	clear(t.entries[len(kept):])
	t.entries = kept
	clear(t.known)
}

// Len returns how many subscriptions there are.
func (t *Table[S]) Len() int { return len(t.entries) }

// Match returns the subscriptions that match a topic. The slice is the
// table's own.
func (t *Table[S]) Match(topic []byte) []S {
	if subs, known := t.known[string(topic)]; known {
		return subs
	}
	var subs []S
	for _, e := range t.entries {
		if e.pattern.Match(topic) {
			subs = append(subs, e.sub)
		}
	}
	if len(topic) > maxCachedTopic {
		return subs
	}
	if t.known == nil || len(t.known) >= maxCached {
		t.known = make(map[string][]S)
	}
	t.known[string(topic)] = subs
	return subs
}

// All returns every subscription, in the order in which they were added.
func (t *Table[S]) All(yield func(S) bool) {
	for _, e := range t.entries {
		if !yield(e.sub) {
			return
		}
	}
}
