package topic

import (
	"regexp"
	"strings"
)

// Foreign reports whether a topic looks like a wildcard of another system: a * or
// a last > between dots, a + or a last # between slashes. Here it is a regular
// expression that means something else. It returns the one that was probably meant.
func Foreign(text string) (meant string, foreign bool) {
	if meant, foreign = foreignBy(text, ".", "*", ">"); foreign {
		return meant, true
	}
	return foreignBy(text, "/", "+", "#")
}

var word = regexp.MustCompile(`^[\w-]+$`)

// foreignBy does so for a system that separates levels like that, and has such
// wildcards for one level and for the rest.
func foreignBy(text, separator, one, rest string) (meant string, foreign bool) {
	levels, end := strings.Split(text, separator), "$"
	last := len(levels) - 1
	for i, level := range levels {
		switch {
		case level == one && last > 0:
			levels[i], foreign = "[^"+separator+"]+", true
		case level == rest && i == last && last > 0:
			levels[i], foreign, end = "", true, ""
		case !word.MatchString(level):
			return "", false
		}
	}
	return "^" + strings.Join(levels, regexp.QuoteMeta(separator)) + end, foreign
}
