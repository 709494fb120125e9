// Package atonce writes to a connection what it takes without waiting. Who
// brings news can then pass it on by itself, where to wake a goroutine whose
// connection may make it wait would take longer than all the rest.
package atonce

import "net"

// A Writer writes to one connection. It isn't safe for concurrent use, also
// not with the connection's Write.
type Writer struct{ to taker }

// A taker takes what fits, and says how much that was.
type taker interface {
	TryWrite(b []byte) (n int, err error)
}

// New returns the Writer of a connection: one of the system, where the system
// can do that, or one with a method TryWrite. Nil: there is none.
func New(conn net.Conn) *Writer {
	to, is := conn.(taker)
	if !is {
		to = newRaw(conn)
	}
	if to == nil {
		return nil
	}
	return &Writer{to}
}

// Write writes what the connection takes at the moment, which may be nothing.
// n < len(b) is no error. A deadline that has passed is one.
func (w *Writer) Write(b []byte) (n int, err error) { return w.to.TryWrite(b) }
