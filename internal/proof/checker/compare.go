package checker

import (
	"slices"
	"time"
)

// Keys are the messages that were seen in one place: for each publisher their keys in
// order.
type Keys map[string][]string

// Len returns how many keys it holds.
func (k Keys) Len() (n int) {
	for _, keys := range k {
		n += len(keys)
	}
	return n
}

// A Verdict counts the messages with which something is wrong, and those that
// are present.
type Verdict struct{ Present, Lost, Duplicated, Disordered, Foreign int }

// Clean reports whether nothing is wrong.
func (v Verdict) Clean() bool { return v.Lost+v.Duplicated+v.Disordered+v.Foreign == 0 }

// Add returns the sums of both.
func (v Verdict) Add(o Verdict) Verdict {
	return Verdict{v.Present + o.Present, v.Lost + o.Lost, v.Duplicated + o.Duplicated,
		v.Disordered + o.Disordered, v.Foreign + o.Foreign}
}

// Compare judges the messages in several places by the published ones. A message is
// present if it is in all places; the same flaw in several places counts once.
func Compare(published Keys, places ...Keys) Verdict {
	var v Verdict
	for publisher, keys := range published {
		wrong := make(map[string]flaw)
		for _, got := range places {
			judge(wrong, keys, got[publisher])
		}
		v = v.Add(count(wrong))
		v.Present += len(keys)
	}
	v.Present -= v.Lost
	unknown := make(map[string]flaw)
	for _, got := range places {
		for publisher, keys := range got {
			if _, known := published[publisher]; !known {
				for _, key := range keys {
					unknown[publisher+" "+key] = foreign
				}
			}
		}
	}
	return v.Add(count(unknown))
}

// A flaw is a set of the things that are wrong with a message.
type flaw uint8

const (
	lost flaw = 1 << iota
	duplicated
	disordered
	foreign
)

func count(wrong map[string]flaw) (v Verdict) {
	one := func(f, of flaw) int {
		if f&of != 0 {
			return 1
		}
		return 0
	}
	for _, f := range wrong {
		v = v.Add(Verdict{0, one(f, lost), one(f, duplicated), one(f, disordered), one(f, foreign)})
	}
	return v
}

// judge adds the flaws of the messages of a publisher in one place.
func judge(wrong map[string]flaw, published, got []string) {
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
			wrong[key] |= foreign
		case seen[key]:
			wrong[key] |= duplicated
		case i < last:
			wrong[key] |= disordered
		}
		seen[key] = true
		last = max(last, i)
	}
	for _, key := range published {
		if !seen[key] {
			wrong[key] |= lost
		}
	}
}

// Quantile returns the q-quantile of the durations, rounded for reading.
func Quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	sorted := slices.Sorted(slices.Values(d))
	return sorted[int(q*float64(len(sorted)-1)+0.5)].Round(time.Millisecond)
}
