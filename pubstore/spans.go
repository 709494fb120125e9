package pubstore

import "slices"

// spans is a set of sequences, kept as sorted spans that neither overlap nor
// touch: what is rejected comes in runs.
type spans []Range

// search returns the index of the span that holds n, or of the first one above it.
func (s spans) search(n uint64) (i int, in bool) {
	return slices.BinarySearchFunc(s, n, func(a Range, n uint64) int {
		switch {
		case a.To < n:
			return -1
		case a.From > n:
			return 1
		}
		return 0
	})
}

// add puts n into the set. It reports false if it is there already.
func (s *spans) add(n uint64) bool {
	i, in := s.search(n)
	if in {
		return false
	}
	below := i > 0 && (*s)[i-1].To+1 == n
	above := i < len(*s) && n+1 == (*s)[i].From
	switch {
	case below && above:
		(*s)[i-1].To = (*s)[i].To
		*s = slices.Delete(*s, i, i+1)
	case below:
		(*s)[i-1].To = n
	case above:
		(*s)[i].From = n
	default:
		*s = slices.Insert(*s, i, Range{n, n})
	}
	return true
}

// dropThrough takes everything up to n out of the set.
func (s *spans) dropThrough(n uint64) {
	i, in := s.search(n)
	*s = slices.Delete(*s, 0, i)
	if in {
		if (*s)[0].From = n + 1; (*s)[0].From > (*s)[0].To {
			*s = slices.Delete(*s, 0, 1)
		}
	}
}

// count returns how many sequences up to n are in the set.
func (s spans) count(n uint64) (c uint64) {
	for _, a := range s {
		if a.From > n {
			break
		}
		c += min(a.To, n) - a.From + 1
	}
	return c
}

// from returns the spans that end at or above n, the first few.
func (s spans) from(n uint64, most int) []Range {
	i, _ := s.search(n)
	return slices.Clone(s[i:min(i+most, len(s))])
}
