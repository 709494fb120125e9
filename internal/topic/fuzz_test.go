package topic_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

// FuzzPattern compiles any pattern. The memory must be in proportion to the size of a command, and
// a pattern and a set of it must give the same answers.
func FuzzPattern(f *testing.F) {
	for _, pattern := range []string{
		"a.b", "^orders/[a-z]+$", "(a+)+$", "x{1000}x{1000}x{1000}", "((x{10}){10}){10}", `(?i:[k-\x{10ffff}])\pL`, ".*.*.*.*=.*",
		strings.Repeat("(", 1000), strings.Repeat("a|", 1000), "[[:^alpha:]]{999}",
	} {
		f.Add(pattern, []byte("a-b"))
		f.Add(pattern, []byte(strings.Repeat("a", 300)))
	}
	f.Fuzz(func(t *testing.T, pattern string, name []byte) {
		heap.Bounded(t, len(pattern)+len(name), 32<<10, 8<<20, func() {
			p, err := topic.Parse(pattern)
			if err != nil {
				if !errors.Is(err, topic.ErrBadPattern) {
					t.Errorf("%q: %v", pattern, err)
				}
				return
			}
			if p.String() != pattern {
				t.Errorf("%q is written %q", pattern, p)
			}
			if p.IsLiteral() && p.Match(name) != (string(name) == pattern) {
				t.Errorf("the literal %q matches %q: %v", pattern, name, p.Match(name))
			}
			set, err := topic.NewSet([]string{pattern})
			if err != nil || set.Contains(name) != p.Match(name) || !set.Covers(p) {
				t.Errorf("%q and a set of it differ about %q, %v", pattern, name, err)
			}
		})
	})
}
