package route

import (
	"maps"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// Gaps returns the removed ranges that v does not cover, ordered by publisher. floors has the
// highest removed number of each publisher.
func Gaps(floors, v bookmark.Vector) []wire.Gap {
	if failpoint.On(failpoint.R9SilentGap) {
		return nil
	}
	var gaps []wire.Gap
	for _, p := range slices.Sorted(maps.Keys(floors)) {
		if v[p] < floors[p] {
			gaps = append(gaps, wire.Gap{Publisher: p, From: v[p] + 1, To: floors[p]})
		}
	}
	return gaps
}

// GapText returns the value of the header key gap.
func GapText(gaps []wire.Gap) string { return string(wire.AppendGaps(nil, gaps)) }
