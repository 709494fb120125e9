package topic

import (
	"regexp"
	"strings"
)

// Wildcard reports whether a topic looks like a wildcard pattern of another system: with a * or a
// final > between dots, or a + or a final # between slashes. Here such a text is a regular
// expression with another meaning. meant is the regular expression that was probably intended.
func Wildcard(text string) (meant string, ok bool) {
	if meant, ok = wildcardBy(text, ".", "*", ">"); ok {
		return meant, true
	}
	return wildcardBy(text, "/", "+", "#")
}

// literalLevel matches a level of a topic without wildcards.
var literalLevel = regexp.MustCompile(`^[\w-]+$`)

// wildcardBy is Wildcard for one system: its separator of levels, its wildcard for one level, and
// its wildcard for all remaining levels.
func wildcardBy(text, separator, one, rest string) (meant string, ok bool) {
	levels, end := strings.Split(text, separator), "$"
	last := len(levels) - 1
	for i, level := range levels {
		switch {
		case level == one && last > 0:
			levels[i], ok = "[^"+separator+"]+", true
		case level == rest && i == last && last > 0:
			levels[i], ok, end = "", true, ""
		case !literalLevel.MatchString(level):
			return "", false
		}
	}
	return "^" + strings.Join(levels, regexp.QuoteMeta(separator)) + end, ok
}
