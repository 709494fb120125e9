package server

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/holdfast-mq/holdfast/internal/yamlbounds"
)

// A ConfigError is a problem of a config: its location, and how to fix it.
type ConfigError struct {
	File  string // empty: not from a file
	Line  int    // 0: the problem has no line, such as a missing key
	Field string // path of the field, such as log.retain; empty: the whole file
	Text  string
}

func (e *ConfigError) Error() string {
	var b strings.Builder
	switch {
	case e.File != "" && e.Line > 0:
		fmt.Fprintf(&b, "%s:%d: ", e.File, e.Line)
	case e.File != "":
		fmt.Fprintf(&b, "%s: ", e.File)
	}
	if e.Field != "" {
		b.WriteString(e.Field + " ")
	}
	b.WriteString(e.Text)
	return b.String()
}

// LoadConfig reads and checks a config file. Paths in it are relative to its directory. If the file
// cannot be used, the error is a *ConfigError or several of them joined.
func LoadConfig(file string) (Config, error) {
	text, err := readConfig(file)
	if err != nil {
		return Config{}, &ConfigError{File: file, Text: err.Error()}
	}
	cfg, err := parseConfig(file, text)
	if err != nil {
		return Config{}, err
	}
	cfg.file = file
	for _, path := range cfg.paths() {
		if *path != "" && !filepath.IsAbs(*path) {
			*path = filepath.Join(filepath.Dir(file), *path)
		}
	}
	return cfg, nil
}

// paths returns the fields that are paths.
func (c *Config) paths() []*string {
	list := []*string{&c.Data, &c.Admin.Token, &c.Clients.Users, &c.Audit.File}
	for _, t := range []*PortTLS{c.Clients.TLS, c.Admin.TLS} {
		if t != nil {
			list = append(list, &t.Cert, &t.Key, &t.ClientCA)
		}
	}
	if r := c.Replication; r != nil {
		if list = append(list, &r.Secret); r.TLS != nil {
			list = append(list, &r.TLS.Cert, &r.TLS.Key, &r.TLS.CA)
		}
	}
	return list
}

// parseConfig parses and checks the text of a file.
func parseConfig(file string, text []byte) (Config, error) {
	if err := checkBounds(file, text); err != nil {
		return Config{}, err
	}
	cfg, text := defaults(), yamlbounds.UnixLines(text)
	tree, err := parser.ParseBytes(text, 0)
	if err != nil {
		return Config{}, locateError(file, err)
	}
	documents := 0
	for _, doc := range tree.Docs {
		if doc.Body != nil && doc.Body.Type() != ast.DirectiveType {
			documents++
		}
	}
	if documents > 1 {
		return Config{}, &ConfigError{File: file, Text: fmt.Sprintf("contains %d YAML documents: it must contain exactly one", documents)}
	}
	if documents == 1 {
		if err := yaml.UnmarshalWithOptions(text, &cfg, yaml.Strict()); err != nil {
			return Config{}, locateError(file, err)
		}
	}
	return cfg, cfg.validate(file, tree)
}

// locateError converts an error of the YAML package to one with file and line.
func locateError(file string, err error) error {
	var unit *valueError
	if errors.As(err, &unit) {
		return &ConfigError{File: file, Line: unit.node.GetToken().Position.Line, Field: strings.TrimPrefix(unit.node.GetPath(), "$."), Text: unit.text}
	}
	var at yaml.Error
	if errors.As(err, &at) {
		e := &ConfigError{File: file, Text: at.GetMessage()}
		if unknown, is := errors.AsType[*yaml.UnknownFieldError](err); is {
			if hint := fieldHint(unknown.Token.Value); hint != "" {
				e.Text += ": " + hint
			}
		}
		if token := at.GetToken(); token != nil && token.Position != nil {
			e.Line = token.Position.Line
		}
		return e
	}
	return &ConfigError{File: file, Text: err.Error()}
}

// lineOf returns the line of a field, or 0 if the file does not have it.
func lineOf(tree *ast.File, field string) int {
	path, err := yaml.PathString("$." + field)
	if err != nil {
		return 0
	}
	node, err := path.FilterFile(tree)
	if err != nil || node == nil || node.GetToken() == nil {
		return 0
	}
	return node.GetToken().Position.Line
}
