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

// checkDirectory returns an error if path is not a directory.
func checkDirectory(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return usageErrorf("%s does not exist", path)
	case err != nil:
		return err
	case !info.IsDir():
		return usageErrorf("%s is a file: name the directory that holds the journal", path)
	}
	return nil
}

// withAdvice adds advice for the user to an error of reading path.
func withAdvice(path string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, seglog.ErrLocked), errors.Is(err, pubstore.ErrLocked):
		return inUseError(path)
	case errors.Is(err, fs.ErrPermission):
		return &exitError{exitFailed, fmt.Errorf("%w: run the command as the user that owns it", err)}
	}
	return err
}

func inUseError(path string) error {
	return &exitError{exitInUse, fmt.Errorf("%s is in use by a running process: stop that process, or examine a copy", path)}
}

// quoteIfNeeded returns text unchanged if it is printable and has no spaces, else quoted.
func quoteIfNeeded[T string | []byte](text T) string {
	s := string(text)
	if s == "" || strings.ContainsFunc(s, func(r rune) bool { return !isWordRune(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// quoteList returns texts, each as from quoteIfNeeded, separated by commas.
func quoteList(texts []string) string {
	return strings.Join(mapSlice(texts, quoteIfNeeded[string]), ", ")
}

// mapSlice returns the results of f for each value of a list. It never returns nil.
func mapSlice[A, B any](list []A, f func(A) B) []B {
	all := make([]B, len(list))
	for i, a := range list {
		all[i] = f(a)
	}
	return all
}

// isWordRune reports whether a character is printable and does not separate words.
func isWordRune(r rune) bool { return r != unicode.ReplacementChar && r != ' ' && unicode.IsPrint(r) }

// plural returns "1 word" or "n words".
func plural(n int, word string) string {
	if n == 1 {
		return "1 " + word
	}
	return fmt.Sprintf("%d %ss", n, word)
}
