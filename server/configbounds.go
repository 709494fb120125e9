package server

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/topic"
	"github.com/holdfast-mq/holdfast/internal/yamlbounds"
)

// maxConfigBytes is the largest size of a file in bytes.
const maxConfigBytes = 1 << 20

// readConfig returns the text of a file, cut off after maxConfigBytes+1 bytes.
func readConfig(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxConfigBytes+1))
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	return text, nil
}

// checkBounds refuses texts that would be too expensive for the YAML package.
func checkBounds(file string, text []byte) error {
	if failpoint.On(failpoint.ConfigUnbounded) {
		return nil
	}
	if _, refusal := yamlbounds.Tokenize(text, maxConfigBytes); refusal != nil {
		return &ConfigError{File: file, Line: refusal.Line, Text: refusal.Text}
	}
	return nil
}

// fieldHint returns a hint about an unknown field: the parent to which a field of this name
// belongs, or the right spelling. It returns an empty string if no field has a similar name.
func fieldHint(name string) string {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)) }
	var hints []string
	eachField(reflect.TypeFor[Config](), "", func(parent, field string) {
		if plain(field) != plain(name) {
			return
		}
		spelling, location := fmt.Sprintf("%q", field), parent
		if field == name {
			spelling = "it"
		}
		if parent == "" {
			location = "the top level, without indentation"
		}
		hints = append(hints, spelling+" belongs to "+location)
	})
	return strings.Join(hints, ", or ")
}

// eachField calls do with the name of every field of a config file and the path of its parent.
func eachField(t reflect.Type, parent string, do func(parent, field string)) {
	for i := range t.NumField() {
		f := t.Field(i)
		name := f.Tag.Get("yaml")
		if name == "" || name == "-" {
			continue
		}
		do(parent, name)
		inner := f.Type
		for slices.Contains([]reflect.Kind{reflect.Pointer, reflect.Slice}, inner.Kind()) {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Struct {
			eachField(inner, strings.TrimPrefix(parent+"."+name, "."), do)
		}
	}
}

// warnForeignWildcards logs topics that look like wildcards of another system. Here they are
// regular expressions and mean something else.
func (s *Server) warnForeignWildcards() {
	warn := func(field string, topics []string) {
		for _, text := range topics {
			if instead, found := topic.Wildcard(text); found {
				s.log.Warn("a configured topic looks like another system's wildcard: here it is a regular expression",
					"field", field, "topic", text, "use_instead", instead)
			}
		}
	}
	warn("log.topics", s.cfg.Log.Topics)
	if s.cfg.Replication != nil {
		for i, d := range s.cfg.Replication.Destinations {
			warn(fmt.Sprintf("replication.destinations[%d].topics", i), d.Topics)
		}
	}
}
