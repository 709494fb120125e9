package users

import (
	"fmt"
	"slices"

	"github.com/holdfast-mq/holdfast/internal/failpoint"
	"github.com/holdfast-mq/holdfast/internal/topic"
)

// maxRuleSteps limits the cost of one decision: the steps of all patterns of Rules, per byte of a
// topic.
const maxRuleSteps = 32 << 10

// Rules decide which topics, or which client names, are allowed. The zero Rules allow nothing.
// Topics and names have no control characters, so that a . of a pattern matches each character.
// Safe for concurrent use.
type Rules struct {
	allow, deny patternList
}

// A patternList is a list of patterns.
type patternList struct {
	texts    []string
	literals map[string]int // index of each single topic in texts
	regexes  []indexedPattern
}

// An indexedPattern is a regular expression and its index in the texts.
type indexedPattern struct {
	topic.Pattern
	index int
}

// newPatternList parses patterns. With an error it returns the index of the bad one.
func newPatternList(texts []string) (list patternList, bad int, err error) {
	list = patternList{texts: texts, literals: make(map[string]int)}
	for i, text := range texts {
		if text == "" {
			return list, i, fmt.Errorf("is empty: write a topic or a regular expression, .* for all")
		}
		p, err := topic.Parse(text)
		switch {
		case err != nil:
			return list, i, err
		case p.IsLiteral():
			list.literals[text] = i
		default:
			list.regexes = append(list.regexes, indexedPattern{p, i})
		}
	}
	return list, 0, nil
}

// find returns the index of a pattern that matches.
func (l *patternList) find(topic []byte) (index int, found bool) {
	if i, found := l.literals[string(topic)]; found {
		return i, true
	}
	for i := range l.regexes {
		if l.regexes[i].Match(topic) {
			return l.regexes[i].index, true
		}
	}
	return 0, false
}

// steps returns the approximate cost of find per byte of a topic.
func (l *patternList) steps() int {
	n := 0
	for _, p := range l.regexes {
		n += p.Steps()
	}
	return n
}

// sorted returns the patterns in an order that does not depend on that of the file.
func (l *patternList) sorted() []string { return slices.Compact(slices.Sorted(slices.Values(l.texts))) }

// Allows reports whether a pattern of allow matches and none of deny does. It allocates nothing.
func (r Rules) Allows(topic []byte) bool {
	if _, denied := r.deny.find(topic); denied && !failpoint.On(failpoint.UsersAllowWins) {
		return false
	}
	_, allowed := r.allow.find(topic)
	return allowed
}

// Explain is like Allows and also names the rule that has decided, such as deny[0] "^orders/admin".
func (r Rules) Explain(topic []byte) (allowed bool, rule string) {
	if i, denied := r.deny.find(topic); denied {
		return false, fmt.Sprintf("deny[%d] %q", i, r.deny.texts[i])
	}
	if i, allowed := r.allow.find(topic); allowed {
		return true, fmt.Sprintf("allow[%d] %q", i, r.allow.texts[i])
	}
	return false, "no pattern of allow matches"
}

// AllowList returns the patterns of allow. The slice belongs to the rules and must not be changed.
func (r Rules) AllowList() []string { return r.allow.texts }

// DenyList returns the patterns of deny. The slice belongs to the rules and must not be changed.
func (r Rules) DenyList() []string { return r.deny.texts }
