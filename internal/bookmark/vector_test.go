package bookmark_test

import (
	"maps"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/holdfast-mq/holdfast/internal/bookmark"
	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
)

func TestVectorText(t *testing.T) {
	for _, tt := range []struct {
		v    bookmark.Vector
		want string
	}{
		{nil, "0"},
		{bookmark.Vector{}, "0"},
		{bookmark.Vector{7: 0}, "0"},
		{bookmark.Vector{7: 1}, "7|1|"},
		{bookmark.Vector{30: 1, 7: 2, 200: 3, 8: 0}, "7|2|,30|1|,200|3|"},
	} {
		if got := tt.v.String(); got != tt.want {
			t.Errorf("%v.String() = %s, want %s", map[uint64]uint64(tt.v), got, tt.want)
		}
	}
}

func TestParseVector(t *testing.T) {
	for _, tt := range []struct {
		text string
		want bookmark.Vector // nil: an error
	}{
		{"", bookmark.Vector{}},
		{"0", bookmark.Vector{}},
		{" 0 ", bookmark.Vector{}},
		{"7|0|", bookmark.Vector{}},
		{"7|1|,30|2|", bookmark.Vector{7: 1, 30: 2}},
		{" 30|2| , 7|1", bookmark.Vector{7: 1, 30: 2}},
		{"7|5|,7|1|,7|3|", bookmark.Vector{7: 5}},
		{"7|1|,", nil},
		{"7|1|,0", nil},
		{"20260102T030405Z", nil},
		{"(7|1|:8|1|)", nil},
	} {
		got, err := bookmark.ParseVector([]byte(tt.text))
		if (err == nil) != (tt.want != nil) || !maps.Equal(got, tt.want) {
			t.Errorf("ParseVector(%q) = %v, %v, want %v", tt.text, got, err, tt.want)
		}
		checkSyntaxError(t, err, tt.text)
	}
}

func TestCloneIsWritable(t *testing.T) {
	c := bookmark.Vector(nil).Clone()
	c[1] = 1
	d := c.Clone()
	d[1] = 2
	if c[1] != 1 {
		t.Error("writing to a clone changed the original")
	}
}

var vectors = rapid.MapOfN(rapid.Uint64Range(0, 20), rapid.Uint64Range(0, 20), 0, 20)

func TestVectorProperties(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := bookmark.Vector(vectors.Draw(t, "v"))
		w := bookmark.Vector(vectors.Draw(t, "w"))
		b := bookmark.Bookmark{Publisher: rapid.Uint64Range(0, 20).Draw(t, "p"), Sequence: rapid.Uint64Range(0, 21).Draw(t, "s")}

		m := v.Clone()
		m.Merge(w)
		if m.Covers(b) != (v.Covers(b) || w.Covers(b)) {
			t.Fatalf("%v merged with %v is %v: covers %v = %v", v, w, m, b, m.Covers(b))
		}
		again, err := bookmark.ParseVector(v.AppendText(nil))
		if err != nil {
			t.Fatal(err)
		}
		if again.Covers(b) != v.Covers(b) || again.String() != v.String() {
			t.Fatalf("%v parsed again as %v", v, again)
		}
	})
}

func FuzzParseVector(f *testing.F) {
	f.Add([]byte("0"))
	f.Add([]byte("7|1|,30|2|"))
	f.Add([]byte("7|1|, 7|2"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var v bookmark.Vector
		var err error
		heap.Bounded(t, len(text), 64, 4<<10, func() { v, err = bookmark.ParseVector(text) })
		if err != nil {
			checkSyntaxError(t, err, string(text))
			return
		}
		if s := v.String(); len(v) > 0 && strings.Count(s, ",") != len(v)-1 || len(v) == 0 && s != "0" {
			t.Errorf("%q, of %d publishers, is written as %q", text, len(v), s)
		}
		if again, err := bookmark.ParseVector(v.AppendText(nil)); err != nil || !maps.Equal(again, v) {
			t.Errorf("%q parsed as %v, again as %v, %v", text, v, again, err)
		}
	})
}

// The part above another vector is a goal, which is reached publisher by publisher.
func TestGoal(t *testing.T) {
	g := bookmark.Vector{1: 5, 2: 3, 3: 1}.Above(bookmark.Vector{1: 5, 2: 1})
	g.RemoveReached(bookmark.Bookmark{Publisher: 2, Sequence: 2})
	g.RemoveReached(bookmark.Bookmark{Publisher: 3, Sequence: 4})
	g.RemoveReached(bookmark.Bookmark{Publisher: 4, Sequence: 1})
	if !maps.Equal(g, bookmark.Vector{2: 3}) {
		t.Fatalf("%v, want 2|3|", g)
	}
	g.RemoveReached(bookmark.Bookmark{Publisher: 2, Sequence: 3})
	if len(g) > 0 {
		t.Fatalf("not reached: %v", g)
	}
}
