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
	configDepth = 32      // of lists and maps inside one another
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
	var d depth
	for _, tok := range lexer.Tokenize(string(text)) {
		refusal := ""
		switch tok.Type {
		case token.AnchorType, token.AliasType, token.MergeKeyType, token.TagType:
			refusal = fmt.Sprintf("%q: anchors, aliases and tags are not read: write the value itself", tok.Value)
		default:
			if d.add(tok); d.depth() > configDepth {
				refusal = fmt.Sprintf("lists and maps are nested deeper than %d", configDepth)
			}
		}
		if refusal != "" {
			return &ConfigError{File: file, Line: tok.Position.Line, Text: refusal}
		}
	}
	return nil
}

// A depth says how many lists and maps are open at a token.
type depth struct {
	blocks []int // the columns of those that are written by indentation, outermost first
	flow   int   // those in brackets
}

func (d *depth) depth() int { return len(d.blocks) + d.flow }

func (d *depth) add(tok *token.Token) {
	switch tok.Type {
	case token.SequenceStartType, token.MappingStartType:
		d.flow++
	case token.SequenceEndType, token.MappingEndType:
		d.flow--
	case token.SequenceEntryType, token.MappingKeyType:
		d.block(tok)
	case token.MappingValueType:
		if tok.Prev != nil {
			d.block(tok.Prev) // the key
		}
	}
}

// block notes an entry of a list or a map that is written by indentation.
func (d *depth) block(tok *token.Token) {
	if d.flow > 0 {
		return
	}
	column := tok.Position.Column
	for n := len(d.blocks); n > 0 && d.blocks[n-1] >= column; n-- {
		d.blocks = d.blocks[:n-1]
	}
	d.blocks = append(d.blocks, column)
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
