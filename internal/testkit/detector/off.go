//go:build !race

// Package detector tells tests whether the race detector is on. Searches in one goroutine
// are shorter with it: they take seven times as long, and have no races to find.
package detector

// On reports whether the race detector is on.
const On = false
