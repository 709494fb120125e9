package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"
	"unicode"

	"github.com/holdfast-mq/holdfast/internal/seglog"
	"github.com/holdfast-mq/holdfast/pubstore"
)

// directory checks that path is a directory that can be looked into.
func directory(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usagef("%s does not exist", path)
	case err != nil:
		return err
	case !info.IsDir():
		return usagef("%s is a file: name the directory that holds the journal", path)
	}
	return nil
}

// explain says what to do about an error of looking at path.
func explain(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, seglog.ErrLocked), errors.Is(err, pubstore.ErrLocked):
		return inUse(path)
	case errors.Is(err, fs.ErrPermission):
		return &exitError{exitFailed, fmt.Errorf("%w: read it as the user whose process made it", err)}
	}
	return err
}

func inUse(path string) error {
	return &exitError{exitInUse, fmt.Errorf("%s is in use by a running process: stop that first, or copy it and look at the copy", path)}
}

// plain returns text as it is if it can be shown on one line, else quoted.
func plain[T string | []byte](text T) string {
	s := string(text)
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !isPlain(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// plainList returns texts with commas between.
func plainList(texts []string) string { return strings.Join(mapped(texts, plain[string]), ", ") }

// mapped returns what f makes of each value of a list, never nil.
func mapped[A, B any](list []A, f func(A) B) []B {
	all := make([]B, len(list))
	for i, a := range list {
		all[i] = f(a)
	}
	return all
}

// isPlain reports whether a character shows itself and takes no part in how a line is read.
func isPlain(r rune) bool { return r != unicode.ReplacementChar && r != ' ' && unicode.IsPrint(r) }

// plural returns "1 word" or "n words".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
