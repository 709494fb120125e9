package replica

import (
	"slices"
	"strings"
)

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
