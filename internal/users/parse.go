package users

import (
	"cmp"
	"encoding/base64"
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"

	"github.com/holdfast-mq/holdfast/internal/scram"
	"github.com/holdfast-mq/holdfast/internal/size"
	"github.com/holdfast-mq/holdfast/internal/yamlbounds"
)

// The bounds of a file. The YAML package needs about 60 times the size of a file in memory, and a
// second for a megabyte.
const (
	maxFileBytes = 4 << 20
	maxUsers     = 20_000
	maxRegexes   = 50_000 // regular expressions of all users; each takes about 2 KiB of memory
	maxNameBytes = 256
	maxProblems  = 10 // reported of one file
	saltKeyBytes = 32
)

// A FileError is a problem of a users file: its location, and how to fix it. It quotes no secret.
type FileError struct {
	File  string
	Line  int    // 0: the problem has no line, such as a missing field
	Field string // path of the field, such as users[3].publish.allow[0]; empty: the whole file
	Text  string
}

func (e *FileError) Error() string {
	place := e.File
	if e.Line > 0 {
		place += ":" + strconv.Itoa(e.Line)
	}
	return place + ": " + strings.TrimLeft(e.Field+" "+e.Text, " ")
}

// A document is a file as it is written.
type document struct {
	Version scalar  `yaml:"version"`
	SaltKey scalar  `yaml:"salt_key"`
	Users   []entry `yaml:"users"`
}

// An entry is a user as the file has it.
type entry struct {
	Name        scalar       `yaml:"name"`
	Scram       scalar       `yaml:"scram"`
	Argon2id    scalar       `yaml:"argon2id"`
	Cert        scalar       `yaml:"cert"`
	ClientNames nameList     `yaml:"client_names"`
	Publish     ruleTexts    `yaml:"publish"`
	Subscribe   ruleTexts    `yaml:"subscribe"`
	Admin       scalar       `yaml:"admin"`
	Limits      limitScalars `yaml:"limits"`
}

// ruleTexts are rules as the file has them.
type ruleTexts struct {
	Allow []scalar `yaml:"allow"`
	Deny  []scalar `yaml:"deny"`
}

// limitScalars are limits as the file has them.
type limitScalars struct {
	Connections    scalar `yaml:"connections"`
	Publishers     scalar `yaml:"publishers"`
	Subscriptions  scalar `yaml:"subscriptions"`
	BytesPerSecond scalar `yaml:"bytes_per_second"`
	PublisherRate  scalar `yaml:"publisher_rate"`
}

// A scalar is one plain value and its line; the line is 0 if the file does not have the field.
type scalar struct {
	text string
	line int
}

// A nameList is a list that must not be empty if the file has it.
type nameList struct {
	names []scalar
	line  int
}

// UnmarshalYAML reads the list.
func (l *nameList) UnmarshalYAML(node ast.Node) error {
	l.line = node.GetToken().Position.Line
	return yaml.NodeToValue(node, &l.names, yaml.Strict())
}

// UnmarshalYAML takes the text of a value, whatever type YAML sees in it.
func (s *scalar) UnmarshalYAML(node ast.Node) error {
	value, is := node.(ast.ScalarNode)
	if !is {
		return &scalarError{node}
	}
	tok := value.GetToken()
	s.text, s.line = tok.Value, tok.Position.Line
	if block, is := node.(*ast.LiteralNode); is {
		s.text = strings.TrimSuffix(block.Value.Value, "\n") // its token is only the | or >
	}
	return nil
}

// A scalarError reports a list or a map where a value should be.
type scalarError struct{ node ast.Node }

func (e *scalarError) Error() string { return "must be one plain value" }

// readDocument parses the text of a file.
func readDocument(file string, text []byte) (*document, *ast.File, error) {
	tokens, refusal := yamlbounds.Tokenize(text, maxFileBytes)
	if refusal != nil {
		return nil, nil, &FileError{File: file, Line: refusal.Line, Text: refusal.Text}
	}
	tree, err := parser.Parse(tokens, 0)
	if err != nil {
		return nil, nil, locateError(file, err)
	}
	body, err := onlyBody(tree)
	if err != nil {
		return nil, nil, &FileError{File: file, Text: err.Error()}
	}
	var d document
	if err := yaml.NodeToValue(body, &d, yaml.Strict()); err != nil {
		return nil, nil, locateError(file, err)
	}
	for _, null := range ast.Filter(ast.NullType, body) {
		if field := strings.TrimPrefix(null.GetPath(), "$."); field != "users" {
			return nil, nil, &FileError{file, null.GetToken().Position.Line, field, "has no value: write one, or remove the field"}
		}
	}
	return &d, tree, nil
}

