package clientcore

import (
	"cmp"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// sortGaps sorts ranges by publisher and number.
func sortGaps(gaps []wire.Gap) {
	slices.SortFunc(gaps, func(a, b wire.Gap) int {
		return cmp.Or(cmp.Compare(a.Publisher, b.Publisher), cmp.Compare(a.From, b.From))
	})
}

// undiscarded returns the parts of gaps that were neither received nor discarded out of order.
func undiscarded(gaps []wire.Gap, have Received) (left []wire.Gap) {
	for _, g := range gaps {
		g.From = max(g.From, have.Vector[g.Publisher]+1)
		for _, n := range have.OutOfOrder[g.Publisher] {
			if n < g.From || n > g.To {
				continue
			}
			if g.From < n {
				left = append(left, wire.Gap{Publisher: g.Publisher, From: g.From, To: n - 1})
			}
			g.From = n + 1
		}
		if g.From <= g.To {
			left = append(left, g)
		}
	}
	sortGaps(left)
	return left
}

// intersect returns the intersection of a and b. Both are sorted.
func intersect(a, b []wire.Gap) (both []wire.Gap) {
	other := byPublisher(b)
	for _, x := range a {
		for _, y := range other[x.Publisher] {
			if from, to := max(x.From, y.From), min(x.To, y.To); from <= to {
				both = append(both, wire.Gap{Publisher: x.Publisher, From: from, To: to})
			}
		}
	}
	return both
}

// notCovered returns the parts of gaps that a vector does not cover.
func notCovered(gaps []wire.Gap, v bookmark.Vector) []wire.Gap {
	return undiscarded(gaps, Received{Vector: v})
}

// byPublisher groups ranges by publisher.
func byPublisher(gaps []wire.Gap) map[uint64][]wire.Gap {
	groups := make(map[uint64][]wire.Gap)
	for _, g := range gaps {
		groups[g.Publisher] = append(groups[g.Publisher], g)
	}
	return groups
}

// movePast moves a place past those gaps that begin where it ends. gaps are sorted. progress has
// the new sequence of each publisher that moved; it is nil if none moved. rest are the other
// gaps: the log still has messages before them.
func movePast(gaps []wire.Gap, have Received) (progress bookmark.Vector, rest []wire.Gap) {
	for publisher, ranges := range byPublisher(gaps) {
		at := have.Vector[publisher]
		for _, g := range ranges {
			for _, n := range have.OutOfOrder[publisher] {
				if n == at+1 {
					at = n
				}
			}
			if g.From > at+1 {
				rest = append(rest, g)
				continue
			}
			at = max(at, g.To)
		}
		if at > have.Vector[publisher] {
			if progress == nil {
				progress = make(bookmark.Vector)
			}
			progress[publisher] = at
		}
	}
	sortGaps(rest)
	return progress, rest
}
