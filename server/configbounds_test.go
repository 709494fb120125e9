package server

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/heap"
)

// A configuration must be small, flat, and without aliases. Any other is refused before it is
// expensive.
func TestConfigBounds(t *testing.T) {
	bomb := "a: &a [x,x,x,x,x,x,x,x]\n"
	for c := 'b'; c < 'g'; c++ {
		prev := string(c - 1)
		bomb += string(c) + ": &" + string(c) + " [" + strings.TrimSuffix(strings.Repeat("*"+prev+",", 8), ",") + "]\n"
	}
	blocks := ""
	for i := range 200 {
		blocks += strings.Repeat(" ", i) + "a:\n"
	}
	for _, tt := range []struct{ name, text, want string }{
		{"aliases", bomb + goodConfig, "a.yaml:1: \"&\": anchors, aliases and tags are not supported"},
		{"merge key", goodConfig + "<<: {a: b}\n", "anchors, aliases and tags are not supported"},
		{"tag", strings.Replace(goodConfig, "hold: 0", "hold: !!str 0", 1), "a.yaml:16: "},
		{"brackets", "name: " + strings.Repeat("[", 3000), "a.yaml:1: lists and maps are nested deeper than 64"},
		{"closed brackets", "name: " + strings.Repeat("[", 65) + strings.Repeat("]", 65), "nested deeper than 64"},
		{"braces", "name: " + strings.Repeat("{a: ", 3000), "nested deeper than 64"},
		{"dashes", strings.Repeat("- ", 3000) + "a", "nested deeper than 64"},
		{"question marks", strings.Repeat("? ", 3000) + "a", "nested deeper than 64"},
		{"colons", strings.Repeat("a: ", 3000) + "a", "nested deeper than 64"},
		{"indentation", blocks, "a.yaml:64: lists and maps are nested deeper than 64"},
		{"too long", goodConfig + strings.Repeat("# a comment\n", 100_000), "a.yaml: has more than 1048576 bytes"},
	} {
		heap.Bounded(t, len(tt.text), 500, 4<<20, func() {
			_, err := parseConfig("a.yaml", []byte(tt.text))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%s: says %.100v, want %q", tt.name, err, tt.want)
			}
		})
	}
	deep := "log: {topics: [\"a[b[c{1}]]\", " + strings.Repeat("{b: c},", 100) + "]}\n"
	if err := checkBounds("a.yaml", []byte(goodConfig+deep)); err != nil {
		t.Errorf("brackets in a topic, and a long list: %v", err)
	}
}

// A file is not read beyond the longest allowed configuration.
func TestConfigFileTooLong(t *testing.T) {
	file := filepath.Join(t.TempDir(), "a.yaml")
	if err := os.WriteFile(file, []byte("#"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(file, 1<<30); err != nil {
		t.Fatal(err)
	}
	heap.Bounded(t, 0, 1, 8<<20, func() {
		if _, err := LoadConfig(file); err == nil || !strings.Contains(err.Error(), "has more than 1048576 bytes") {
			t.Errorf("says %.100v", err)
		}
	})
}

// The error for a misplaced or misspelt field names its right place or spelling.
func TestConfigHints(t *testing.T) {
	for field, want := range map[string]string{
		"min_sync: 0\n  rejoin_timeout": `unknown field "rejoin_timeout": it belongs to the top level, without indentation`,
		"retain":                        `unknown field "retain": it belongs to log`,
		"downgrade_after":               `it belongs to replication.destinations`,
		"rejoinTimeout":                 `unknown field "rejoinTimeout": "rejoin_timeout" belongs to the top level`,
		"address":                       `it belongs to replication.destinations`,
	} {
		text := goodConfig + field + ": 1s\n"
		if inner, ok := strings.CutPrefix(field, "min_sync: 0\n"); ok {
			text = strings.Replace(goodConfig, "min_sync: 0\n", inner+": 1s\nmin_sync: 0\n", 1)
		}
		if _, err := parseConfig("a.yaml", []byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: says %.200v, want %q", field, err, want)
		}
	}
}

// Topics that look like wildcards of other systems are logged as warnings, and no others are.
func TestConfigForeignWildcards(t *testing.T) {
	var log bytes.Buffer
	s := &Server{log: slog.New(slog.NewTextHandler(&log, nil)), cfg: Config{
		Log:         LogConfig{Topics: []string{".*", "orders.>", `^orders\.eu$`}},
		Replication: &Replication{Destinations: []Destination{{Topics: []string{"orders.*"}}}},
	}}
	s.warnForeignWildcards()
	for _, want := range []string{"field=log.topics topic=orders.>", "field=replication.destinations[0].topics topic=orders.*"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q: %s", want, &log)
		}
	}
	if n := strings.Count(log.String(), "\n"); n != 2 {
		t.Errorf("%d warnings: %s", n, &log)
	}
}