// onlyBody returns the body of a file, which must be one map.
func onlyBody(tree *ast.File) (body ast.Node, err error) {
	for _, doc := range tree.Docs {
		if doc.Body == nil || doc.Body.Type() == ast.CommentType {
			continue
		}
		if _, is := doc.Body.(ast.MapNode); !is || body != nil {
			return nil, errors.New("must contain one map with version, salt_key and users")
		}
		body = doc.Body
	}
	if body == nil {
		return nil, errors.New("is empty: holdfastd user add makes a file that does not exist yet")
	}
	return body, nil
}

// secretLike finds texts that are long enough to be a part of a secret.
var secretLike = regexp.MustCompile(`[A-Za-z0-9+/=$:-]{20,}`)

// locateError converts an error of the YAML package to one with file and line.
func locateError(file string, err error) error {
	var value *scalarError
	if errors.As(err, &value) {
		return &FileError{file, value.node.GetToken().Position.Line, strings.TrimPrefix(value.node.GetPath(), "$."), value.Error()}
	}
	e := &FileError{File: file, Text: err.Error()}
	var at yaml.Error
	if errors.As(err, &at) {
		e.Text = at.GetMessage()
		if token := at.GetToken(); token != nil && token.Position != nil {
			e.Line = token.Position.Line
		}
	}
	e.Text = secretLike.ReplaceAllString(e.Text, "…")
	return e
}

// parse parses and checks the text of a file. The error is a *FileError or several of them joined.
func parse(file string, text []byte) (*Set, error) {
	set, _, err := parseTree(file, text)
	return set, err
}

// parseTree is parse that also returns the syntax tree.
func parseTree(file string, text []byte) (*Set, *ast.File, error) {
	d, tree, err := readDocument(file, text)
	if err != nil {
		return nil, nil, err
	}
	b := builder{file: file, set: &Set{byName: make(map[string]*User), byCert: make(map[string]*User)}}
	b.build(d)
	if len(b.problems) > 0 {
		return nil, nil, errors.Join(b.problems...)
	}
	b.set.hashPermissions()
	b.set.decoys = newDecoys(b.set.users)
	return b.set, tree, nil
}

// A builder makes the set of a document and collects the problems.
type builder struct {
	file     string
	set      *Set
	regexes  int
	problems []error
}

// problem adds a problem, up to maxProblems.
func (b *builder) problem(field string, line int, format string, args ...any) {
	if len(b.problems) < maxProblems {
		b.problems = append(b.problems, &FileError{b.file, line, field, fmt.Sprintf(format, args...)})
	}
}

func (b *builder) build(d *document) {
	version, err := strconv.ParseUint(d.Version.text, 10, 63)
	switch {
	case d.Version.line == 0:
		b.problem("version", 0, "is missing: write version: 1, and raise it with each change")
	case err != nil || version == 0:
		b.problem("version", d.Version.line, "is not a number from 1 on")
	}
	b.set.version = version
	b.saltKey(d.SaltKey)
	if len(d.Users) > maxUsers {
		b.problem("users", 0, "has %d users, more than the maximum %d", len(d.Users), maxUsers)
		return
	}
	for i := range d.Users {
		if b.regexes > maxRegexes {
			b.problem("users", d.Users[i].Name.line, "have more than %d regular expressions: use fewer", maxRegexes)
			return
		}
		b.user(fmt.Sprintf("users[%d].", i), &d.Users[i])
	}
}

func (b *builder) saltKey(s scalar) {
	const remedy = "write the output of: head -c 32 /dev/urandom | base64"
	key, err := base64.StdEncoding.DecodeString(s.text)
	switch {
	case s.line == 0:
		b.problem("salt_key", 0, "is missing: %s", remedy)
	case err != nil || len(key) != saltKeyBytes:
		b.problem("salt_key", s.line, "is not the base64 of %d bytes: %s", saltKeyBytes, remedy)
	}
	b.set.saltKey = key
}

// user adds a user.
func (b *builder) user(path string, e *entry) {
	u := &User{Name: e.Name.text, cert: e.Cert.text}
	b.name(path+"name", e.Name)
	if other := b.set.byName[u.Name]; other != nil {
		b.problem(path+"name", e.Name.line, "%q is the name of an earlier user, too", u.Name)
	}
	if other := b.set.byCert[u.cert]; other != nil {
		b.problem(path+"cert", e.Cert.line, "%q is the certificate of user %q, too", u.cert, other.Name)
	}
	b.credentials(path, e, u)
	names := e.ClientNames.names
	if e.ClientNames.line == 0 {
		names = []scalar{{text: ".*"}}
	} else if len(names) == 0 {
		b.problem(path+"client_names", e.ClientNames.line, "is empty, so the user could not log on: leave it out to allow any name")
	}
	u.ClientNames = b.rules(path, ruleTexts{Allow: names}, "client_names", "")
	u.Publish = b.rules(path, e.Publish, "publish.allow", "publish.deny")
	u.Subscribe = b.rules(path, e.Subscribe, "subscribe.allow", "subscribe.deny")
	u.Admin = b.flag(path+"admin", e.Admin)
	u.Limits = b.limits(path+"limits.", &e.Limits)
	b.set.users = append(b.set.users, u)
	b.set.byName[u.Name] = u
	if u.cert != "" {
		b.set.byCert[u.cert] = u
	}
}

