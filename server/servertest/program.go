package servertest

import (
	"log"
	"os"
	"slices"
)

// A Program is a [T] where there is no test: in an Example function, or in a
// program that shows something. Its zero value is ready; whoever has it calls
// Close at the end. Where a test would fail, it logs why and exits. It isn't
// safe for concurrent use.
type Program struct {
	cleanups []func()
}

// Close closes what was made with it, the last first.
func (p *Program) Close() {
	for _, f := range slices.Backward(p.cleanups) {
		f()
	}
	p.cleanups = nil
}

// Cleanup has Close call f.
func (p *Program) Cleanup(f func()) { p.cleanups = append(p.cleanups, f) }

// Helper does nothing.
func (p *Program) Helper() {}

// Fatalf is log.Fatalf.
func (p *Program) Fatalf(format string, args ...any) { log.Fatalf(format, args...) }

// Logf is log.Printf.
func (p *Program) Logf(format string, args ...any) { log.Printf(format, args...) }

// TempDir returns a new directory, which Close removes.
func (p *Program) TempDir() string {
	dir, err := os.MkdirTemp("", "holdfast-")
	if err != nil {
		p.Fatalf("servertest: %v", err)
	}
	p.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}
