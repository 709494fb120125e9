package wire

import (
	"bytes"
	"fmt"
	"strconv"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

// A Gap is a range of sequences of one publisher, From to To inclusive, that the log no longer
// has.
type Gap struct {
	Publisher, From, To uint64
}

// AppendGaps appends the value of the key gap: "publisher|from|to,…".
func AppendGaps(dst []byte, gaps []Gap) []byte {
	for i, g := range gaps {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = strconv.AppendUint(dst, g.Publisher, 10)
		dst = append(dst, '|')
		dst = strconv.AppendUint(dst, g.From, 10)
		dst = append(dst, '|')
		dst = strconv.AppendUint(dst, g.To, 10)
	}
	return dst
}

// ParseGaps parses the value of the key gap.
func ParseGaps(text []byte) ([]Gap, error) {
	if len(text) == 0 {
		return nil, nil
	}
	var gaps []Gap
	for item := range bytes.SplitSeq(text, comma) {
		publisher, rest, _ := bytes.Cut(item, []byte("|"))
		from, to, _ := bytes.Cut(rest, []byte("|"))
		var g Gap
		var ok [3]bool
		g.Publisher, ok[0] = bookmark.ParseUint(publisher)
		g.From, ok[1] = bookmark.ParseUint(from)
		g.To, ok[2] = bookmark.ParseUint(to)
		if ok != [3]bool{true, true, true} || g.From > g.To {
			return nil, fmt.Errorf("wire: gap %.64q: not publisher|from|to", item)
		}
		if !bookmark.InRange(g.To) {
			return nil, fmt.Errorf("wire: gap %.64q: above 2^63-1", item)
		}
		gaps = append(gaps, g)
	}
	return gaps, nil
}
