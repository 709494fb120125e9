// Package signal wakes a goroutine that looks for work by itself.
package signal

// A Signal stays set until its owner receives from it. Several Sets before
// that are one.
type Signal chan struct{}

// New returns a Signal that is not set.
func New() Signal { return make(Signal, 1) }

// Set sets the signal. It never blocks.
func (s Signal) Set() {
	select {
	case s <- struct{}{}:
	default:
	}
}
