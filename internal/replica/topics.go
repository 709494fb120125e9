package replica

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// metacharacters make a topic a pattern.
const metacharacters = `^$.*+?()[]{}|\`

// Carries returns a function that reports whether one of the patterns
// matches a topic, nil if they are nil: all. A pattern without a
// metacharacter is the topic itself; others match anywhere in it.
func Carries(patterns []string) (func(topic []byte) bool, error) {
	if len(patterns) == 0 {
		return nil, nil
	}
	exact := make(map[string]bool)
	var matching []*regexp.Regexp
	for _, p := range patterns {
		if !strings.ContainsAny(p, metacharacters) {
			exact[p] = true
			continue
		}
		re, err := regexp.Compile(p)
		if err != nil {
			return nil, fmt.Errorf("topic pattern %q: %w", p, err)
		}
		matching = append(matching, re)
	}
	return func(topic []byte) bool {
		return exact[string(topic)] ||
			slices.ContainsFunc(matching, func(re *regexp.Regexp) bool { return re.Match(topic) })
	}, nil
}

// normalTopics returns the patterns in the one order in which they are compared; nil: all.
func normalTopics(patterns []string) []string {
	if len(patterns) == 0 {
		return nil
	}
	return slices.Compact(slices.Sorted(slices.Values(patterns)))
}

// describeTopics names patterns in a reason.
func describeTopics(patterns []string) string {
	if patterns == nil {
		return "all topics"
	}
	return strings.Join(patterns, ", ")
}
