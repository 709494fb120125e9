package main

import (
	"io"
	"os"
	"sync"

	"golang.org/x/term"

	"github.com/holdfast-mq/holdfast/internal/visible"
)

// A terminal is standard output or standard error where that is one. What is written to
// it comes from servers and publishers, and does nothing there but appear. Safe for
// concurrent use.
type terminal struct {
	f *os.File

	mu   sync.Mutex
	text *visible.Writer // guarded by mu
}

// standard returns a standard file as commands write to it.
func standard(f *os.File) io.Writer {
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

// draw writes what is ours to the last byte, control characters included.
func (t *terminal) draw(text string) { _, _ = io.WriteString(t.f, text) }

func isTerminal(w io.Writer) bool {
	_, is := w.(*terminal)
	return is
}

// raw returns where what is written to w ends up as it is.
func raw(w io.Writer) io.Writer {
	if t, is := w.(*terminal); is {
		return t.f
	}
	return w
}
