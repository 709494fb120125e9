package main

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/golang-jwt/jwt/v5"

	"github.com/holdfast-mq/holdfast/server"
)

// maxTable is the size of the longest file with permissions, in bytes.
const maxTable = 64 << 10

// A table has the permissions of each group, as the file has them. It is not changed once it is
// loaded.
type table struct {
	Number      uint64           `yaml:"version" json:"-"`
	UserClaim   string           `yaml:"user_claim"`   // default sub
	GroupsClaim string           `yaml:"groups_claim"` // default groups
	Groups      map[string]group `yaml:"groups"`

	// version has the number, and a hash of all that decides: neither comments nor the number.
	version server.PermissionsVersion
}

// A group is what its users may do. No patterns: nothing.
type group struct {
	Publish   patterns `yaml:"publish"`
	Subscribe patterns `yaml:"subscribe"`
}

// loadTable reads and checks a file with permissions.
func loadTable(file string) (*table, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxTable+1))
	if err != nil {
		return nil, err
	}
	if len(text) > maxTable {
		return nil, fmt.Errorf("%s has more than %d bytes", file, maxTable)
	}
	t := &table{UserClaim: "sub", GroupsClaim: "groups"}
	if err := yaml.UnmarshalWithOptions(text, t, yaml.Strict()); err != nil {
		return nil, locate(file, err)
	}
	switch {
	case len(t.Groups) == 0:
		return nil, fmt.Errorf("%s: groups is missing: nobody could log on", file)
	case t.UserClaim == "" || t.GroupsClaim == "":
		return nil, fmt.Errorf("%s: user_claim or groups_claim is empty: name a claim, or remove the line", file)
	}
	decides, err := json.Marshal(t)
	if err != nil {
		return nil, err
	}
	t.version = server.PermissionsVersion{Number: t.Number, Hash: sha256.Sum256(decides)}
	return t, nil
}

// locate adds the file and the line to an error of the YAML package.
func locate(file string, err error) error {
	if at, is := errors.AsType[yaml.Error](err); is && at.GetToken() != nil {
		return fmt.Errorf("%s:%d: %s", file, at.GetToken().Position.Line, at.GetMessage())
	}
	return fmt.Errorf("%s: %w", file, err)
}

// user returns the name of the user that claims are of.
func (t *table) user(claims jwt.MapClaims) (string, error) {
	user, _ := claims[t.UserClaim].(string)
	if user == "" || len(user) > maxUser {
		return "", fmt.Errorf("the claim %s of the token is not a text of 1 to %d bytes", t.UserClaim, maxUser)
	}
	return user, nil
}

// groups returns the groups of claims, without those that the table does not have.
func (t *table) groups(claims jwt.MapClaims) []string {
	var names []string
	switch claim := claims[t.GroupsClaim].(type) {
	case string: // as the claim scope of RFC 9068
		names = strings.Fields(claim)
	case []any:
		for _, v := range claim {
			name, _ := v.(string)
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.DeleteFunc(slices.Compact(names), func(name string) bool {
		_, known := t.Groups[name]
		return !known
	})
}

// permissions returns what a user of some groups may do.
func (t *table) permissions(groups []string) server.Permissions {
	var publish, subscribe patterns
	for _, name := range groups {
		publish = append(publish, t.Groups[name].Publish...)
		subscribe = append(subscribe, t.Groups[name].Subscribe...)
	}
	// A nil function would allow everything. These are not nil, and without patterns allow nothing.
	return server.Permissions{Publish: publish.match, Subscribe: subscribe.match}
}

// patterns are regular expressions, each for whole topics.
type patterns []pattern

func (p patterns) match(topic []byte) bool {
	return slices.ContainsFunc(p, func(p pattern) bool { return p.whole.Match(topic) })
}

// A pattern is a regular expression with its text in the file.
type pattern struct {
	text  string
	whole *regexp.Regexp
}

// UnmarshalYAML implements yaml.NodeUnmarshaler.
func (p *pattern) UnmarshalYAML(node ast.Node) error {
	refuse := func(why string) error {
		return &yaml.SyntaxError{Message: strings.TrimPrefix(node.GetPath(), "$.") + " " + why, Token: node.GetToken()}
	}
	text, is := node.(*ast.StringNode)
	if !is {
		return refuse("is not a text: put the pattern in quotes")
	}
	_, err := regexp.Compile(text.Value) // alone, because a)(b becomes an expression in brackets
	if err == nil {
		p.whole, err = regexp.Compile(`^(?:` + text.Value + `)$`)
	}
	if err != nil {
		return refuse(fmt.Sprintf("is not a pattern: %v", err))
	}
	p.text = text.Value
	return nil
}

// MarshalText implements encoding.TextMarshaler, for the hash.
func (p pattern) MarshalText() ([]byte, error) { return []byte(p.text), nil }
