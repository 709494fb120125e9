//go:build !race

// Package detector tells tests whether the race detector is on. What runs in one
// goroutine is searched less there: it takes seven times as long, and there is
// nothing more to find.
package detector

// On reports whether the race detector is on.
const On = false
