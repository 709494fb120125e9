package main

import (
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/holdfast-mq/holdfast/internal/visible"
)

// A terminal is standard output or standard error, if that is a terminal. Text that is
// written to it may come from servers and publishers, so control characters in it are
// escaped. It is safe for concurrent use.
type terminal struct {
	f *os.File

	mu   sync.Mutex
	text *visible.Writer // guarded by mu
}

// standardWriter returns the writer that commands use for a standard file.
func standardWriter(f *os.File) io.Writer {
	if !term.IsTerminal(int(f.Fd())) {
		return f
	}
	return &terminal{f: f, text: visible.NewWriter(f)}
}

// Write implements io.Writer.
func (t *terminal) Write(b []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.text.Write(b)
}

// draw writes text of this program unchanged, including control characters.
func (t *terminal) draw(text string) { _, _ = io.WriteString(t.f, text) }

func isTerminal(w io.Writer) bool {
	_, is := w.(*terminal)
	return is
}

// unescaped returns a writer to the same file as w that does not escape anything.
func unescaped(w io.Writer) io.Writer {
	if t, is := w.(*terminal); is {
		return t.f
	}
	return w
}
