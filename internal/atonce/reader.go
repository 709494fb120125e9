package atonce

import (
	"net"
	"time"
)

// A Reader reads from one connection. It isn't safe for concurrent use, also
// not with the connection's Read.
type Reader struct {
	conn net.Conn
	from looker // nil: the connection can only be waited for
}

// A looker reads what is there, and waits for it only after it has looked for
// a while.
type looker interface {
	lookAndRead(b []byte, look time.Duration) (n int, err error)
}

// NewReader returns the Reader of a connection.
func NewReader(conn net.Conn) *Reader { return &Reader{conn, newLooker(conn)} }

// Read is the connection's. If nothing is there it looks again and again, for
// as long as look says, before it waits, where the system can do that: what
// comes meanwhile need not wake anybody. Between two looks all others that
// want to run do so. A close or a deadline in that time counts when it is over.
func (r *Reader) Read(b []byte, look time.Duration) (n int, err error) {
	if look <= 0 || r.from == nil {
		return r.conn.Read(b)
	}
	return r.from.lookAndRead(b, look)
}
