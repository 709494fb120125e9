package bookmark_test

import (
	"errors"
	"math"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
)

func TestParse(t *testing.T) {
	for _, tt := range []struct {
		text string
		want bookmark.Bookmark
		ok   bool
	}{
		{"7094790850998930143|43|", bookmark.Bookmark{Publisher: 7094790850998930143, Sequence: 43}, true},
		{"7|43", bookmark.Bookmark{Publisher: 7, Sequence: 43}, true},
		{"18446744073709551615|9223372036854775807|", bookmark.Bookmark{Publisher: math.MaxUint64, Sequence: math.MaxInt64}, true},
		{text: "7|9223372036854775808|"},
		{text: "7|18446744073709551615|"},
		{text: ""},
		{text: "7"},
		{text: "|"},
		{text: "7|"},
		{text: "|7|"},
		{text: "7||"},
		{text: "7|8|9"},
		{text: "7|8||"},
		{text: "-7|8|"},
		{text: "7|+8|"},
		{text: "7 |8|"},
		{text: "18446744073709551616|1|"},
		{text: "1|184467440737095516150|"},
	} {
		got, err := bookmark.Parse([]byte(tt.text))
		if (err == nil) != tt.ok || got != tt.want {
			t.Errorf("Parse(%q) = %v, %v, want %v", tt.text, got, err, tt.want)
		}
		checkSyntaxError(t, err, tt.text)
	}
}

func TestSyntaxErrorNamesTheText(t *testing.T) {
	long := make([]byte, 1000)
	_, err := bookmark.Parse(long)
	var syntax *bookmark.SyntaxError
	if !errors.As(err, &syntax) || len(syntax.Text) != 64 {
		t.Errorf("Parse of 1000 bytes: %v", err)
	}
}

func checkSyntaxError(t *testing.T, err error, text string) {
	t.Helper()
	if err == nil {
		return
	}
	var syntax *bookmark.SyntaxError
	if !errors.As(err, &syntax) {
		t.Errorf("%q: error %T, want *SyntaxError", text, err)
	}
}

func TestAppendTextDoesNotAllocate(t *testing.T) {
	b := bookmark.Bookmark{Publisher: math.MaxUint64, Sequence: math.MaxUint64}
	dst := make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { dst = b.AppendText(dst[:0]) }); n != 0 {
		t.Errorf("AppendText: %v allocations", n)
	}
	if got := string(dst); got != "18446744073709551615|18446744073709551615|" || got != b.String() {
		t.Errorf("AppendText = %s, String = %v", got, b)
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte("7094790850998930143|43|"))
	f.Add([]byte("0|1"))
	f.Fuzz(func(t *testing.T, text []byte) {
		b, err := bookmark.Parse(text)
		if err != nil {
			checkSyntaxError(t, err, string(text))
			return
		}
		if again, err := bookmark.Parse(b.AppendText(nil)); err != nil || again != b {
			t.Errorf("%q parsed as %v, written and parsed again as %v, %v", text, b, again, err)
		}
	})
}
