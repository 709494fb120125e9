package topic_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/topic"
)

func TestPattern(t *testing.T) {
	for _, tt := range []struct {
		pattern, topic string
		want           bool
	}{
		{"orders", "orders", true},
		{"orders", "orders2", false},
		{"orders", "my-orders", false},
		{"trade.info", "trade-info", true},
		{"trade.info", "every/trade/info", true},
		{"trade.info", "trade.info", true},
		{"^trade", "every/trade", false},
		{"info$", "trade/info", true},
		{".*", "", true},
		{".*", "two\nlines", true},
		{"a|b", "xbx", true},
		{"[0-9]+", "abc", false},
		{`\d`, "a1", true},
		{"a b", "a b", true},
		{"*", "", false}, // does not compile
		{"(", "(", false},
		{">", ">", true},
		{"a.>", "a.b", false},
		{`\xff`, "\xff", false},
	} {
		p, err := topic.Parse(tt.pattern)
		if err != nil {
			if !errors.Is(err, topic.ErrBadPattern) {
				t.Errorf("%q: %v", tt.pattern, err)
			}
			continue
		}
		if got := p.Match([]byte(tt.topic)); got != tt.want {
			t.Errorf("%q matches %q: %v", tt.pattern, tt.topic, got)
		}
	}
	for _, bad := range []string{
		"(", "*", "a{2000}", `\`, "[a", "(?<", "a**",
		strings.Repeat("x{1000}", 9), "(((x{10}){10}y{100}){10}){9}", strings.Repeat(`\pL`, 20), strings.Repeat("a.", 1100),
	} {
		if _, err := topic.Parse(bad); !errors.Is(err, topic.ErrBadPattern) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if p := topic.Literal("a.b"); p.Match([]byte("axb")) || !p.Match([]byte("a.b")) || !p.IsLiteral() {
		t.Error("a literal is none")
	}
}

func TestSet(t *testing.T) {
	set, err := topic.NewSet([]string{"^orders", "prices"})
	if err != nil {
		t.Fatal(err)
	}
	for topic, want := range map[string]bool{"orders/eu": true, "prices": true, "prices2": false, "x": false} {
		for range 2 { // the second answer is cached
			if got := set.Contains([]byte(topic)); got != want {
				t.Errorf("contains %q: %v", topic, got)
			}
		}
	}
	for text, want := range map[string]bool{"orders/eu": true, "^orders": true, "^orders/eu": false, "x": false, ".*": false, "prices": true} {
		p, _ := topic.Parse(text)
		if got := set.Covers(p); got != want {
			t.Errorf("covers %q: %v", text, got)
		}
	}
	for i := range 10_000 { // more than the set caches
		set.Contains(fmt.Appendf(nil, "t%d", i))
	}
	all, _ := topic.NewSet(nil)
	if p, _ := topic.Parse("a.*b"); !all.Covers(p) || !all.Contains([]byte("x")) {
		t.Error("nil is not everything")
	}
	if _, err := topic.NewSet([]string{"ok", "("}); !errors.Is(err, topic.ErrBadPattern) {
		t.Errorf("bad pattern: %v", err)
	}
}

func TestTable(t *testing.T) {
	var table topic.Table[string]
	add := func(pattern, sub string) {
		p, err := topic.Parse(pattern)
		if err != nil {
			t.Fatal(err)
		}
		table.Add(p, sub)
	}
	match := func(topic string, want ...string) {
		t.Helper()
		if got := table.Match([]byte(topic)); !slices.Equal(got, want) {
			t.Errorf("%q matches %v, want %v", topic, got, want)
		}
	}
	match("a")
	add("a", "1")
	add("^a", "2")
	match("a", "1", "2")
	match("ab", "2")
	add(".*", "3")
	match("a", "1", "2", "3")
	table.Remove("2")
	match("a", "1", "3")
	match("ab", "3")
	table.Remove("none")
	if got := slices.Collect(table.All); !slices.Equal(got, []string{"1", "3"}) || table.Len() != 2 {
		t.Errorf("holds %v", got)
	}
}
