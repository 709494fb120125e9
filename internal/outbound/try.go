package outbound

import "net"

// A tryWriter is a connection that can be written without blocking.
type tryWriter interface {
	// TryWrite writes the part of b that the connection takes without blocking, possibly nothing.
	// A short write is no error. A deadline that has passed is an error.
	TryWrite(b []byte) (n int, err error)
}

// tryWriterOf returns nil for a connection that cannot be written without blocking. Of the
// system's connections it accepts only the plain types: a type that embeds one may have a Write of
// its own.
func tryWriterOf(conn net.Conn) tryWriter {
	switch conn := conn.(type) {
	case tryWriter:
		return conn
	case *net.TCPConn:
		return newRawConn(conn)
	case *net.UnixConn:
		return newRawConn(conn)
	}
	return nil
}
