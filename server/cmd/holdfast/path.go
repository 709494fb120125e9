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

// directory returns an error if path is not a directory.
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

// explain adds advice for the user to an error of reading path.
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

// plain returns text unchanged if it is printable and has no spaces, else quoted.
func plain[T string | []byte](text T) string {
	s := string(text)
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !isPlain(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// plainList returns texts, each as plain shows it, separated by commas.
func plainList(texts []string) string { return strings.Join(mapped(texts, plain[string]), ", ") }

// mapped returns the results of f for each value of a list. It never returns nil.
func mapped[A, B any](list []A, f func(A) B) []B {
	all := make([]B, len(list))
	for i, a := range list {
		all[i] = f(a)
	}
	return all
}

// isPlain reports whether a character is printable and does not separate words.
func isPlain(r rune) bool { return r != unicode.ReplacementChar && r != ' ' && unicode.IsPrint(r) }

// plural returns "1 word" or "n words".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
