package wire

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// MaxSpans bounds the spans of one logon. A client that has more to state does
// so in later logons.
const MaxSpans = 256

// A Span is the sequences From to To of a publisher, both included.
type Span struct{ From, To uint64 }

// AppendSpans appends the value of the key rejected: "from-to,…".
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

// ParseSpans parses the value of the key rejected: at most MaxSpans spans, in
// order, none of which touches the next.
func ParseSpans(text []byte) ([]Span, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var spans []Span
	next := uint64(1) // lowest that may follow
	for item := range bytes.SplitSeq(text, comma) {
		from, to, _ := bytes.Cut(item, []byte("-"))
		f, ok := bookmark.ParseUint(from)
		t, too := bookmark.ParseUint(to)
		if !ok || !too || f < next || f > t || t > bookmark.MaxSequence {
			return nil, fmt.Errorf("wire: span %.64q: not from-to behind the one before it", item)
		}
		if len(spans) == MaxSpans {
			return nil, fmt.Errorf("wire: more than %d spans", MaxSpans)
		}
		spans = append(spans, Span{From: f, To: t})
		next = t + 2
	}
	return spans, nil
}
