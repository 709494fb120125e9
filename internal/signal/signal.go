// Package signal wakes a goroutine. The signal carries no data: the goroutine finds its work
// itself.
package signal

// A Signal stays set until its owner receives from it. Several calls of Set before that
// count as one.
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
