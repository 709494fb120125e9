package users

import (
	"cmp"
	"errors"
	"fmt"
	"slices"

	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"

	"github.com/holdfast-mq/holdfast/internal/scram"
)

// NewRules are patterns that replace those of a user. Nil keeps the patterns of the user; a single
// empty text stands for no pattern, and for any name in ClientNames.
type NewRules struct {
	ClientNames              []string
	Publish, DenyPublish     []string
	Subscribe, DenySubscribe []string
}

// IsZero reports whether the rules change nothing.
func (n NewRules) IsZero() bool {
	return len(n.ClientNames)+len(n.Publish)+len(n.DenyPublish)+len(n.Subscribe)+len(n.DenySubscribe) == 0
}

// SetRules replaces patterns of a user, and raises the version. Each changed field is written anew on
// one line, without the comments inside the old one.
func SetRules(file, name string, n NewRules) error {
	return change(file, func(s *Set, e *editor) ([]*User, error) {
		i, err := s.index(file, name)
		if err != nil {
			return nil, err
		}
		u := *s.users[i]
		names := n.ClientNames
		if isNone(names) {
			names = []string{".*"}
		}
		err = cmp.Or(
			replacePatterns(&u.ClientNames.allow, names),
			replacePatterns(&u.Publish.allow, n.Publish), replacePatterns(&u.Publish.deny, n.DenyPublish),
			replacePatterns(&u.Subscribe.allow, n.Subscribe), replacePatterns(&u.Subscribe.deny, n.DenySubscribe))
		if err == nil && len(names) > 0 {
			err = e.setLine(i, "client_names", quoteList(names))
		}
		if err == nil && len(n.Publish)+len(n.DenyPublish) > 0 {
			err = e.setLine(i, "publish", u.Publish.yaml())
		}
		if err == nil && len(n.Subscribe)+len(n.DenySubscribe) > 0 {
			err = e.setLine(i, "subscribe", u.Subscribe.yaml())
		}
		all := slices.Clone(s.users)
		all[i] = &u
		return all, err
	})
}

// isNone reports whether texts stand for no pattern.
func isNone(texts []string) bool { return len(texts) == 1 && texts[0] == "" }

// replacePatterns replaces a list by texts, unless there are none.
func replacePatterns(list *patternList, texts []string) error {
	switch {
	case len(texts) == 0:
		return nil
	case isNone(texts):
		texts = nil
	}
	bad, err := 0, error(nil)
	if *list, bad, err = newPatternList(append([]string{}, texts...)); err != nil {
		return fmt.Errorf("pattern %q: %w", texts[bad], err)
	}
	for _, text := range texts {
		err = errors.Join(err, scram.CheckText("pattern", text))
	}
	return err
}

// yaml writes the rules of topics on one line.
func (r Rules) yaml() string {
	text := "{allow: " + quoteList(r.AllowList())
	if deny := r.DenyList(); len(deny) > 0 {
		text += ", deny: " + quoteList(deny)
	}
	return text + "}"
}

// setLine sets a field of an entry to a value on one line, in place of all lines of the old value. The
// other lines keep their indexes: later positions stay right.
func (e *editor) setLine(i int, field, value string) error {
	entry, is := e.users.Values[i].(ast.MapNode)
	if !is || e.isFlow(i) {
		return formError(e.file)
	}
	end := e.end(i)
	var at, name, next *token.Token
	for it := entry.MapRange(); it.Next(); {
		key := it.Key().GetToken()
		if at != nil && next == nil {
			next = key
		}
		switch key.Value {
		case field:
			at = key
		case "name":
			name = key
		}
	}
	if at == nil {
		e.insertBelow(name, field+": "+value)
		return nil
	}
	before, _ := e.cut(at.Position)
	line := at.Position.Line - 1
	if next != nil {
		end = next.Position.Line - 1
	}
	for end > line+1 && isComment(e.lines[end-1]) {
		end-- // it belongs to the next field
	}
	e.lines[line] = before + field + ": " + value + "\n"
	for j := line + 1; j < end; j++ {
		e.lines[j] = ""
	}
	return nil
}
