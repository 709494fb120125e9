// Package topic matches topics against patterns: a single pattern, a set of patterns, and a table
// of subscribers by pattern.
package topic

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// metacharacters are the characters that make a topic a pattern.
const metacharacters = `^$.*+?()[]{}|\`

// A pattern comes from a client, and a few bytes of it can compile to a program of a hundred
// megabytes: x{1000}x{1000}… These constants bound the cost of parsing and keeping a pattern.
const (
	maxPattern = 2048 // bytes
	maxFolding = 256  // bytes of a case-insensitive pattern: case folding walks each range rune by rune
	maxSteps   = 8192 // steps of the compiled program, roughly
)

var folds = regexp.MustCompile(`\(\?[a-zA-Z]*i`)

// ErrBadPattern reports a pattern that does not compile or is too large.
var ErrBadPattern = errors.New("bad regex topic")

// A Pattern is a single topic, or a regular expression that matches anywhere in a topic. Safe for
// concurrent use.
type Pattern struct {
	text    string
	program *program // nil: a single topic
	all     bool     // matches every topic
}

// Parse returns the pattern for text. A text without metacharacters is a single topic. The error
// wraps ErrBadPattern.
func Parse(text string) (Pattern, error) {
	if !strings.ContainsAny(text, metacharacters) {
		return Literal(text), nil
	}
	p, err := programs.get(text)
	if err != nil {
		return Pattern{}, fmt.Errorf("%w: %w", ErrBadPattern, err)
	}
	return Pattern{text: text, program: p, all: text == ".*" || text == "^.*$"}, nil
}

// compile compiles a pattern, unless it is too large.
func compile(text string) (*program, error) {
	limit := maxPattern
	if folds.MatchString(text) {
		limit = maxFolding
	}
	if len(text) > limit {
		return nil, fmt.Errorf("its %d bytes are more than the maximum %d", len(text), limit)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	n := countSteps(tree)
	if n > maxSteps {
		return nil, fmt.Errorf("it compiles to more than the maximum %d steps", maxSteps)
	}
	re, err := regexp.Compile(text)
	return &program{re, n}, err
}

// countSteps estimates the size of the program that a pattern compiles to. It stops counting at
// maxSteps+1.
func countSteps(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n = min(n+countSteps(sub), maxSteps+1)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min+1, re.Max)
	}
	return min(n, maxSteps+1)
}

// Literal returns the pattern that matches only text, even if text has metacharacters.
func Literal(text string) Pattern { return Pattern{text: text} }

// IsLiteral reports whether the pattern is a single topic.
func (p Pattern) IsLiteral() bool { return p.program == nil }

// Steps returns the approximate number of steps that match one byte of a topic. It is 0 for a
// pattern whose cost is negligible.
func (p Pattern) Steps() int {
	if p.all || p.program == nil {
		return 0
	}
	return p.program.steps
}

// String returns the text of the pattern.
func (p Pattern) String() string { return p.text }

// Match reports whether the pattern matches topic.
func (p Pattern) Match(topic []byte) bool {
	switch {
	case p.all:
		return true
	case p.program == nil:
		return string(topic) == p.text
	}
	return p.program.re.Match(topic)
}
