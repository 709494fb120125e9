package server

import (
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"

	"github.com/holdfast-mq/holdfast/internal/mut"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

const (
	configMost  = 1 << 20 // bytes
	configDepth = 64      // of lists and maps inside one another: brackets, or columns
)

// readConfig returns the text of a file.
func readConfig(file string) ([]byte, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("can't be read: %w", err)
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, configMost+1))
	if err != nil {
		return nil, fmt.Errorf("can't be read: %w", err)
	}
	return text, nil
}

// checkBounds refuses what costs the YAML package more than a configuration
// may: its parser takes time with the square of the depth, and each alias
// multiplies what it stands for. The lexer, which is asked first, does neither.
func checkBounds(file string, text []byte) error {
	if mut.On(mut.ConfigUnbounded) {
		return nil
	}
	if len(text) > configMost {
		return &ConfigError{File: file, Text: fmt.Sprintf("has more than %d bytes", configMost)}
	}
	brackets := 0
	for _, tok := range lexer.Tokenize(string(text)) {
		refusal, column := "", 0
		switch tok.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			column = tok.Position.Column // each list or map that is not in brackets takes one
		case token.AnchorType, token.AliasType, token.MergeKeyType, token.TagType:
			refusal = fmt.Sprintf("%q: anchors, aliases and tags are not read: write the value itself", tok.Value)
		}
		if brackets > configDepth || brackets == 0 && column > configDepth {
			refusal = fmt.Sprintf("lists and maps are nested deeper than %d", configDepth)
		}
		if refusal != "" {
			return &ConfigError{File: file, Line: tok.Position.Line, Text: refusal}
		}
	}
	return nil
}

// placeOf says where a field belongs that stands where there is none of this name, or
// how it is spelt; nothing if no field is like it.
func placeOf(name string) string {
	plain := func(s string) string { return strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)) }
	var places []string
	eachField(reflect.TypeFor[Config](), "", func(parent, field string) {
		if plain(field) != plain(name) {
			return
		}
		which, where := fmt.Sprintf("%q", field), parent
		if field == name {
			which = "it"
		}
		if parent == "" {
			where = "the top level, without indentation"
		}
		places = append(places, which+" belongs to "+where)
	})
	return strings.Join(places, ", or ")
}

// eachField calls do with every field of a file, and with what it stands under.
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

// warnForeign logs topics that look like another system's wildcards: what they
// mean here is not what was meant, probably.
func (s *Server) warnForeign() {
	warn := func(field string, topics []string) {
		for _, text := range topics {
			if meant, foreign := topic.Foreign(text); foreign {
				s.log.Warn("a topic of the configuration is a regular expression here, and looks like another system's wildcard",
					"field", field, "topic", text, "meant", meant)
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
