package users

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/holdfast-mq/holdfast/internal/yamlbounds"
)

// An editor changes the text of a file in place, so that comments, order and form of the rest stay.
// Its caller parses the result again: a form of YAML that it does not understand makes a text that
// means something else. An editor makes one change of a user, and then one of the version.
type editor struct {
	file  string
	lines []string // each with its end, which is \n
	crlf  bool     // the file has \r\n instead
	root  map[string]ast.Node
	keys  []*token.Token    // of the root, in the order of the file
	users *ast.SequenceNode // nil: empty
}

// newEditor returns an editor for a text that parseTree has accepted. It fails if the positions in the
// tree are not those in the text.
func newEditor(file string, text []byte, tree *ast.File) (*editor, error) {
	e := &editor{file: file, root: make(map[string]ast.Node)}
	if n := bytes.Count(text, []byte("\r\n")); n > 0 && n == bytes.Count(text, []byte("\n")) {
		e.crlf, text = true, yamlbounds.UnixLines(text)
	}
	if bytes.ContainsRune(text, '\r') {
		return nil, formError(file)
	}
	e.lines = slices.Collect(strings.Lines(string(text)))
	body, err := onlyBody(tree)
	if err != nil {
		return nil, err
	}
	for it := body.(ast.MapNode).MapRange(); it.Next(); {
		key := it.Key().GetToken()
		e.root[key.Value] = it.Value()
		e.keys = append(e.keys, key)
	}
	if list, is := e.root["users"].(*ast.SequenceNode); is && len(list.Values) > 0 {
		e.users = list
	}
	if !e.understands() {
		return nil, formError(file)
	}
	return e, nil
}

// understands reports whether the fields and the users are where the tree says.
func (e *editor) understands() bool {
	at := func(tok *token.Token, text string) bool {
		if line := tok.Position.Line; line < 1 || line > len(e.lines) {
			return false
		}
		_, after := e.cut(tok.Position)
		return strings.HasPrefix(after, text)
	}
	if e.root["version"] == nil {
		return false
	}
	for _, key := range e.keys {
		if !at(key, key.Value) || key.Position.Column != 1 {
			return false
		}
	}
	if e.users == nil {
		return true
	}
	if e.users.IsFlowStyle || len(e.users.Entries) != len(e.users.Values) {
		return false
	}
	return !slices.ContainsFunc(e.users.Entries, func(entry *ast.SequenceEntryNode) bool { return !at(entry.Start, "-") })
}

