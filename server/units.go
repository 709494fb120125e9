package server

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/goccy/go-yaml/ast"

	"github.com/holdfast-mq/holdfast/internal/size"
)

// A Duration is a time.Duration. A config file writes it as 5s or 168h.
type Duration time.Duration

func (d Duration) String() string { return time.Duration(d).String() }

// UnmarshalYAML parses a duration.
func (d *Duration) UnmarshalYAML(node ast.Node) error {
	return parseValue(node, d, "duration: write a number with its unit, such as 500ms, 5s or 168h", func(text string) (Duration, bool) {
		parsed, err := time.ParseDuration(text)
		return Duration(parsed), err == nil
	})
}

// A Size is a number of bytes. A config file writes it as 1048576, 64MiB or 10GB.
type Size int64

func (s Size) String() string { return size.Format(int64(s)) }

// UnmarshalYAML parses a size.
func (s *Size) UnmarshalYAML(node ast.Node) error {
	return parseValue(node, s, size.Form, parseSize)
}

// A Share is a part of a whole, in percent or in bytes: 5% or 10GiB.
type Share struct {
	Percent int64
	Bytes   Size // used if Percent is 0
}

func (s Share) String() string {
	if s.Percent > 0 {
		return strconv.FormatInt(s.Percent, 10) + "%"
	}
	return s.Bytes.String()
}

// of returns the share of total, in bytes.
func (s Share) of(total int64) int64 {
	if s.Percent > 0 {
		return total / 100 * s.Percent
	}
	return int64(s.Bytes)
}

// UnmarshalYAML parses a share.
func (s *Share) UnmarshalYAML(node ast.Node) error {
	return parseValue(node, s, "share: write whole percent or a size, such as 5% or 10GiB", parseShare)
}

func parseShare(text string) (Share, bool) {
	if number, percent := strings.CutSuffix(text, "%"); percent {
		n, err := strconv.ParseInt(number, 10, 64)
		return Share{Percent: n}, err == nil
	}
	size, ok := parseSize(text)
	return Share{Bytes: size}, ok
}

func parseSize(text string) (Size, bool) {
	n, ok := size.Parse(text)
	return Size(n), ok
}

// A valueError reports a text that does not have the form of its type.
type valueError struct {
	node ast.Node
	text string
}

func (e *valueError) Error() string { return e.text }

// parseValue parses a scalar value. form names the expected kind and how to write it.
func parseValue[T any](node ast.Node, value *T, form string, parse func(text string) (T, bool)) error {
	s, is := node.(ast.ScalarNode)
	if !is || node.Type() == ast.NullType {
		return &valueError{node, "must be one plain value"}
	}
	text := strings.TrimSpace(s.GetToken().Value)
	parsed, ok := parse(text)
	if !ok {
		return &valueError{node, fmt.Sprintf("%q is not a %s", text, form)}
	}
	*value = parsed
	return nil
}

// A Count is a number without a unit, such as a number of connections.
type Count int

func (c Count) String() string { return strconv.Itoa(int(c)) }
