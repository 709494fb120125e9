package pubstore

import "slices"

// A rangeSet is a set of sequences, stored as sorted ranges that neither overlap nor touch:
// rejections come in runs.
type rangeSet []Range

// search returns the index of the range that contains n, or of the first range above n.
func (s rangeSet) search(n uint64) (i int, in bool) {
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

// add adds n to the set. It returns false if n was in the set already.
func (s *rangeSet) add(n uint64) bool {
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

// dropThrough removes everything up to and including n from the set.
func (s *rangeSet) dropThrough(n uint64) {
	i, in := s.search(n)
	*s = slices.Delete(*s, 0, i)
	if in {
		if (*s)[0].From = n + 1; (*s)[0].From > (*s)[0].To {
			*s = slices.Delete(*s, 0, 1)
		}
	}
}

// count returns the number of sequences up to and including n in the set.
func (s rangeSet) count(n uint64) (c uint64) {
	for _, a := range s {
		if a.From > n {
			break
		}
		c += min(a.To, n) - a.From + 1
	}
	return c
}

// from returns the first ranges that end at or above n, at most limit of them.
func (s rangeSet) from(n uint64, limit int) []Range {
	i, _ := s.search(n)
	return slices.Clone(s[i:min(i+limit, len(s))])
}
