package archtest_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/holdfast-mq/holdfast/internal/testkit/loglines"
)

// withKeys are the keys that loggers add to all their lines.
var withKeys = []string{"instance", "client", "user", "address"}

// logFiles returns the log calls of the product.
func logFiles(t *testing.T) (all []loglines.File) {
	t.Helper()
	for _, file := range product(t) {
		if strings.HasPrefix(file, "server/servertest/") || strings.HasPrefix(file, "server/cmd/holdfast/") {
			continue
		}
		f, err := loglines.ReadFile(filepath.Join(root, file), file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, f)
	}
	return all
}

// Log calls have constant messages and keys, no key twice, and hold no lock.
func TestLogCallsAreRegular(t *testing.T) {
	for _, f := range logFiles(t) {
		for _, fault := range f.Faults {
			t.Error(fault)
		}
		for _, key := range f.With {
			if !slices.Contains(withKeys, key) {
				t.Errorf("a logger has the key %s", key)
			}
		}
		for _, l := range f.Lines {
			for _, key := range l.Keys {
				if slices.Contains([]string{"time", "level", "msg", "source"}, key) {
					t.Errorf("%s has the key %s, which is one of package slog", l.Place, key)
				}
			}
		}
	}
}

// server/LOGS.md lists the lines of the code with their levels and keys, and no others.
func TestLogPage(t *testing.T) {
	page, err := loglines.ReadPage(root)
	if err != nil {
		t.Fatal(err)
	}
	inCode := make(map[string]loglines.Line)
	used := make(map[string]bool)
	for _, key := range withKeys {
		used[key] = true
	}
	used["left_out"] = true // server.boundedHandler adds it
	for _, f := range logFiles(t) {
		for _, l := range f.Lines {
			if other, twice := inCode[l.Message]; twice && other.Level != l.Level {
				t.Errorf("%s and %s have one message and two levels", other.Place, l.Place)
			} else if twice {
				l.Keys = append(l.Keys, other.Keys...)
				slices.Sort(l.Keys)
				l.Keys = slices.Compact(l.Keys)
			}
			inCode[l.Message] = l
		}
	}
	if len(inCode) < 100 {
		t.Fatalf("the code has only %d lines", len(inCode))
	}
	for message, l := range inCode {
		listed, is := page.Lines[message]
		switch {
		case !is:
			t.Errorf("%s: server/LOGS.md does not list %s `%s`, keys %s", l.Place, l.Level, message, l.Keys)
		case listed.Level != l.Level || !slices.Equal(listed.Keys, l.Keys):
			t.Errorf("%s: %s has %s and the keys %s, the code has %s and %s", listed.Place, message, listed.Level, listed.Keys, l.Level, l.Keys)
		}
		for _, key := range l.Keys {
			if used[key] = true; !slices.Contains(page.Keys, key) {
				t.Errorf("%s has the key %s, which is not in the list of server/LOGS.md", l.Place, key)
			}
		}
	}
	for message, l := range page.Lines {
		if _, is := inCode[message]; !is {
			t.Errorf("%s: no code writes %s", l.Place, message)
		}
	}
	for _, key := range page.Keys {
		if !used[key] {
			t.Errorf("server/LOGS.md lists the key %s, which no line has", key)
		}
	}
}
