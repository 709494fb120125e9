package servertest

import (
	"log"
	"os"
	"slices"
)

// A Program is a [T] for code without a test: an Example function or a
// demonstration program. The zero value is ready to use; call Close at the end.
// Where a test would fail, a Program logs the reason and exits. It is not safe for
// concurrent use.
type Program struct {
	cleanups []func()
}

// Close calls the functions passed to Cleanup, the last one first. This closes the
// servers that were made with the Program.
func (p *Program) Close() {
	for _, f := range slices.Backward(p.cleanups) {
		f()
	}
	p.cleanups = nil
}

// Cleanup registers f to be called by Close.
func (p *Program) Cleanup(f func()) { p.cleanups = append(p.cleanups, f) }

// Helper does nothing.
func (p *Program) Helper() {}

// Fatalf is log.Fatalf.
func (p *Program) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }

// Logf is log.Printf.
func (p *Program) Logf(format string, args ...any) { log.Printf(format, args...) }

// TempDir makes a new directory and returns its path. Close removes the directory.
func (p *Program) TempDir() string {
	dir, err := os.MkdirTemp("", "holdfast-")
	if err != nil {
		p.Fatalf("servertest: %v", err)
	}
	p.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
