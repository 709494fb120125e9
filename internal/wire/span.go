package wire

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// MaxSpans is the largest number of spans in one logon. A client that has more of them states
// the others in later logons.
const MaxSpans = 256

// A Span is a range of sequences of one publisher, From to To inclusive.
type Span struct{ From, To uint64 }

// AppendSpans appends a comma list of spans, "from-to,…", the value of rejected or lost.
func AppendSpans(dst []byte, spans []Span) []byte {
	for i, s := range spans {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, s.From, 10)
		dst = append(dst, '-')
		dst = strconv.AppendUint(dst, s.To, 10)
	}
	return dst
}

// ParseSpans parses a comma list of at most MaxSpans spans. They must be in order, with at
// least one sequence between two of them.
func ParseSpans(text []byte) ([]Span, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var spans []Span
	next := uint64(1) // the lowest number at which the next span may start
	for item := range bytes.SplitSeq(text, comma) {
		from, to, _ := bytes.Cut(item, []byte("-"))
		f, okFrom := bookmark.ParseUint(from)
		t, okTo := bookmark.ParseUint(to)
		if !okFrom || !okTo || f < next || f > t || t > bookmark.MaxSequence {
			return nil, fmt.Errorf("wire: span %.64q: not from-to after the previous span", item)
		}
		if len(spans) == MaxSpans {
			return nil, fmt.Errorf("wire: more than %d spans", MaxSpans)
		}
		spans = append(spans, Span{From: f, To: t})
		next = t + 2
	}
	return spans, nil
}
