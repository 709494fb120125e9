package outbound

import "net"

// A tryWriter is a connection that can be written without blocking.
type tryWriter interface {
	// TryWrite writes what of b the connection takes without blocking, which
	// may be nothing. n < len(b) is no error. A deadline that has passed is one.
	TryWrite(b []byte) (n int, err error)
}

// tryWriterOf returns nil for a connection that can't be written without
// blocking. Of the system's connections only those themselves can: one that
// embeds such a connection may have a Write of its own.
func tryWriterOf(conn net.Conn) tryWriter {
	switch conn := conn.(type) {
	case tryWriter:
		return conn
	case *net.TCPConn:
		return newRaw(conn)
	case *net.UnixConn:
		return newRaw(conn)
	}
	return nil
}
