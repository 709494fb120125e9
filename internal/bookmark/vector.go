package bookmark

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// A Vector is the highest sequence that has been seen of each publisher. A missing
// publisher counts as 0. It is not safe for concurrent use.
type Vector map[uint64]uint64

// Covers reports whether v covers b, that is, whether b has been seen.
func (v Vector) Covers(b Bookmark) bool { return b.Sequence <= v[b.Publisher] }

// Merge raises v to cover every message that w covers. v must not be nil.
func (v Vector) Merge(w Vector) {
	for pub, seq := range w {
		v.Raise(Bookmark{pub, seq})
	}
}

// Raise raises v to cover b. v must not be nil.
func (v Vector) Raise(b Bookmark) {
	if !v.Covers(b) {
		v[b.Publisher] = b.Sequence
	}
}

// RemoveReached removes the publisher of b from v if b has reached the sequence of v. v is
// a goal, such as the result of Above.
func (v Vector) RemoveReached(b Bookmark) {
	if s, ok := v[b.Publisher]; ok && s <= b.Sequence {
		delete(v, b.Publisher)
	}
}

// Above returns the part of v that w does not cover, never nil.
func (v Vector) Above(w Vector) Vector {
	above := make(Vector)
	for pub, seq := range v {
		if seq > w[pub] {
			above[pub] = seq
		}
	}
	return above
}

// Clone returns a copy of v, never nil.
func (v Vector) Clone() Vector {
	if v == nil {
		return Vector{}
	}
	return maps.Clone(v)
}

// Publishers returns the publishers of v in ascending order, so that loops over them are
// deterministic.
func (v Vector) Publishers() []uint64 { return slices.Sorted(maps.Keys(v)) }

// AppendText appends v as a list of bookmarks, "p|s|,p|s|", in ascending order of
// publishers. Publishers at 0 are left out. A vector that covers nothing is "0", which is
// also the protocol's text for the start of the log.
func (v Vector) AppendText(dst []byte) []byte {
	list := make([]Bookmark, 0, len(v))
	for pub, seq := range v {
		if seq > 0 {
			list = append(list, Bookmark{pub, seq})
		}
	}
	if len(list) == 0 {
		return append(dst, EpochText...)
	}
	slices.SortFunc(list, func(a, b Bookmark) int { return cmp.Compare(a.Publisher, b.Publisher) })
	const usual = 20 + len("||,") + 3 // typical bytes of an entry
	dst = slices.Grow(dst, usual*len(list))
	for i, b := range list {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = b.AppendText(dst)
	}
	return dst
}

// String returns the text of AppendText.
func (v Vector) String() string { return string(v.AppendText(nil)) }

// ParseVector parses a list of bookmarks. "0" and "" are the empty vector, which is not
// nil. Of two bookmarks of one publisher the higher counts.
func ParseVector(text []byte) (Vector, error) {
	v := Vector{}
	text = bytes.TrimSpace(text)
	if len(text) == 0 || string(text) == EpochText {
		return v, nil
	}
	for item := range bytes.SplitSeq(text, []byte(",")) {
		b, err := Parse(bytes.TrimSpace(item))
		if err != nil {
			return nil, err
		}
		if b.Sequence > 0 {
			v.Raise(b)
		}
	}
	return v, nil
}
