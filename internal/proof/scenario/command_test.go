package scenario_test

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/cockroachdb/datadriven"
)

// A command is one line of a block: a word, names, and options.
type command struct {
	tb      testing.TB
	at      string // where it stands, for messages
	word    string
	names   []string
	options map[string]string
	used    map[string]bool // the options that were asked for
}

// parse takes a line apart.
func parse(tb testing.TB, at, line string) *command {
	tb.Helper()
	word, args, err := datadriven.ParseLine(line)
	if err != nil {
		tb.Fatalf("%s: %v", at, err)
	}
	c := &command{tb: tb, at: at, word: word, options: make(map[string]string), used: make(map[string]bool)}
	for _, a := range args {
		if len(a.Vals) == 0 {
			c.names = append(c.names, a.Key)
		} else {
			c.options[a.Key] = strings.Join(a.Vals, ",")
		}
	}
	return c
}

func (c *command) fail(format string, args ...any) {
	c.tb.Helper()
	c.tb.Fatalf("%s: %s: %s", c.at, c.word, fmt.Sprintf(format, args...))
}

// name returns the nth name, which must be there.
func (c *command) name(n int) string {
	c.tb.Helper()
	if n >= len(c.names) {
		c.fail("a word is missing")
	}
	return c.names[n]
}

// has reports whether a word is among the names.
func (c *command) has(word string) bool {
	for _, n := range c.names {
		if n == word {
			return true
		}
	}
	return false
}

// option returns an option, or its default.
func (c *command) option(key, byDefault string) string {
	c.used[key] = true
	if v, ok := c.options[key]; ok {
		return v
	}
	return byDefault
}

func (c *command) number(key string) int {
	c.tb.Helper()
	n, err := strconv.Atoi(c.option(key, "0"))
	if err != nil {
		c.fail("%s: %v", key, err)
	}
	return n
}

func (c *command) duration(key, byDefault string) time.Duration {
	c.tb.Helper()
	return c.parseDuration(c.option(key, byDefault))
}

func (c *command) parseDuration(text string) time.Duration {
	c.tb.Helper()
	d, err := time.ParseDuration(text)
	if err != nil {
		c.fail("%v", err)
	}
	return d
}

// bytes returns a size: a number, or one of KiB or MiB.
func (c *command) bytes(key string) int {
	c.tb.Helper()
	text, unit := c.option(key, "0"), 1
	for suffix, u := range map[string]int{"KiB": 1 << 10, "MiB": 1 << 20} {
		if rest, ok := strings.CutSuffix(text, suffix); ok {
			text, unit = rest, u
		}
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		c.fail("%s: %v", key, err)
	}
	return n * unit
}

// list returns an option that is a comma list; nil if it is not there.
func (c *command) list(key string) []string {
	v := c.option(key, "")
	if v == "" {
		return nil
	}
	return strings.Split(v, ",")
}

// span returns the nth name as a range: 4, or 4..9.
func (c *command) span(n int) (from, to int) {
	c.tb.Helper()
	first, last, found := strings.Cut(c.name(n), "..")
	if !found {
		last = first
	}
	from, err1 := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	if err1 != nil || err2 != nil {
		c.fail("%q is not a range", c.name(n))
	}
	return from, to
}

// done fails if the line has an option that was not asked for.
func (c *command) checkOptions() {
	c.tb.Helper()
	for key := range c.options {
		if !c.used[key] {
			c.fail("there is no option %q", key)
		}
	}
}
