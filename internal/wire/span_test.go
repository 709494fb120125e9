package wire_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/wire"
)

func TestSpans(t *testing.T) {
	want := []wire.Span{{From: 1, To: 1}, {From: 3, To: 9}, {From: 11, To: 1<<63 - 1}}
	if got, err := wire.ParseSpans(wire.AppendSpans(nil, want)); err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v", got, err)
	}
	if got, err := wire.ParseSpans(nil); err != nil || got != nil {
		t.Errorf("%v, %v", got, err)
	}
	many := wire.Span{From: 2, To: 2}
	var list []wire.Span
	for range wire.MaxSpans + 1 {
		list = append(list, many)
		many.From, many.To = many.From+2, many.To+2
	}
	for _, text := range []string{
		"1", "0-3", "3-2", "1-2,3-4", "5-6,1-2", "1-2,", "-", "a-b", "1-9223372036854775808", "1-2-3", string(wire.AppendSpans(nil, list)),
	} {
		if got, err := wire.ParseSpans([]byte(text)); err == nil {
			t.Errorf("%.20q is %v", text, got)
		} else if !strings.HasPrefix(err.Error(), "wire: ") {
			t.Error(err)
		}
	}
	if _, err := wire.ParseSpans(wire.AppendSpans(nil, list[:wire.MaxSpans])); err != nil {
		t.Error(err)
	}
}
