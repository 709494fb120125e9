package checker

import (
	"slices"
	"time"
)

// Keys are what one place saw of the messages: for each publisher their keys
// in the order in which they stand there.
type Keys map[string][]string

// Len returns how many keys it holds.
func (k Keys) Len() (n int) {
	for _, keys := range k {
		n += len(keys)
	}
	return n
}

// A Verdict counts how keys differ from what was published.
type Verdict struct{ Present, Lost, Duplicated, Disordered, Foreign int }

// Clean reports whether nothing is wrong.
func (v Verdict) Clean() bool { return v.Lost+v.Duplicated+v.Disordered+v.Foreign == 0 }

// Plus returns the sums of both.
func (v Verdict) Plus(o Verdict) Verdict {
	return Verdict{v.Present + o.Present, v.Lost + o.Lost, v.Duplicated + o.Duplicated,
		v.Disordered + o.Disordered, v.Foreign + o.Foreign}
}

// Compare judges got against what was published.
func Compare(published, got Keys) Verdict {
	var v Verdict
	for publisher, keys := range published {
		v = v.Plus(compare(keys, got[publisher]))
	}
	for publisher, keys := range got {
		if _, known := published[publisher]; !known {
			v.Foreign += len(keys)
		}
	}
	return v
}

// compare is Compare for one publisher.
func compare(published, got []string) Verdict {
	var v Verdict
	at := make(map[string]int, len(published))
	for i, key := range published {
		at[key] = i
	}
	seen := make(map[string]bool, len(published))
	last := -1
	for _, key := range got {
		i, known := at[key]
		switch {
		case !known:
			v.Foreign++
		case seen[key]:
			v.Duplicated++
		default:
			seen[key] = true
			if i < last {
				v.Disordered++
			}
			last = max(last, i)
		}
	}
	v.Present = len(seen)
	v.Lost = len(published) - len(seen)
	return v
}

// Quantile returns the q-quantile of the durations, rounded for reading.
func Quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[int(q*float64(len(sorted)-1)+0.5)].Round(time.Millisecond)
}
