package main

import (
	"context"
	"fmt"
	"os"
	"regexp"
	"strconv"
	"strings"

	"github.com/holdfast-mq/holdfast/internal/perf/pair"
)

// replace replaces a file as mv does: a reader sees the old content or the new one.
func replace(path, text string) error {
	if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// write replaces a file of an instance.
func (w *world) write(in *pair.Instance, name, text string) error {
	return replace(w.file(in, name), text)
}

// read returns a file of an instance.
func (w *world) read(in *pair.Instance, name string) (string, error) {
	text, err := os.ReadFile(w.file(in, name))
	return string(text), err
}

// copy copies a file from a to b.
func (w *world) copy(name string) error {
	text, err := w.read(w.pair[0], name)
	if err != nil {
		return err
	}
	return w.write(w.pair[1], name, text)
}

// reloading changes files of an instance and waits until it has read them again. It prints the line of
// the log.
func (w *world) reloading(ctx context.Context, in *pair.Instance, field string, change func() error) error {
	line, err := reloadLine(in, field)
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	err = w.await(ctx, in.Name+" to read "+field+" again", func() bool { return line() != "" })
	w.Printf("  %s: %s", in.Name, line())
	return err
}

// reloadLine returns a function that returns the line of the log, from now on, which says that an
// instance has read files again; empty if there is none yet.
func reloadLine(in *pair.Instance, field string) (line func() string, err error) {
	before, err := os.Stat(in.Log())
	if err != nil {
		return nil, err
	}
	pattern := regexp.MustCompile(`msg="(file read again|[a-z ]+ replaced|certificate read again, [a-z ]+)" instance=. field=` + regexp.QuoteMeta(field) + `\b.*`)
	return func() string {
		text, err := os.ReadFile(in.Log())
		if err != nil {
			return ""
		}
		return string(pattern.Find(text[before.Size():]))
	}, nil
}

// certify gives an instance a certificate for its clients and operators, or for its links.
func (w *world) certify(in *pair.Instance, by *authority, certFile, keyFile string) error {
	cert, key, err := by.issue(in.Name)
	if err != nil {
		return err
	}
	if err := w.write(in, keyFile, key); err != nil {
		return err
	}
	return w.write(in, certFile, cert)
}

// setRules replaces the permissions of a user in the file of a, as an editor does, and raises the
// version.
func (w *world) setRules(user, rules string) error {
	text, err := w.read(w.pair[0], usersFile)
	if err != nil {
		return err
	}
	if text, err = withRules(text, user, rules); err != nil {
		return err
	}
	return w.write(w.pair[0], usersFile, text)
}

var (
	versionLine = regexp.MustCompile(`(?m)^version: (\d+)$`)
	rulesLine   = regexp.MustCompile(`(?m)^    (publish|subscribe): .*\n`)
)

// withRules returns the text of a users file with other permissions of a user.
func withRules(text, user, rules string) (string, error) {
	begin := strings.Index(text, "  - name: '"+user+"'\n")
	version := versionLine.FindStringSubmatch(text)
	if begin < 0 || version == nil {
		return "", fmt.Errorf("the users file has no user %s, or no version", user)
	}
	end := len(text)
	if next := strings.Index(text[begin+1:], "  - name: "); next >= 0 {
		end = begin + 1 + next
	}
	n, err := strconv.Atoi(version[1])
	if err != nil {
		return "", err
	}
	entry := rulesLine.ReplaceAllString(text[begin:end], "") + rules
	return strings.Replace(text[:begin]+entry+text[end:], version[0], fmt.Sprintf("version: %d", n+1), 1), nil
}

func readFile(path string) (string, error) {
	text, err := os.ReadFile(path)
	return string(text), err
}
