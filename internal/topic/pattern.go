// Package topic matches topics with patterns: one pattern, a set of patterns, a
// table of subscribers by pattern.
package topic

import (
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strings"
)

// metacharacters switch a topic to pattern mode.
const metacharacters = `^$.*+?()[]{}|\`

// A pattern comes from a client, and a few bytes of it can ask for a program
// of a hundred megabytes: x{1000}x{1000}… These bound what it takes to parse
// and to keep.
const (
	maxPattern = 2048 // bytes
	maxFolding = 256  // bytes where case is folded, which walks each range rune by rune
	maxSteps   = 8192 // of the program, roughly
)

var folds = regexp.MustCompile(`\(\?[a-zA-Z]*i`)

// ErrBadPattern reports a pattern that does not compile or is too large.
var ErrBadPattern = errors.New("bad regex topic")

// A Pattern is one topic, or a regular expression that is searched anywhere in
// the topic. Safe for concurrent use.
type Pattern struct {
	text    string
	program *program // nil: literal
	all     bool     // matches every topic
}

// Parse returns the pattern that text stands for: literal unless it holds a
// metacharacter. The error is ErrBadPattern.
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

// compile compiles a pattern that is not too large.
func compile(text string) (*program, error) {
	most := maxPattern
	if folds.MatchString(text) {
		most = maxFolding
	}
	if len(text) > most {
		return nil, fmt.Errorf("%d bytes long, at most %d are taken", len(text), most)
	}
	tree, err := syntax.Parse(text, syntax.Perl)
	if err != nil {
		return nil, err
	}
	n := steps(tree)
	if n > maxSteps {
		return nil, fmt.Errorf("takes more than %d steps", maxSteps)
	}
	re, err := regexp.Compile(text)
	return &program{re, n}, err
}

// steps estimates how large the program is that a pattern compiles to; no
// more than a little above maxSteps.
func steps(re *syntax.Regexp) int {
	n := 1 + len(re.Rune)
	for _, sub := range re.Sub {
		n = min(n+steps(sub), maxSteps+1)
	}
	if re.Op == syntax.OpRepeat {
		n *= max(re.Min+1, re.Max)
	}
	return min(n, maxSteps+1)
}

// Literal returns the pattern that matches text alone, whatever it holds.
func Literal(text string) Pattern { return Pattern{text: text} }

// IsLiteral reports whether the pattern names one topic.
func (p Pattern) IsLiteral() bool { return p.program == nil }

// Steps returns about how many steps a byte of a topic costs, 0 if that does not matter.
func (p Pattern) Steps() int {
	if p.all || p.program == nil {
		return 0
	}
	return p.program.steps
}

// String returns the pattern as it was written.
func (p Pattern) String() string { return p.text }

// Match reports whether the pattern matches a topic.
func (p Pattern) Match(topic []byte) bool {
	switch {
	case p.all:
		return true
	case p.program == nil:
		return string(topic) == p.text
	}
	return p.program.re.Match(topic)
}
