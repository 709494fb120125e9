package clientcore

import (
	"cmp"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// sortGaps orders ranges by publisher and number.
func sortGaps(gaps []wire.Gap) {
	slices.SortFunc(gaps, func(a, b wire.Gap) int {
		return cmp.Or(cmp.Compare(a.Publisher, b.Publisher), cmp.Compare(a.From, b.From))
	})
}

// undiscarded returns what of gaps is neither received nor discarded out of order.
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

// common returns what is in both a and b, which are ordered.
func common(a, b []wire.Gap) (both []wire.Gap) {
	of := byPublisher(b)
	for _, x := range a {
		for _, y := range of[x.Publisher] {
			if from, to := max(x.From, y.From), min(x.To, y.To); from <= to {
				both = append(both, wire.Gap{Publisher: x.Publisher, From: from, To: to})
			}
		}
	}
	return both
}

// behind returns what of gaps a vector does not cover.
func behind(gaps []wire.Gap, v bookmark.Vector) []wire.Gap {
	return undiscarded(gaps, Received{Vector: v})
}

// byPublisher returns the ranges of each publisher.
func byPublisher(gaps []wire.Gap) map[uint64][]wire.Gap {
	of := make(map[uint64][]wire.Gap)
	for _, g := range gaps {
		of[g.Publisher] = append(of[g.Publisher], g)
	}
	return of
}

// pass raises a place over those of gaps, ordered, that begin where it ends.
// shown is how far it gets, nil if nowhere; rest are the others, in front of which
// the log still has messages.
func pass(gaps []wire.Gap, have Received) (shown bookmark.Vector, rest []wire.Gap) {
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
			if shown == nil {
				shown = make(bookmark.Vector)
			}
			shown[publisher] = at
		}
	}
	sortGaps(rest)
	return shown, rest
}