// name checks the name of a user.
func (b *builder) name(field string, s scalar) {
	if err := checkName("name", s.text); err != nil {
		b.problem(field, s.line, "%v", err)
	}
}

// checkName returns an error if a text cannot be a name.
func checkName(what, text string) error {
	if len(text) > maxNameBytes {
		return fmt.Errorf("the %s has %d bytes, more than the maximum %d", what, len(text), maxNameBytes)
	}
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.Is(unicode.Bidi_Control, r) }) {
		return fmt.Errorf("the %s has a character that changes the direction of text", what)
	}
	return scram.CheckText(what, text)
}

// credentials reads the credentials of a user.
func (b *builder) credentials(path string, e *entry, u *User) {
	var err error
	if e.Scram.line > 0 {
		if u.verifier, err = scram.ParseVerifier(e.Scram.text); err != nil {
			b.problem(path+"scram", e.Scram.line, "cannot be used: %v; holdfastd user password writes it", err)
		}
	}
	if e.Argon2id.line > 0 {
		if u.argon2id, err = parseArgon2id(e.Argon2id.text); err != nil {
			b.problem(path+"argon2id", e.Argon2id.line, "%v; holdfastd user password -argon2 writes it", err)
		}
	}
	if e.Cert.line > 0 {
		if err := checkName("name", e.Cert.text); err != nil {
			b.problem(path+"cert", e.Cert.line, "%v", err)
		}
	}
	if e.Scram.line+e.Argon2id.line+e.Cert.line == 0 {
		b.problem(strings.TrimSuffix(path, "."), e.Name.line, "(%q) has neither scram nor argon2id nor cert, so it could not log on", e.Name.text)
	}
}

// rules parses rules and bounds the cost of a decision.
func (b *builder) rules(path string, texts ruleTexts, allow, deny string) (r Rules) {
	r.allow = b.patterns(path+allow, texts.Allow)
	r.deny = b.patterns(path+deny, texts.Deny)
	if n := r.allow.steps() + r.deny.steps(); n > maxRuleSteps {
		all := append(texts.Allow, texts.Deny...)
		b.problem(path+allow, all[0].line, "and deny compile to %d steps, more than the maximum %d: use fewer or simpler patterns", n, maxRuleSteps)
	}
	return r
}

func (b *builder) patterns(field string, list []scalar) patternList {
	texts := make([]string, len(list))
	for i, s := range list {
		texts[i] = s.text
	}
	patterns, bad, err := newPatternList(texts)
	for _, p := range patterns.regexes {
		if p.Steps() > 0 { // .* has none, and shares its program
			b.regexes++
		}
	}
	if err != nil {
		b.problem(fmt.Sprintf("%s[%d]", field, bad), list[bad].line, "%q: %v", texts[bad], err)
	}
	return patterns
}

func (b *builder) flag(field string, s scalar) bool {
	if s.line > 0 && s.text != "true" && s.text != "false" {
		b.problem(field, s.line, "%.40q is neither true nor false", s.text)
	}
	return s.text == "true"
}

func (b *builder) limits(path string, l *limitScalars) Limits {
	return Limits{
		Connections:    b.count(path+"connections", l.Connections),
		Publishers:     b.count(path+"publishers", l.Publishers),
		Subscriptions:  b.count(path+"subscriptions", l.Subscriptions),
		BytesPerSecond: b.size(path+"bytes_per_second", l.BytesPerSecond),
		PublisherRate:  b.count(path+"publisher_rate", l.PublisherRate),
	}
}

// maxCount is the largest number that a limit may have.
const maxCount = 1 << 30

func (b *builder) count(field string, s scalar) int {
	n, err := strconv.Atoi(cmp.Or(s.text, "0"))
	if err != nil || n < 0 || n > maxCount {
		b.problem(field, s.line, "%.40q is not a number from 0 to %d", s.text, maxCount)
	}
	return n
}

func (b *builder) size(field string, s scalar) int64 {
	n, ok := size.Parse(cmp.Or(s.text, "0"))
	if !ok || n < 0 {
		b.problem(field, s.line, "%.40q is not a %s", s.text, size.Form)
	}
	return n
}