// text returns the text as it is now.
func (e *editor) text() string {
	text := strings.Join(e.lines, "")
	if e.crlf {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	return text
}

// start returns the index of the line on which an entry of the list begins.
func (e *editor) start(i int) int { return e.users.Entries[i].Start.Position.Line - 1 }

// end returns the index of the line after an entry's content.
func (e *editor) end(i int) int {
	end := len(e.lines)
	if i+1 < len(e.users.Entries) {
		end = e.start(i + 1)
	} else {
		for _, key := range e.keys {
			if line := key.Position.Line - 1; line > e.start(i) {
				end = min(end, line)
			}
		}
	}
	for end > e.start(i)+1 && isComment(e.lines[end-1]) {
		end-- // it belongs to the next entry
	}
	return end
}

// isComment reports whether a line is empty or has only a comment.
func isComment(line string) bool {
	line = strings.TrimSpace(line)
	return line == "" || strings.HasPrefix(line, "#") || line == "---" || line == "..."
}

// remove removes an entry.
func (e *editor) remove(i int) {
	start, end := e.start(i), e.end(i)
	for start > 0 && strings.HasPrefix(strings.TrimSpace(e.lines[start-1]), "#") {
		start--
	}
	e.lines = slices.Delete(e.lines, start, end)
}

// add adds a user behind the last one, and returns the user.
func (e *editor) add(n NewUser) (*User, error) {
	u, err := n.user()
	if err != nil {
		return nil, err
	}
	at, indent := 0, "  "
	switch {
	case e.users != nil:
		last := len(e.users.Entries) - 1
		at, indent = e.end(last), strings.Repeat(" ", e.users.Entries[last].Start.Position.Column-1)
	default:
		if at, err = e.emptyList(); err != nil {
			return nil, err
		}
	}
	if last := at - 1; !strings.HasSuffix(e.lines[last], "\n") {
		e.lines[last] += "\n"
	}
	e.lines = slices.Insert(e.lines, at, e.entry(indent, n, u)...)
	return u, nil
}

// emptyList prepares an empty list of users for its first one, and returns the line for it.
func (e *editor) emptyList() (at int, err error) {
	for _, key := range e.keys {
		if key.Value != "users" {
			continue
		}
		line := key.Position.Line - 1
		e.lines[line] = strings.Replace(e.lines[line], "[]", "", 1)
		return line + 1, nil
	}
	last := len(e.lines) - 1
	if !strings.HasSuffix(e.lines[last], "\n") {
		e.lines[last] += "\n"
	}
	e.lines = append(e.lines, "users:"+"\n")
	return len(e.lines), nil
}

// entry returns the lines of a new user.
func (e *editor) entry(indent string, n NewUser, u *User) (lines []string) {
	add := func(format string, args ...any) {
		lines = append(lines, indent+fmt.Sprintf(format, args...)+"\n")
	}
	add("- name: %s", quote(n.Name))
	if hasScram, hasArgon2id := u.HasPassword(); hasScram {
		add("  scram: %s", quote(u.verifier.String()))
		if hasArgon2id {
			add("  argon2id: %s", quote(u.argon2id.String()))
		}
	}
	if n.Cert != "" {
		add("  cert: %s", quote(n.Cert))
	}
	if len(n.ClientNames) > 0 {
		add("  client_names: %s", quoteList(n.ClientNames))
	}
	if len(n.Publish) > 0 {
		add("  publish: {allow: %s}", quoteList(n.Publish))
	}
	if len(n.Subscribe) > 0 {
		add("  subscribe: {allow: %s}", quoteList(n.Subscribe))
	}
	return lines
}

// quote writes a text without control characters as YAML.
func quote(text string) string { return "'" + strings.ReplaceAll(text, "'", "''") + "'" }

func quoteList(texts []string) string {
	quoted := make([]string, len(texts))
	for i, text := range texts {
		quoted[i] = quote(text)
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// set sets a field of an entry to a text.
func (e *editor) set(i int, field, text string) error {
	entry, is := e.users.Values[i].(ast.MapNode)
	if !is {
		return nil // checkEdit refuses the text
	}
	var first, name *token.Token
	for it := entry.MapRange(); it.Next(); {
		key := it.Key().GetToken()
		first = cmp.Or(first, key)
		switch key.Value {
		case field:
			return e.setScalar(it.Value(), quote(text))
		case "name":
			name = key
		}
	}
	if e.isFlow(i) {
		before, after := e.cut(first.Position)
		e.lines[first.Position.Line-1] = before + field + ": " + quote(text) + ", " + after
		return nil
	}
	e.insertBelow(name, field+": "+quote(text))
	return nil
}

// insertBelow inserts a line below that of a key, with the same indentation. The other lines keep their
// indexes: later positions stay right.
func (e *editor) insertBelow(key *token.Token, text string) {
	line := &e.lines[key.Position.Line-1]
	*line = strings.TrimSuffix(*line, "\n") + "\n" + strings.Repeat(" ", key.Position.Column-1) + text + "\n"
}

// isFlow reports whether an entry is written with brackets.
func (e *editor) isFlow(i int) bool {
	m, is := e.users.Values[i].(*ast.MappingNode)
	return is && m.IsFlowStyle
}

// setScalar replaces a value that stands on one line.
func (e *editor) setScalar(node ast.Node, text string) error {
	tok := node.GetToken()
	before, after := e.cut(tok.Position)
	forms := []string{quote(tok.Value), `"` + tok.Value + `"`, tok.Value}
	if _, block := node.(*ast.LiteralNode); block {
		forms = nil // its token is only the | or >
	}
	for _, form := range forms {
		if rest, is := strings.CutPrefix(after, form); is {
			e.lines[tok.Position.Line-1] = before + text + rest
			return nil
		}
	}
	return fmt.Errorf("%s:%d: %s is not written as one value on one line: write it so, or change the file in an editor",
		e.file, tok.Position.Line, strings.TrimPrefix(node.GetPath(), "$."))
}

// cut cuts a line at a position.
func (e *editor) cut(at *token.Position) (before, after string) {
	runes := []rune(e.lines[at.Line-1])
	column := min(at.Column-1, len(runes))
	return string(runes[:column]), string(runes[column:])
}
