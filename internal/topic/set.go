package topic

import (
	"fmt"
	"slices"
	"sync"
)

// A cache holds up to maxCached topics and is cleared when it is full. Topics longer than
// maxCachedTopic bytes are not cached.
const (
	maxCached      = 4096
	maxCachedTopic = 256
)

// A Set is a list of patterns, such as the topics that an instance logs or a link carries. It
// caches its answers. Safe for concurrent use.
type Set struct {
	patterns []Pattern
	all      bool

	mu    sync.RWMutex
	known map[string]bool // guarded by mu
}

// NewSet returns the set of all topics that match at least one of the patterns. With nil the set
// has every topic.
func NewSet(patterns []string) (*Set, error) {
	s := &Set{all: patterns == nil, known: make(map[string]bool)}
	for _, text := range patterns {
		p, err := Parse(text)
		if err != nil {
			return nil, fmt.Errorf("topic %q: %w", text, err)
		}
		s.all = s.all || p.all
		s.patterns = append(s.patterns, p)
	}
	return s, nil
}

// Contains reports whether the set has a topic.
func (s *Set) Contains(topic []byte) bool {
	if s.all {
		return true
	}
	s.mu.RLock()
	in, known := s.known[string(topic)]
	s.mu.RUnlock()
	if known {
		return in
	}
	in = slices.ContainsFunc(s.patterns, func(p Pattern) bool { return p.Match(topic) })
	if len(topic) > maxCachedTopic {
		return in
	}
	s.mu.Lock()
	if len(s.known) >= maxCached {
		clear(s.known)
	}
	s.known[string(topic)] = in
	s.mu.Unlock()
	return in
}

// Covers reports whether the set certainly has every topic that p matches: the set has all topics,
// p is one of its patterns, or p is a single topic in the set.
func (s *Set) Covers(p Pattern) bool {
	if s.all {
		return true
	}
	if p.IsLiteral() {
		return s.Contains([]byte(p.text))
	}
	return slices.ContainsFunc(s.patterns, func(q Pattern) bool { return q.text == p.text && !q.IsLiteral() })
}
