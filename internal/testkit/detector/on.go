//go:build race

package detector

// On reports whether the race detector is on.
const On = true
