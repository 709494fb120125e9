package route_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/route"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
)

// FuzzPattern compiles any pattern. It must not take memory out of proportion
// to what a client can send, and match no more than one way.
func FuzzPattern(f *testing.F) {
	for _, pattern := range []string{
		"a.b", "^orders/[a-z]+$", "(a+)+$", "x{1000}x{1000}x{1000}", "((x{10}){10}){10}", `(?i:[k-\x{10ffff}])\pL`, ".*.*.*.*=.*",
		strings.Repeat("(", 1000), strings.Repeat("a|", 1000), "[[:^alpha:]]{999}",
	} {
		f.Add(pattern, []byte("a-b"))
		f.Add(pattern, []byte(strings.Repeat("a", 300)))
	}
	f.Fuzz(func(t *testing.T, pattern string, topic []byte) {
		heap.Bounded(t, len(pattern)+len(topic), 32<<10, 8<<20, func() {
			p, err := route.ParsePattern(pattern)
			if err != nil {
				if !errors.Is(err, route.ErrBadRegexTopic) {
					t.Errorf("%q: %v", pattern, err)
				}
				return
			}
			if p.String() != pattern {
				t.Errorf("%q is written %q", pattern, p)
			}
			if p.IsLiteral() && p.Match(topic) != (string(topic) == pattern) {
				t.Errorf("the literal %q matches %q: %v", pattern, topic, p.Match(topic))
			}
			set, err := route.NewSet([]string{pattern})
			if err != nil || set.Contains(topic) != p.Match(topic) || !set.Covers(p) {
				t.Errorf("%q and a set of it differ about %q, %v", pattern, topic, err)
			}
		})
	})
}

// FuzzOptions reads the options of a subscribe.
func FuzzOptions(f *testing.F) {
	for _, text := range []string{
		"replace,", "bookmark,timestamp", "vector,bookmark_not_found=fail", " non_regex_topic , none", "conflation=none", "rate=10",
		"projection=[SUM(/a) AS /b,/c]", "bookmark_not_found=", "magic", "[[[", "=,=,",
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		heap.Bounded(t, len(text), 16, 4<<10, func() {
			o, err := route.ParseOptions(text)
			if err == nil {
				again, err := route.ParseOptions([]byte(string(text) + ",none"))
				if err != nil || again != o {
					t.Errorf("%q gives %+v, with none behind it %+v, %v", text, o, again, err)
				}
				return
			}
			if _, notOffered := errors.AsType[*route.NotOfferedError](err); !notOffered && !errors.Is(err, route.ErrInvalidOptions) {
				t.Errorf("%q: %v", text, err)
			}
			if o != (route.Options{}) {
				t.Errorf("%q is refused and gives %+v", text, o)
			}
		})
	})
}
