// Package yamlbounds refuses YAML texts that would be too expensive for the YAML package: its parser
// takes time quadratic in the depth, and each alias copies its anchor. The lexer has neither
// problem.
package yamlbounds

import (
	"bytes"
	"fmt"

	"github.com/goccy/go-yaml/lexer"
	"github.com/goccy/go-yaml/token"
)

// maxDepth limits the nesting of lists and maps: the number of brackets, or columns.
const maxDepth = 64

// A Refusal is a text that is out of bounds.
type Refusal struct {
	Line int // 0: the whole text
	Text string
}

// UnixLines returns a text with line feeds in place of the line ends of Windows, which the lexer
// counts twice in comments and quotes.
func UnixLines(text []byte) []byte { return bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n")) }

// Tokenize returns the tokens of a text, or the reason why it must not be parsed.
func Tokenize(text []byte, maxBytes int) (token.Tokens, *Refusal) {
	if len(text) > maxBytes {
		return nil, &Refusal{Text: fmt.Sprintf("has more than %d bytes", maxBytes)}
	}
	tokens, brackets := lexer.Tokenize(string(UnixLines(text))), 0
	for _, tok := range tokens {
		refusal, column := "", 0
		switch tok.Type {
		case token.SequenceStartType, token.MappingStartType:
			brackets++
		case token.SequenceEndType, token.MappingEndType:
			brackets--
		case token.SequenceEntryType, token.MappingKeyType, token.MappingValueType:
			column = tok.Position.Column // each list or map without brackets takes at least one column
		case token.AnchorType, token.AliasType, token.MergeKeyType, token.TagType:
			refusal = fmt.Sprintf("%q: anchors, aliases and tags are not supported: write the value itself", tok.Value)
		}
		if brackets > maxDepth || brackets == 0 && column > maxDepth {
			refusal = fmt.Sprintf("lists and maps are nested deeper than %d", maxDepth)
		}
		if refusal != "" {
			return nil, &Refusal{Line: tok.Position.Line, Text: refusal}
		}
	}
	return tokens, nil
}
