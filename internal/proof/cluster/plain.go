package cluster

import (
	"encoding/binary"
	"encoding/json"
	"net"
	"testing"

	"github.com/holdfast-mq/holdfast/client"
	"github.com/holdfast-mq/holdfast/internal/wire"
)

// PlainApp is App for a client that meets servers without our extensions: it
// speaks to the instances of the system through a connection that knows none.
func (s *System) PlainApp(name string, servers []string, configure func(*client.Config)) *App {
	s.TB.Helper()
	a := s.NewApp(name, servers, configure)
	a.plain = true
	a.start()
	return a
}

// plain returns a connection to a server of ours that looks to both sides like one
// between a client that knows our extensions and a server that does not. It drops the
// extensions from a logon, as a server ignores fields that it does not know. From there
// on neither side may use them (R15).
func (s *System) plain(conn net.Conn) net.Conn {
	return &plainConn{Conn: conn, tb: s.TB, r: wire.NewReader(conn, wire.MaxFrame)}
}

// A plainConn is the client's end. Its Read and Write may be called from two
// goroutines, one each.
type plainConn struct {
	net.Conn
	tb testing.TB

	r    *wire.Reader // Read's: frames of the server
	rest []byte       // of the frame that is being handed over

	partial []byte // Write's: the beginning of a frame
}

// Read hands over the server's frames.
func (c *plainConn) Read(p []byte) (int, error) {
	for len(c.rest) == 0 {
		frame, err := c.r.Next()
		if err != nil {
			return 0, err
		}
		var m wire.Message
		if err := wire.Parse(frame, &m); err != nil {
			c.tb.Errorf("the server sent %q: %v", frame, err)
		}
		if hasExtensions(&m) {
			c.tb.Errorf("the server used our extensions with a plain client: %s", frame)
		}
		c.rest = appendFrame(c.rest[:0], frame)
	}
	n := copy(p, c.rest)
	c.rest = c.rest[n:]
	return n, nil
}

// Write takes the client's bytes and forwards whole frames.
func (c *plainConn) Write(p []byte) (int, error) {
	c.partial = append(c.partial, p...)
	var out []byte
	for len(c.partial) >= 4 {
		n := 4 + int(binary.BigEndian.Uint32(c.partial))
		if len(c.partial) < n {
			break
		}
		out = c.forward(out, c.partial[4:n])
		c.partial = c.partial[n:]
	}
	if _, err := c.Conn.Write(out); err != nil {
		return 0, err
	}
	return len(p), nil
}

// forward appends one of the client's frames without the fields that a plain server
// ignores.
func (c *plainConn) forward(out, frame []byte) []byte {
	var m wire.Message
	if err := wire.Parse(frame, &m); err != nil {
		c.tb.Errorf("the client sent %q: %v", frame, err)
	}
	if m.Command == wire.Logon {
		return appendFrame(out, c.plainLogon(frame))
	}
	if hasExtensions(&m) {
		c.tb.Errorf("the client used our extensions with a plain server: %s", frame)
	}
	return appendFrame(out, frame)
}

// plainLogon returns the header of a logon without our extensions.
func (c *plainConn) plainLogon(header []byte) []byte {
	var fields map[string]any
	err := json.Unmarshal(header, &fields)
	for _, key := range []string{"ext", "store", "n", "acked", "last", "rejected", "cluster", "incarnation", "sent", "clock"} {
		delete(fields, key)
	}
	plain, again := json.Marshal(fields)
	if err != nil || again != nil {
		c.tb.Errorf("the logon %s: %v, %v", header, err, again)
	}
	return plain
}

// appendFrame appends a frame with this content.
func appendFrame(out, content []byte) []byte {
	return append(binary.BigEndian.AppendUint32(out, uint32(len(content))), content...)
}

// hasExtensions reports whether a frame has anything of our extensions.
func hasExtensions(m *wire.Message) bool {
	for name := range wire.Options(m.Options) {
		if string(name) == "vector" {
			return true
		}
	}
	return m.Command == wire.Batch || m.Command == wire.Stretch || m.Ext != nil || m.Store != nil || m.Counter > 0 || m.Acked > 0 || m.HasHave || m.Max > 0 ||
		m.CatchingUp || m.HasCarried || m.Last > 0 || m.Rejected != nil || m.Level != nil || m.Gap != nil
}
